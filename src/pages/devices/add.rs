//! How to add a device: what to run where, and the address as a QR code for phones.

use std::fmt::Write as _;

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};
use qrcode::{Color, EcLevel, QrCode};

use super::super::shell::{Context, Form, Shell, page_with_script};
use super::super::ways::Place;
use super::Paths;

/// White space around a QR code, in modules (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// What to say about adding a device.
#[derive(Clone, Copy, Debug)]
pub struct AddDevice<'a> {
    /// `server_url`, without a slash at its end.
    pub server_url: &'a str,
    /// Whether the person signs in to add it, or asks an administrator.
    pub by_signing_in: bool,
}

/// The dark modules of a QR code, as a path of unit squares.
struct Qr {
    size: usize,
    path: String,
}

impl Qr {
    /// None where the text is too long for one.
    fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (at, color) in code.to_colors().into_iter().enumerate() {
            if color == Color::Dark {
                let (x, y) = (at % width + QUIET, at / width + QUIET);
                // Writing to a string does not fail.
                let _ = write!(path, "M{x} {y}h1v1h-1z");
            }
        }
        Some(Self {
            size: width + 2 * QUIET,
            path,
        })
    }
}

#[derive(Template)]
#[template(path = "add_device.html")]
struct Add<'a> {
    shell: Shell<'a>,
    server_url: &'a str,
    by_signing_in: bool,
    qr: Option<Qr>,
}

/// Says how to add a device.
pub fn add_device(context: &Context<'_>, add: &AddDevice<'_>) -> Response<Bytes> {
    let template = Add {
        shell: Shell::at(Place::AddDevice, context, StatusCode::OK),
        server_url: add.server_url,
        by_signing_in: add.by_signing_in,
        qr: Qr::of(add.server_url),
    };
    page_with_script(context, StatusCode::OK, Form::No, &template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_has_its_three_corners_and_quiet_around_them() {
        let qr = Qr::of("https://headscale.company").unwrap();
        let last = qr.size - QUIET - 7;
        for (x, y) in [(QUIET, QUIET), (last, QUIET), (QUIET, last)] {
            for at in 0..7 {
                for (x, y) in [(x + at, y), (x, y + at), (x + 6, y + at), (x + at, y + 6)] {
                    assert!(qr.path.contains(&format!("M{x} {y}h")), "{x} {y}");
                }
            }
            let inside = format!("M{} {}h", x + 1, y + 1);
            assert!(!qr.path.contains(&inside), "{inside}");
        }
        assert!(!qr.path.contains("M3 ") && !qr.path.contains(&format!("M{} ", qr.size - QUIET)));
        assert!(Qr::of(&"a".repeat(5000)).is_none());
    }
}

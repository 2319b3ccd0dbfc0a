//! What the log may be told of a request: where it went, and why it failed on the way to an upstream.
//!
//! pingora quotes what it could not read: an answer's whole head, with the cookies it sets and the
//! code in its `Location`. So an error's kind is told, what stands in the program's text, and what
//! the system said; a text that was made at run time only where a connection failed, before
//! anything was sent over it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use pingora::{Error, ErrorType, ImmutStr};

use super::visit::Visit;

/// The error and its causes on one line, without anything that either side sent.
pub fn of(error: &Error) -> String {
    let mut told = error.esource.as_str().to_owned();
    tell(error, &mut told);
    told.trim_start().to_owned()
}

fn tell(error: &Error, told: &mut String) {
    let connecting = is_about_connecting(&error.etype);
    let _ = write!(told, " {}", error.etype.as_str());
    match &error.context {
        Some(ImmutStr::Owned(context)) if connecting => {
            let _ = write!(told, " ({context})");
        }
        Some(ImmutStr::Static(context)) => {
            let _ = write!(told, " ({context})");
        }
        Some(ImmutStr::Owned(_)) | None => {}
    }
    let Some(cause) = &error.cause else { return };
    if let Some(inner) = cause.downcast_ref::<Box<Error>>() {
        told.push(':');
        tell(inner, told);
    } else if connecting || cause.is::<io::Error>() {
        let _ = write!(told, ": {cause}");
    }
}

/// The path for the log. Whoever knows the id in a device's link may claim the device while it waits:
/// of that, the end is shown, which finds it in Headscale's log; also where the link was not copied
/// well.
pub fn path(visit: &Visit) -> Cow<'_, str> {
    let path = visit.head.target.path();
    let link = ["/register/confirm/", "/register/", "/auth/"]
        .iter()
        .find_map(|root| Some((root, path.strip_prefix(root)?)));
    let Some((root, id)) = link else {
        return Cow::Borrowed(path);
    };
    Cow::Owned(format!("{root}…{}", end_of(id)))
}

/// What may be told of the id in a device's link.
pub fn end_of(id: &str) -> &str {
    id.get(id.len().saturating_sub(SHOWN_OF_ID)..)
        .unwrap_or_default()
}

/// Characters of a device link's id in the log.
const SHOWN_OF_ID: usize = 6;

const fn is_about_connecting(kind: &ErrorType) -> bool {
    matches!(
        kind,
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::TLSWantX509Lookup
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::InvalidCert
            | ErrorType::HandshakeError
            | ErrorType::ConnectError
            | ErrorType::BindError
            | ErrorType::AcceptError
            | ErrorType::SocketError
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upstream_sent_is_not_told_and_what_failed_is() {
        let head = "buf: HTTP/1.1 302 Found\\r\\nset-cookie: state_abc=s3cret".to_owned();
        let broken = Error::because(ErrorType::InvalidHTTPHeader, head, "s3cret").into_up();
        let wrapped = Error::because(ErrorType::InternalError, "while reading", broken);
        assert_eq!(
            of(&wrapped),
            "InternalError (while reading): InvalidHTTPHeader"
        );

        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let place = "to 127.0.0.1:8080".to_owned();
        let refused = Error::because(ErrorType::ConnectRefused, place, refused).into_up();
        assert_eq!(
            of(&refused),
            "Upstream ConnectRefused (to 127.0.0.1:8080): connection refused"
        );

        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let reset = Error::because(ErrorType::ReadError, "s3cret".to_owned(), reset).into_up();
        assert_eq!(of(&reset), "Upstream ReadError: connection reset");
    }
}

//! Every page there is, under its own headers, whether or not a flow of these tests comes by it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use headwarden::pages::{Context, Language};
use http::Response;

use crate::scene::Visitor;

#[path = "../../examples/pages/every.rs"]
mod every;

/// Shows the page that each request's path names, until `/closing-time` is asked for. A browser
/// opens connections before it knows what to ask, so each has a thread of its own.
fn exhibit(listener: &TcpListener, pages: Vec<every::Named>) {
    let (pages, open) = (Arc::new(pages), Arc::new(AtomicBool::new(true)));
    for socket in listener.incoming().map_while(Result::ok) {
        if !open.load(Ordering::SeqCst) {
            return;
        }
        let (pages, open) = (Arc::clone(&pages), Arc::clone(&open));
        let visit = move || {
            let path = requested(&socket);
            if path == "/closing-time" {
                open.store(false, Ordering::SeqCst);
            }
            let shown = pages
                .iter()
                .find(|(name, _)| path.strip_prefix('/') == Some(*name));
            if let Some((_, page)) = shown {
                // A browser that hangs up early has seen enough.
                drop((&socket).write_all(&written(page)));
            }
        };
        std::thread::spawn(visit);
    }
}

/// The path of a request, or nothing if none came.
fn requested(socket: &TcpStream) -> String {
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let _fields: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn written(page: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\nConnection: close\r\n", page.status()).into_bytes();
    for (name, value) in page.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(page.body());
    bytes
}

/// All pages of ours, shown by a server of its own until this is dropped.
pub(crate) struct Exhibition {
    address: SocketAddr,
    /// Names and statuses.
    pub(crate) pages: Vec<(&'static str, u16)>,
    showing: Option<JoinHandle<()>>,
}

impl Exhibition {
    pub(crate) fn open(language: Language) -> Self {
        let context = Context {
            site: "headscale.company",
            support_id: "k7rd2m9xq4",
            form_action: &[],
            language,
            shows_devices: true,
        };
        let all = every::pages(&context);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let pages = all
            .iter()
            .map(|(name, page)| (*name, page.status().as_u16()))
            .collect();
        let showing = std::thread::spawn(move || exhibit(&listener, all));
        Self {
            address,
            pages,
            showing: Some(showing),
        }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for Exhibition {
    fn drop(&mut self) {
        // The first says so, the second is what the listener wakes for.
        for _ in 0..2 {
            if let Ok(mut last) = TcpStream::connect(self.address) {
                drop(last.write_all(b"GET /closing-time HTTP/1.1\r\n\r\n"));
                drop(last.read_to_end(&mut Vec::new()));
            }
        }
        let ended = self.showing.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "something went wrong");
        }
    }
}

/// Whether the words are short enough, which differs from language to language.
#[test]
fn every_page_fits_the_narrowest_phone_and_loads_nothing() {
    for language in Language::all() {
        fits(language);
    }
}

fn fits(language: Language) {
    let exhibition = Exhibition::open(language);
    let mut visitor = Visitor::with(serde_json::json!({ "phone": true }));
    for &(name, status) in &exhibition.pages {
        let view = visitor.browser.open(&exhibition.url(name));
        assert_eq!(view.status, status, "{name}");
        // 320 is what WCAG 2.2 asks for (1.4.10), a phone's width, and one of a desktop.
        for width in [320, 390, 1100] {
            let script = "document.documentElement.scrollWidth";
            let taken = visitor.browser.evaluate_at(width, script);
            assert_eq!(
                taken, width,
                "{name} in {language:?} is wider than its window"
            );
        }
        visitor.shoot(&format!("page-{language:?}-{name}"));
    }
}

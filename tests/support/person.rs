//! A person with a browser, as far as HTTP can tell: follows redirects, keeps cookies, fills in
//! forms, and sends the `Origin`, `Referer` and `Sec-Fetch-*` fields that a browser would.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use rustls::ClientConfig;
use url::Url;

use super::html::{self, Form};
use super::jar::{Jar, Sending};
use super::navigation::{Cause, Navigation};
use super::raw::{Raw, Response, request_to};

/// More redirects than that in a row are a loop.
const MOST_HOPS: usize = 20;

/// What every navigation of a browser says.
const EVERY_REQUEST: [&str; 4] = [
    "Upgrade-Insecure-Requests: 1",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/140.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en",
];

/// Somebody in front of a browser.
pub(crate) struct Person {
    pub(crate) jar: Jar,
    /// Cookies are refused and never sent.
    pub(crate) blocks_cookies: bool,
    /// Whether the browser knows fetch metadata (all since 2023 do).
    pub(crate) sends_fetch_metadata: bool,
    /// Every answer, with the address that gave it.
    pub(crate) answers: Vec<(Url, Response)>,
    addresses: BTreeMap<String, SocketAddr>,
    tls: Option<Arc<ClientConfig>>,
}

/// Where the browser stands after an answer.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) response: Response,
    /// Every answer on the way here, the last one included.
    pub(crate) hops: Vec<Hop>,
    next: Option<Navigation>,
}

/// One answer on the way.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) method: &'static str,
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
}

impl Page {
    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.header(name)
    }

    pub(crate) fn text(&self) -> String {
        self.response.text()
    }

    pub(crate) fn forms(&self) -> Vec<Form> {
        html::forms(&self.text(), &self.url)
    }

    pub(crate) fn links(&self) -> Vec<Url> {
        html::links(&self.text(), &self.url)
    }

    /// Where the answer sends the browser, if it is a redirect.
    pub(crate) fn redirect(&self) -> Option<&Url> {
        self.next.as_ref().map(|next| &next.url)
    }

    /// The cause of whatever a link or form of this page leads to.
    fn cause(&self) -> Cause {
        Cause::page(
            &self.url,
            self.header("referrer-policy").unwrap_or_default(),
        )
    }

    /// The form with this id, or the only one if `id` is empty.
    pub(crate) fn form(&self, id: &str) -> Form {
        let mut forms = self.forms();
        let found = forms.iter().position(|form| id.is_empty() || form.id == id);
        let lonely = !id.is_empty() || forms.len() == 1;
        match found {
            Some(at) if lonely => forms.swap_remove(at),
            _ => panic!(
                "no such form {id:?} at {} among {forms:#?} in {}",
                self.url,
                self.text()
            ),
        }
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        Self {
            jar: Jar::default(),
            blocks_cookies: false,
            sends_fetch_metadata: true,
            answers: Vec::new(),
            addresses: BTreeMap::new(),
            tls: None,
        }
    }

    /// Makes https URLs work, with what this configuration trusts.
    pub(crate) fn trusting(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Resolves `host` to `address`, port included, instead of asking the system.
    pub(crate) fn resolving(mut self, host: &str, address: SocketAddr) -> Self {
        self.addresses.insert(host.to_owned(), address);
        self
    }

    /// Types an address; one request, redirects not followed.
    pub(crate) fn get(&mut self, url: &str) -> Page {
        self.send(&Navigation::get(parse(url), Cause::Typed), Vec::new())
    }

    /// Types an address and follows wherever it leads.
    pub(crate) fn open(&mut self, url: &str) -> Page {
        let page = self.get(url);
        self.follow(page)
    }

    /// One redirect further.
    pub(crate) fn step(&mut self, page: Page) -> Page {
        let Some(next) = page.next else {
            panic!("{} is no redirect", page.url)
        };
        self.send(&next, page.hops)
    }

    /// Follows redirects to their end.
    pub(crate) fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..MOST_HOPS {
            if page.next.is_none() {
                return page;
            }
            page = self.step(page);
        }
        panic!("a redirect loop: {:#?}", page.hops)
    }

    /// Clicks a link of `page` that leads to `url`.
    pub(crate) fn click(&mut self, page: &Page, url: &Url) -> Page {
        self.send(&Navigation::get(url.clone(), page.cause()), Vec::new())
    }

    /// Fills in the form with this id (or the only one, if empty) and presses its button; redirects
    /// not followed.
    pub(crate) fn submit(&mut self, page: &Page, id: &str, filled: &[(&str, &str)]) -> Page {
        let mut form = page.form(id);
        for (name, value) in filled {
            match form.fields.iter_mut().find(|(field, _)| field == name) {
                Some((_, old)) => (*value).clone_into(old),
                None => form.fields.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        let encoded = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form.fields)
            .finish();
        let mut url = form.action;
        let navigation = if form.post {
            Navigation::post(url, encoded, page.cause())
        } else {
            url.set_query(Some(&encoded));
            Navigation::get(url, page.cause())
        };
        self.send(&navigation, Vec::new())
    }

    /// Fills in a form and follows wherever it leads.
    pub(crate) fn fill_in(&mut self, page: &Page, id: &str, filled: &[(&str, &str)]) -> Page {
        let page = self.submit(page, id, filled);
        self.follow(page)
    }

    /// One request with exactly these further header lines (each `Name: value`), and the jar's
    /// cookies as on a same-origin request: what a script in a page, or a curious person, can send.
    pub(crate) fn request(
        &mut self,
        method: &str,
        url: &str,
        lines: &[&str],
        body: &[u8],
    ) -> Response {
        let url = parse(url);
        let sending = Sending {
            same_site: true,
            safe_navigation: false,
        };
        let mut all: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        all.extend(self.cookie_line(&url, sending));
        self.exchange(method, &url, &all, body)
    }

    fn send(&mut self, navigation: &Navigation, mut hops: Vec<Hop>) -> Page {
        let Navigation {
            method, url, body, ..
        } = navigation;
        let mut lines = EVERY_REQUEST.map(str::to_owned).to_vec();
        lines.extend(navigation.lines(self.sends_fetch_metadata));
        lines.extend(self.cookie_line(url, navigation.sending()));
        let response = self.exchange(method, url, &lines, body.as_bytes());
        let location = response.header("location").map(str::to_owned);
        hops.push(Hop {
            method,
            url: url.clone(),
            status: response.status(),
            location,
        });
        let next = navigation.redirected(&response);
        Page {
            url: url.clone(),
            response,
            hops,
            next,
        }
    }

    fn cookie_line(&self, url: &Url, sending: Sending) -> Option<String> {
        let header = if self.blocks_cookies {
            None
        } else {
            self.jar.header(url, sending)
        };
        header.map(|cookies| format!("Cookie: {cookies}"))
    }

    fn exchange(&mut self, method: &str, url: &Url, lines: &[String], body: &[u8]) -> Response {
        let bytes = request_to(method, url, lines, body);
        let answer = self.connect(url).and_then(|mut raw| raw.exchange(&bytes));
        let response = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        if !self.blocks_cookies {
            for field in response.head.fields.values("set-cookie") {
                self.jar.set(url, field);
            }
        }
        self.answers.push((url.clone(), response.clone()));
        response
    }

    fn connect(&self, url: &Url) -> std::io::Result<Raw> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let bare = host.trim_matches(['[', ']']);
        let address = match self.addresses.get(host) {
            Some(address) => *address,
            None => (bare, port)
                .to_socket_addrs()?
                // What listens here listens on IPv4 loopback, whatever `localhost` begins with.
                .min_by_key(SocketAddr::is_ipv6)
                .ok_or_else(|| std::io::Error::other("no such host"))?,
        };
        match (url.scheme(), &self.tls) {
            ("http", _) => Raw::connect(address),
            ("https", Some(config)) => Raw::connect_tls(address, bare, Arc::clone(config)),
            (scheme, _) => Err(std::io::Error::other(format!("no way to speak {scheme}"))),
        }
    }
}

fn parse(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{url:?}: {error}"))
}

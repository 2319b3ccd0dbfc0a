//! A small ACME directory (RFC 8555) that checks what it is told, really connects back to validate, and
//! signs with an authority of its own. Faults on demand.

mod jws;
mod validate;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData,
    SignatureAlgorithm,
};
use serde_json::{Value, json};

use self::jws::Jwk;
use crate::support::raw::PATIENCE;

/// What it does, and how it fails.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs {
    /// Nobody answers: connections are closed.
    pub(crate) away: bool,
    /// So many requests are told that their nonce is none.
    pub(crate) bad_nonces: usize,
    /// New orders are refused with this wait in seconds.
    pub(crate) rate_limited: Option<u64>,
    /// What validators find is never good.
    pub(crate) finds_nothing: bool,
    /// Certificates are for another name.
    pub(crate) other_name: Option<String>,
    /// Certificates are good from so many years ago, for so many years from now.
    pub(crate) years: Option<(i32, i32)>,
    /// A new account needs this key id and HMAC key.
    pub(crate) external: Option<(String, Vec<u8>)>,
}

/// One order.
#[derive(Clone, Debug)]
struct Order {
    account: usize,
    names: Vec<String>,
    authorizations: Vec<Authorization>,
    certificate: Option<String>,
    broken: bool,
}

/// One name of an order.
#[derive(Clone, Debug)]
struct Authorization {
    name: String,
    token: String,
    status: &'static str,
    error: Option<String>,
}

#[derive(Default)]
struct State {
    knobs: Knobs,
    at: Option<(SocketAddr, SocketAddr)>,
    nonces: BTreeSet<String>,
    drawn: u64,
    accounts: Vec<Jwk>,
    contacts: Vec<Value>,
    orders: Vec<Order>,
    /// Kind and outcome of each validation.
    validations: Vec<(String, Result<(), String>)>,
    /// Paths that were asked for.
    asked: Vec<String>,
}

struct Shared {
    address: SocketAddr,
    issuer: CertifiedIssuer<'static, KeyPair>,
    over: AtomicBool,
    state: Mutex<State>,
}

/// The directory; it ends with the test.
pub(crate) struct AcmeStandin(Arc<Shared>);

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    kind: &'static str,
    fields: Vec<(&'static str, String)>,
}

/// The public key of a certificate request.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl AcmeStandin {
    pub(crate) fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("it is bound"),
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
            over: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                if serving.over.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(tcp));
            }
        });
        Self(shared)
    }

    /// Validators connect to these two, whatever name they validate.
    pub(crate) fn validates_at(&self, http: SocketAddr, tls: SocketAddr) {
        self.0.state().at = Some((http, tls));
    }

    pub(crate) fn directory(&self) -> String {
        self.0.url("/directory")
    }

    /// The authority's certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.issuer.pem()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.0.state().knobs);
    }

    /// How validations ended, by kind of challenge.
    pub(crate) fn validations(&self) -> Vec<(String, Result<(), String>)> {
        self.0.state().validations.clone()
    }

    /// How often a path that begins so was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let state = self.0.state();
        let asked = state.asked.iter();
        asked.filter(|asked| asked.starts_with(path)).count()
    }

    /// The contacts of each account that was made.
    pub(crate) fn contacts(&self) -> Vec<Value> {
        self.0.state().contacts.clone()
    }

    /// How many certificates were signed.
    pub(crate) fn issued(&self) -> usize {
        let state = self.0.state();
        state
            .orders
            .iter()
            .filter(|order| order.certificate.is_some())
            .count()
    }

    /// A token of an order that is still open.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let state = self.0.state();
        let all = state.orders.iter().flat_map(|order| &order.authorizations);
        all.map(|authorization| authorization.token.clone())
            .collect()
    }
}

impl Drop for AcmeStandin {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        // The thread that accepts looks.
        let _ = TcpStream::connect(self.0.address);
    }
}

/// A problem document (RFC 8555 section 6.7).
fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    let body = json!({
        "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status,
    });
    Answer {
        status,
        body: body.to_string().into_bytes(),
        kind: "application/problem+json",
        fields: Vec::new(),
    }
}

fn object(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        body: body.to_string().into_bytes(),
        kind: "application/json",
        fields: Vec::new(),
    }
}

/// Who asks, and what.
enum Asker {
    New(Jwk),
    Known(usize),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn serve(&self, tcp: TcpStream) {
        let _ = tcp.set_read_timeout(Some(PATIENCE));
        let Some(request) = read(&tcp) else {
            return;
        };
        self.state().asked.push(request.path.clone());
        if self.state().knobs.away {
            return;
        }
        let mut answer = self.answer(&request);
        answer.fields.push(("Replay-Nonce", self.nonce()));
        let mut head = format!(
            "HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
            answer.status,
            answer.kind,
            answer.body.len()
        );
        for (name, value) in &answer.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut tcp = tcp;
        let _ = tcp.write_all(head.as_bytes());
        if request.method != "HEAD" {
            let _ = tcp.write_all(&answer.body);
        }
    }

    fn nonce(&self) -> String {
        let mut state = self.state();
        state.drawn += 1;
        let nonce = format!("nonce-{}", state.drawn);
        state.nonces.insert(nonce.clone());
        nonce
    }

    fn answer(&self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/directory") => object(
                200,
                &json!({
                    "newNonce": self.url("/nonce"), "newAccount": self.url("/account"),
                    "newOrder": self.url("/order"), "revokeCert": self.url("/revoke"),
                    "keyChange": self.url("/key"), "meta": { "termsOfService": self.url("/terms") },
                }),
            ),
            ("HEAD" | "GET", "/nonce") => object(200, &json!({})),
            ("POST", path) => match self.signed(request) {
                Ok((asker, payload)) => self.post(path, &asker, &payload),
                Err(refused) => refused,
            },
            _ => problem(404, "malformed", "there is nothing"),
        }
    }

    /// Looks at nonce, address, key and signature.
    fn signed(&self, request: &Request) -> Result<(Asker, Vec<u8>), Answer> {
        let malformed = |why: String| problem(400, "malformed", &why);
        let value =
            serde_json::from_slice(&request.body).map_err(|why| malformed(why.to_string()))?;
        let signed = jws::Signed::read(&value).map_err(malformed)?;
        let mut state = self.state();
        let nonce = signed.header["nonce"].as_str().unwrap_or_default();
        let fresh = state.nonces.remove(nonce);
        if !fresh || state.knobs.bad_nonces > 0 {
            state.knobs.bad_nonces = state.knobs.bad_nonces.saturating_sub(1);
            return Err(problem(400, "badNonce", "this nonce is none of ours"));
        }
        if signed.header["url"] != self.url(&request.path) {
            return Err(problem(401, "unauthorized", "signed for another address"));
        }
        let (asker, key) = match (signed.header.get("jwk"), signed.header["kid"].as_str()) {
            (Some(key), None) if request.path == "/account" => {
                let key = Jwk::read(key).map_err(malformed)?;
                (Asker::New(key.clone()), key)
            }
            (None, Some(id)) => {
                let number = id
                    .strip_prefix(&self.url("/account/"))
                    .and_then(|number| number.parse::<usize>().ok())
                    .filter(|number| *number < state.accounts.len())
                    .ok_or_else(|| problem(400, "accountDoesNotExist", "there is none"))?;
                (Asker::Known(number), state.accounts[number].clone())
            }
            _ => return Err(malformed("jwk or kid".to_owned())),
        };
        signed.verify(&key).map_err(malformed)?;
        Ok((asker, signed.payload))
    }

    fn post(&self, path: &str, asker: &Asker, payload: &[u8]) -> Answer {
        let value: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
        let account = match asker {
            Asker::New(key) => return self.new_account(key, &value),
            Asker::Known(account) => *account,
        };
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = |text: &str| text.parse::<usize>().ok();
        match parts[..] {
            ["order"] => self.new_order(account, &value),
            ["order", order] => self.with(account, number(order), |this, order| {
                object(200, &this.shown(order))
            }),
            ["authorization", order, name] => self.with(account, number(order), |this, order| {
                let name = name.parse().unwrap_or(usize::MAX);
                let state = this.state();
                match state.orders[order].authorizations.get(name) {
                    Some(found) => object(200, &this.authorization(order, name, found)),
                    None => problem(404, "malformed", "no such authorization"),
                }
            }),
            ["challenge", order, name, kind] => self.with(account, number(order), |this, order| {
                this.validate(order, name.parse().unwrap_or(usize::MAX), kind)
            }),
            ["finalize", order] => self.with(account, number(order), |this, order| {
                this.finalize(order, &value)
            }),
            ["certificate", order] => self.with(account, number(order), |this, order| {
                let certificate = this.state().orders[order].certificate.clone();
                Answer {
                    status: 200,
                    body: certificate.unwrap_or_default().into_bytes(),
                    kind: "application/pem-certificate-chain",
                    fields: Vec::new(),
                }
            }),
            _ => problem(404, "malformed", "there is nothing"),
        }
    }

    /// With an order of this account.
    fn with(
        &self,
        account: usize,
        order: Option<usize>,
        act: impl FnOnce(&Self, usize) -> Answer,
    ) -> Answer {
        let own = order.filter(|order| {
            let state = self.state();
            state
                .orders
                .get(*order)
                .is_some_and(|order| order.account == account)
        });
        match own {
            Some(order) => act(self, order),
            None => problem(404, "malformed", "no order of yours"),
        }
    }

    fn new_account(&self, key: &Jwk, value: &Value) -> Answer {
        if value["termsOfServiceAgreed"] != true {
            return problem(403, "userActionRequired", "agree to the terms first");
        }
        let mut state = self.state();
        if let Some((id, hmac)) = &state.knobs.external {
            let binding = jws::Signed::read(&value["externalAccountBinding"]);
            let good = binding.and_then(|binding| {
                if binding.header["kid"] != id.as_str() {
                    return Err("another key id".to_owned());
                }
                binding.verify_hmac(hmac)
            });
            if let Err(why) = good {
                return problem(403, "externalAccountRequired", &why);
            }
        }
        let known = state.accounts.iter().position(|known| known == key);
        let number = known.unwrap_or_else(|| {
            state.accounts.push(key.clone());
            state.contacts.push(value["contact"].clone());
            state.accounts.len() - 1
        });
        let mut answer = object(201, &json!({ "status": "valid" }));
        let location = self.url(&format!("/account/{number}"));
        answer.fields.push(("Location", location));
        answer
    }

    fn new_order(&self, account: usize, value: &Value) -> Answer {
        let mut state = self.state();
        if let Some(seconds) = state.knobs.rate_limited {
            let mut answer = problem(429, "rateLimited", "too many new orders");
            answer.fields.push(("Retry-After", seconds.to_string()));
            return answer;
        }
        let identifiers = value["identifiers"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = identifiers
            .iter()
            .filter(|identifier| identifier["type"] == "dns")
            .filter_map(|identifier| identifier["value"].as_str().map(str::to_owned))
            .collect();
        let order = state.orders.len();
        let authorizations = names.iter().enumerate().map(|(index, name)| Authorization {
            name: name.clone(),
            token: format!("token-{order}-{index}"),
            status: "pending",
            error: None,
        });
        let authorizations = authorizations.collect();
        state.orders.push(Order {
            account,
            names,
            authorizations,
            certificate: None,
            broken: false,
        });
        drop(state);
        let mut answer = object(201, &self.shown(order));
        answer
            .fields
            .push(("Location", self.url(&format!("/order/{order}"))));
        answer
    }

    fn shown(&self, number: usize) -> Value {
        let state = self.state();
        let order = &state.orders[number];
        let all = |status: &str| order.authorizations.iter().all(|one| one.status == status);
        let status = if order.broken
            || order
                .authorizations
                .iter()
                .any(|one| one.status == "invalid")
        {
            "invalid"
        } else if order.certificate.is_some() {
            "valid"
        } else if all("valid") {
            "ready"
        } else {
            "pending"
        };
        let identifiers: Vec<Value> = order
            .names
            .iter()
            .map(|name| json!({ "type": "dns", "value": name }))
            .collect();
        let authorizations: Vec<String> = (0..order.names.len())
            .map(|name| self.url(&format!("/authorization/{number}/{name}")))
            .collect();
        let mut shown = json!({
            "status": status, "identifiers": identifiers, "authorizations": authorizations,
            "finalize": self.url(&format!("/finalize/{number}")),
        });
        if order.certificate.is_some() {
            shown["certificate"] = self.url(&format!("/certificate/{number}")).into();
        }
        shown
    }

    fn authorization(&self, order: usize, number: usize, found: &Authorization) -> Value {
        let challenge = |kind: &str| {
            let mut shown = json!({
                "type": kind, "status": found.status, "token": found.token,
                "url": self.url(&format!("/challenge/{order}/{number}/{kind}")),
            });
            if let Some(error) = &found.error {
                shown["error"] = json!({
                    "type": "urn:ietf:params:acme:error:unauthorized", "detail": error,
                });
            }
            shown
        };
        json!({
            "identifier": { "type": "dns", "value": found.name }, "status": found.status,
            "challenges": [challenge("dns-01"), challenge("http-01"), challenge("tls-alpn-01")],
        })
    }

    /// Connects back, and then answers.
    fn validate(&self, order: usize, number: usize, kind: &str) -> Answer {
        let (found, thumbprint, fails, at) = {
            let state = self.state();
            let wanted = &state.orders[order];
            let Some(found) = wanted.authorizations.get(number).cloned() else {
                return problem(404, "malformed", "no such authorization");
            };
            let thumbprint = state.accounts[wanted.account].thumbprint();
            (found, thumbprint, state.knobs.finds_nothing, state.at)
        };
        let Some((http, tls)) = at else {
            return problem(500, "serverInternal", "nobody said where to validate");
        };
        let expected = format!("{}.{thumbprint}", found.token);
        let outcome = match kind {
            _ if fails => Err("a wall is in the way".to_owned()),
            "http-01" => validate::over_http(http, &found.name, &found.token, &expected),
            "tls-alpn-01" => validate::over_tls(tls, &found.name, &expected),
            other => Err(format!("no validator for {other}")),
        };
        let mut state = self.state();
        let authorization = &mut state.orders[order].authorizations[number];
        authorization.status = if outcome.is_ok() { "valid" } else { "invalid" };
        authorization.error = outcome.clone().err();
        state.validations.push((kind.to_owned(), outcome));
        object(
            200,
            &json!({
                "type": kind, "status": "processing", "token": found.token,
                "url": self.url(&format!("/challenge/{order}/{number}/{kind}")),
            }),
        )
    }

    fn finalize(&self, number: usize, value: &Value) -> Answer {
        use x509_parser::certification_request::X509CertificationRequest;
        use x509_parser::extensions::{GeneralName, ParsedExtension};
        use x509_parser::prelude::FromDer as _;
        let text = value["csr"].as_str().unwrap_or_default();
        let der = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let Ok((_, request)) = X509CertificationRequest::from_der(&der) else {
            return problem(400, "badCSR", "it cannot be parsed");
        };
        let extensions = request.requested_extensions().into_iter().flatten();
        let mut asked: Vec<String> = extensions
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        asked.sort();
        let info = &request.certification_request_info;
        let key = Requested(info.subject_pki.subject_public_key.data.to_vec());
        let mut state = self.state();
        let mut names = state.orders[number].names.clone();
        names.sort();
        if asked != names {
            return problem(400, "badCSR", "it is not for the names of the order");
        }
        let names = state
            .knobs
            .other_name
            .clone()
            .map_or(names, |name| vec![name]);
        let mut params = CertificateParams::new(names).expect("names that can be certified");
        let (ago, ahead) = state.knobs.years.unwrap_or((1, 20));
        params.not_before = rcgen::date_time_ymd(this_year() - ago, 1, 1);
        params.not_after = rcgen::date_time_ymd(this_year() + ahead, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = format!("{}{}", leaf.pem(), self.issuer.pem());
        state.orders[number].certificate = Some(chain);
        drop(state);
        object(200, &self.shown(number))
    }
}

fn this_year() -> i32 {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock");
    1970 + i32::try_from(since.as_secs() / 31_556_952).expect("a year")
}

fn read(tcp: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(tcp);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    Some(Request { method, path, body })
}

//! A whole issuer that Headscale trusts, for the targets that ask it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use headwarden::config::{IssuerSettings, ServerUrl};
use headwarden::domain::assurance::Assurance;
use headwarden::domain::identity::Issuer as IssuerName;
use headwarden::domain::leg::AuthorizeRequest;
use headwarden::domain::secret::Secret;
use headwarden::domain::time::Timestamp;
use headwarden::issuer::{Claims, Issuer, KeyIdentity, SigningKey, Standing};

use super::support::{Counting, NOW, Still, ready};

pub const CLIENT: &str = "headscale";
pub const SECRET: &str = "canary-secret: +%&";
pub const CALLBACK: &str = "https://headscale.company/oidc/callback";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const HOLDER: &str = "0123456789abcdef0123456789abcdef";

#[derive(Debug)]
struct People(Mutex<Option<Claims>>);

#[async_trait]
impl Standing for People {
    async fn claims(&self, holder: &str) -> Option<Claims> {
        let people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        people.clone().filter(|_| holder == HOLDER)
    }
}

pub struct House {
    pub issuer: Issuer,
    pub clock: Arc<Still>,
}

impl House {
    pub fn new() -> Self {
        let name = IssuerName::new("http://127.0.0.1:8181");
        let identity = KeyIdentity {
            issuer: name.clone(),
            provider_issuer: IssuerName::new("https://authentik.company/"),
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issuer.json");
        let key = SigningKey::load_or_create(&path, &identity, false).unwrap();
        let settings = IssuerSettings {
            url: name,
            address: "127.0.0.1:8181".parse().unwrap(),
            tls: None,
            client_id: CLIENT.to_owned(),
            client_secret: Secret::new(SECRET.to_owned()),
            key_path: path,
            node_expiry: None,
            ssh: Assurance::default(),
        };
        let server_url = ServerUrl {
            secure: true,
            authority: "headscale.company".parse().unwrap(),
            origin: "https://headscale.company".to_owned(),
        };
        let clock = Still::new();
        let people = Arc::new(People(Mutex::new(Some(claims()))));
        let random = Arc::new(Counting::default());
        let issuer = Issuer::new(&settings, &server_url, key, people, clock.clone(), random);
        Self {
            issuer: issuer.unwrap(),
            clock,
        }
    }

    /// A code for a request with a PKCE challenge.
    pub fn code(&self) -> String {
        let request = AuthorizeRequest {
            state: "state-of-headscale".to_owned(),
            nonce: "nonce-of-headscale".to_owned(),
            challenge: Some(CHALLENGE.to_owned()),
            redirect_uri: CALLBACK.to_owned(),
            scope: "openid profile email".to_owned(),
        };
        ready(self.issuer.issue(&request, HOLDER, &claims())).unwrap()
    }
}

fn claims() -> Claims {
    Claims {
        sub: "0f1e2d3c".to_owned(),
        email: Some("zoe@acmecorp.net".to_owned()),
        preferred_username: "zoe".to_owned(),
        name: None,
        picture: None,
        groups: vec!["headscale".to_owned()],
        auth_time: Some(Timestamp::from_unix(NOW)),
        expires_at: None,
    }
}

//! Headscale's REST API, v1: the calls that we make ourselves, by the shapes of 0.26 to 0.30. Forwarding the
//! calls of others is `proxy`'s business.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::FetchError;
use super::key::ApiKey;
use super::probe::Probe;
use crate::domain::calendar::{parse_rfc3339, rfc3339};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

/// Longest part of an error's text that is kept.
const LONGEST_MESSAGE: usize = 300;

/// Headscale did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// There is no `headscale.api_key`.
    #[error("no headscale.api_key is set")]
    NoKey,
    /// 401 or 403: the key has ended, or is another Headscale's.
    #[error("headscale does not take the API key")]
    KeyRefused,
    /// 404, or the message of older versions that means it.
    #[error("headscale knows nothing of that")]
    NotFound,
    /// Another status, with Headscale's own words: not for people who are not its administrators.
    #[error("headscale answers {status}: {message}")]
    Rejected {
        /// The status.
        status: u16,
        /// What it said, cut.
        message: String,
    },
    /// A 2xx whose body is something else.
    #[error("headscale's answer cannot be read")]
    Unreadable,
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// A user, as `GET /api/v1/user` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Decimal.
    pub id: String,
    /// The stored name, or what Headscale shows in its place.
    #[serde(default)]
    pub name: String,
    /// Empty when there is none.
    #[serde(default)]
    pub email: String,
    /// Issuer without trailing slash, `/`, subject; empty for a user made by hand.
    #[serde(default)]
    pub provider_id: String,
}

/// A device, as `GET /api/v1/node` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Decimal.
    pub id: String,
    /// The name in the tailnet.
    pub given_name: String,
    /// What the device calls itself.
    pub hostname: String,
    /// Its addresses in the tailnet.
    pub addresses: Vec<String>,
    /// Whose it is; `None` for a tagged one.
    pub user: Option<User>,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// When its key ends; `None` is never.
    pub expiry: Option<Timestamp>,
    /// When it came.
    pub created_at: Option<Timestamp>,
    /// Whether it is connected.
    pub online: bool,
    /// `tag:…`
    pub tags: Vec<String>,
}

/// What a device runs, as `GET /api/v2/tailnet/-/devices` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct System {
    /// The device's id in the API v1, too.
    pub id: String,
    /// The client's word for it: `linux`, `macOS`. Empty where the device has not said it.
    #[serde(default)]
    pub os: String,
}

/// An API key, as `GET /api/v1/apikey` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its public part, which may end in `***`.
    pub prefix: String,
    /// When it ends; `None` is never. One that was made without an end has ended, in 1970 as far as we know.
    pub expiration: Option<Timestamp>,
}

impl KeyEntry {
    /// Whether it is the entry of `key`. Versions show the public part alone, or as the key begins, and with
    /// stars for the rest; the part may end in a hyphen itself.
    pub fn is_of(&self, key: &Secret<String>) -> bool {
        let shown = self.prefix.trim_end_matches('*');
        let behind = shown.strip_prefix(KEY_PREFIX);
        public_part(key).is_some_and(|public| {
            shown == public
                || behind.is_some_and(|it| it == public || it.strip_suffix('-') == Some(public))
        })
    }
}

/// The keys in an answer of `GET /api/v1/apikey`.
///
/// # Errors
/// [`ApiError::Unreadable`], also where an end is: a key whose end nobody can read would never be renewed.
pub(super) fn read_keys(answer: &[u8]) -> Result<Vec<KeyEntry>, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Keys {
        #[serde(default)]
        api_keys: Vec<WireKey>,
    }
    let keys = read::<Keys>(answer)?.api_keys.into_iter();
    keys.map(|key| {
        let expiration = match key.expiration.as_deref() {
            None | Some("") => None,
            Some(text) => Some(end(text).ok_or(ApiError::Unreadable)?),
        };
        Ok(KeyEntry {
            prefix: key.prefix,
            expiration,
        })
    })
    .collect()
}

/// What keys begin with since 0.28: `hskey-api-<12>-<64>`. Before, they are `<7>.<32>`.
const KEY_PREFIX: &str = "hskey-api-";

/// The part of a key that Headscale finds it by, and shows; it opens nothing. `None` if nobody knows which.
pub(super) fn public_part(key: &Secret<String>) -> Option<&str> {
    let key = key.expose();
    match key.strip_prefix(KEY_PREFIX) {
        Some(rest) => rest.get(..12).filter(|_| rest.get(12..13) == Some("-")),
        None => key
            .split_once('.')
            .map(|(public, _)| public)
            .filter(|public| !public.is_empty()),
    }
}

/// Calls to one Headscale's API. A copy asks by the same settings and key, also where they change.
#[derive(Clone, Debug)]
pub struct Api {
    probe: Probe,
    key: ApiKey,
}

impl Api {
    /// Asks where `probe` does, with the key that `key` holds at that time.
    pub const fn new(probe: Probe, key: ApiKey) -> Self {
        Self { probe, key }
    }

    /// The same questions, asked with another key.
    #[must_use]
    pub fn with_key(&self, key: Secret<String>) -> Self {
        Self::new(self.probe.clone(), ApiKey::new(Some(key)))
    }

    /// The key it asks with.
    pub const fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Every user.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn users(&self) -> Result<Vec<User>, ApiError> {
        #[derive(Deserialize)]
        struct Users {
            #[serde(default)]
            users: Vec<User>,
        }
        let answer = self.call(Method::GET, "/api/v1/user", None).await?;
        Ok(read::<Users>(&answer)?.users)
    }

    /// Every device.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        #[derive(Deserialize)]
        struct Nodes {
            #[serde(default)]
            nodes: Vec<WireNode>,
        }
        let answer = self.call(Method::GET, "/api/v1/node", None).await?;
        let nodes = read::<Nodes>(&answer)?.nodes;
        Ok(nodes.into_iter().map(Node::from).collect())
    }

    /// What every device runs. Only the API v2 says it, from 0.30 on; [`ApiError::NotFound`] before.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn systems(&self) -> Result<Vec<System>, ApiError> {
        #[derive(Deserialize)]
        struct Devices {
            #[serde(default)]
            devices: Vec<System>,
        }
        let path = "/api/v2/tailnet/-/devices";
        let answer = self.call(Method::GET, path, None).await?;
        Ok(read::<Devices>(&answer)?.devices)
    }

    /// One device.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn node(&self, id: &str) -> Result<Node, ApiError> {
        #[derive(Deserialize)]
        struct One {
            node: WireNode,
        }
        let answer = self.call(Method::GET, &at(id, "")?, None).await?;
        Ok(read::<One>(&answer)?.node.into())
    }

    /// Gives a device another name. Headscale decides whether it is one.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn rename_node(&self, id: &str, name: &str) -> Result<(), ApiError> {
        // The name is a segment of the path. None that Headscale takes needs an escape, and what leads
        // elsewhere, as `..`, never leaves here.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if !name.bytes().all(plain) || name.bytes().all(|b| b == b'.') {
            return Err(ApiError::Rejected {
                status: 400,
                message: "letters, digits and hyphens make a device's name".to_owned(),
            });
        }
        let path = at(id, &format!("/rename/{name}"))?;
        self.call(Method::POST, &path, None).await.map(drop)
    }

    /// Ends a device's key now: it has to sign in again, and keeps its name and addresses.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn expire_node(&self, id: &str) -> Result<(), ApiError> {
        let path = at(id, "/expire")?;
        self.call(Method::POST, &path, None).await.map(drop)
    }

    /// Removes a device.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete_node(&self, id: &str) -> Result<(), ApiError> {
        let path = at(id, "")?;
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// The policy as it was written, comments and all. Empty where there is none.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn policy(&self) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Policy {
            #[serde(default)]
            policy: String,
        }
        match self.call(Method::GET, "/api/v1/policy", None).await {
            Ok(answer) => Ok(read::<Policy>(&answer)?.policy),
            // A database in which nobody has put one.
            Err(ApiError::NotFound) => Ok(String::new()),
            Err(other) => Err(other),
        }
    }

    /// Sets the policy. Headscale refuses it where its policy is a file, and where it has a mistake.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn set_policy(&self, text: &str) -> Result<(), ApiError> {
        let body = json!({ "policy": text });
        self.call(Method::PUT, "/api/v1/policy", Some(&body))
            .await
            .map(drop)
    }

    /// Has Headscale check a policy, and changes nothing. From 0.29 on; [`ApiError::NotFound`] before.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn check_policy(&self, text: &str) -> Result<(), ApiError> {
        let body = json!({ "policy": text });
        self.call(Method::POST, "/api/v1/policy/check", Some(&body))
            .await
            .map(drop)
    }

    /// Every API key, by its public part.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn keys(&self) -> Result<Vec<KeyEntry>, ApiError> {
        read_keys(&self.call(Method::GET, "/api/v1/apikey", None).await?)
    }

    /// Makes another API key, good until `expiration`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create_key(&self, expiration: Timestamp) -> Result<Secret<String>, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Made {
            api_key: String,
        }
        let body = json!({ "expiration": rfc3339(expiration) });
        let answer = self
            .call(Method::POST, "/api/v1/apikey", Some(&body))
            .await?;
        Ok(Secret::new(read::<Made>(&answer)?.api_key))
    }

    /// Ends an API key now. One whose public part nobody knows is not found.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn expire_key(&self, key: &Secret<String>) -> Result<(), ApiError> {
        let prefix = public_part(key).ok_or(ApiError::NotFound)?;
        let body = json!({ "prefix": prefix });
        self.call(Method::POST, "/api/v1/apikey/expire", Some(&body))
            .await
            .map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, ApiError> {
        let key = self.key.now().ok_or(ApiError::NoKey)?;
        let (status, answer) = self.probe.call(method, path, &key, body).await?;
        match status {
            200..=299 => Ok(answer),
            401 | 403 => Err(ApiError::KeyRefused),
            404 => Err(ApiError::NotFound),
            status => Err(rejected(status, &answer, &key)),
        }
    }
}

/// When a key ends. Go's zero time stands for an end that nobody gave, and counts as one.
fn end(text: &str) -> Option<Timestamp> {
    if text.starts_with("0001-") {
        return Some(Timestamp::from_unix(0));
    }
    parse_rfc3339(text)
}

/// The path of a device. An id is digits: nothing else is put into a path.
fn at(id: &str, rest: &str) -> Result<String, ApiError> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ApiError::NotFound);
    }
    Ok(format!("/api/v1/node/{id}{rest}"))
}

fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(answer).map_err(|_| ApiError::Unreadable)
}

/// What an error says: `message` up to 0.29, where nearly everything is a 500, `detail` and `errors` from
/// 0.30 on.
fn rejected(status: u16, answer: &[u8], key: &Secret<String>) -> ApiError {
    let said: Value = serde_json::from_slice(answer).unwrap_or_default();
    let at = |pointer: &str| said.pointer(pointer).and_then(Value::as_str);
    let message = at("/message")
        .or_else(|| at("/errors/0/message"))
        .or_else(|| at("/detail"))
        .unwrap_or_default();
    // 0.26 answers so where it does not know the key.
    if status == 500 && answer == b"Unauthorized" {
        return ApiError::KeyRefused;
    }
    // Not every "not found": a policy may be refused for a user that is not.
    let nothing = [
        "record not found",
        "node not found",
        "no longer exists in NodeStore",
        "acl policy not found",
    ];
    if status == 500 && nothing.iter().any(|words| message.contains(words)) {
        return ApiError::NotFound;
    }
    ApiError::Rejected {
        status,
        // A Headscale, or what stands in for one, may say what it got.
        message: message
            .replace(key.expose(), "[secret]")
            .chars()
            .take(LONGEST_MESSAGE)
            .collect(),
    }
}

#[derive(Deserialize)]
struct WireKey {
    #[serde(default)]
    prefix: String,
    expiration: Option<String>,
}

/// A device on the wire. Up to 0.27 its tags are `forcedTags` (set by an administrator) and `validTags`
/// (asked for and allowed).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireNode {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    given_name: String,
    #[serde(default)]
    ip_addresses: Vec<String>,
    user: Option<User>,
    last_seen: Option<String>,
    expiry: Option<String>,
    created_at: Option<String>,
    #[serde(default)]
    online: bool,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    forced_tags: Vec<String>,
    #[serde(default)]
    valid_tags: Vec<String>,
}

/// Headscale's user of all tagged devices: its name, which somebody of the provider may have as well, and its
/// id.
const TAGGED: (&str, &str) = ("tagged-devices", "2147455555");

/// Whether it is nobody, but the one that tagged devices are shown with.
fn is_of_tags(user: &User) -> bool {
    user.id == TAGGED.1 || (user.name == TAGGED.0 && user.provider_id.is_empty())
}

impl From<WireNode> for Node {
    fn from(wire: WireNode) -> Self {
        // Go's zero time stands for none.
        let time =
            |text: Option<String>| parse_rfc3339(text?.as_str()).filter(|time| time.unix() > 0);
        let mut tags = wire.tags;
        tags.extend(wire.forced_tags);
        tags.extend(wire.valid_tags);
        tags.sort_unstable();
        tags.dedup();
        let named = wire.given_name.is_empty();
        Self {
            id: wire.id,
            given_name: if named {
                wire.name.clone()
            } else {
                wire.given_name
            },
            hostname: wire.name,
            addresses: wire.ip_addresses,
            user: wire.user.filter(|user| !is_of_tags(user)),
            last_seen: time(wire.last_seen),
            expiry: time(wire.expiry),
            created_at: time(wire.created_at),
            online: wire.online,
            tags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown, the key, and whether it is its entry.
    #[test]
    fn a_key_is_found_by_what_each_version_shows_of_it_also_where_that_ends_in_a_hyphen() {
        for (shown, key, is) in [
            ("abcdefg", "abcdefg.0123", true),
            ("abcdef-", "abcdef-.0123", true),
            ("abcde--***", "abcde--.0123", true),
            ("abcdefg***", "abcdefg.0123", true),
            ("abcdef", "abcdef-.0123", false),
            ("abcdefg", "hskey-api-abcdefghijkl-0123", false),
            (
                "hskey-api-abcdefghijkl-***",
                "hskey-api-abcdefghijkl-0123",
                true,
            ),
            (
                "hskey-api-abcdefghijk--***",
                "hskey-api-abcdefghijk--0123",
                true,
            ),
            (
                "hskey-api-abcdefghij---***",
                "hskey-api-abcdefghij---0123",
                true,
            ),
            (
                "hskey-api-abcdefghijk-",
                "hskey-api-abcdefghijk--0123",
                true,
            ),
            ("abcdefghijk-", "hskey-api-abcdefghijk--0123", true),
            ("abcdefghijkl", "hskey-api-abcdefghijkl-0123", true),
            (
                "hskey-api-abcdefghijkx-***",
                "hskey-api-abcdefghijkl-0123",
                false,
            ),
            ("hskey-***", "hskey-api-abcdefghijkl-0123", false),
            ("", "hskey-api-abcdefghijkl-0123", false),
            ("***", ".0123", false),
            ("standin", "no-key-at-all", false),
        ] {
            let entry = KeyEntry {
                prefix: shown.to_owned(),
                expiration: None,
            };
            let key = Secret::new(key.to_owned());
            assert_eq!(entry.is_of(&key), is, "{shown} {}", key.expose());
        }
    }

    #[test]
    fn somebody_who_is_called_as_headscale_calls_its_tags_has_devices_like_everybody() {
        for (user, is_somebody) in [
            (r#"{"id":"2147455555","name":"tagged-devices"}"#, false),
            (r#"{"id":"2147455555","name":"renamed"}"#, false),
            (r#"{"id":"7","name":"tagged-devices"}"#, false),
            (
                r#"{"id":"7","name":"tagged-devices","providerId":"https://id.example/7"}"#,
                true,
            ),
            (r#"{"id":"7","name":"mia"}"#, true),
            ("null", false),
        ] {
            let wire = serde_json::from_str::<WireNode>(&format!(r#"{{"id":"1","user":{user}}}"#));
            let node = Node::from(wire.unwrap());
            assert_eq!(node.user.is_some(), is_somebody, "{user}");
        }
    }

    #[test]
    fn an_end_that_is_absent_is_none_and_one_that_cannot_be_read_is_an_error() {
        for (end, read) in [
            ("null", Ok(None)),
            ("\"0001-01-01T00:00:00Z\"", Ok(Some(0))),
            ("\"1970-01-01T00:01:00Z\"", Ok(Some(60))),
            ("\"soon\"", Err(ApiError::Unreadable)),
        ] {
            let body = format!("{{\"apiKeys\":[{{\"prefix\":\"a\",\"expiration\":{end}}}]}}");
            let found = read_keys(body.as_bytes()).map(|keys| {
                keys.first()
                    .and_then(|key| key.expiration)
                    .map(Timestamp::unix)
            });
            assert_eq!(found, read, "{end}");
        }
        assert_eq!(
            read_keys(b"{\"apiKeys\":[{\"prefix\":\"a\"}]}").map(|keys| keys.len()),
            Ok(1)
        );
    }
}

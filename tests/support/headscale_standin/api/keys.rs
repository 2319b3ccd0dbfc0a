//! API keys: each one is really checked, and ends when it says so.

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::super::server::Reply;
use super::super::{Seen, State};
use super::{Answer, Call, Fault, number, problem, time};

/// A row of the table of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) id: u64,
    /// The whole key, which Headscale itself has only the hash of.
    pub(crate) key: String,
    /// Unix seconds; `None` never ends, as a key of a long time ago.
    pub(crate) expiration: Option<i64>,
    /// The one of the options.
    pub(crate) configured: bool,
}

impl KeyRow {
    fn has_ended(&self) -> bool {
        self.expiration.is_some_and(|end| end <= time::now())
    }

    /// What the table finds a key by: 12 characters, or the 7 of the keys before 0.28.
    fn public(&self) -> &str {
        match self.key.strip_prefix("hskey-api-") {
            Some(rest) => rest.split('-').next().unwrap_or_default(),
            None => self.key.split('.').next().unwrap_or_default(),
        }
    }

    /// What lists show of it.
    fn shown(&self, version: u32) -> String {
        let public = self.public();
        match (self.key.starts_with("hskey-api-"), public.len(), version) {
            (true, 12, _) => format!("hskey-api-{public}-***"),
            (true, ..) => format!("{}***", self.key.get(..13).unwrap_or_default()),
            (false, _, 28..) => format!("{public}***"),
            (false, ..) => public.to_owned(),
        }
    }
}

/// The key of the options is a row too.
pub(in super::super) fn configured(state: &mut State) {
    let key = state.options.api_key.clone();
    if state
        .keys
        .iter()
        .any(|row| row.configured && row.key == key)
    {
        return;
    }
    state.keys.retain(|row| !row.configured && row.key != key);
    // 2099.
    add(state, key, Some(4_070_908_800));
    if let Some(row) = state.keys.last_mut() {
        row.configured = true;
    }
}

/// Puts a key in; its id.
pub(in super::super) fn add(state: &mut State, key: String, expiration: Option<i64>) -> u64 {
    state.keys_made += 1;
    let id = state.keys_made;
    state.keys.push(KeyRow {
        id,
        key,
        expiration,
        configured: false,
    });
    id
}

/// Whether the request has a good key; otherwise what it is answered with.
pub(super) fn authenticate(state: &State, seen: &Seen, version: u32) -> Result<(), Reply> {
    let refused = |unknown: bool| {
        // 0.26 could not tell a key it does not know from a fault of its own.
        let status = if version <= 26 && unknown { 500 } else { 401 };
        Err(match version {
            30.. => problem(401, "Unauthorized", &[]),
            _ => Reply::text(status, "Unauthorized"),
        })
    };
    let fields = seen.fields.values("authorization");
    let [field] = &fields[..] else {
        return refused(false);
    };
    let Some(given) = field.strip_prefix("Bearer ") else {
        return refused(false);
    };
    match state.keys.iter().find(|row| row.key == given) {
        None => refused(true),
        Some(row) if row.has_ended() => refused(false),
        Some(_) => Ok(()),
    }
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Value {
    let row = |row: &KeyRow| {
        json!({
            "id": row.id.to_string(),
            "prefix": row.shown(call.version),
            "expiration": row.expiration.map(|end| match end {
                i64::MIN => time::ZERO.to_owned(),
                end => time::written(end),
            }),
            "createdAt": "2026-01-01T00:00:00Z",
            "lastSeen": null,
        })
    };
    let keys: Vec<Value> = state.keys.iter().map(row).collect();
    json!({ "apiKeys": keys })
}

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let body = call.object(&["expiration"])?;
    let expiration = match body["expiration"].as_str() {
        // The zero time: a key that has ended before it begins.
        None => i64::MIN,
        Some(text) => time::read(text)
            .ok_or_else(|| Fault::coded(400, 3, "invalid google.protobuf.Timestamp value"))?,
    };
    let key = if call.version >= 28 {
        format!("hskey-api-{}-{}", random(12), random(64))
    } else {
        format!("{}.{}", random(7), random(32))
    };
    add(state, key.clone(), Some(expiration));
    Ok(json!({ "apiKey": key }))
}

pub(super) fn expire(state: &mut State, call: &Call<'_>) -> Answer {
    let body = call.object(&["prefix", "id"])?;
    let id = match &body["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    };
    let at = find(
        state,
        call,
        body["prefix"].as_str().unwrap_or_default(),
        &id,
    )?;
    if let Some(row) = state.keys.get_mut(at) {
        row.expiration = Some(time::now());
    }
    Ok(json!({}))
}

pub(super) fn delete(state: &mut State, call: &Call<'_>, prefix: &str) -> Answer {
    let id = call.parameter("id").unwrap_or_default();
    let at = find(state, call, prefix, id)?;
    state.keys.remove(at);
    Ok(json!({}))
}

fn find(state: &State, call: &Call<'_>, prefix: &str, id: &str) -> Result<usize, Fault> {
    // Before 0.28 a key has no id on the wire.
    let id = if call.version < 28 || id.is_empty() {
        0
    } else {
        number(id, "id")?
    };
    let by = |fits: &dyn Fn(&KeyRow) -> bool| {
        let gone = || Fault::error(404, "getting api key", "record not found");
        state.keys.iter().position(fits).ok_or_else(gone)
    };
    match (id, prefix) {
        (0, "") if call.version < 28 => by(&|_| false),
        (0, "") => Err(Fault::coded(400, 3, "must provide id or prefix")),
        (0, prefix) => by(&|row| row.public() == parsed(prefix, call.version)),
        (id, "") => by(&|row| row.id == id),
        _ => {
            let message = "provide either id or prefix, not both";
            Err(Fault::coded(400, 3, message))
        }
    }
}

/// From 0.28 on what a list shows finds a key too, if it is one of the new ones.
fn parsed(prefix: &str, version: u32) -> &str {
    let rest = prefix.strip_prefix("hskey-api-").filter(|_| version >= 28);
    rest.and_then(|rest| rest.get(..12)).unwrap_or(prefix)
}

/// So many hexadecimal digits.
fn random(length: usize) -> String {
    let mut bytes = vec![0; length];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has randomness");
    let digit = |byte: u8| char::from(b"0123456789abcdef"[usize::from(byte & 15)]);
    bytes.into_iter().map(digit).collect()
}

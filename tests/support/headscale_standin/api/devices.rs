//! Devices: the API's nodes.

use serde_json::{Value, json};

use super::super::{State, User};
use super::{Answer, Call, Fault, number, people, time};

/// The row of a device that is in the tailnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// 0 is the next one.
    pub(crate) id: u64,
    /// Provider identifier or stored name of its user; empty for none.
    pub(crate) owner: String,
    /// What it calls itself.
    pub(crate) hostname: String,
    /// Its name in the tailnet; empty is the host name.
    pub(crate) given_name: String,
    /// Empty: the two of its id.
    pub(crate) addresses: Vec<String>,
    /// RFC 3339, as all instants here.
    pub(crate) last_seen: Option<String>,
    pub(crate) expiry: Option<String>,
    pub(crate) created_at: String,
    pub(crate) online: bool,
    /// What it runs, in the client's word; only the API v2 of 0.30 says it.
    pub(crate) os: &'static str,
    /// Set by an administrator; `forcedTags` before 0.28.
    pub(crate) tags: Vec<String>,
    /// Asked for by the device and allowed, which only the versions before 0.28 tell apart.
    pub(crate) valid_tags: Vec<String>,
    /// The key it came with, as it was made: `hskey-auth-…` from 0.28 on.
    pub(crate) pre_auth_key: Option<String>,
    pub(crate) register_method: &'static str,
}

impl Device {
    /// One that is connected, never ends, and came through the provider.
    pub(crate) fn of(owner: &str, hostname: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            hostname: hostname.to_owned(),
            last_seen: Some("2026-02-03T04:05:06.789Z".to_owned()),
            created_at: "2026-01-02T03:04:05.678Z".to_owned(),
            online: true,
            register_method: "REGISTER_METHOD_OIDC",
            ..Self::default()
        }
    }
}

/// Puts a device in, and its user where there is none; its id.
pub(in super::super) fn add(state: &mut State, mut device: Device) -> u64 {
    state.devices_made = (state.devices_made + 1).max(device.id);
    if device.id == 0 {
        device.id = state.devices_made;
    }
    let id = device.id;
    if device.addresses.is_empty() {
        device.addresses = vec![format!("100.64.0.{id}"), format!("fd7a:115c:a1e0::{id:x}")];
    }
    if device.given_name.is_empty() {
        device.given_name.clone_from(&device.hostname);
    }
    if !device.owner.is_empty() && people::position(state, &device.owner).is_none() {
        let mut user = User::default();
        let by_provider = device.owner.contains('/');
        let named = if by_provider {
            &mut user.provider_identifier
        } else {
            &mut user.name
        };
        named.clone_from(&device.owner);
        state.users.push(user);
    }
    state.devices.push(device);
    id
}

/// A device that signed in: the one that the id stands for, if its owner is the same, or a new one.
pub(in super::super) fn admit(state: &mut State, auth_id: &str, owner: &str, expiry: Option<i64>) {
    let expiry = expiry.map(time::written);
    let known = state.returning.remove(auth_id);
    let returned = known.and_then(|id| {
        let devices = &mut state.devices;
        devices
            .iter_mut()
            .find(|it| it.id == id && it.owner == owner)
    });
    if let Some(device) = returned {
        device.expiry = expiry;
        return;
    }
    let hostname = format!("device-{}", state.devices_made + 1);
    let device = Device {
        expiry,
        ..Device::of(owner, &hostname)
    };
    add(state, device);
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Answer {
    let user = call.parameter("user").filter(|user| !user.is_empty());
    let owner = match user {
        None => None,
        // By the stored name, whatever is shown.
        Some(name) => match state.users.iter().position(|user| user.name == name) {
            Some(at) => Some(at),
            None => return Err(Fault::error(404, "listing nodes", "user not found")),
        },
    };
    let fits =
        |device: &&Device| owner.is_none() || (people::position(state, &device.owner) == owner);
    let mut devices: Vec<&Device> = state.devices.iter().filter(fits).collect();
    devices.sort_by_key(|device| device.id);
    let nodes: Vec<Value> = (devices.into_iter())
        .map(|device| shown(state, device, call.version, true))
        .collect();
    Ok(json!({ "nodes": nodes }))
}

/// The list of the API v2, as far as Headscale's has what the one of v1 has not: Tailscale's names.
pub(super) fn list_v2(state: &State) -> Value {
    let devices: Vec<Value> = (state.devices.iter())
        .map(|device| {
            json!({
                "addresses": device.addresses, "name": device.given_name,
                "id": device.id.to_string(), "nodeId": device.id.to_string(), "authorized": true,
                "user": "", "tags": device.tags, "keyExpiryDisabled": device.expiry.is_none(),
                "created": device.created_at, "hostname": device.hostname, "isEphemeral": false,
                "machineKey": "", "nodeKey": "", "os": device.os, "clientVersion": "",
                "updateAvailable": false,
            })
        })
        .collect();
    json!({ "devices": devices })
}

pub(super) fn get(state: &State, call: &Call<'_>, id: &str) -> Answer {
    let at = find(state, call, id, |version| match version {
        ..=26 => Fault::error(404, "", "record not found"),
        _ => Fault::coded(404, 5, "node not found"),
    })?;
    Ok(one(state, call, at))
}

pub(super) fn delete(state: &mut State, call: &Call<'_>, id: &str) -> Answer {
    get(state, call, id)?;
    let at = find(state, call, id, |_| Fault::coded(404, 5, "node not found"))?;
    state.devices.remove(at);
    Ok(json!({}))
}

pub(super) fn expire(state: &mut State, call: &Call<'_>, id: &str) -> Answer {
    let asked = if call.version >= 30 {
        call.object(&["expiry", "disableExpiry"])?
    } else {
        // The gateway does not look at the body.
        let known = |name: &str| {
            let is_known = match name {
                "expiry" => call.expiry_in_query,
                _ => call.version >= 29,
            };
            call.parameter(name).filter(|_| is_known)
        };
        let never = known("disableExpiry") == Some("true");
        json!({ "expiry": known("expiry"), "disableExpiry": never })
    };
    let expiry = match (asked["disableExpiry"] == true, asked["expiry"].as_str()) {
        (true, Some(_)) => {
            let message = "cannot set both disable_expiry and expiry";
            return Err(Fault::coded(400, 3, message));
        }
        (true, None) => None,
        (false, Some(text)) if time::read(text).is_none() => {
            return Err(Fault::coded(400, 3, "invalid expiry"));
        }
        (false, Some(text)) => Some(text.to_owned()),
        (false, None) => Some(time::written(time::now())),
    };
    let at = changed(state, call, id, "expiring node")?;
    state.devices[at].expiry = expiry;
    Ok(one(state, call, at))
}

pub(super) fn rename(state: &mut State, call: &Call<'_>, id: &str, name: &str) -> Answer {
    if let Some(wrong) = bad_name(name, call.version) {
        return Err(Fault::error(400, "renaming node", wrong.clone())
            .before(format!("renaming node: {wrong}")));
    }
    let number = number(id, "node_id")?;
    let taken = state.devices.iter().any(|device| {
        // 0.26 counts the device itself.
        device.given_name == name && (device.id != number || call.version <= 26)
    });
    if taken {
        let error = match call.version {
            ..=27 => format!("name is not unique: {name}"),
            _ => format!("node name is not unique: {name}"),
        };
        return Err(Fault::error(400, "renaming node", error));
    }
    let at = changed(state, call, id, "renaming node")?;
    name.clone_into(&mut state.devices[at].given_name);
    Ok(one(state, call, at))
}

/// From 0.28 on a tagged device has no user any more.
pub(super) fn tag(state: &mut State, call: &Call<'_>, id: &str) -> Answer {
    let body = call.object(&["tags"])?;
    let tags: Vec<String> = serde_json::from_value(body["tags"].clone()).unwrap_or_default();
    if tags.is_empty() && call.version >= 28 {
        let message =
            "cannot remove all tags from a node - tagged nodes must have at least one tag";
        return Err(Fault::coded(400, 3, message));
    }
    let at = changed(state, call, id, "setting tags")?;
    state.devices[at].tags = tags;
    Ok(one(state, call, at))
}

/// The keys that devices came with, and those that were made.
pub(super) fn pre_auth_keys(state: &State, call: &Call<'_>) -> Value {
    let made = state.pre_auth_keys.iter().filter(|key| {
        let user = call.parameter("user").unwrap_or_default();
        call.version >= 28 || key["user"]["id"] == user
    });
    let keys: Vec<Value> = (state.devices.iter())
        .filter_map(|device| pre_auth_key(device, call.version))
        .chain(made.cloned())
        .collect();
    json!({ "preAuthKeys": keys })
}

/// A key for the user with this id, as all versions from 0.26 on take it.
pub(super) fn create_pre_auth_key(state: &mut State, call: &Call<'_>) -> Answer {
    let body = call.object(&["user", "reusable", "ephemeral", "expiration", "aclTags"])?;
    let id = number(body["user"].as_str().unwrap_or_default(), "user")?;
    let at = usize::try_from(id).unwrap_or_default();
    let user = at.checked_sub(1).and_then(|place| state.users.get(place));
    let user = user.ok_or_else(|| Fault::error(404, "creating key", "user not found"))?;
    let made = state.pre_auth_keys.len() + 1;
    let key = json!({
        "user": people::shown(user, at, call.version), "id": made.to_string(),
        "key": format!("0f1e2d3c{made:040x}"), "reusable": body["reusable"] == true,
        "ephemeral": body["ephemeral"] == true, "used": false, "expiration": body["expiration"],
        "createdAt": "2026-01-01T00:00:00Z", "aclTags": [],
    });
    state.pre_auth_keys.push(key.clone());
    Ok(json!({ "preAuthKey": key }))
}

/// What is wrong with a name.
fn bad_name(name: &str, version: u32) -> Option<String> {
    let edge = |it: char| it == '-' || it == '.';
    let strict = name.len() >= 2
        && name.len() <= 63
        && name
            .chars()
            .all(|it| matches!(it, 'a'..='z' | '0'..='9' | '-' | '.'));
    let label = !name.is_empty()
        && name.len() <= 63
        && name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    let good = match version {
        // It lets an edge of dots or hyphens through.
        ..=26 => strict,
        27 | 28 => strict && !name.starts_with(edge) && !name.ends_with(edge),
        _ => label,
    };
    let said = match version {
        ..=26 => format!("DNS segment {name:?} doesn't comply with these rules: invalid user name"),
        27 | 28 => format!("hostname {name:?} contains invalid characters"),
        29 => format!("{name:?} is not a valid DNS label: contains invalid character"),
        _ => format!("given name is not a valid DNS label: {name:?} is not a valid DNS label"),
    };
    (!good).then_some(said)
}

fn find(
    state: &State,
    call: &Call<'_>,
    id: &str,
    gone: impl FnOnce(u32) -> Fault,
) -> Result<usize, Fault> {
    let number = number(id, "node_id")?;
    let at = state.devices.iter().position(|device| device.id == number);
    at.ok_or_else(|| gone(call.version))
}

/// The position of a device that is changed; who is not there is told in other words than for reading.
fn changed(state: &State, call: &Call<'_>, id: &str, what: &str) -> Result<usize, Fault> {
    find(state, call, id, |version| {
        let error = match version {
            ..=26 => "record not found".to_owned(),
            27 => format!("node not found in NodeStore: {id}"),
            _ => format!("node no longer exists in NodeStore: {id}"),
        };
        Fault::error(404, what, error)
    })
}

fn one(state: &State, call: &Call<'_>, at: usize) -> Value {
    let node = shown(state, &state.devices[at], call.version, false);
    json!({ "node": node })
}

fn shown(state: &State, device: &Device, version: u32, in_list: bool) -> Value {
    let user = people::position(state, &device.owner)
        .and_then(|at| Some(people::shown(state.users.get(at)?, at + 1, version)));
    let tagged = !device.tags.is_empty() && version >= 28;
    let user = match (tagged, in_list) {
        (false, _) => user,
        (true, false) => None,
        (true, true) => Some(json!({
            "id": "2147455555", "name": "tagged-devices", "displayName": "Tagged Devices",
            "createdAt": time::ZERO, "email": "", "providerId": "", "provider": "",
            "profilePicUrl": "",
        })),
    };
    let secret = |kind: &str| format!("{kind}:{:064x}", device.id);
    let mut node = json!({
        "id": device.id.to_string(),
        "machineKey": secret("mkey"),
        "nodeKey": secret("nodekey"),
        "discoKey": secret("discokey"),
        "ipAddresses": device.addresses,
        "name": device.hostname,
        "user": user,
        "lastSeen": device.last_seen,
        "expiry": device.expiry,
        "preAuthKey": pre_auth_key(device, version),
        "createdAt": device.created_at,
        "registerMethod": device.register_method,
        "givenName": device.given_name,
        "online": device.online,
        "approvedRoutes": [],
        "availableRoutes": [],
        "subnetRoutes": [],
    });
    if version >= 28 {
        node["tags"] = json!(device.tags);
    } else {
        // A single device is shown without the tags that it asked for.
        let mut valid = device.valid_tags.clone();
        valid.extend(device.tags.iter().cloned());
        node["forcedTags"] = json!(device.tags);
        node["invalidTags"] = json!([]);
        node["validTags"] = json!(if in_list { valid } else { Vec::new() });
    }
    node
}

/// The key that a device came with: in full before 0.28, and later where it was made before.
fn pre_auth_key(device: &Device, version: u32) -> Option<Value> {
    let key = device.pre_auth_key.as_deref()?;
    let masked = || {
        let public = key.strip_prefix("hskey-auth-")?.split('-').next()?;
        Some(format!("hskey-auth-{public}-***"))
    };
    let key = masked().filter(|_| version >= 28).unwrap_or(key.to_owned());
    Some(json!({
        "user": null, "id": device.id.to_string(), "key": key, "reusable": true,
        "ephemeral": false, "used": true, "expiration": "2099-01-01T00:00:00Z",
        "createdAt": "2026-01-01T00:00:00Z", "aclTags": [],
    }))
}

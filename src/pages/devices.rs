//! A person's devices: the list, the questions before one is signed out or removed, how to add another,
//! and everybody's for those who may look at them.

mod add;
mod ask;
mod everybody;
mod none;

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

pub use add::{AddDevice, add_device};
pub use ask::{Ask, AskDevice, ask_device};
pub use everybody::{Everybody, Row, everybody};
pub use none::{NoDevices, no_devices};

use super::shell::{Context, Form, Shell, page_with_script};
use super::text::{Person, tame};
use super::ways::Place;
use super::{DEVICES, DEVICES_ADD, DEVICES_PEOPLE, DEVICES_REMOVE, DEVICES_SIGN_OUT};
use crate::domain::calendar::rfc3339;
use crate::domain::identity::Identity;
use crate::domain::time::Timestamp;

/// Most devices, or people, on one page.
const PER_PAGE: usize = 50;

/// One device.
#[derive(Clone, Debug, Default)]
pub struct Device<'a> {
    /// Headscale's id: digits.
    pub id: &'a str,
    /// Its name in the tailnet.
    pub name: &'a str,
    /// What it calls itself.
    pub hostname: &'a str,
    /// Its operating system, where Headscale says.
    pub system: Option<&'a str>,
    /// Its addresses in the tailnet.
    pub addresses: &'a [String],
    /// `tag:…`
    pub tags: &'a [String],
    /// Whether it is connected.
    pub online: bool,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// Until when it is signed in; none is without end.
    pub expiry: Option<Timestamp>,
    /// When it came.
    pub created_at: Option<Timestamp>,
    /// Whether whoever looks may change it.
    pub may_change: bool,
}

impl Device<'_> {
    fn is_signed_out(&self, now: Timestamp) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= now)
    }
}

/// Somebody whom Headscale knows, who is not the one who looks.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Headscale's id of the user.
    pub id: &'a str,
    /// The user's name at Headscale.
    pub name: &'a str,
    /// The user's address; may be empty.
    pub email: &'a str,
}

impl Owner<'_> {
    pub(super) fn person(&self) -> Person {
        let named = [self.name, self.email, self.id];
        let mut named = named.into_iter().filter(|text| !text.trim().is_empty());
        let name = named.next().unwrap_or_default();
        let detail = Some(self.email).filter(|email| !email.is_empty() && *email != name);
        Person {
            name: tame(name),
            detail: detail.map(tame),
        }
    }
}

/// What became of what a form asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A name was given.
    Renamed,
    /// A device was signed out.
    Expired,
    /// A device was removed.
    Removed,
    /// Nothing: the form was none that could be acted on.
    Stale,
    /// Nothing: that is no name.
    BadName,
    /// Nothing: the name is another device's.
    NameTaken,
    /// Nothing: Headscale does not take the name.
    NameRefused,
}

impl Changed {
    const fn key(self) -> &'static str {
        match self {
            Self::Renamed => "done-renamed",
            Self::Expired => "done-expired",
            Self::Removed => "done-removed",
            Self::Stale => "not-done-stale",
            Self::BadName => "not-done-name",
            Self::NameTaken => "not-done-taken",
            Self::NameRefused => "not-done-refused",
        }
    }

    /// Whether something was done.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Renamed | Self::Expired | Self::Removed)
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Renamed | Self::Expired | Self::Removed => StatusCode::OK,
            Self::NameTaken => StatusCode::CONFLICT,
            Self::Stale | Self::BadName | Self::NameRefused => StatusCode::BAD_REQUEST,
        }
    }
}

/// Somebody's devices, and the forms below them.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    /// Who looks.
    pub who: &'a Identity,
    /// Whose they are, if not theirs.
    pub of: Option<Owner<'a>>,
    /// In the order in which they are shown; all of them.
    pub list: &'a [Device<'a>],
    /// The page of the list to show, from 1.
    pub number: usize,
    /// The one-time token, bound to the session; every form on the page sends it back as `token`.
    pub token: &'a str,
    /// Whether everybody's may be looked at.
    pub sees_all: bool,
    /// Whether others' may be changed.
    pub changes_all: bool,
    /// What became of the form before.
    pub changed: Option<Changed>,
    /// The present.
    pub now: Timestamp,
}

/// A time: for programs, in words, and how far it is from now.
struct When {
    machine: String,
    words: String,
    distance: String,
}

impl When {
    fn past(shell: &Shell<'_>, at: Timestamp, now: Timestamp) -> Self {
        Self {
            machine: rfc3339(at),
            words: shell.language.date(at),
            distance: shell.language.ago(now.since(at)),
        }
    }

    fn coming(shell: &Shell<'_>, at: Timestamp, now: Timestamp) -> Self {
        let distance = if at > now {
            shell.language.ahead(at.since(now))
        } else {
            shell.language.ago(now.since(at))
        };
        Self {
            distance,
            ..Self::past(shell, at, now)
        }
    }
}

/// How a device is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Online,
    Offline,
    SignedOut,
}

impl State {
    fn of(device: &Device<'_>, now: Timestamp) -> Self {
        // Headscale goes on showing a device as connected for a while after its key ended.
        if device.is_signed_out(now) {
            Self::SignedOut
        } else if device.online {
            Self::Online
        } else {
            Self::Offline
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Online => "device-online",
            Self::Offline => "device-offline",
            Self::SignedOut => "device-signed-out",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::SignedOut => "ended",
        }
    }
}

/// One device as the template shows it.
struct Card<'a> {
    id: &'a str,
    name: String,
    /// Where it is another name.
    hostname: Option<String>,
    system: Option<String>,
    addresses: Vec<String>,
    tags: Vec<String>,
    state: State,
    last_seen: Option<When>,
    expiry: Option<When>,
    created_at: Option<When>,
    may_change: bool,
}

impl<'a> Card<'a> {
    fn new(shell: &Shell<'_>, device: &Device<'a>, now: Timestamp) -> Self {
        let state = State::of(device, now);
        let past = |at: Timestamp| When::past(shell, at, now);
        // What is connected was seen just now.
        let last_seen = device.last_seen.filter(|_| state != State::Online);
        let hostname =
            Some(device.hostname).filter(|name| !name.is_empty() && *name != device.name);
        Self {
            id: device.id,
            name: tame(device.name),
            hostname: hostname.map(tame),
            system: device.system.map(|os| tame(name_of_system(os))),
            addresses: device.addresses.iter().map(|text| tame(text)).collect(),
            tags: device.tags.iter().map(|text| tame(text)).collect(),
            state,
            last_seen: last_seen.map(past),
            expiry: device.expiry.map(|at| When::coming(shell, at, now)),
            created_at: device.created_at.map(past),
            may_change: device.may_change,
        }
    }
}

/// How a system is written, which clients name as Go does.
fn name_of_system(os: &str) -> &str {
    match os {
        "linux" => "Linux",
        "windows" => "Windows",
        "android" => "Android",
        "freebsd" => "FreeBSD",
        "openbsd" => "OpenBSD",
        // macOS, iOS, tvOS are as they are.
        other => other,
    }
}

/// Where in a long list a page is.
struct Pager {
    number: usize,
    last: usize,
    /// What leads to another page, its number aside.
    address: String,
}

impl Pager {
    /// The page `number` of `count` entries, or the one that is nearest to it.
    fn new(number: usize, count: usize, address: String) -> Self {
        let last = count.div_ceil(PER_PAGE).max(1);
        Self {
            number: number.clamp(1, last),
            last,
            address,
        }
    }

    /// What is on it.
    fn of<'a, T>(&self, list: &'a [T]) -> impl Iterator<Item = &'a T> {
        list.iter()
            .skip((self.number - 1) * PER_PAGE)
            .take(PER_PAGE)
    }

    fn here(&self, shell: &Shell<'_>) -> String {
        let number = |number: usize| fluent_bundle::FluentValue::from(number);
        let values = [("page", number(self.number)), ("pages", number(self.last))];
        shell.language.fill("pages.here", &values)
    }

    fn previous(&self) -> Option<String> {
        (self.number > 1).then(|| self.page(self.number - 1))
    }

    fn next(&self) -> Option<String> {
        (self.number < self.last).then(|| self.page(self.number + 1))
    }

    fn page(&self, number: usize) -> String {
        format!("{}page={number}", self.address)
    }
}

/// The paths that the pages of devices lead to.
struct Paths;

impl Paths {
    const LIST: &'static str = DEVICES;
    const ADD: &'static str = DEVICES_ADD;
    const PEOPLE: &'static str = DEVICES_PEOPLE;
    const SIGN_OUT: &'static str = DEVICES_SIGN_OUT;
    const REMOVE: &'static str = DEVICES_REMOVE;
}

#[derive(Template)]
#[template(path = "devices.html")]
struct List<'a> {
    shell: Shell<'a>,
    /// `devices` or `devices-of`: whose the page is.
    title: &'static str,
    whose: Person,
    of: Option<Owner<'a>>,
    cards: Vec<Card<'a>>,
    pager: Pager,
    token: &'a str,
    sees_all: bool,
    changes_all: bool,
    changed: Option<Changed>,
}

impl List<'_> {
    /// What tells a form, or the page of a question, whose devices are looked at.
    fn query(&self, id: &str) -> String {
        match &self.of {
            Some(owner) => format!("id={id}&user={}", owner.id),
            None => format!("id={id}"),
        }
    }
}

/// Shows somebody's devices. Its forms POST to [`DEVICES`]: `id`, `name`, `token`, and `user` where they
/// are another person's. 400 or 409 where the form before it came to nothing.
pub fn devices(context: &Context<'_>, devices: &Devices<'_>) -> Response<Bytes> {
    let status = devices.changed.map_or(StatusCode::OK, Changed::status);
    let place = match devices.of {
        Some(_) => Place::BelowDevices,
        None => Place::Devices,
    };
    let shell = Shell::at(place, context, status);
    let address = match &devices.of {
        Some(owner) => format!("{DEVICES}?user={}&", owner.id),
        None => format!("{DEVICES}?"),
    };
    let pager = Pager::new(devices.number, devices.list.len(), address);
    let cards = pager.of(devices.list);
    let template = List {
        title: if devices.of.is_some() {
            "devices-of"
        } else {
            "devices"
        },
        whose: match &devices.of {
            Some(owner) => owner.person(),
            None => Person::new(devices.who),
        },
        of: devices.of,
        cards: cards
            .map(|one| Card::new(&shell, one, devices.now))
            .collect(),
        pager,
        token: devices.token,
        sees_all: devices.sees_all,
        changes_all: devices.changes_all,
        changed: devices.changed,
        shell,
    };
    let form = if template.cards.iter().any(|card| card.may_change) {
        Form::Yes
    } else {
        Form::No
    };
    page_with_script(context, status, form, &template)
}

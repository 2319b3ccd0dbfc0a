//! Everybody whom Headscale knows, for those who may look at the devices of others.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::super::shell::{Context, Form, Shell, page};
use super::super::text::{Person, tame};
use super::super::ways::Place;
use super::{Owner, Pager, Paths};

/// One person.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Who.
    pub owner: Owner<'a>,
    /// How many devices they have.
    pub devices: usize,
    /// How many of those are connected.
    pub online: usize,
}

/// Everybody, or those whom a search found.
#[derive(Clone, Copy, Debug)]
pub struct Everybody<'a> {
    /// In the order in which they are shown; all of them.
    pub list: &'a [Row<'a>],
    /// Devices that are nobody's.
    pub tagged: usize,
    /// What was searched for; may be empty.
    pub search: &'a str,
    /// The page of the list to show, from 1.
    pub number: usize,
}

struct Line<'a> {
    id: &'a str,
    who: Person,
    devices: String,
    online: Option<String>,
}

#[derive(Template)]
#[template(path = "people.html")]
struct People<'a> {
    shell: Shell<'a>,
    lines: Vec<Line<'a>>,
    tagged: Option<String>,
    search: String,
    pager: Pager,
}

/// Shows them, each with a way to their devices. Its form GETs itself with `search`.
pub fn everybody(context: &Context<'_>, everybody: &Everybody<'_>) -> Response<Bytes> {
    let shell = Shell::at(Place::BelowDevices, context, StatusCode::OK);
    let count =
        |key: &str, count: usize| shell.count(key, u64::try_from(count).unwrap_or(u64::MAX));
    let mut address = url::form_urlencoded::Serializer::new(format!("{}?", Paths::PEOPLE));
    if !everybody.search.is_empty() {
        address.append_pair("search", everybody.search);
    }
    let mut address = address.finish();
    if !address.ends_with('?') {
        address.push('&');
    }
    let pager = Pager::new(everybody.number, everybody.list.len(), address);
    let lines = pager.of(everybody.list).map(|row| Line {
        id: row.owner.id,
        who: row.owner.person(),
        devices: count("person-devices", row.devices),
        online: (row.devices > 0).then(|| count("person-online", row.online)),
    });
    let template = People {
        lines: lines.collect(),
        tagged: (everybody.tagged > 0).then(|| count("devices-all.tagged", everybody.tagged)),
        search: tame(everybody.search),
        pager,
        shell,
    };
    page(context, StatusCode::OK, Form::No, &template)
}

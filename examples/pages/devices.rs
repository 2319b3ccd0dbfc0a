//! The pages of devices.

use bytes::Bytes;
use headwarden::domain::identity::Identity;
use headwarden::domain::time::Timestamp;
use headwarden::pages::{
    self, AddDevice, Ask, AskDevice, Changed, Context, Device, Devices, Everybody, NoDevices,
    Owner, PersonRow,
};

use http::Response;

use super::Named;

const NOW: Timestamp = Timestamp::from_unix(1_795_655_109);
const DAY: u64 = 86_400;

const MIA: Owner<'static> = Owner {
    id: "3",
    name: "mia",
    email: "mia@acmecorp.net",
};

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() - seconds)
}

/// All of them.
pub(crate) fn pages(context: &Context<'_>, who: &Identity) -> Vec<Named> {
    let addresses = |last: u8| {
        [
            format!("100.64.0.{last}"),
            format!("fd7a:115c:a1e0::{last:x}"),
        ]
    };
    let (one, two, three) = (addresses(7), addresses(12), addresses(19));
    let tags = ["tag:server".to_owned(), "tag:backup".to_owned()];
    let laptop = Device {
        id: "7",
        name: "laptop",
        hostname: "Dominics-MacBook-Pro",
        addresses: &one,
        online: true,
        last_seen: Some(ago(30)),
        expiry: Some(Timestamp::from_unix(NOW.unix() + 41 * DAY)),
        created_at: Some(ago(200 * DAY)),
        may_change: true,
        ..Device::default()
    };
    let phone = Device {
        id: "12",
        name: "phone",
        hostname: "phone",
        addresses: &two,
        last_seen: Some(ago(3 * 3600)),
        expiry: Some(ago(3600)),
        online: false,
        ..laptop.clone()
    };
    let server = Device {
        id: "19",
        name: "a-name-that-is-as-long-as-a-name-can-be-in-any-tailnet-anywhere",
        hostname: "srv-19",
        addresses: &three,
        tags: &tags,
        online: false,
        last_seen: Some(ago(2 * DAY)),
        expiry: None,
        may_change: false,
        ..laptop.clone()
    };
    let list = [laptop.clone(), server, phone];
    let many: Vec<Device<'_>> = vec![laptop.clone(); 120];
    let own = Devices {
        who,
        of: None,
        list: &list,
        number: 1,
        token: "one-time",
        sees_all: true,
        changes_all: true,
        changed: None,
        now: NOW,
    };
    let with = |changed| Devices { changed, ..own };
    let ask = |ask, of| AskDevice {
        ask,
        device: laptop.clone(),
        of,
        token: "one-time",
    };
    let of = Some(MIA);
    let show = |devices: Devices<'_>| pages::devices(context, &devices);
    let mut all = vec![
        ("devices", show(own)),
        ("devices-of", show(Devices { of, ..own })),
        (
            "devices-looked-at",
            show(Devices {
                of,
                changes_all: false,
                ..own
            }),
        ),
        ("devices-none", show(Devices { list: &[], ..own })),
        (
            "devices-many",
            show(Devices {
                list: &many,
                number: 2,
                ..own
            }),
        ),
        ("devices-renamed", show(with(Some(Changed::Renamed)))),
        ("devices-name-taken", show(with(Some(Changed::NameTaken)))),
        (
            "device-sign-out",
            pages::ask_device(context, &ask(Ask::SignOut, None)),
        ),
        (
            "device-remove",
            pages::ask_device(context, &ask(Ask::Remove, Some(of))),
        ),
        ("devices-people", people(context)),
        ("devices-people-many", many_people(context)),
        ("devices-of-long-names", of_long_names(context, &laptop)),
    ];
    all.extend(words_only(context));
    all
}

fn people(context: &Context<'_>) -> Response<Bytes> {
    let owner = |id, name, email| Owner { id, name, email };
    let list = [
        (owner("1", "dominic", "dominic@acmecorp.net"), 4, 2),
        (MIA, 1, 0),
        (owner("9", "olaf", ""), 0, 0),
    ];
    let list = list.map(|(owner, devices, online)| PersonRow {
        owner,
        devices,
        online,
    });
    let people = Everybody {
        list: &list,
        tagged: 2,
        search: "",
        number: 1,
    };
    pages::everybody(context, &people)
}

/// Everybody of a big company, in the middle.
fn many_people(context: &Context<'_>) -> Response<Bytes> {
    let names: Vec<String> = (0..130).map(|at| format!("person-{at:03}")).collect();
    let emails: Vec<String> = names
        .iter()
        .map(|name| format!("{name}@acmecorp.net"))
        .collect();
    let list: Vec<PersonRow<'_>> = names
        .iter()
        .zip(&emails)
        .enumerate()
        .map(|(at, (name, email))| PersonRow {
            owner: Owner {
                id: "3",
                name,
                email,
            },
            devices: at % 4,
            online: at % 2,
        })
        .collect();
    let people = Everybody {
        list: &list,
        tagged: 1,
        search: "person",
        number: 2,
    };
    pages::everybody(context, &people)
}

/// Whatever can be long, is.
fn of_long_names(context: &Context<'_>, one: &Device<'_>) -> Response<Bytes> {
    let long = "maximilian-alexander.von-und-zu-hohenstein-wittelsbach-the-third";
    let email = format!("{long}@a-subsidiary-with-a-long-name.of.acmecorp.example");
    let tags: Vec<String> = (0..9)
        .map(|at| format!("tag:purpose-number-{at}"))
        .collect();
    let list = [Device {
        name: "a-name-that-is-as-long-as-a-name-can-be-in-any-tailnet-anywhere",
        hostname: "the-computer-of-maximilian-in-the-corner-office-behind-the-elevators.local",
        tags: &tags,
        ..one.clone()
    }];
    let owner = Owner {
        id: "4",
        name: long,
        email: &email,
    };
    let shown = Devices {
        who: &super::dominic(),
        of: Some(owner),
        list: &list,
        number: 1,
        token: "one-time",
        sees_all: true,
        changes_all: true,
        changed: Some(Changed::NameRefused),
        now: NOW,
    };
    pages::devices(context, &shown)
}

fn words_only(context: &Context<'_>) -> Vec<Named> {
    let add = AddDevice {
        server_url: "https://headscale.company",
        by_signing_in: true,
    };
    let asks = AddDevice {
        by_signing_in: false,
        ..add
    };
    let without_devices = Context {
        shows_devices: false,
        ..*context
    };
    let no = |why| pages::no_devices(context, why, "/.headwarden/devices", true);
    let none = |why| pages::no_devices(&without_devices, why, "/.headwarden/devices", true);
    vec![
        ("device-add", pages::add_device(context, &add)),
        (
            "device-add-only",
            pages::add_device(&without_devices, &asks),
        ),
        ("devices-no-key", none(NoDevices::NoKey)),
        ("devices-no-mode", none(NoDevices::NoSignIn)),
        ("devices-no-subject", no(NoDevices::Subject)),
        ("devices-too-old", no(NoDevices::TooOld)),
        ("devices-away", no(NoDevices::Away)),
        ("devices-fault", no(NoDevices::Fault)),
    ]
}

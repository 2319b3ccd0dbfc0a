use super::{HOSTILE, Language, Row, all_in, header, html, person};
use crate::domain::time::Timestamp;
use crate::pages::*;
use bytes::Bytes;
use http::Response;
use http::header::CONTENT_SECURITY_POLICY;

const NOW: Timestamp = Timestamp::from_unix(1_795_655_109);
const NEVER_YET: Option<Timestamp> = Some(Timestamp::from_unix(1_795_655_109 + 3 * 86_400));
const OVER: Option<Timestamp> = Some(Timestamp::from_unix(1_795_655_109 - 86_400));

fn device<'a>(text: &'a str, texts: &'a [String]) -> Device<'a> {
    Device {
        id: "7",
        name: text,
        hostname: "what-it-calls-itself",
        system: Some(text),
        addresses: texts,
        tags: texts,
        online: false,
        last_seen: OVER,
        expiry: NEVER_YET,
        created_at: OVER,
        may_change: true,
    }
}

fn owner(text: &str) -> Owner<'_> {
    Owner {
        id: "3",
        name: text,
        email: text,
    }
}

fn adding(context: &Context<'_>, server_url: &str, by_signing_in: bool) -> Response<Bytes> {
    let page = AddDevice {
        server_url,
        by_signing_in,
    };
    add_device(context, &page)
}

/// Every page about devices, with `text` wherever a stranger's text may come in.
pub(super) fn rows(context: &Context<'_>, text: &str) -> Vec<Row> {
    let texts = [text.to_owned()];
    let list = [device(text, &texts)];
    let who = &person(text);
    let own = Devices {
        who,
        of: None,
        list: &list,
        number: 1,
        token: text,
        sees_all: true,
        changes_all: true,
        changed: None,
        now: NOW,
    };
    let of = Some(owner(text));
    let others = Devices { of, ..own };
    let looks = Devices {
        changes_all: false,
        ..others
    };
    let none = Devices { list: &[], ..own };
    let theirs_none = Devices {
        list: &[],
        ..others
    };
    let changed = |changed| {
        devices(
            context,
            &Devices {
                changed: Some(changed),
                ..own
            },
        )
    };
    let ask = |ask, of| {
        let asked = AskDevice {
            ask,
            device: device(text, &texts),
            of,
            token: text,
        };
        ask_device(context, &asked)
    };
    let person = [PersonRow {
        owner: owner(text),
        devices: 2,
        online: 1,
    }];
    let people = Everybody {
        list: &person,
        tagged: 1,
        search: text,
        number: 1,
    };
    let nobody = Everybody {
        list: &[],
        tagged: 2,
        ..people
    };
    let add = |by_signing_in| adding(context, text, by_signing_in);
    let no_devices_here = &Context {
        shows_devices: false,
        ..*context
    };
    let no = |why| no_devices(context, why, text, true);
    vec![
        ("devices", 200, true, devices(context, &own)),
        ("another's devices", 200, true, devices(context, &others)),
        ("looked at", 200, true, devices(context, &looks)),
        ("no devices yet", 200, false, devices(context, &none)),
        ("another's none", 200, false, devices(context, &theirs_none)),
        ("renamed", 200, true, changed(Changed::Renamed)),
        ("expired now", 200, true, changed(Changed::Expired)),
        ("removed", 200, true, changed(Changed::Removed)),
        ("stale", 400, true, changed(Changed::Stale)),
        ("no name", 400, true, changed(Changed::BadName)),
        ("name taken", 409, true, changed(Changed::NameTaken)),
        ("name refused", 400, true, changed(Changed::NameRefused)),
        ("ask sign-out", 200, true, ask(Ask::SignOut, None)),
        ("ask removal", 200, true, ask(Ask::Remove, Some(of))),
        ("ask tagged", 200, true, ask(Ask::Remove, Some(None))),
        ("people", 200, false, everybody(context, &people)),
        ("nobody", 200, false, everybody(context, &nobody)),
        ("add", 200, false, add(true)),
        ("add by administrator", 200, false, add(false)),
        ("add only", 200, false, adding(no_devices_here, text, true)),
        ("no key", 200, false, no(NoDevices::NoKey)),
        ("no mode", 200, false, no(NoDevices::NoSignIn)),
        ("no subject", 403, false, no(NoDevices::Subject)),
        ("too old", 501, false, no(NoDevices::TooOld)),
        ("away", 503, false, no(NoDevices::Away)),
        ("fault", 502, false, no(NoDevices::Fault)),
    ]
}

/// Two pages of devices in every state there is.
pub(super) fn of_every_kind(context: &Context<'_>) -> [Response<Bytes>; 2] {
    let tags = ["tag:server".to_owned()];
    let plain = device("x", &tags);
    let mut list = vec![plain.clone(); 60];
    list.push(Device {
        expiry: None,
        online: true,
        ..plain.clone()
    });
    list.push(Device {
        expiry: OVER,
        ..plain.clone()
    });
    list.push(Device {
        may_change: false,
        ..plain
    });
    [1, 2].map(|number| {
        let shown = Devices {
            who: &person("x"),
            of: None,
            list: &list,
            number,
            token: "x",
            sees_all: true,
            changes_all: true,
            changed: None,
            now: NOW,
        };
        devices(context, &shown)
    })
}

fn list_of(devices: &[Device<'_>], number: usize, language: Language) -> String {
    let context = Context {
        site: "x",
        support_id: "x",
        form_action: &[],
        language,
        shows_devices: true,
    };
    let shown = Devices {
        who: &person("mia"),
        of: None,
        list: devices,
        number,
        token: "tok",
        sees_all: false,
        changes_all: false,
        changed: None,
        now: NOW,
    };
    html(&super::devices(&context, &shown)).to_owned()
}

#[test]
fn a_device_says_how_it_is_doing() {
    let addresses = ["100.64.0.7".to_owned()];
    let tags = ["tag:server".to_owned()];
    let plain = Device {
        tags: &[],
        ..device("laptop", &addresses)
    };
    for (device, there, absent) in [
        (
            plain.clone(),
            &["Offline", "1 day ago", "in 3 days", "100.64.0.7"][..],
            &["Online"][..],
        ),
        (
            Device {
                online: true,
                expiry: None,
                ..plain.clone()
            },
            &["Online", "without end"],
            &["Last seen"],
        ),
        (
            // Headscale goes on showing it as connected.
            Device {
                online: true,
                expiry: OVER,
                ..plain.clone()
            },
            &["Signed out", "Ended", "1 day ago"],
            &["Online"],
        ),
        (
            Device {
                tags: &tags,
                may_change: false,
                ..plain.clone()
            },
            &["tag:server", "It belongs to its tags"],
            &["Rename", "Remove"],
        ),
        (
            Device {
                hostname: "laptop",
                system: None,
                last_seen: None,
                created_at: None,
                ..plain
            },
            &["laptop"],
            &["Calls itself", "System", "Last seen", "Added"],
        ),
    ] {
        let html = list_of(std::slice::from_ref(&device), 1, Language::english());
        for part in there {
            assert!(html.contains(part), "{part}: {device:?}");
        }
        for part in absent {
            assert!(!html.contains(part), "{part}: {device:?}");
        }
    }
}

#[test]
fn a_long_list_is_shown_in_pages() {
    let names: Vec<String> = (0..120).map(|at| format!("device-{at:03}-")).collect();
    let list: Vec<Device<'_>> = names
        .iter()
        .map(|name| Device {
            name,
            ..Device::default()
        })
        .collect();
    for (number, first, last, ways) in [
        (0, 0, 49, (false, true)),
        (1, 0, 49, (false, true)),
        (2, 50, 99, (true, true)),
        (3, 100, 119, (true, false)),
        (usize::MAX, 100, 119, (true, false)),
    ] {
        let html = list_of(&list, number, Language::english());
        for (at, name) in names.iter().enumerate() {
            let on_it = (first..=last).contains(&at);
            assert_eq!(html.contains(name.as_str()), on_it, "{number} {name}");
        }
        let found = (html.contains("rel=\"prev\""), html.contains("rel=\"next\""));
        assert_eq!(found, ways, "{number}");
    }
}

#[test]
fn only_the_pages_of_devices_may_run_a_script_and_only_that_one() {
    let mut with = 0;
    for (name, _, _, response) in all_in(Language::english(), HOSTILE, &[]) {
        let policy = header(&response, CONTENT_SECURITY_POLICY);
        let html = html(&response);
        let scripts: Vec<&str> = html.split("<script").skip(1).collect();
        let Some((_, source)) = policy.split_once("; script-src ") else {
            assert!(scripts.is_empty(), "{name}");
            continue;
        };
        with += 1;
        let [script] = scripts.as_slice() else {
            panic!("{name}: {} scripts", scripts.len())
        };
        let text = script
            .strip_prefix('>')
            .unwrap()
            .split_once("</script>")
            .unwrap()
            .0;
        assert_eq!(source, super::super::shell::source_of(text), "{name}");
    }
    assert_eq!(with, 15);
}

#[test]
fn forms_and_ways_name_the_device_and_whose_it_is() {
    let pages = all_in(Language::english(), "tok", &[]);
    let page = |name: &str| -> &Response<Bytes> {
        let found = pages.iter().find(|(other, ..)| *other == name);
        found.map(|(.., response)| response).unwrap()
    };
    for (name, there, absent) in [
        (
            "devices",
            &[
                "<form method=\"post\" action=\"/.headwarden/devices\" id=\"rename-7\">",
                "name=\"token\" value=\"tok\"",
                "name=\"id\" value=\"7\"",
                "href=\"/.headwarden/devices/remove?id=7\"",
                "href=\"/.headwarden/devices/sign-out?id=7\"",
                "href=\"/.headwarden/devices/people\"",
                "href=\"/.headwarden/devices/add\"",
            ][..],
            &["name=\"user\""][..],
        ),
        (
            "another's devices",
            &[
                "name=\"user\" value=\"3\"",
                "remove?id=7&#38;user=3",
                "under your own name",
            ],
            &["/.headwarden/devices/add"],
        ),
        ("looked at", &["change nothing"], &["under your own name"]),
        (
            "ask removal",
            &[
                "<form method=\"post\" action=\"/.headwarden/devices/remove\">",
                "name=\"id\" value=\"7\"",
                "name=\"user\" value=\"3\"",
                "href=\"/.headwarden/devices?user=3\"",
            ],
            &[],
        ),
        (
            "ask sign-out",
            &["href=\"/.headwarden/devices\""],
            &["name=\"user\"", "Belongs to"],
        ),
        ("ask tagged", &["its tags"], &["name=\"user\""]),
        (
            "people",
            &[
                "href=\"/.headwarden/devices?user=3\"",
                "2 devices",
                "1 online",
            ],
            &[],
        ),
        (
            "add",
            &["tailscale up --login-server tok", "<svg role=\"img\""],
            &["Send it to"],
        ),
        (
            "add by administrator",
            &["Send it to your administrator"],
            &[],
        ),
        (
            "no key",
            &["href=\"/.headwarden/devices/add\""],
            &["/people"],
        ),
        ("away", &["href=\"tok\""], &["/people"]),
    ] {
        let html = html(page(name));
        for part in there {
            assert!(html.contains(part), "{name}: {part} in {html}");
        }
        for part in absent {
            assert!(!html.contains(part), "{name}: {part}");
        }
    }
}

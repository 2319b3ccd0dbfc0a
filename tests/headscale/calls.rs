//! Each call, at each version.

use headwarden::domain::calendar::rfc3339;
use headwarden::domain::secret::Secret;
use headwarden::domain::time::Timestamp;
use headwarden::headscale::ApiError;

use crate::support::headscale_standin::{Device, PolicyMode, Script, User};
use crate::{KEY, VERSIONS, api, of_version};

const ISSUER: &str = "https://id.example/7";

fn minor(version: &str) -> u32 {
    version[3..5].parse().expect("two digits")
}

#[tokio::test]
async fn users_and_devices_read_alike_at_every_version() {
    for version in VERSIONS {
        let headscale = of_version(version);
        headscale.add_user(User {
            provider_identifier: ISSUER.to_owned(),
            name: "ada".to_owned(),
            email: Some("ada@acmecorp.net".to_owned()),
            ..User::default()
        });
        headscale.add_node(Device {
            given_name: "desk".to_owned(),
            expiry: Some("2027-01-02T04:04:05.5+01:00".to_owned()),
            ..Device::of(ISSUER, "laptop")
        });
        headscale.add_node(Device {
            last_seen: None,
            online: false,
            tags: vec!["tag:b".to_owned(), "tag:a".to_owned()],
            ..Device::of("ben", "server")
        });
        let api = api(&headscale, KEY);
        let users = api.users().await.expect("users");
        let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["ada", "ben"], "{version}");
        assert_eq!((&users[0].id[..], &users[0].provider_id[..]), ("1", ISSUER));
        assert_eq!(
            (&users[0].email[..], &users[1].email[..]),
            ("ada@acmecorp.net", "")
        );

        let nodes = api.nodes().await.expect("nodes");
        let [desk, server] = &nodes[..] else {
            panic!("{nodes:?}")
        };
        assert_eq!(
            (&desk.given_name[..], &desk.hostname[..]),
            ("desk", "laptop")
        );
        assert_eq!(desk.addresses, ["100.64.0.1", "fd7a:115c:a1e0::1"]);
        assert_eq!(desk.user.as_ref(), Some(&users[0]), "{version}");
        let told = |at: Option<Timestamp>| at.map(rfc3339);
        assert_eq!(told(desk.expiry).as_deref(), Some("2027-01-02T03:04:05Z"));
        assert_eq!(
            told(desk.last_seen).as_deref(),
            Some("2026-02-03T04:05:06Z")
        );
        assert_eq!(
            told(desk.created_at).as_deref(),
            Some("2026-01-02T03:04:05Z")
        );
        assert_eq!((desk.online, server.online), (true, false));
        assert_eq!((server.expiry, server.last_seen), (None, None));
        assert_eq!(server.tags, ["tag:a", "tag:b"], "{version}");
        // A tagged device is nobody's since 0.28.
        assert_eq!(server.user.is_none(), minor(version) >= 28, "{version}");
        let one = api.node(&desk.id).await.expect("a node");
        assert_eq!(&one, desk, "{version}");
    }
}

#[tokio::test]
async fn a_device_is_renamed_ended_and_removed_and_one_that_is_gone_is_not_found() {
    for version in VERSIONS {
        let headscale = of_version(version);
        let id = headscale.add_node(Device::of(ISSUER, "laptop")).to_string();
        headscale.add_node(Device::of(ISSUER, "phone"));
        let api = api(&headscale, KEY);
        api.rename_node(&id, "my-desk").await.expect("a new name");
        let device = |id: &str| headscale.device(id.parse().expect("a number"));
        let given = device(&id).map(|device| device.given_name);
        assert_eq!(given.as_deref(), Some("my-desk"), "{version}");
        for name in [
            "phone", "-", "", "a b", "..", ".", "a/b", "a?b", "a%2fb", "é",
        ] {
            let asked = headscale.requests().len();
            let refused = api.rename_node(&id, name).await;
            let told = matches!(
                &refused,
                Err(ApiError::Rejected { .. } | ApiError::NotFound)
            );
            assert!(told, "{version} {name:?} {refused:?}");
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let plain = plain && !name.is_empty();
            let leaves = headscale.requests().len() > asked;
            assert_eq!(
                leaves, plain,
                "{version} {name:?}: nothing odd gets into a path"
            );
        }
        let taken = api.rename_node(&id, "phone").await;
        let Err(ApiError::Rejected { status, message }) = taken else {
            panic!("{taken:?}")
        };
        assert_eq!(
            status,
            if minor(version) >= 30 { 400 } else { 500 },
            "{version}"
        );
        assert!(message.contains("not unique"), "{message}");

        api.expire_node(&id).await.expect("an end");
        assert!(
            device(&id).is_some_and(|device| device.expiry.is_some()),
            "{version}"
        );
        api.delete_node(&id).await.expect("it goes");
        assert_eq!(device(&id), None, "{version}");
        for gone in [&id[..], "99", "x", "", "1/../2"] {
            let row = format!("{version} {gone:?}");
            assert_eq!(api.node(gone).await, Err(ApiError::NotFound), "{row}");
            assert_eq!(
                api.rename_node(gone, "other").await,
                Err(ApiError::NotFound),
                "{row}"
            );
            assert_eq!(
                api.expire_node(gone).await,
                Err(ApiError::NotFound),
                "{row}"
            );
            assert_eq!(
                api.delete_node(gone).await,
                Err(ApiError::NotFound),
                "{row}"
            );
        }
    }
}

#[tokio::test]
async fn the_policy_is_read_checked_and_written_as_it_is() {
    let text = "{\n  // ours, and äöü \"quoted\"\n  \"groups\": {},\n}\n";
    for version in VERSIONS {
        let headscale = of_version(version);
        headscale.configure(|options| {
            options.policy = PolicyMode::Database;
            options.policy_faults =
                vec![("nobody@".to_owned(), "user not found: nobody@".to_owned())];
        });
        let api = api(&headscale, KEY);
        assert_eq!(api.policy().await.as_deref(), Ok(""), "{version}");
        api.set_policy(text).await.expect("it is taken");
        assert_eq!(api.policy().await.as_deref(), Ok(text), "{version}");
        let wrong = text.replace("{}", "{\"group:a\": [\"nobody@\"]}");
        let rejected = |done: Result<(), ApiError>| match done {
            Err(ApiError::Rejected { message, .. }) => message.contains("nobody@"),
            other => panic!("{version} {other:?}"),
        };
        if minor(version) >= 29 {
            assert_eq!(api.check_policy(text).await, Ok(()), "{version}");
            assert!(rejected(api.check_policy(&wrong).await), "{version}");
        } else {
            assert_eq!(
                api.check_policy(text).await,
                Err(ApiError::NotFound),
                "{version}"
            );
        }
        assert!(rejected(api.set_policy(&wrong).await), "{version}");
        assert_eq!(headscale.policy().as_deref(), Some(text), "{version}");
        headscale.configure(|options| options.policy = PolicyMode::File(Some("{}".to_owned())));
        assert_eq!(api.policy().await.as_deref(), Ok("{}"));
        let refused = api.set_policy(text).await;
        let told = matches!(&refused, Err(ApiError::Rejected { message, .. }) if message.contains("update is disabled"));
        assert!(told, "{version} {refused:?}");
    }
}

#[tokio::test]
async fn keys_are_made_found_and_ended_at_every_version() {
    for version in VERSIONS {
        let headscale = of_version(version);
        let first = api(&headscale, KEY);
        let until = Timestamp::from_unix(4_000_000_000);
        let made = first.create_key(until).await.expect("a key");
        let second = first.with_key(made.clone());
        let keys = second.keys().await.expect("it works");
        let ours: Vec<_> = keys.iter().filter(|entry| entry.is_of(&made)).collect();
        let [ours] = &ours[..] else {
            panic!("{version} {keys:?}")
        };
        assert_eq!(ours.expiration, Some(until), "{version}");
        assert_eq!(
            keys.iter()
                .filter(|entry| entry.is_of(&Secret::new(KEY.to_owned())))
                .count(),
            1
        );
        // Somebody made one without an end: it has ended.
        headscale.add_api_key("nobody7.0123456789", Some(i64::MIN));
        let keys = second.keys().await.expect("a list");
        assert_eq!(
            keys[2].expiration,
            Some(Timestamp::from_unix(0)),
            "{version}"
        );
        second
            .expire_key(&Secret::new(KEY.to_owned()))
            .await
            .expect("it ends");
        assert_eq!(first.users().await, Err(ApiError::KeyRefused), "{version}");
        assert_eq!(second.users().await, Ok(Vec::new()), "{version}");
        for (stranger, row) in [("hskey-api-000000000000-0", "unknown"), ("odd", "odd")] {
            let stranger = Secret::new(stranger.to_owned());
            let ended = second.expire_key(&stranger).await;
            assert_eq!(ended, Err(ApiError::NotFound), "{version} {row}");
            let nobody = first.with_key(stranger);
            assert_eq!(
                nobody.users().await,
                Err(ApiError::KeyRefused),
                "{version} {row}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_of_headscales_is_told_apart() {
    let headscale = of_version("v0.29.2");
    let api = api(&headscale, KEY);
    let answer = |status: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let rejected = |status, message: &str| ApiError::Rejected {
        status,
        message: message.to_owned(),
    };
    for (bytes, expected) in [
        (answer("200 OK", "<html>"), ApiError::Unreadable),
        (answer("200 OK", ""), ApiError::Unreadable),
        (
            answer("200 OK", r#"{"users":[{"name":"x"}]}"#),
            ApiError::Unreadable,
        ),
        (answer("403 Forbidden", ""), ApiError::KeyRefused),
        (
            answer("404 Not Found", "404 page not found"),
            ApiError::NotFound,
        ),
        (answer("302 Found", ""), rejected(302, "")),
        (answer("502 Bad Gateway", "<html>"), rejected(502, "")),
        (
            answer("500 Internal Server Error", "Unauthorized"),
            ApiError::KeyRefused,
        ),
        (
            answer(
                "500 Internal Server Error",
                r#"{"message":"database is locked"}"#,
            ),
            rejected(500, "database is locked"),
        ),
        (
            answer(
                "422 Unprocessable Entity",
                r#"{"detail":"validation failed"}"#,
            ),
            rejected(422, "validation failed"),
        ),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        headscale.script("/api/v1/user", Script::Bytes(bytes));
        assert_eq!(api.users().await, Err(expected), "{text}");
    }
    headscale.script("/api/v1/user", Script::Close);
    let closed = api.users().await;
    assert!(matches!(closed, Err(ApiError::Fetch(_))), "{closed:?}");
    // Nothing that is told holds the key, whatever Headscale says.
    headscale.script(
        "/api/v1/user",
        Script::Bytes(answer(
            "500 Oh",
            &format!("{{\"message\":\"you sent Bearer {KEY}\"}}"),
        )),
    );
    let told = api.users().await.expect_err("an error");
    assert!(
        !format!("{told} {told:?} {api:?}").contains(&KEY[..30]),
        "{told}"
    );
    let none = crate::Api::new(
        headwarden::headscale::Probe::new(&crate::settings(&headscale.url(), "").headscale)
            .expect("a probe"),
        headwarden::headscale::ApiKey::default(),
    );
    assert_eq!(none.users().await, Err(ApiError::NoKey));
}

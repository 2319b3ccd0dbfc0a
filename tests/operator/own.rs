//! A person's own sessions: theirs to see and to end, and nobody else's.

use crate::faulty_provider::Person as Account;
use crate::scene::Scene;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, send, session_line};
use crate::support::house::More;
use crate::support::person::{Page, Person};
use crate::support::raw::Response;

const LIST: &str = "/.headwarden/sessions";

fn list(stage: &Stage, person: &mut Person) -> Page {
    let page = person.open(&stage.house.url(LIST));
    assert_eq!(page.status(), 200, "{}", page.text());
    page
}

/// The names of the other sessions on the page.
fn others(page: &Page) -> Vec<String> {
    let forms = page.forms();
    let fields = forms.iter().flat_map(|form| &form.fields);
    let ids = fields.filter(|(name, _)| name == "id");
    ids.map(|(_, id)| id.clone()).collect()
}

fn token(page: &Page) -> String {
    let forms = page.forms();
    let mut fields = forms.iter().flat_map(|form| &form.fields);
    let token = fields
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token.clone());
    token.unwrap_or_else(|| panic!("no token: {}", page.text()))
}

/// What a form of the page would send.
fn post(stage: &Stage, lines: &[&str], body: &str) -> Response {
    let public = stage.house.plan.public;
    let mut text = format!(
        "POST {LIST} HTTP/1.1\r\nHost: {public}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n{HTML}\r\n",
        body.len()
    );
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    send(public, format!("{text}\r\n{body}").as_bytes())
}

/// Where a person stands: their browser, its `Cookie` line, and whether it is let through.
struct Somebody {
    person: Person,
    cookie: String,
}

impl Somebody {
    fn sign_in(stage: &Stage, account: Account) -> Self {
        let person = stage.somebody(account);
        let cookie = session_line(&stage.house, &person);
        Self { person, cookie }
    }

    fn is_in(&self, stage: &Stage) -> bool {
        ask(&stage.house, "GET", "/windows", &[&self.cookie]).status() == 200
    }
}

#[test]
fn a_person_sees_their_own_sessions_and_ends_one_or_all_others() {
    let scene = Scene::start("", &More::default());
    let stage = &scene.stage;
    let mut ben = [(); 4].map(|()| Somebody::sign_in(stage, Account::Member));
    let ada = Somebody::sign_in(stage, Account::Admin);
    let page = list(stage, &mut ben[0].person);
    let text = page.text();
    for part in [
        "Ben Member",
        "ben@company.example",
        "This browser",
        "Chrome on Linux",
        "<code>127.0.0.1</code>",
        "just now",
        " UTC",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Ada") && !text.contains("<script"), "{text}");
    for cookie in ben.iter().map(|one| &one.cookie) {
        let value = cookie.rsplit('=').next().unwrap();
        assert!(!text.contains(value), "a cookie: {text}");
    }
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    let ids = others(&page);
    assert_eq!(ids.len(), 3, "{ids:?}");
    // One of them, with what its own form says.
    let body = format!("token={}&id={}", token(&page), ids[0]);
    let lines = [SAME_ORIGIN, &ben[0].cookie];
    let ended = post(stage, &lines, &body);
    assert_eq!(
        (ended.status(), ended.header("location")),
        (303, Some(LIST))
    );
    let page = list(stage, &mut ben[0].person);
    assert_eq!(others(&page), ids[1..]);
    assert_eq!(ben.iter().filter(|one| one.is_in(stage)).count(), 3);
    let body = format!("token={}&others=yes", token(&page));
    assert_eq!(post(stage, &lines, &body).status(), 303);
    let left = ben.each_ref().map(|one| one.is_in(stage));
    assert_eq!(left, [true, false, false, false]);
    assert!(ada.is_in(stage));
    let page = list(stage, &mut ben[0].person);
    assert_eq!((others(&page).len(), page.forms().len()), (0, 1));
    let audit = scene.audit();
    let ended: Vec<&String> = audit.iter().filter(|line| line.contains("ended")).collect();
    let [one, all] = ended.as_slice() else {
        panic!("{audit:#?}")
    };
    let subject = format!("subject={}", "b".repeat(64));
    for part in ["by=person ", "client=127.0.0.1", &subject] {
        assert!(one.contains(part) && all.contains(part), "{ended:#?}");
    }
    assert!(
        one.contains(&format!("session={} ", &ids[0][..12])),
        "{one}"
    );
    assert!(one.contains("scope=\"session\" sessions=1"), "{one}");
    assert!(all.contains("scope=\"others\" sessions=2"), "{all}");
}

#[test]
fn an_id_that_is_not_the_persons_own_ends_nothing_and_tells_nothing() {
    let scene = Scene::start("", &More::default());
    let stage = &scene.stage;
    let mut ben = Somebody::sign_in(stage, Account::Member);
    // Without another session of his there is no such form on his page.
    let _his = Somebody::sign_in(stage, Account::Member);
    let mut ada = [(); 2].map(|()| Somebody::sign_in(stage, Account::Admin));
    let of_ada = others(&list(stage, &mut ada[0].person)).remove(0);
    let unknown = "0".repeat(64);
    let mut answers = [&of_ada, &unknown].map(|id| {
        let page = list(stage, &mut ben.person);
        let body = format!("token={}&id={id}", token(&page));
        let answer = post(stage, &[SAME_ORIGIN, &ben.cookie], &body);
        assert_eq!(answer.status(), 303);
        assert_eq!(answer.header("location"), Some(LIST));
        answer
    });
    // The one and the other are told apart by nothing.
    let [theirs, nobodys] = answers.each_mut().map(|answer| {
        let head = String::from_utf8(answer.head.raw.clone()).unwrap();
        let lines = head
            .lines()
            .filter(|line| !line.to_lowercase().starts_with("date:"));
        (
            lines.map(str::to_owned).collect::<Vec<_>>(),
            answer.body.clone(),
        )
    });
    assert_eq!(theirs, nobodys);
    assert!(ada.iter().all(|one| one.is_in(stage)));
    assert!(!scene.audit().iter().any(|line| line.contains("ended")));
    // All others are one's own others.
    let body = format!("token={}&others=yes", token(&list(stage, &mut ben.person)));
    assert_eq!(
        post(stage, &[SAME_ORIGIN, &ben.cookie], &body).status(),
        303
    );
    assert!(ada.iter().all(|one| one.is_in(stage)));
}

#[test]
fn nothing_ends_without_a_same_origin_proof_and_a_token_of_this_session_that_was_not_used() {
    let scene = Scene::start("", &More::default());
    let stage = &scene.stage;
    let mut ben = [(); 3].map(|()| Somebody::sign_in(stage, Account::Member));
    let page = list(stage, &mut ben[0].person);
    let (ours, id) = (token(&page), others(&page).remove(0));
    let elsewhere = token(&list(stage, &mut ben[1].person));
    let cookie = ben[0].cookie.clone();
    let good = format!("token={ours}&id={id}");
    for lines in [
        &[][..],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: none"],
        &["Origin: null"],
        &["Origin: https://evil.example"],
        &["Sec-Fetch-Site: cross-site", SAME_ORIGIN],
    ] {
        let answer = post(stage, &[lines, &[&cookie]].concat(), &good);
        assert_eq!(answer.status(), 403, "{lines:?}");
    }
    for body in [
        String::new(),
        format!("id={id}"),
        format!("token=&id={id}"),
        format!("token={elsewhere}&id={id}"),
        format!("token={}&id={id}", ours.to_lowercase()),
        format!("token={ours}&token={ours}&id={id}"),
        format!("token={ours}"),
        format!("token={ours}&id="),
        format!("token={ours}&id={}", &id[..12]),
        format!("token={ours}&id={id}&id={id}"),
        format!("token={ours}&id={id}&others=yes"),
        format!("token={ours}&others="),
        format!("token={ours}&others=no"),
    ] {
        let answer = post(stage, &[SAME_ORIGIN, &cookie], &body);
        assert_eq!(answer.status(), 400, "{body}");
        assert!(answer.text().contains("Nothing was ended"), "{body}");
    }
    // What a page elsewhere can load in this browser makes no tokens, which would push these out.
    for _ in 0..40 {
        for dest in ["image", "iframe", "empty"] {
            let dest = format!("Sec-Fetch-Dest: {dest}");
            let answer = ask(&stage.house, "GET", LIST, &[HTML, &dest, &cookie]);
            assert_eq!(answer.status(), 403, "{dest}");
            assert!(!answer.text().contains("token"), "{dest}");
        }
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = ask(&stage.house, method, LIST, &[SAME_ORIGIN, &cookie]);
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, POST"));
    }
    assert!(ben.iter().all(|one| one.is_in(stage)));
    // What was refused has used up nothing; what was done has.
    let lines = [SAME_ORIGIN, &*cookie];
    assert_eq!(post(stage, &lines, &good).status(), 303);
    assert_eq!(ben.iter().filter(|one| one.is_in(stage)).count(), 2);
    let again = format!("token={ours}&others=yes");
    assert_eq!(post(stage, &lines, &again).status(), 400, "a second use");
    assert_eq!(ben.iter().filter(|one| one.is_in(stage)).count(), 2);
}

#[test]
fn the_session_one_sits_at_ends_as_by_signing_out() {
    let scene = Scene::start("", &More::default());
    let stage = &scene.stage;
    let mut ben = Somebody::sign_in(stage, Account::Member);
    let page = list(stage, &mut ben.person);
    let form = page.form("");
    assert_eq!(form.action.path(), "/.headwarden/logout");
    // Also where its name is sent to the list; only another browser knows all of it.
    let mut second = Somebody::sign_in(stage, Account::Member);
    let key = others(&list(stage, &mut second.person)).remove(0);
    let token = token(&list(stage, &mut ben.person));
    let body = format!("token={token}&id={key}");
    let out = post(stage, &[SAME_ORIGIN, &ben.cookie], &body);
    assert_eq!(out.status(), 303, "{}", out.text());
    let location = out.header("location").unwrap();
    assert!(
        location.starts_with(&stage.faulty.provider.issuer()),
        "{location}"
    );
    assert!(
        out.header("set-cookie")
            .unwrap()
            .starts_with("headwarden=;")
    );
    assert!(!ben.is_in(stage));
    assert!(scene.audit().last().unwrap().contains("act=\"signed_out\""));
}

#[test]
fn without_a_session_the_list_asks_for_a_sign_in_and_leads_back() {
    let scene = Scene::start("", &More::default());
    let stage = &scene.stage;
    stage.is_at_the_provider(Account::Member);
    let mut person = Person::new();
    let page = person.open(&stage.house.url(LIST));
    assert_eq!(
        (page.status(), page.url.path()),
        (200, LIST),
        "{}",
        page.text()
    );
    assert!(page.text().contains("This browser"));
    assert_eq!(ask(&stage.house, "GET", LIST, &[]).status(), 401);
    // A form that was open while another browser ended the session.
    let answer = post(stage, &[SAME_ORIGIN], "token=x&others=yes");
    assert_eq!(
        (answer.status(), answer.header("location")),
        (303, Some(LIST))
    );
    // It is linked from where people sign out.
    let asked = person.open(&stage.house.url("/.headwarden/logout"));
    assert!(asked.links().iter().any(|link| link.path() == LIST));
}

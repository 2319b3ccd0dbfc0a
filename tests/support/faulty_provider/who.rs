//! The page that asks who is there, for people: each of the three is a link.

use std::fmt::Write as _;

use url::form_urlencoded::Serializer;

use super::answers::Fields;
use super::people::Person;

/// The parameter that a link of the page adds.
const CHOSEN: &str = "who";
/// Remembers who was chosen, until the end of the session.
const COOKIE: &str = "provider_person";

const STYLE: &str = "body{font:17px/1.5 system-ui,sans-serif;max-width:30rem;margin:12vh auto;\
    padding:0 1rem;background:#fffaf2;color:#2b2118}a{display:block;margin:.75rem 0;padding:.75rem \
    1rem;border:1px solid #d8c7ae;border-radius:.5rem;background:#fff;color:inherit;\
    text-decoration:none}a:hover{border-color:#b4551b}small{display:block;color:#6b5a48}";

/// Who is there, as far as a browser can tell.
pub(super) enum Known {
    /// Somebody who says so now.
    Chosen(Person),
    /// Somebody who said so before, and need not say it again.
    Remembered(Person),
    /// Nobody: ask.
    Nobody,
}

/// Whom an authorization request is from.
pub(super) fn known(query: &Fields, cookies: &str) -> Known {
    if let Some(person) = query.get(CHOSEN).and_then(|name| Person::hinted(name)) {
        return Known::Chosen(person);
    }
    let asked_again = query.get("prompt").is_some_and(|prompt| prompt == "login");
    let remembered = cookies
        .split("; ")
        .filter_map(|cookie| cookie.split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, name)| Person::hinted(name));
    match remembered {
        Some(person) if !asked_again => Known::Remembered(person),
        _ => Known::Nobody,
    }
}

/// The `Set-Cookie` that remembers somebody, or with `None` forgets whoever it was.
pub(super) fn cookie(person: Option<Person>) -> String {
    let (name, age) = person.map_or(("", "; Max-Age=0"), |person| (person.username(), ""));
    format!("{COOKIE}={name}; Path=/application/o/; HttpOnly; SameSite=Lax{age}")
}

/// The page: the same request again, with an answer in it.
pub(super) fn page(query: &Fields) -> String {
    let people = [
        (
            Person::Admin,
            "may use the tailnet, and the page for admins",
        ),
        (Person::Member, "may use the tailnet"),
        (Person::Outsider, "has an account here, and no access there"),
    ];
    let mut links = String::new();
    for (person, what) in people {
        let (name, email) = (person.username(), person.email());
        let mut again = Serializer::new(String::new());
        again.extend_pairs(query).append_pair(CHOSEN, name);
        let again = again.finish().replace('&', "&amp;");
        let _ = write!(
            links,
            "<a href=\"?{again}\">{name}<small>{email}: {what}</small></a>"
        );
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\">\
         <title>Who are you?</title><style>{STYLE}</style><h1>Who are you?</h1>\
         <p>This is the identity provider. No passwords here: choose.</p>{links}</html>"
    )
}

//! The whole house on this machine, to look at: `tests/demo.sh`. A certified OpenID provider that looks
//! like authentik, a Headscale stand-in, and Headwarden between them, on free ports of loopback.
#![cfg(test)]

mod support;

use std::io;

use support::certified_provider::{MEMBER, OUTSIDER};
use support::person::{Page, Person};
use support::tailnet::{AUTH_ID, Tailnet};

/// A link for whoever looks; the walk uses up the other one.
const YOUR_LINK: &str = "/register/hskey-authreq-76543210fedcba9876543210";

fn main() {
    println!("Starting an OpenID provider, a Headscale stand-in, and Headwarden between them …\n");
    let tailnet = Tailnet::start("v0.29.2");
    walk(&tailnet);
    if !std::env::args().any(|argument| argument == "--walk") {
        invite(&tailnet);
    }
}

/// What happens when a device joins, hop by hop.
fn walk(tailnet: &Tailnet) {
    let link = format!("/register/{AUTH_ID}");
    println!("1. mia's laptop ran `tailscale up` and shows a link. She opens it:");
    let mut mia = Person::new();
    let sign_in = mia.open(&tailnet.house.url(&link));
    tell(&sign_in);
    println!("2. She has no session, so this is the provider. She signs in:");
    let asked = mia.fill_in(&sign_in, "login", &[("username", MEMBER)]);
    tell(&asked);
    println!("3. That was Headscale, asking Headwarden who she is, and then her. She says yes:");
    let done = mia.fill_in(&asked, "", &[]);
    tell(&done);
    for user in tailnet.headscale.users() {
        let email = user.email.unwrap_or_default();
        println!(
            "   Headscale's user: {} <{email}>, groups {:?}",
            user.name, user.groups
        );
        println!("   known by:         {}", user.provider_identifier);
    }
    println!("4. olaf has an account at the provider and is in no group. He opens the same link:");
    let mut olaf = Person::new();
    tell(&tailnet.sign_in(&mut olaf, &link, OUTSIDER));
    let nodes = tailnet.headscale.nodes().len();
    println!("   Headscale never heard of him: it has {nodes} node.\n");
}

fn tell(page: &Page) {
    for hop in &page.hops {
        let (host, path) = (hop.url.authority(), hop.url.path());
        // Some paths end in a long id.
        let shown = path
            .get(..46)
            .map_or(path.to_owned(), |head| format!("{head}…"));
        println!("   {} {host}{shown} -> {}", hop.method, hop.status);
    }
    println!("   {} {}", page.status(), title(&page.text()));
}

fn title(html: &str) -> &str {
    html.split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map_or("(no title)", |(title, _)| title.trim())
}

fn invite(tailnet: &Tailnet) {
    println!("Now you, in a browser on this machine:");
    println!(
        "  a page behind the wall   {}",
        tailnet.house.url("/windows")
    );
    println!(
        "  a device that joins      {}",
        tailnet.house.url(YOUR_LINK)
    );
    println!(
        "  signing out              {}",
        tailnet.house.url("/.headwarden/logout")
    );
    let admin = tailnet.house.plan.admin;
    println!("  readiness, metrics       http://{admin}/readyz  http://{admin}/metrics");
    println!(
        "People: mia (group headscale), dominic (headscale-admins too), olaf (none). No passwords."
    );
    println!("\nPress Enter to end.");
    let _ = io::stdin().read_line(&mut String::new());
}

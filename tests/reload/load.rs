//! Under load: nothing that is open, and nothing that comes meanwhile, is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground, NO_LIMITS};
use crate::stage::request;
use crate::support::house::More;
use crate::support::raw::Raw;

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 8;
const TUNNELS: usize = 100;
/// Each tunnel is used before, between and after.
const DERP: &[u8] =
    b"GET /derp HTTP/1.1\r\nHost: derp\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n";

#[test]
fn ten_thousand_requests_and_a_hundred_tunnels_pass_through_reloads_and_none_is_lost() {
    let top = [
        BY_SIGNAL,
        NO_LIMITS,
        "access: [{ path: /admin/**, upstream: \"{headscale}\", groups: [headscale-admins] }]\n",
    ];
    let ground = Ground::start(&More::default(), &top.concat());
    let member = ground.sign_in(Account::Member);
    let mut tunnels: Vec<Raw> = (0..TUNNELS).map(|_| tunnel(&ground)).collect();
    let kinds = [
        ("/windows", &[&*member][..], 200),
        ("/key?v=138", &[], 200),
        ("/.headwarden/logout", &[&*member], 200),
        ("/admin/x", &[&*member], 403),
        ("/nothing", &[], 401),
    ];
    let requests: Vec<(Vec<u8>, u16)> = kinds
        .iter()
        .map(|(target, lines, status)| (request(ground.house(), "GET", target, lines), *status))
        .collect();
    let (left, requests) = (Arc::new(AtomicUsize::new(REQUESTS)), Arc::new(requests));
    let to = ground.house().plan.public;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (left, requests) = (Arc::clone(&left), Arc::clone(&requests));
            std::thread::spawn(move || {
                let mut raw = Raw::connect(to).expect("it listens");
                let mut passed = 0;
                while let Ok(number) =
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
                {
                    let (bytes, status) = &requests[number % requests.len()];
                    let answer = raw.exchange(bytes).expect("an answer to every request");
                    assert_eq!(
                        answer.status(),
                        *status,
                        "{}",
                        String::from_utf8_lossy(bytes)
                    );
                    passed += 1;
                }
                passed
            })
        })
        .collect();
    // Between two configurations that let these pass, for as long as there are requests.
    let other = ground.with("groups: [headscale-admins]", "users: [ada@company.example]");
    let mut reloads = 0;
    while left.load(Ordering::Relaxed) > 0 || reloads < 4 {
        ground.change_to(if reloads % 2 == 0 {
            &other
        } else {
            &ground.text
        });
        reloads += 1;
        for tunnel in &mut tunnels {
            assert!(
                is_alive(tunnel, reloads),
                "a tunnel was lost at reload {reloads}"
            );
        }
    }
    let passed: usize = clients
        .into_iter()
        .map(|client| client.join().expect("all pass"))
        .sum();
    assert_eq!(passed, REQUESTS);
    println!("{passed} requests and {TUNNELS} tunnels through {reloads} reloads");
    let status = ground.status();
    assert_eq!(status["tunnels_open"], TUNNELS, "{status}");
    assert_eq!(status["sessions"], 1, "{status}");
}

fn tunnel(ground: &Ground) -> Raw {
    let mut raw = Raw::connect(ground.house().plan.public).expect("it listens");
    raw.send(DERP).expect("it is taken");
    assert_eq!(raw.read_head().expect("an answer").status, 101);
    raw
}

fn is_alive(tunnel: &mut Raw, number: usize) -> bool {
    let word = format!("through {number:06}");
    tunnel.send(word.as_bytes()).is_ok() && hears(tunnel, word.as_bytes())
}

/// Whether it ends with `word` what comes next; the stand-in may say something of its own first.
fn hears(tunnel: &mut Raw, word: &[u8]) -> bool {
    let mut heard = Vec::new();
    while !heard.ends_with(word) {
        match tunnel.read_some() {
            Ok(some) if !some.is_empty() => heard.extend(some),
            _ => return false,
        }
    }
    true
}

//! What a service manager hears, and what it passes on: a stand-in for systemd's socket, and systemd's own
//! tool for socket activation.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, Plan, free_addresses};
use crate::support::raw::Raw;

const NOWHERE: &str = "http://127.0.0.1:9/";
const KEY: &[u8] = b"GET /key?v=140 HTTP/1.1\r\nHost: a\r\n\r\n";

fn alone(plan: &Plan, headscale: &str, top: &'static str) -> String {
    let more = More {
        sign_in: "none",
        top,
        waits_for_provider: false,
        ..More::default()
    };
    plan.config(headscale, NOWHERE, &more)
}

/// Where a service manager listens.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _files: tempfile::TempDir,
}

impl Manager {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        Self {
            socket,
            path,
            _files: files,
        }
    }

    /// The next message that is none of these.
    fn hears(&self, other_than: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).expect("it is told in time");
            let text = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
            if text != other_than {
                return text;
            }
        }
    }

    fn has_heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let nothing = self.socket.recv(&mut [0; 64]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        nothing
    }
}

#[test]
fn the_manager_hears_when_everything_is_open_and_when_the_end_begins() {
    let manager = Manager::start();
    let mut waiting = House::launch_in(
        |plan| plan.config(NOWHERE, NOWHERE, &More::default()),
        &[],
        |_, command| {
            command.env("NOTIFY_SOCKET", &manager.path);
        },
    );
    waiting.wait_for_log("no discovery");
    assert!(manager.has_heard_nothing(), "it is not ready");
    drop(waiting);

    let mut house = House::launch_in(
        |plan| alone(plan, NOWHERE, "shutdown: { lead: 5m }\n"),
        &[],
        |_, command| {
            command.env("NOTIFY_SOCKET", &manager.path);
        },
    );
    assert_eq!(manager.hears(""), "READY=1");
    assert!(Raw::connect(house.plan.public).is_ok());
    house.signal("TERM");
    assert_eq!(manager.hears(""), "STOPPING=1");
    assert!(
        Raw::connect(house.plan.public).is_ok(),
        "the lead is not over"
    );
    house.signal("TERM");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
}

#[test]
fn the_watchdog_is_told_as_often_as_it_wants_and_only_of_the_process_it_watches() {
    let manager = Manager::start();
    let mut house = House::launch_in(
        |plan| alone(plan, NOWHERE, ""),
        &[],
        |_, command| {
            command
                .env("NOTIFY_SOCKET", &manager.path)
                .env("WATCHDOG_USEC", "300000");
        },
    );
    house.wait_for_log("serving");
    for _ in 0..5 {
        assert_eq!(manager.hears("READY=1"), "WATCHDOG=1");
    }
    drop(house);
    let manager = Manager::start();
    let mut house = House::launch_in(
        |plan| alone(plan, NOWHERE, ""),
        &[],
        |_, command| {
            command
                .env("NOTIFY_SOCKET", &manager.path)
                .env("WATCHDOG_USEC", "1000")
                .env("WATCHDOG_PID", "1");
        },
    );
    house.wait_for_log("serving");
    house.signal("TERM");
    let all = [manager.hears(""), manager.hears("")];
    assert_eq!(all, ["READY=1", "STOPPING=1"]);
}

/// Under systemd's tool, which opens these and starts the process with the first connection.
fn activated(
    sockets: impl Fn(&Plan) -> Vec<SocketAddr>,
    config: impl FnOnce(&Plan) -> String,
) -> House {
    House::launch_in(config, &[], |plan, command| {
        command.args(["systemd-socket-activate", "-E", "HEADWARDEN_LOG_LEVEL"]);
        for address in sockets(plan) {
            command.args(["-l", &address.to_string()]);
        }
    })
}

#[test]
fn sockets_that_systemd_opened_are_served_and_who_came_before_the_process_is_answered() {
    let headscale = HeadscaleStandin::start(Options::default());
    let sockets = |plan: &Plan| vec![plan.admin, plan.public];
    let url = headscale.url();
    let mut house = activated(sockets, |plan| alone(plan, &url, ""));
    house.wait_for_log("Listening on");
    let mut first = loop {
        if let Ok(raw) = Raw::connect(house.plan.public) {
            break raw;
        }
    };
    first.send(KEY).unwrap();
    assert_eq!(first.read_response("GET").unwrap().status(), 200);
    assert!(house.log().contains("serving"), "{}", house.log());
    let live = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = Raw::connect(house.plan.admin).unwrap().exchange(live);
    assert_eq!(answer.unwrap().status(), 200);
    house.signal("TERM");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
}

#[test]
fn a_socket_that_no_listener_has_ends_the_start() {
    let [other] = free_addresses();
    let mut house = activated(
        |plan| vec![plan.public, other],
        |plan| alone(plan, NOWHERE, ""),
    );
    house.wait_for_log("Listening on");
    while Raw::connect(other).is_err() {}
    assert_eq!(house.wait().code(), Some(3), "{}", house.log());
    assert!(house.log().contains(&other.to_string()), "{}", house.log());
}

#[test]
fn what_was_passed_to_another_process_is_left_alone() {
    let mut house = House::launch_in(
        |plan| alone(plan, NOWHERE, ""),
        &[],
        |_, command| {
            command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
        },
    );
    house.wait_for_log("serving");
}

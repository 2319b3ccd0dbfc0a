use super::*;
use crate::config::HostField;
use crate::domain::rewrite::Rewrite;

fn backend(count: u16, balance: Balance) -> Arc<Backend> {
    let addresses = (0..count).map(|place| Upstream {
        tls: false,
        host: "127.0.0.1".to_owned(),
        port: 3000 + place,
        ca_path: None,
    });
    let settings = WebUi {
        addresses: addresses.collect(),
        server_name: None,
        balance,
        connect_timeout: None,
        response_timeout: Duration::from_mins(5),
        rewrite: Rewrite::default(),
        host: HostField::Public,
        health: None,
    };
    let origin = |upstream: &Upstream, name: Option<&str>, timeout| {
        Origin::verifying(upstream.clone(), name, timeout).map(Arc::new)
    };
    Arc::new(Backend::new(&settings, Duration::from_secs(1), &origin).unwrap())
}

fn port(pick: Option<&Pick>) -> Option<u16> {
    pick.and_then(Pick::origin)
        .map(|origin| origin.port() - 3000)
}

fn ports(backend: &Arc<Backend>, count: usize) -> Vec<Option<u16>> {
    (0..count).map(|_| port(backend.pick().as_ref())).collect()
}

fn set_healthy(backend: &Backend, place: usize, healthy: bool) {
    backend.members[place]
        .healthy
        .store(healthy, Ordering::Relaxed);
}

#[test]
fn addresses_take_turns_or_stand_in_for_each_other_as_configured() {
    for (balance, expected) in [
        (Balance::RoundRobin, [0, 1, 2, 0, 1, 2]),
        (Balance::First, [0; 6]),
    ] {
        let backend = backend(3, balance);
        assert_eq!(ports(&backend, 6), expected.map(Some), "{balance:?}");
    }
}

#[test]
fn the_address_with_the_fewest_open_requests_gets_the_next() {
    let backend = backend(3, Balance::LeastConnections);
    let mut held: Vec<Pick> = (0..6).filter_map(|_| backend.pick()).collect();
    let mut all: Vec<_> = held.iter().map(|pick| port(Some(pick))).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 0, 1, 1, 2, 2].map(Some));
    held.retain(|pick| port(Some(pick)) != Some(1));
    let next: Vec<Pick> = (0..2).filter_map(|_| backend.pick()).collect();
    assert!(next.iter().all(|pick| port(Some(pick)) == Some(1)));
    drop((held, next));
    let open = backend
        .members
        .iter()
        .map(|member| member.open.load(Ordering::Relaxed));
    assert_eq!(open.collect::<Vec<_>>(), [0; 3]);
}

#[test]
fn an_address_without_a_connection_is_passed_over_and_each_is_tried_once() {
    let backend = backend(3, Balance::First);
    let first = backend.pick().unwrap();
    let second = first.next("x").unwrap();
    let third = second.next("x").unwrap();
    assert_eq!(
        [&first, &second, &third].map(|pick| port(Some(pick))),
        [0, 1, 2].map(Some)
    );
    // The request ends there.
    assert!(third.next("x").is_none());
    // All are passed over: the one that failed first is tried again.
    backend.members[0]
        .passed_over_until
        .store(5, Ordering::Relaxed);
    backend.members[1]
        .passed_over_until
        .store(u64::MAX, Ordering::Relaxed);
    backend.members[2]
        .passed_over_until
        .store(u64::MAX, Ordering::Relaxed);
    assert_eq!(ports(&backend, 2), [Some(0); 2]);
    backend.members[0]
        .passed_over_until
        .store(u64::MAX - 1, Ordering::Relaxed);
    assert_eq!(ports(&backend, 2), [Some(0); 2]);
    backend.members[2]
        .passed_over_until
        .store(0, Ordering::Relaxed);
    assert_eq!(ports(&backend, 2), [Some(2); 2]);
}

#[test]
fn an_address_that_fails_its_checks_gets_nothing_and_where_all_do_there_is_none() {
    let backend = backend(2, Balance::RoundRobin);
    set_healthy(&backend, 0, false);
    assert_eq!(ports(&backend, 3), [Some(1); 3]);
    assert!(backend.pick().unwrap().next("x").is_none());
    set_healthy(&backend, 1, false);
    assert_eq!(ports(&backend, 2), [None; 2]);
    set_healthy(&backend, 0, true);
    assert_eq!(ports(&backend, 2), [Some(0); 2]);
    let health: Vec<_> = backend.health().collect();
    let expected = [("127.0.0.1:3000", true), ("127.0.0.1:3001", false)];
    assert_eq!(
        health,
        expected.map(|(at, healthy)| (at.to_owned(), healthy))
    );
}

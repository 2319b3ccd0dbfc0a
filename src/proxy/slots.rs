//! How many connections one client address may hold at a time.
//!
//! For IPv6 that is a /64, and beside it the /48 it is in: a line may bring hundreds of /64s, and nobody
//! should fill the house from one line.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::client_ip::limit_key;

/// How many times the places of one /64 all of a /48 have together.
const WIDER: u32 = 8;

/// Counts connections by address (by /64 and by /48 for IPv6).
#[derive(Debug)]
pub struct Slots {
    most: AtomicU32,
    taken: Mutex<HashMap<Counted, u32>>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Address(IpAddr),
    /// The /48 of an IPv6 address.
    Site(u64),
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    counted: [Option<Counted>; 2],
}

impl Slots {
    /// At most `most` for each address, and eight times as many for a whole /48 of IPv6.
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicU32::new(most),
            taken: Mutex::default(),
        })
    }

    /// At most `most` from now on; those who have more keep them.
    pub fn change(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Takes a place, unless the address, or its /48, has all of its own already.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = limit_key(address);
        let site = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Counted::Site(site(address))),
        };
        let one = self.most.load(Ordering::Relaxed);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = [Some(Counted::Address(address)), site];
        let room = |counted: &Counted| {
            let most = match counted {
                Counted::Address(_) => one,
                Counted::Site(_) => one.saturating_mul(WIDER),
            };
            taken.get(counted).is_none_or(|count| *count < most)
        };
        if !counted.iter().flatten().all(room) {
            return None;
        }
        for counted in counted.iter().flatten() {
            *taken.entry(*counted).or_default() += 1;
        }
        Some(Slot {
            slots: Arc::clone(self),
            counted,
        })
    }
}

fn site(address: Ipv6Addr) -> u64 {
    let [a, b, c, ..] = address.segments();
    [a, b, c]
        .iter()
        .fold(0, |site, part| (site << 16) | u64::from(*part))
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self
            .slots
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for counted in self.counted.iter().flatten() {
            if let Some(count) = taken.get_mut(counted) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    taken.remove(counted);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_places_back_and_no_others() {
        let slots = Slots::new(2);
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = slots.take(a).unwrap();
        let _second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none());
        assert!(slots.take(b).is_some(), "another address is not affected");
        drop(first);
        assert!(slots.take(a).is_some());
    }

    #[test]
    fn fewer_places_take_nothing_away_from_those_who_have_them() {
        let slots = Slots::new(3);
        let address = "192.0.2.1".parse().unwrap();
        let mut held: Vec<Slot> = (0..3).filter_map(|_| slots.take(address)).collect();
        slots.change(1);
        assert!(slots.take(address).is_none());
        held.truncate(1);
        assert!(
            slots.take(address).is_none(),
            "the one that is left fills it"
        );
        held.clear();
        assert!(slots.take(address).is_some());
        slots.change(2);
        let both = (slots.take(address), slots.take(address));
        assert!(both.0.is_some() && both.1.is_some());
    }

    #[test]
    fn nothing_is_remembered_of_addresses_that_left() {
        let slots = Slots::new(2);
        drop(slots.take("192.0.2.1".parse().unwrap()));
        assert!(slots.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn one_line_of_ipv6_does_not_fill_the_house_by_its_many_networks() {
        let slots = Slots::new(2);
        let network = |site: u16, number: u16| {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, site, number, 0, 0, 0, 1))
        };
        let held: Vec<Slot> = (0..100)
            .filter_map(|number| slots.take(network(1, number)))
            .collect();
        assert_eq!(held.len(), 16);
        assert!(
            slots.take(network(2, 0)).is_some(),
            "a neighbour has its own"
        );
        drop(held);
        assert!(slots.take(network(1, 99)).is_some());
        assert!(
            slots.taken.lock().unwrap().is_empty(),
            "all were given back"
        );
    }
}

//! The ways between our own pages, in the frame of those that only somebody sees who is signed in.

use super::{DEVICES, DEVICES_ADD, LOGOUT, SESSIONS};

/// Which of our pages one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The person's own devices.
    Devices,
    /// Something about devices that is not that list.
    BelowDevices,
    /// How to add a device.
    AddDevice,
    /// The person's own sessions.
    Sessions,
    /// The question whether to sign out.
    SignOut,
    /// None of those.
    Elsewhere,
}

/// How near a way is to where somebody is, in the words of `aria-current`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// It leads to the page itself.
    Page,
    /// It leads to what the page belongs to.
    Near,
    /// It leads elsewhere.
    No,
}

/// One way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) href: &'static str,
    /// The catalogue's key of what it says.
    pub(super) key: &'static str,
    pub(super) here: Here,
}

impl Way {
    pub(super) fn is_page(&self) -> bool {
        self.here == Here::Page
    }

    pub(super) fn is_near(&self) -> bool {
        self.here == Here::Near
    }
}

/// The ways from `place`. Where nobody's devices can be shown, it is how to add one that is left of them.
pub(super) fn ways(place: Place, shows_devices: bool) -> [Way; 3] {
    let at = |own: Place| {
        if place == own { Here::Page } else { Here::No }
    };
    let of_devices = match place {
        Place::Devices => Here::Page,
        Place::BelowDevices | Place::AddDevice => Here::Near,
        Place::Sessions | Place::SignOut | Place::Elsewhere => Here::No,
    };
    let (href, key, here) = if shows_devices {
        (DEVICES, "nav.devices", of_devices)
    } else {
        (DEVICES_ADD, "nav.add", at(Place::AddDevice))
    };
    [
        Way { href, key, here },
        Way {
            href: SESSIONS,
            key: "nav.sessions",
            here: at(Place::Sessions),
        },
        Way {
            href: LOGOUT,
            key: "nav.sign-out",
            here: at(Place::SignOut),
        },
    ]
}

//! What every request counts in: the series of each door, found once and kept. To look a series up by its
//! labels takes a lock, a hash and a copy.

use super::label::{CLASSES, DOORS};
use crate::domain::door::Door;

/// One for each of [`DOORS`].
#[derive(Debug)]
pub(super) struct ByDoor<T>([T; DOORS.len()]);

impl<T> ByDoor<T> {
    /// What `find` gives for each label.
    pub(super) fn of(find: impl Fn(&'static str) -> T) -> Self {
        Self(DOORS.map(find))
    }

    /// That of `door`.
    pub(super) const fn at(&self, door: &Door) -> &T {
        let [machine, open, own, api, guarded, closed] = &self.0;
        match door {
            Door::Machine(_) => machine,
            Door::Open | Door::NoContent | Door::Verify => open,
            Door::Own(_) => own,
            Door::Api(_) => api,
            Door::ApiDocs | Door::Guarded(_) => guarded,
            Door::Closed => closed,
        }
    }
}

/// One for each of [`CLASSES`].
#[derive(Debug)]
pub(super) struct ByClass<T>([T; CLASSES.len()]);

impl<T> ByClass<T> {
    /// What `find` gives for each label.
    pub(super) fn of(find: impl Fn(&'static str) -> T) -> Self {
        Self(CLASSES.map(find))
    }

    /// That of a status code.
    pub(super) const fn at(&self, status: u16) -> &T {
        let [interim, good, elsewhere, refused, failed] = &self.0;
        match status {
            ..200 => interim,
            200..300 => good,
            300..400 => elsewhere,
            400..500 => refused,
            500.. => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::door::{ApiKind, Guarded, Own, Tunnel};

    #[test]
    fn each_door_and_each_status_finds_its_own_label() {
        let doors = ByDoor::of(|label| label);
        for door in [
            Door::Machine(Tunnel::Derp),
            Door::Open,
            Door::NoContent,
            Door::Verify,
            Door::Own(Own::Callback),
            Door::Api(ApiKind::V1),
            Door::ApiDocs,
            Door::Guarded(Guarded::Page),
            Door::Closed,
        ] {
            assert_eq!(*doors.at(&door), door.label());
        }
        let classes = ByClass::of(|label| label);
        for (status, label) in [
            (101, "1xx"),
            (200, "2xx"),
            (299, "2xx"),
            (303, "3xx"),
            (404, "4xx"),
            (499, "4xx"),
            (502, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(*classes.at(status), label);
        }
    }
}

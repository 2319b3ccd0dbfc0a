//! File descriptors: a connection takes one, its way to an upstream another.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections at a time, where there are descriptors enough: what they take in memory is bounded by this.
const MOST_CONNECTIONS: u64 = 50_000;
/// Descriptors that are no client's: files, listeners, connections to the provider and to Redis, and those
/// that pingora keeps to upstreams.
const OURS: u64 = 256;

/// Lets this process have as many as it may. What a shell or a container grants at first is often 1,024: it
/// protects programs that use select(2), and this is none.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Where it is not granted, we go on with what there is.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// How many connections there may be at a time, so that a descriptor is left for each one's way to an
/// upstream, and for everything else.
pub(super) fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let most = for_descriptors(limit);
    tracing::info!(
        connections = most,
        descriptors = limit,
        "places for clients"
    );
    most
}

fn for_descriptors(limit: Option<u64>) -> usize {
    let most = limit.map_or(MOST_CONNECTIONS, |limit| {
        (limit.saturating_sub(OURS) / 2).clamp(1, MOST_CONNECTIONS)
    });
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_a_descriptor_for_its_way_on() {
        for (limit, expected) in [
            (None, 50_000),
            (Some(524_288), 50_000),
            (Some(20_000), 9_872),
            (Some(1_024), 384),
            (Some(100), 1),
        ] {
            assert_eq!(for_descriptors(limit), expected, "{limit:?}");
        }
    }
}

//! What a service manager hears of us, by the protocol of `sd_notify(3)`. Without one (`NOTIFY_SOCKET` is not set)
//! every word here is lost, and nothing fails: a manager that cannot be told is no reason to stop serving.

use std::time::Duration;

use sd_notify::NotifyState;

use super::pulse::Pulse;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The start is over, or a reload.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Configuration and certificates are read again; [`ready`] says when that is over.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told"),
    }
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the service from now on.
pub fn main_process(id: u32) {
    tell(&[NotifyState::MainPid(id)]);
}

/// Says that all is well, as often as the manager's watchdog wants, for as long as it is: while this runtime
/// runs tasks and every loop of `pulse` answers. Never ends; does nothing where there is no watchdog.
pub async fn watchdog(pulse: Pulse) {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return;
    };
    // Twice in the time there is, and what is asked for in one round is answered before the next.
    let mut rounds = tokio::time::interval((within / 3).max(Duration::from_millis(1)));
    let mut missed = false;
    loop {
        rounds.tick().await;
        if pulse.beat() {
            tell(&[NotifyState::Watchdog]);
            missed = false;
        } else if !std::mem::replace(&mut missed, true) {
            tracing::error!(
                "a listener does not answer: the watchdog is not told that all is well"
            );
        }
    }
}

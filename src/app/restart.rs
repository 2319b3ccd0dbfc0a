//! Sessions over a planned restart: taken back before anybody is served, written when nobody is any more.
//! Whatever goes wrong costs people a sign-in, and nothing else.

use std::sync::Arc;

use super::App;

impl App {
    /// Takes back the sessions that an earlier process of this deployment left.
    pub(super) async fn take_sessions_back(&self) {
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        let house = self.houses.now();
        let (now, most) = (house.clock.now(), self.settings.session.capacity);
        let sessions = Arc::clone(&house.sessions);
        let taken = tokio::task::spawn_blocking(move || {
            snapshot.check()?;
            let all = snapshot.take(now, most)?;
            let found = all.len();
            Ok::<_, crate::session::SnapshotError>((found, sessions.put_back(all)))
        });
        match taken.await {
            Ok(Ok((0, _))) => {}
            Ok(Ok((found, kept))) => {
                tracing::info!(
                    sessions = kept,
                    expired = found - kept,
                    "sessions taken back"
                );
            }
            Ok(Err(why)) => tracing::warn!(reason = %why, "people have to sign in again"),
            Err(why) => tracing::error!(reason = %why, "people have to sign in again"),
        }
    }

    /// Writes down who is in which group, and says whom nobody asks about any more.
    pub(super) async fn keep_people(&self) {
        let house = self.houses.now();
        house.rechecks.give_up();
        if let Err(why) = house.roll.keep().await {
            tracing::error!(%why, "who is in which group is not kept");
        }
    }

    /// Leaves the sessions for the next process.
    pub(super) async fn keep_sessions(&self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let house = self.houses.now();
        let all = match house.sessions.every().await {
            Ok(all) => all,
            Err(why) => {
                tracing::warn!(reason = %why, "no sessions are kept over the restart");
                return;
            }
        };
        let all: Vec<_> = all.iter().map(Into::into).collect();
        match snapshot.write(house.clock.now(), &all) {
            Ok(()) => tracing::info!(sessions = all.len(), "sessions kept for the next start"),
            Err(why) => tracing::warn!(reason = %why, "no sessions are kept over the restart"),
        }
    }
}

//! Where sessions and rules meet: what Headscale may be told about a person, at the moment it asks.

use std::sync::Arc;

use async_trait::async_trait;

use super::recheck::{Checked, Rechecks};
use crate::config::{Current, Settings};
use crate::domain::identity::Identity;
use crate::domain::session::Session;
use crate::domain::username::{self, UsernameError};
use crate::issuer::{Claims, Standing};
use crate::session::{SessionKey, Sessions};

/// Answers for the sessions of this process.
pub struct Standings {
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// Who is checked again.
    pub rechecks: Arc<Rechecks>,
    /// The rules and the naming, as they are when Headscale asks.
    pub settings: Current,
}

#[async_trait]
impl Standing for Standings {
    async fn claims(&self, holder: &str) -> Option<Claims> {
        let key = SessionKey::parse(holder).ok()?;
        // Where the store does not answer, nobody is vouched for.
        let live = self.sessions.find_by_key(&key).await.ok()??;
        let Checked::Good(live) = self.rechecks.check(live, None).await else {
            return None;
        };
        let settings = self.settings.now();
        settings.rules.decide(&live.session.identity).ok()?;
        claims(&settings, &live.session).ok()
    }
}

/// Why Headscale cannot be told about a person.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// Headscale would not take the name.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// Headscale could take the account for another one.
    #[error(transparent)]
    Subject(#[from] crate::issuer::SubjectError),
}

/// The user name that Headscale would know this person by.
pub fn username(settings: &Settings, who: &Identity) -> Result<String, UsernameError> {
    username::for_headscale(who, settings.oidc.strip_email_domain)
}

/// What Headscale may be told about the person of `session`.
pub fn claims(settings: &Settings, session: &Session) -> Result<Claims, ClaimsError> {
    let who = &session.identity;
    let expires_at = settings
        .oidc
        .use_expiry_from_token
        .then_some(session.token_expires_at);
    Ok(Claims::new(
        who,
        username(settings, who)?,
        settings.rules.email_verified_required,
        session.auth_time,
        expires_at,
    )?)
}

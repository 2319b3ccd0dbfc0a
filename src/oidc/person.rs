//! What a sign-in and a re-check have in common: whether to believe an ID token, with newer keys where
//! those might change the verdict, and who the claims say it is.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::claims::{self, Claims, Names};
use super::exchange::Tokens;
use super::id_token::{self, Expected, ExpectedNonce, TokenFault, Verified};
use super::provider::{Provider, Snapshot};
use crate::domain::hash::sha256;
use crate::domain::identity::{Identity, Subject};
use crate::domain::secret::Secret;
use crate::domain::session::Footing;

/// The scope of refresh tokens that outlive the session at the provider (OpenID Connect Core section 11).
const OFFLINE: &str = "offline_access";

/// A token that is not believed.
#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) fault: TokenFault,
    /// Newer keys might change the verdict, and could not be had now.
    pub(super) for_want_of_keys: bool,
}

impl From<TokenFault> for Unverified {
    fn from(fault: TokenFault) -> Self {
        Self {
            fault,
            for_want_of_keys: false,
        }
    }
}

impl Provider {
    /// Verifies an ID token that came with `access_token`; once more with newer keys, where those
    /// might change the verdict.
    pub(super) async fn verify(
        &self,
        snapshot: &Arc<Snapshot>,
        id_token: &Secret<String>,
        nonce: ExpectedNonce<'_>,
        access_token: &Secret<String>,
    ) -> Result<Verified, Unverified> {
        self.judge(snapshot, |snapshot| {
            self.verify_with(snapshot, id_token, nonce, access_token)
        })
        .await
    }

    fn verify_with(
        &self,
        snapshot: &Snapshot,
        id_token: &Secret<String>,
        nonce: ExpectedNonce<'_>,
        access_token: &Secret<String>,
    ) -> Result<Verified, TokenFault> {
        let settings = self.settings();
        let expected = Expected {
            issuer: &settings.issuer,
            client_id: &settings.client_id,
            hs256_secret: settings.allow_hs256.then_some(&settings.client_secret),
            algorithms: &snapshot.metadata().algorithms,
            nonce,
            access_token,
            now: self.now(),
        };
        id_token::verify(id_token.expose(), snapshot.keys(), &expected)
    }

    /// What is to be known later of a sign-in by these settings that brought `tokens`. Some providers grant
    /// no offline access without a question for consent (OpenID Connect Core section 11), and give a refresh
    /// token all the same.
    pub(super) fn footing(&self, tokens: &Tokens) -> Footing {
        let asked = self.settings().scope.iter().any(|name| name == OFFLINE);
        Footing {
            offline: asked && tokens.may_have(OFFLINE),
            in_doubt: false,
            read_by: Some(self.reads_by()),
        }
    }

    /// The settings by which claims are asked for and read, as a number: another one for others.
    pub(super) fn reads_by(&self) -> NonZeroU32 {
        let settings = self.settings();
        let by = (
            &settings.scope,
            &settings.groups_claim,
            &settings.username_claim,
        );
        let hash = sha256(format!("{by:?}").as_bytes());
        let number = hash
            .iter()
            .take(4)
            .fold(0, |number, byte| (number << 8) | u32::from(*byte));
        NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
    }

    /// Who it is: userinfo over the ID token's claims.
    pub(super) fn identity(
        &self,
        id_token: Claims,
        userinfo: Claims,
        subject: Subject,
    ) -> Identity {
        let settings = self.settings();
        let names = Names {
            username: &settings.username_claim,
            groups: &settings.groups_claim,
            kept: &settings.kept_claims,
        };
        let merged = claims::merge(id_token, userinfo);
        claims::identity(&merged, &settings.issuer, subject, names)
    }
}

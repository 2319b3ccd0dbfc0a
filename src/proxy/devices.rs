//! A person's own devices, at Headscale: shown to them, renamed, signed out and removed by them. Whose a
//! device is, is what Headscale says of its user (`headscale::provider_id`), and never a name or an address.
//! Whoever has a role on the API may look at the devices of others; to change them takes the role of an
//! administrator. A device that somebody may not see is as unknown as one that is not there.

mod change;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::house::{House, see_other};
use super::visit::Visit;
use crate::domain::door::Own;
use crate::domain::identity::{Identity, Subject};
use crate::domain::path::Target;
use crate::domain::return_to::ReturnTo;
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
use crate::headscale::{ApiError, Node, Support, System, User, is_theirs, provider_id, subject_of};
use crate::pages::{self, Ask, Changed, DEVICES, Device, NoDevices, Owner};
use crate::session::{Live, Purpose, State};

/// The page of everybody, where somebody who looks at others comes back to.
const PEOPLE: &str = "/.headwarden/devices/people";

/// Whoever looks at devices.
struct Viewer {
    live: Live,
    role: Role,
    /// By what Headscale knows them, or why it does not.
    id: Result<String, NoDevices>,
}

impl Viewer {
    fn who(&self) -> &Identity {
        &self.live.session.identity
    }

    /// Whether the device is theirs.
    fn owns(&self, node: &Node) -> bool {
        self.id.as_ref().is_ok_and(|id| is_theirs(node, id))
    }

    /// Whether they may look at everybody's.
    fn sees_all(&self) -> bool {
        self.role.allows(true)
    }

    /// Whether they may change everybody's.
    fn changes_all(&self) -> bool {
        self.role.allows(false)
    }

    /// Whether they may change the device. One with tags belongs to those, whoever added it: up to 0.27
    /// Headscale shows it as a person's all the same.
    fn may_change(&self, node: &Node) -> bool {
        self.changes_all() || self.is_own_business(node)
    }

    /// Whether it takes no role to change the device.
    fn is_own_business(&self, node: &Node) -> bool {
        self.owns(node) && node.tags.is_empty()
    }
}

impl House {
    /// `/.headwarden/devices` and what is below it.
    pub(super) async fn devices(&self, visit: &Visit, own: Own, body: &Bytes) -> Response<Bytes> {
        let asks = match own {
            Own::DevicesSignOut => Some(Ask::SignOut),
            Own::DevicesRemove => Some(Ask::Remove),
            _ => None,
        };
        let takes_forms = asks.is_some() || own == Own::Devices;
        let posts = match visit.head.method.as_str() {
            "GET" | "HEAD" => false,
            "POST" if !takes_forms => return self.method_not_allowed(visit, "GET"),
            "POST" if !visit.is_same_origin(&self.settings.server_url.origin) => {
                return self.cross_site(visit);
            }
            "POST" => true,
            _ if takes_forms => return self.method_not_allowed(visit, "GET, POST"),
            _ => return self.method_not_allowed(visit, "GET"),
        };
        let viewer = match self.viewer(visit, posts).await {
            Ok(viewer) => viewer,
            Err(answer) => return answer,
        };
        let answer = match (own, asks) {
            (_, asks) if posts => self.change_device(visit, &viewer, asks, body).await,
            (_, Some(ask)) => self.ask_about_device(visit, &viewer, ask).await,
            (Own::DevicesAdd, None) => Ok(self.how_to_add(visit)),
            (Own::DevicesPeople, None) => self.show_everybody(visit, &viewer).await,
            _ => {
                let user = visit.head.target.query_values("user");
                let changed = self.just_changed(visit);
                let user = user.first().map(String::as_str);
                self.show_devices(visit, &viewer, user, changed).await
            }
        };
        answer.unwrap_or_else(|answer| answer)
    }

    /// Session and rules.
    async fn viewer(&self, visit: &Visit, posts: bool) -> Result<Viewer, Response<Bytes>> {
        let live = match self.session(visit).await? {
            Some(live) => live,
            // Ended in the meantime: the list asks for a sign-in.
            None if posts => return Err(see_other(DEVICES)),
            None => return Err(self.ask_to_sign_in(visit)),
        };
        // Nothing is forwarded by it: to have one is what counts.
        let _permit = self.admit(visit, &live)?;
        Ok(Viewer {
            role: self.role(&live),
            id: self.known_as(&live.session.identity),
            live,
        })
    }

    /// What the API would ask of the sign-in of whoever has a role there: rules for its paths hold on what the
    /// page does by that role, too.
    ///
    /// # Errors
    /// As [`House::assured`]; a path that means nothing is not found.
    fn assured_by_role(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        method: &str,
        path: &str,
    ) -> Result<(), Response<Bytes>> {
        let (Ok(target), Some(home)) = (Target::parse(path.as_bytes()), ReturnTo::parse(PEOPLE))
        else {
            return Err(self.not_found(visit));
        };
        self.assured_at(visit, &viewer.live, (method, &target), home)
    }

    /// The same for a look at everybody's devices.
    fn assured_to_look(&self, visit: &Visit, viewer: &Viewer) -> Result<(), Response<Bytes>> {
        self.assured_by_role(visit, viewer, "GET", "/api/v1/node")?;
        self.assured_by_role(visit, viewer, "GET", "/api/v1/user")
    }

    fn known_as(&self, who: &Identity) -> Result<String, NoDevices> {
        let issuer = self
            .settings
            .headscale
            .sign_in
            .users_issuer(&who.issuer)
            .ok_or(NoDevices::NoSignIn)?;
        provider_id(issuer, &who.subject).ok_or(NoDevices::Subject)
    }

    /// Whether Headscale's API can be asked at all.
    fn can_ask(&self) -> Result<(), NoDevices> {
        if self.versions.current().support() == Support::TooOld {
            return Err(NoDevices::TooOld);
        }
        if self.api.key().is_set() {
            Ok(())
        } else {
            Err(NoDevices::NoKey)
        }
    }

    async fn nodes(
        &self,
        visit: &Visit,
        viewer: &Viewer,
    ) -> Result<Arc<Vec<Node>>, Response<Bytes>> {
        self.can_ask()
            .map_err(|why| self.no_devices(visit, viewer, why))?;
        let nodes = self.roster.nodes().await;
        nodes.map_err(|why| self.not_answered(visit, viewer, &why))
    }

    /// What devices run, where Headscale says it: from 0.30 on. No page fails for want of it.
    async fn systems(&self, visit: &Visit) -> Arc<Vec<System>> {
        if !self.versions.current().answers_with_problems() {
            return Arc::default();
        }
        let systems = self.roster.systems().await;
        systems.unwrap_or_else(|why| {
            tracing::debug!(request_id = visit.id, reason = %why, "what devices run is not known");
            Arc::default()
        })
    }

    async fn users(
        &self,
        visit: &Visit,
        viewer: &Viewer,
    ) -> Result<Arc<Vec<User>>, Response<Bytes>> {
        let users = self.roster.users().await;
        users.map_err(|why| self.not_answered(visit, viewer, &why))
    }

    /// The list: the viewer's own, or those of the user with the id `user`.
    async fn show_devices(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        user: Option<&str>,
        changed: Option<Changed>,
    ) -> Result<Response<Bytes>, Response<Bytes>> {
        if !visit.wants_page() {
            // An image or a frame of another page must not make new tokens, nor ask Headscale.
            return Ok(no_page(visit, changed));
        }
        if user.is_some() {
            if !viewer.sees_all() {
                return Err(self.not_found(visit));
            }
            self.assured_to_look(visit, viewer)?;
        }
        if let (None, Err(why)) = (user, &viewer.id) {
            return Err(self.no_devices(visit, viewer, *why));
        }
        let nodes = self.nodes(visit, viewer).await?;
        let users = match user {
            Some(_) => self.users(visit, viewer).await?,
            None => Arc::default(),
        };
        let of = users.iter().find(|known| Some(known.id.as_str()) == user);
        if user.is_some() && of.is_none() {
            return Err(self.not_found(visit));
        }
        let shown = |node: &&Node| match of {
            Some(of) => node.user.as_ref().is_some_and(|user| user.id == of.id),
            None => viewer.owns(node),
        };
        let mut list: Vec<&Node> = nodes.iter().filter(shown).collect();
        let now = self.clock.now();
        list.sort_by_key(|node| (rank(node, now), node.given_name.to_lowercase()));
        let systems = self.systems(visit).await;
        let known: HashMap<&str, &str> = systems.iter().map(|it| (&*it.id, &*it.os)).collect();
        let list = list.into_iter().map(|node| Device {
            system: known.get(&*node.id).copied().filter(|os| !os.is_empty()),
            ..device(viewer, node)
        });
        let list: Vec<Device<'_>> = list.collect();
        let token = self.device_token(visit, viewer).await?;
        let shown = pages::Devices {
            who: viewer.who(),
            of: of.map(owner),
            list: &list,
            number: page_number(visit),
            token: &token,
            sees_all: viewer.sees_all(),
            changes_all: viewer.changes_all(),
            changed,
            now,
        };
        Ok(self.page(visit, |context| pages::devices(context, &shown)))
    }

    /// A form's token, bound to the session.
    async fn device_token(
        &self,
        visit: &Visit,
        viewer: &Viewer,
    ) -> Result<String, Response<Bytes>> {
        let now = self.clock.now();
        let issue = |state: &mut State| {
            let random = self.random.as_ref();
            state
                .confirmations
                .issue(Purpose::Devices, None, random, now)
        };
        let token = self.sessions.with_state(&viewer.live, issue).await;
        token.map_err(|away| self.store_away(visit, away))
    }

    /// The question before a device is signed out or removed.
    async fn ask_about_device(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        ask: Ask,
    ) -> Result<Response<Bytes>, Response<Bytes>> {
        if !visit.wants_page() {
            return Ok(no_page(visit, None));
        }
        let ids = visit.head.target.query_values("id");
        let nodes = self.nodes(visit, viewer).await?;
        let node = nodes.iter().find(|node| ids == [node.id.as_str()]);
        let node = node.filter(|node| viewer.may_change(node));
        let Some(node) = node else {
            return Err(self.not_found(visit));
        };
        if !viewer.is_own_business(node) {
            self.assured_to_look(visit, viewer)?;
            let (method, path) = change::Change::of(ask).call(&node.id);
            self.assured_by_role(visit, viewer, method, &path)?;
        }
        let token = self.device_token(visit, viewer).await?;
        let asked = pages::AskDevice {
            ask,
            device: device(viewer, node),
            of: (!viewer.owns(node)).then(|| node.user.as_ref().map(owner)),
            token: &token,
        };
        Ok(self.page(visit, |context| pages::ask_device(context, &asked)))
    }

    fn how_to_add(&self, visit: &Visit) -> Response<Bytes> {
        let add = pages::AddDevice {
            server_url: &self.settings.server_url.origin,
            by_signing_in: self.headscale_signs_in(),
        };
        self.page(visit, |context| pages::add_device(context, &add))
    }

    /// Everybody whom Headscale knows, or whom a search finds by name or address.
    async fn show_everybody(
        &self,
        visit: &Visit,
        viewer: &Viewer,
    ) -> Result<Response<Bytes>, Response<Bytes>> {
        if !viewer.sees_all() {
            return Err(self.not_found(visit));
        }
        if !visit.wants_page() {
            return Ok(no_page(visit, None));
        }
        self.assured_to_look(visit, viewer)?;
        let nodes = self.nodes(visit, viewer).await?;
        let users = self.users(visit, viewer).await?;
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        for node in nodes.iter() {
            let id = node.user.as_ref().map_or("", |user| user.id.as_str());
            let count = counts.entry(id).or_default();
            count.0 += 1;
            count.1 += usize::from(rank(node, self.clock.now()) == 0);
        }
        let search = visit.head.target.query_values("search");
        let search = search.first().map_or("", |text| text.trim());
        let folded = search.to_lowercase();
        let found = |user: &&User| {
            let texts = [&user.name, &user.email];
            texts
                .iter()
                .any(|text| text.to_lowercase().contains(&folded))
        };
        let mut list: Vec<&User> = users.iter().filter(found).collect();
        list.sort_by_key(|user| (user.name.to_lowercase(), user.id.len(), user.id.clone()));
        let rows = list.into_iter().map(|user| {
            let (devices, online) = counts.get(user.id.as_str()).copied().unwrap_or_default();
            pages::PersonRow {
                owner: owner(user),
                devices,
                online,
            }
        });
        let rows: Vec<pages::PersonRow<'_>> = rows.collect();
        let shown = pages::Everybody {
            list: &rows,
            tagged: counts.get("").map_or(0, |count| count.0),
            search,
            number: page_number(visit),
        };
        Ok(self.page(visit, |context| pages::everybody(context, &shown)))
    }

    /// What a form just did, as the redirect behind it says. Only our own form is believed.
    fn just_changed(&self, visit: &Visit) -> Option<Changed> {
        let done = visit.head.target.query_values("done");
        let ours = visit.is_same_origin(&self.settings.server_url.origin);
        change::DONE
            .iter()
            .find(|(word, _)| ours && done == [*word])
            .map(|(_, changed)| *changed)
    }

    // ---- what is not shown ----------------------------------------------------------------

    fn no_devices(&self, visit: &Visit, viewer: &Viewer, why: NoDevices) -> Response<Bytes> {
        if why == NoDevices::NoKey {
            tracing::warn!(
                request_id = visit.id,
                "devices cannot be shown: set headscale.api_key, which they are asked for with"
            );
        }
        let again = if visit.is_safe() {
            visit.head.target.as_str()
        } else {
            DEVICES
        };
        let sees_all = viewer.sees_all();
        let page = |context: &pages::Context<'_>| pages::no_devices(context, why, again, sees_all);
        self.page_or_json(visit, page, why.code(), "devices cannot be shown")
    }

    /// Headscale was asked in vain. The log says why, the page only of what kind it is.
    fn not_answered(&self, visit: &Visit, viewer: &Viewer, why: &ApiError) -> Response<Bytes> {
        let kind = match why {
            ApiError::NotFound => return self.not_found(visit),
            ApiError::NoKey => return self.no_devices(visit, viewer, NoDevices::NoKey),
            ApiError::KeyRefused => {
                tracing::error!(
                    request_id = visit.id,
                    "headscale does not take headscale.api_key: it has ended, or is another headscale's"
                );
                NoDevices::Fault
            }
            ApiError::Fetch(_) => {
                tracing::warn!(request_id = visit.id, reason = %why, "headscale was not asked");
                NoDevices::Away
            }
            ApiError::Rejected { .. } | ApiError::Unreadable => {
                tracing::warn!(request_id = visit.id, reason = %why, "headscale did not do it");
                NoDevices::Fault
            }
        };
        self.no_devices(visit, viewer, kind)
    }

    /// Whose device it is, for the audit log: the subject where it is a person of ours.
    fn owner_of(&self, viewer: &Viewer, node: &Node) -> Option<String> {
        let user = node.user.as_ref()?;
        let issuer = self
            .settings
            .headscale
            .sign_in
            .users_issuer(&viewer.who().issuer);
        let subject = issuer.and_then(|issuer| subject_of(&user.provider_id, issuer));
        let subject: Option<Subject> = subject;
        Some(subject.map_or_else(
            || format!("user:{}", user.id),
            |subject| subject.to_string(),
        ))
    }
}

/// Connected ones first, those that have to sign in again last.
fn rank(node: &Node, now: Timestamp) -> u8 {
    match (node.expiry, node.online) {
        (Some(expiry), _) if expiry <= now => 2,
        (_, true) => 0,
        (_, false) => 1,
    }
}

fn device<'a>(viewer: &Viewer, node: &'a Node) -> Device<'a> {
    Device {
        id: &node.id,
        name: &node.given_name,
        hostname: &node.hostname,
        system: None,
        addresses: &node.addresses,
        tags: &node.tags,
        online: node.online,
        last_seen: node.last_seen,
        expiry: node.expiry,
        created_at: node.created_at,
        may_change: viewer.may_change(node),
    }
}

fn owner(user: &User) -> Owner<'_> {
    Owner {
        id: &user.id,
        name: &user.name,
        email: &user.email,
    }
}

fn page_number(visit: &Visit) -> usize {
    let numbers = visit.head.target.query_values("page");
    numbers
        .first()
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}

fn no_page(visit: &Visit, changed: Option<Changed>) -> Response<Bytes> {
    let (status, code, message) = if changed.is_some_and(|changed| !changed.is_done()) {
        let message = "nothing was changed";
        (StatusCode::BAD_REQUEST, "form_refused", message)
    } else {
        let message = "open this address in a browser";
        (StatusCode::FORBIDDEN, "browser_needed", message)
    };
    pages::json(status, code, message, &visit.id)
}

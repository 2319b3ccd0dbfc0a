//! The `access` rules of a path, and where they lead.

use super::super::identity_fields::identity_fields;
use super::super::ruling;
use super::judge::{Judge, Judged, denied};
use super::{AccessTold, Field, Outcome, lists};
use crate::config::Access;
use crate::domain::access::{self, Found, Holds};
use crate::domain::identity::Identity;
use crate::domain::methods::Methods;

impl Judge<'_> {
    /// A page that a rule opens to everybody.
    pub(super) fn public(&mut self) -> Option<Judged> {
        let (method, path) = (self.question.method, self.target.path());
        let place = ruling::public_rule(self.settings, method, path)?;
        let rule = self.settings.access.get(place)?;
        let told = self.access_told(place, rule, true, &self.session.identity);
        self.told.access.push(told);
        self.told.upstream = Some(self.upstream_of(Some(rule)));
        self.told.upstream_path = self.upstream_path(Some(rule));
        let why = format!(
            "anybody passes: access[{place}] ({}) is public, no session is looked at and no identity \
             told",
            rule.path
        );
        Some((Outcome::Allowed, why))
    }

    /// The rules for the path: those the gate asks, the one that routes, and the first that refuses.
    pub(super) fn access(&mut self) -> Option<Judged> {
        let (method, path) = (self.question.method, self.target.path());
        let mut asked: Vec<usize> = Vec::new();
        let found = ruling::walk(self.settings, method, path, |place, _| {
            if !asked.contains(&place) {
                asked.push(place);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(found) = found;
        let routes = match found {
            Found::Rule(place) => Some(place),
            Found::Nothing | Found::OtherMethods(_) => None,
        };
        let rules = &self.settings.access;
        let who = &self.session.identity;
        for place in asked {
            if let Some(rule) = rules.get(place) {
                let told = self.access_told(place, rule, routes == Some(place), who);
                self.told.access.push(told);
            }
        }
        let refusing = self.told.access.iter().find(|told| !told.admitted);
        if let Some(told) = refusing {
            return Some(denied(format!(
                "access[{}] ({}) asks for {} that this person has not",
                told.index,
                told.path,
                told.unmet.as_deref().unwrap_or("something")
            )));
        }
        if let Found::OtherMethods(methods) = found {
            return Some(self.other_methods(methods));
        }
        let rule = routes.and_then(|place| rules.get(place));
        if let Some(rule) = rule.filter(|rule| rule.upstream.is_some()) {
            let fields = identity_fields(&self.settings.rules, &rule.identity_headers, who);
            let fields = fields.map(|(name, value)| Field {
                name: name.clone().into_cow(),
                value,
            });
            self.told.identity_headers = fields.collect();
            self.told.assertion = rule.assertion.as_deref().map(str::to_owned);
        }
        self.told.upstream = Some(self.upstream_of(rule));
        self.told.upstream_path = self.upstream_path(rule);
        None
    }

    fn access_told(&self, index: usize, rule: &Access, routes: bool, who: &Identity) -> AccessTold {
        let rules = &self.settings.rules;
        let demands = &rule.demands;
        let claims = demands.claims.iter();
        let unmet = rules.meet(who, demands).err();
        AccessTold {
            index,
            path: rule.path.clone(),
            methods: rule.methods.to_string(),
            public: rule.public,
            exactly: access::holds(&rule.path, self.target.path()) == Holds::Exactly,
            routes,
            admitted: unmet.is_none(),
            unmet: unmet.map(|unmet| unmet.to_string()),
            groups: lists::groups_at(rules, who, &demands.groups),
            domains: lists::domains_at(rules, who, &demands.domains),
            users: lists::users_at(rules, who, &demands.users),
            claims: claims
                .map(|(name, wanted)| lists::claim(who, name, wanted))
                .collect(),
        }
    }

    fn upstream_of(&self, rule: Option<&Access>) -> String {
        match rule.and_then(|rule| rule.upstream.as_ref()) {
            Some(web_ui) => web_ui.authorities(),
            None => self.settings.headscale.upstream.authority(),
        }
    }

    /// What a web UI gets to see of the path, where that is another one.
    fn upstream_path(&self, rule: Option<&Access>) -> Option<String> {
        let web_ui = rule.and_then(|rule| rule.upstream.as_ref())?;
        let changed = Some(&web_ui.rewrite).filter(|it| !it.is_nothing())?;
        let target = changed.apply(self.target).ok()?;
        Some(target.as_str().to_owned())
    }

    pub(super) fn other_methods(&self, methods: Methods) -> Judged {
        let method = self.question.method;
        denied(format!(
            "the rules for this path are about {methods} only, so {method} is answered with 405"
        ))
    }

    /// As [`super::house::House::rule_of_open_path`] decides; else the methods that the rules mean.
    pub(super) fn upstream_of_open_path(&self) -> Result<(String, Option<String>), Methods> {
        let (method, path) = (self.question.method, self.target.path());
        let Ok(found) = ruling::walk(self.settings, method, path, |_, _| {
            Ok::<(), std::convert::Infallible>(())
        });
        let rule = match found {
            Found::Rule(place) => self.settings.access.get(place),
            Found::Nothing => None,
            Found::OtherMethods(methods) => return Err(methods),
        };
        Ok((self.upstream_of(rule), self.upstream_path(rule)))
    }
}

//! Three people: one who may do everything, one who may use the tailnet, one who may not.

use serde_json::{Map, Value, json};

/// Somebody with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    /// `ada`, in `headscale` and `headscale-admins`.
    Admin,
    /// `ben`, in `headscale`.
    Member,
    /// `eve`, in no group that matters, at another domain.
    Outsider,
}

impl Person {
    /// Who is meant by a `login_hint`: a user name or an e-mail address.
    pub(crate) fn hinted(hint: &str) -> Option<Self> {
        let all = [Self::Admin, Self::Member, Self::Outsider];
        all.into_iter()
            .find(|person| hint == person.username() || hint == person.email())
    }

    pub(crate) fn username(self) -> &'static str {
        match self {
            Self::Admin => "ada",
            Self::Member => "ben",
            Self::Outsider => "eve",
        }
    }

    pub(crate) fn email(self) -> &'static str {
        match self {
            Self::Admin => "ada@company.example",
            Self::Member => "ben@company.example",
            Self::Outsider => "eve@elsewhere.example",
        }
    }

    /// As authentik's default subject mode looks: 64 hexadecimal digits.
    pub(crate) fn subject(self) -> String {
        let digit = match self {
            Self::Admin => "a",
            Self::Member => "b",
            Self::Outsider => "e",
        };
        digit.repeat(64)
    }

    /// The claims of authentik's default scope mappings.
    pub(crate) fn claims(self) -> Map<String, Value> {
        let (name, groups) = match self {
            Self::Admin => ("Ada Admin", json!(["headscale", "headscale-admins"])),
            Self::Member => ("Ben Member", json!(["headscale"])),
            Self::Outsider => ("Eve Outsider", json!(["visitors"])),
        };
        let claims = json!({
            "email": self.email(),
            "email_verified": true,
            "name": name,
            "given_name": name,
            "preferred_username": self.username(),
            "nickname": self.username(),
            "groups": groups,
        });
        match claims {
            Value::Object(claims) => claims,
            _ => unreachable!(),
        }
    }
}

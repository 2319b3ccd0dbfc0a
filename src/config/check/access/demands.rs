//! Who a rule lets through: its lists, each for itself.

use std::collections::BTreeMap;

use super::super::super::file::{self, List, Scalar};
use super::super::super::report::Report;
use super::super::oidc::claim_name;
use super::super::rules::{check_each, domain_mistake, user_mistake};
use super::super::values::texts;
use crate::domain::claims::LONGEST_VALUE;
use crate::domain::demands::Demands;
use crate::domain::methods::{METHODS, Methods};

/// Most claims that one rule may name: sessions keep them.
const MOST_CLAIMS: usize = 8;

type Mistake = Option<(&'static str, &'static str)>;

/// The lists of a rule.
pub(super) fn demands(key: &str, entry: &mut file::Access, report: &mut Report) -> Option<Demands> {
    let groups = list(key, "groups", entry.groups.take(), star_mistake, report);
    let domains = list(
        key,
        "domains",
        entry.domains.take(),
        wild_domain_mistake,
        report,
    );
    let users = list(key, "users", entry.users.take(), wild_user_mistake, report);
    let claims = claims(&format!("{key}.claims"), entry.claims.take(), report);
    Some(Demands {
        groups: groups?,
        domains: domains?,
        users: users?,
        claims: claims?,
    })
}

/// The methods of a rule; all of them where it names none.
pub(super) fn methods(key: &str, written: List<String>, report: &mut Report) -> Option<Methods> {
    let key = format!("{key}.methods");
    if written.is_none() {
        return (!report.is_broken(&key)).then_some(Methods::ALL);
    }
    let names = texts(&key, written, report)?;
    if names.is_empty() {
        report.refuse_with(
            &key,
            "names no method",
            "remove the key: a rule is about all methods",
        );
        return None;
    }
    let mut all = Some(Methods::NONE);
    for (index, name) in names.iter().enumerate() {
        let method = Methods::parse(name);
        if method.is_none() {
            let reason = "no method that is ever let in";
            report.refuse_with(&format!("{key}[{index}]"), reason, METHODS.join(", "));
        }
        all = all.zip(method).map(|(all, method)| all.and(method));
    }
    all
}

fn list(
    key: &str,
    name: &str,
    written: List<String>,
    mistake: fn(&str) -> Mistake,
    report: &mut Report,
) -> Option<Vec<String>> {
    let key = format!("{key}.{name}");
    let list = texts(&key, written, report)?;
    check_each(&key, &list, mistake, report).then_some(list)
}

fn claims(
    key: &str,
    written: Option<BTreeMap<String, List<Scalar>>>,
    report: &mut Report,
) -> Option<BTreeMap<String, Vec<String>>> {
    let written = written.unwrap_or_default();
    if written.len() > MOST_CLAIMS {
        report.refuse(key, format!("names more than {MOST_CLAIMS} claims"));
        return None;
    }
    let count = written.len();
    let each = written.into_iter().filter_map(|(name, values)| {
        let values = claim(&format!("{key}.{name}"), &name, values, report)?;
        Some((name, values))
    });
    let claims: BTreeMap<String, Vec<String>> = each.collect();
    (claims.len() == count && !report.is_broken(key)).then_some(claims)
}

fn claim(key: &str, name: &str, values: List<Scalar>, report: &mut Report) -> Option<Vec<String>> {
    if name == "email" {
        report.refuse_with(
            key,
            "nobody would look whether the provider verified the address",
            "use users or domains",
        );
        return None;
    }
    claim_name(key, name, report)?;
    let values = values.map(|all| {
        let each = all.into_iter();
        each.map(|value| value.map(Scalar::text)).collect()
    });
    let values = texts(key, values, report)?;
    if values.is_empty() && !report.is_broken(key) {
        let hint = "name the values that will do, or remove the claim";
        report.refuse_with(key, "no value would do", hint);
    }
    (!values.is_empty() && check_each(key, &values, value_mistake, report)).then_some(values)
}

fn star_mistake(text: &str) -> Mistake {
    text.contains("**").then_some((
        "`**` means nothing in a list",
        "one `*` stands for characters of one piece of a name, up to the next / or @",
    ))
}

fn value_mistake(text: &str) -> Mistake {
    if text.len() > LONGEST_VALUE {
        return Some(("longer than any value that is kept", "at most 256 bytes"));
    }
    star_mistake(text)
}

fn wild_domain_mistake(text: &str) -> Mistake {
    let mut labels = text.rsplit('.');
    let (last, before) = (labels.next(), labels.next());
    let example = "for example *.acmecorp.net, which is one label below it";
    if last.is_some_and(|label| label.contains('*')) {
        return Some(("a star cannot stand in the last label", example));
    }
    // Directly before a letter it is the slip for `*.`; next to the last label it is part of what is registered.
    let slip = text.split('*').skip(1);
    let mut slip = slip.map(|behind| behind.starts_with(|c: char| c.is_alphanumeric()));
    let part = before.is_some_and(|label| label.contains('*') && label != "*");
    if star_mistake(text).is_none() && (part || slip.any(|slip| slip)) {
        return Some((
            "the star would be part of a name that anybody can register",
            example,
        ));
    }
    star_mistake(text).or_else(|| domain_mistake(&text.replace('*', "x")))
}

fn wild_user_mistake(text: &str) -> Mistake {
    let domain = text.split_once('@').map(|(_, domain)| domain);
    let domain = domain.filter(|domain| domain.contains('*'));
    domain
        .and_then(wild_domain_mistake)
        .or_else(|| star_mistake(text))
        .or_else(|| user_mistake(&text.replace('*', "x")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_where_it_can_be_meant_and_nowhere_else() {
        for (mistake, good, bad) in [
            (
                wild_domain_mistake as fn(&str) -> Mistake,
                &[
                    "a.example",
                    "*.a.example",
                    "eu-*.a.example",
                    "*-eu.a.example",
                    "*.internal",
                ][..],
                &[
                    "*",
                    "a.*",
                    "*.*",
                    "a.ex*",
                    "**.a.example",
                    "*a.example",
                    "eu-*.example",
                    "a*b.example",
                    "*company.co.example",
                    "*.*x.a.example",
                    "@a.example",
                    ".a.example",
                    "",
                ][..],
            ),
            (
                wild_user_mistake,
                &[
                    "a@b.example",
                    "*@b.example",
                    "ops-*@b.example",
                    "a@*.b.example",
                ],
                &[
                    "*",
                    "a",
                    "a@*",
                    "a@b.*",
                    "*@*b.example",
                    "a@x-*.example",
                    "**@b.example",
                    "@b.example",
                    "a@b@c.example",
                    "a b@c.example",
                ],
            ),
            (star_mistake, &["*", "a/*", "*-x"], &["**", "a/**"]),
        ] {
            for text in good {
                assert_eq!(mistake(text), None, "{text}");
            }
            for text in bad {
                assert!(mistake(text).is_some(), "{text}");
            }
        }
    }
}

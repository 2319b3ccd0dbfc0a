//! Rules that never get a turn, and rules that take more from each other than whoever wrote them may
//! have meant. Each is a warning: the first match wins, and that is often just what is wanted.

use super::super::super::report::Report;
use super::super::super::settings::Access;
use super::pattern::{covers, crosses, head};
use crate::domain::access::{Holds, holds};
use crate::domain::methods::Methods;

/// Two rules, by their places.
struct Pair<'a> {
    earlier: (usize, &'a Access),
    later: (usize, &'a Access),
}

/// Warns of what the order of `rules` does.
pub(super) fn warn(rules: &[Access], report: &mut Report) {
    for (place, later) in rules.iter().enumerate() {
        let earlier = rules.iter().enumerate().take(place);
        let covering: Vec<(usize, &Access)> = earlier
            .clone()
            .filter(|(_, rule)| covers(&rule.path, &later.path))
            .collect();
        let taken = |rules: &[(usize, &Access)]| {
            let each = rules.iter().map(|(_, rule)| rule.methods);
            each.fold(Methods::NONE, Methods::and)
        };
        if later.methods.without(taken(&covering)).is_empty() {
            never_reached((place, later), &covering, report);
            continue;
        }
        for earlier in earlier {
            Pair {
                earlier,
                later: (place, later),
            }
            .warn(report);
        }
    }
}

fn never_reached(later: (usize, &Access), covering: &[(usize, &Access)], report: &mut Report) {
    // One of them may be enough.
    let whole = |rule: &&(usize, &Access)| later.1.methods.without(rule.1.methods).is_empty();
    let named: Vec<String> = match covering.iter().find(whole) {
        Some(one) => vec![place(*one, report)],
        None => covering.iter().map(|rule| place(*rule, report)).collect(),
    };
    let (stand, them) = match named.len() {
        1 => ("stands", "it"),
        _ => ("stand", "them"),
    };
    report.warn(
        "access",
        format!(
            "{} is never reached: {} {stand} before it and the first match wins; move it before \
             {them}, or remove it",
            place(later, report),
            named.join(" and ")
        ),
    );
}

/// A rule, as it is found again in the file.
fn place((index, rule): (usize, &Access), report: &Report) -> String {
    let methods = if rule.methods == Methods::ALL {
        String::new()
    } else {
        format!(" for {}", rule.methods)
    };
    let at = report.at(&format!("access[{index}]"));
    format!("the rule {}{methods} ({at})", rule.path)
}

impl Pair<'_> {
    fn warn(&self, report: &mut Report) {
        let (earlier, later) = (self.earlier.1, self.later.1);
        let common = earlier.methods.common(later.methods);
        if common.is_empty() {
            return;
        }
        let told = |report: &Report| (place(self.earlier, report), place(self.later, report));
        let (first, second) = told(report);
        if self.is_another_spelling() {
            report.warn(
                "access",
                format!(
                    "{first} and {second} differ only in what a careless upstream ignores (case, a \
                     dot or a slash at the end): whoever asks for a path of the second must satisfy \
                     both; write both alike, or put the demands of both into one"
                ),
            );
            return;
        }
        let Some(less) = self.asks_less() else {
            return;
        };
        let part = if crosses(&earlier.path, &later.path) {
            let tree = [&earlier.path, &later.path];
            let shared = tree.into_iter().find(|path| path.ends_with("/**"));
            shared.map_or_else(String::new, |path| head(path).to_owned())
        } else if covers(&earlier.path, &later.path) {
            // Not with all its methods, or it would not be reached.
            common.to_string()
        } else {
            return;
        };
        report.warn(
            "access",
            format!(
                "{first} stands before {second} and takes {part} from it, although it {less}; put \
                 the stricter one first if that is not meant"
            ),
        );
    }

    fn is_another_spelling(&self) -> bool {
        let bare = |path: &str| path.replace('*', "x");
        let (earlier, later) = (&self.earlier.1.path, &self.later.1.path);
        let stars = |path: &str| path.matches('*').count();
        stars(earlier) == stars(later) && holds(&bare(earlier), &bare(later)) == Holds::Alike
    }

    /// What the earlier one does not ask for and the later one does.
    fn asks_less(&self) -> Option<String> {
        let (earlier, later) = (self.earlier.1, self.later.1);
        if earlier.public && !later.public {
            return Some("asks for no session".to_owned());
        }
        let (one, other) = (&earlier.demands, &later.demands);
        let kinds = [
            ("groups", one.groups.is_empty(), other.groups.is_empty()),
            ("domains", one.domains.is_empty(), other.domains.is_empty()),
            ("users", one.users.is_empty(), other.users.is_empty()),
            ("claims", one.claims.is_empty(), other.claims.is_empty()),
            (
                "a sign-in of a certain kind",
                earlier.assurance.asks_nothing(),
                later.assurance.asks_nothing(),
            ),
        ];
        let mut less = kinds.iter().filter(|(_, none, asked)| *none && !asked);
        less.next()
            .map(|(kind, ..)| format!("asks for no {kind}").replace("no a ", "no "))
    }
}

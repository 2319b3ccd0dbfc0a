//! Stars in the lists of `access` rules. A `*` stands for any number of characters of one piece of a
//! name, never for what ends the piece: a `/`, an `@`, and in a domain a dot. Everything else is taken
//! as it is: there are no other patterns, and none that takes long.

/// Whether there is a star in it.
pub fn is_wild(pattern: &str) -> bool {
    pattern.contains('*')
}

/// Whether `text`, a group or the value of a claim, is what `pattern` means. Pieces end at `/` and `@`,
/// and behind an `@`, where a domain stands, at dots too.
pub fn fits_name(pattern: &str, text: &str) -> bool {
    if !is_wild(pattern) {
        return pattern == text;
    }
    match (pattern.split_once('@'), text.split_once('@')) {
        (None, None) => by_pieces(pattern, text, &['/']),
        (Some((front, rest)), Some((before, behind))) => {
            by_pieces(front, before, &['/']) && by_pieces(rest, behind, &['/', '@', '.'])
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether `domain` is what `pattern` means, without (ASCII) case. `*.company.example` is one label
/// below it, and not the domain itself.
pub fn fits_domain(pattern: &str, domain: &str) -> bool {
    if !is_wild(pattern) {
        return pattern.eq_ignore_ascii_case(domain);
    }
    let (pattern, domain) = (pattern.to_ascii_lowercase(), domain.to_ascii_lowercase());
    by_pieces(&pattern, &domain, &['.'])
}

/// Whether the address `local@domain`, one that can satisfy a rule at all, is what `pattern` means,
/// byte for byte. A star before the `@` may stand for dots, one behind it not.
pub fn fits_address(pattern: &str, (local, domain): (&str, &str)) -> bool {
    pattern.split_once('@').is_some_and(|(front, behind)| {
        by_pieces(front, local, &[]) && by_pieces(behind, domain, &['.'])
    })
}

/// Both have the same `ends` in the same order, and each piece between them fits.
fn by_pieces(pattern: &str, text: &str, ends: &[char]) -> bool {
    let (wanted, found) = (pattern.matches(ends), text.matches(ends));
    wanted.eq(found)
        && pattern
            .split(ends)
            .zip(text.split(ends))
            .all(|(pattern, text)| piece(pattern, text))
}

/// A star stands for anything here. Each literal between two stars is taken where it comes first:
/// what a later place would leave over is less.
fn piece(pattern: &str, text: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, back) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = text
        .strip_prefix(front)
        .and_then(|left| left.strip_suffix(back))
    else {
        return false;
    };
    for literal in middle.split('*') {
        match left.split_once(literal) {
            Some((_, behind)) => left = behind,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stays_within_its_piece_of_a_name() {
        for (pattern, text, fits) in [
            ("admins", "admins", true),
            ("admins", "Admins", false),
            ("admins", "admins2", false),
            ("*", "admins", true),
            ("*", "", true),
            ("*", "a/b", false),
            ("*", "a@b", false),
            ("*", "a.b", true),
            ("team-*", "team-a", true),
            ("team-*", "team-", true),
            ("team-*", "team", false),
            ("team-*", "team-a/admins", false),
            ("team-*", "x-team-a", false),
            ("*-admins", "a-admins", true),
            ("*-admins", "a/b-admins", false),
            ("*-admins", "a-admins-not", false),
            ("/teams/*", "/teams/a", true),
            ("/teams/*", "/teams/a/b", false),
            ("/teams/*", "/teams", false),
            ("/teams/*/admins", "/teams/a/admins", true),
            ("/teams/*/admins", "/teams/a/b/admins", false),
            ("/teams/*/admins", "/teams/admins", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("**", "x", true),
            ("*@company.example", "ann@company.example", true),
            (
                "*@company.example",
                "ann@evil.example@company.example",
                false,
            ),
            (
                "*@company.example",
                "ann@company.example.evil.example",
                false,
            ),
            ("*@*.example", "ann@company.example", true),
            ("*@*.example", "ann@evil.company.example", false),
            ("*@*", "ann@company.example", false),
            ("ann@*", "ann@a/b", false),
            ("a.b", "aXb", false),
            ("[ab]*", "a", false),
            ("a?*", "abc", false),
            ("(a|b)*", "a", false),
        ] {
            assert_eq!(fits_name(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_in_a_domain_is_one_label() {
        for (pattern, domain, fits) in [
            ("company.example", "Company.Example", true),
            ("*.company.example", "eu.company.example", true),
            ("*.company.example", "EU.COMPANY.example", true),
            ("*.company.example", "company.example", false),
            ("*.company.example", "a.eu.company.example", false),
            ("*.company.example", "evilcompany.example", false),
            (
                "*.company.example",
                "eu.company.example.evil.example",
                false,
            ),
            ("eu-*.company.example", "eu-1.company.example", true),
            ("eu-*.company.example", "eu-1.evil.company.example", false),
            ("*company.example", "evilcompany.example", true),
            // The Kelvin sign is no k.
            ("*.kiosk.example", "a.\u{212a}iosk.example", false),
        ] {
            assert_eq!(fits_domain(pattern, domain), fits, "{pattern} {domain}");
        }
    }

    #[test]
    fn a_star_in_an_address_does_not_cross_the_at_sign() {
        for (pattern, local, domain, fits) in [
            ("*@company.example", "ann", "company.example", true),
            ("*@company.example", "ann.b", "company.example", true),
            ("*@company.example", "ann", "Company.example", false),
            ("*@company.example", "ann", "a.company.example", false),
            (
                "admin-*@company.example",
                "admin-a.b",
                "company.example",
                true,
            ),
            ("admin-*@company.example", "a", "company.example", false),
            ("ann@*.company.example", "ann", "eu.company.example", true),
            (
                "ann@*.company.example",
                "ann",
                "a.eu.company.example",
                false,
            ),
            ("*", "ann", "company.example", false),
        ] {
            let found = fits_address(pattern, (local, domain));
            assert_eq!(found, fits, "{pattern} {local}@{domain}");
        }
    }

    #[test]
    fn the_worst_pattern_is_over_at_once() {
        let pattern = "a*".repeat(120) + "b";
        let text = "a".repeat(100_000);
        assert!(!fits_name(&pattern, &text));
    }

    proptest! {
        /// Whatever fills the stars, as long as it is of one piece.
        #[test]
        fn what_is_filled_in_fits_and_a_boundary_does_not(
            parts in proptest::collection::vec("[a-c]{0,3}", 2..5),
            filling in proptest::collection::vec("[a-c.]{0,4}", 4),
            end in "[/@]",
        ) {
            let pattern = parts.join("*");
            let mut text = parts[0].clone();
            for (part, fill) in parts[1..].iter().zip(&filling) {
                text.push_str(fill);
                text.push_str(part);
            }
            prop_assert!(fits_name(&pattern, &text), "{} {}", pattern, text);
            let crossed = text.replacen(&filling[0], &end, 1);
            if crossed.contains(&end) {
                prop_assert!(!fits_name(&pattern, &crossed), "{} {}", pattern, crossed);
            }
        }
    }
}

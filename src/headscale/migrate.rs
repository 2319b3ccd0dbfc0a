//! SQL that moves Headscale's users from one issuer to another. Printed for the operator, who runs
//! it with Headscale stopped and a backup at hand; never run from here.
//!
//! Headscale's key for a person is `users.provider_identifier`: the issuer without the slash at its
//! end, `/`, and `sub`. Only that prefix changes. It is compared as text of that length, never as a
//! pattern, in which `_` and `%` of an issuer would match other users. What goes on with a slash behind
//! the prefix is not moved: `https://id.example/` is the beginning of `https://id.example/other/`, too,
//! and the users of that one are other people.

use url::Url;

use crate::domain::identity::Issuer;

/// Which database Headscale uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// `database.type: sqlite`.
    Sqlite,
    /// `database.type: postgres`.
    Postgres,
}

/// Why there is no SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// Not a URL, or one that has no place in an issuer string or in a script.
    #[error("the {which} issuer {issuer:?} is not an http or https URL without query and fragment")]
    Issuer {
        /// Old or new.
        which: &'static str,
        /// As given.
        issuer: String,
    },
    /// Both have the same users already.
    #[error("the old and the new issuer give users the same identifiers; nothing has to move")]
    Same,
}

/// The script that turns users of the issuer `from` into users of `to`.
///
/// # Errors
///
/// See [`MigrateError`].
pub fn migration(from: &Issuer, to: &Issuer, database: Database) -> Result<String, MigrateError> {
    let old = prefix("old", from)?;
    let new = prefix("new", to)?;
    if old == new {
        return Err(MigrateError::Same);
    }
    let (old, new) = (literal(&old), literal(&new));
    let begins = format!("substr(provider_identifier, 1, length({old})) = {old}");
    let subject = format!("substr(provider_identifier, length({old}) + 1)");
    let matches =
        format!("{begins} AND {subject} <> '' AND replace({subject}, '/', '') = {subject}");
    let moved = format!("{new} || {subject}");
    let arrived = format!("substr(provider_identifier, 1, length({new})) = {new}");
    Ok([
        head(database),
        check(&matches, &moved),
        check_left(&matches, &begins),
        check_taken(&matches, &moved),
        update(&matches, &moved, &arrived, database),
    ]
    .join("\n"))
}

/// What the identifiers of an issuer's users begin with; none where it is no issuer.
pub(super) fn identifiers_begin_with(issuer: &Issuer) -> Option<String> {
    prefix("present", issuer).ok()
}

/// What stands before `sub` in the identifiers of an issuer's users: Headscale takes slashes from
/// the end, drops empty path segments and writes the scheme in lower case.
fn prefix(which: &'static str, issuer: &Issuer) -> Result<String, MigrateError> {
    let text = issuer.as_str();
    let refused = || MigrateError::Issuer {
        which,
        issuer: text.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    let web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '?' | '#' | '"');
    if !web || text.contains(odd) {
        return Err(refused());
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    Ok(format!(
        "{}://{}/",
        scheme.to_ascii_lowercase(),
        parts.join("/")
    ))
}

/// A string literal of either database: quotes doubled; there is no backslash in it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn head(database: Database) -> String {
    let run = match database {
        Database::Sqlite => "sqlite3 -bail /var/lib/headscale/db.sqlite < this-file",
        Database::Postgres => "psql --set ON_ERROR_STOP=1 --dbname=headscale --file=this-file",
    };
    format!(
        "\
-- Moves Headscale's users to another OpenID issuer. Before anything else: stop Headscale, and make
-- a backup of its database. Look at what the check below prints, then run the whole file:
--   {run}
-- A policy that names users by provider identifier has to be changed by hand.
"
    )
}

fn check(matches: &str, moved: &str) -> String {
    format!(
        "\
-- Check: how many users move. 0 means that the old issuer is misspelt, or that they moved already.
SELECT count(*) AS users_that_move
FROM users
WHERE {matches};

-- Check: each of them, and where to.
SELECT id, name, email, provider_identifier AS moves_from, {moved} AS moves_to
FROM users
WHERE {matches}
ORDER BY id;
"
    )
}

fn check_left(matches: &str, begins: &str) -> String {
    format!(
        "\
-- Check: users of other issuers, who stay as they are.
SELECT id, name, email, provider_identifier AS stays
FROM users
WHERE provider_identifier IS NOT NULL AND NOT ({matches})
ORDER BY id;

-- Check: those of them whose identifiers begin with the old issuer and go on with a slash. They are
-- of an issuer below it, or their subjects have a slash: whoever belongs here has to be moved by hand.
SELECT id, name, email, provider_identifier AS unclear
FROM users
WHERE {begins} AND NOT ({matches})
ORDER BY id;
"
    )
}

fn check_taken(matches: &str, moved: &str) -> String {
    format!(
        "\
-- Check: users that are there already under the new issuer. Where there is a row, the move fails and
-- changes nothing: that person signed in before the move, and one of the two has to go first.
SELECT taken.id, taken.name, taken.email, taken.provider_identifier AS taken
FROM users AS taken
JOIN (
  SELECT {moved} AS provider_identifier
  FROM users
  WHERE {matches}
) AS moving ON moving.provider_identifier = taken.provider_identifier
ORDER BY taken.id;
"
    )
}

fn update(matches: &str, moved: &str, arrived: &str, database: Database) -> String {
    let begin = match database {
        // Takes the write lock at once: a Headscale that still runs is noticed here.
        Database::Sqlite => "BEGIN IMMEDIATE;",
        Database::Postgres => "BEGIN;",
    };
    format!(
        "\
{begin}
UPDATE users
SET provider_identifier = {moved}
WHERE {matches};
COMMIT;

-- How many users the new issuer has now.
SELECT count(*) AS users_of_the_new_issuer
FROM users
WHERE {arrived};
"
    )
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;

//! `headwarden headscale-migrate`: the SQL that moves Headscale's users to our issuer.

use std::io;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{BAD_CONFIG, complain, say, say_json};
use crate::config::{Settings, SignIn};
use crate::domain::identity::Issuer;
use crate::headscale::{Database, migration};

/// Print the SQL that moves Headscale's users from an old issuer to ours; runs nothing
#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// The issuer that Headscale's users were registered with
    #[arg(long, value_name = "ISSUER")]
    from: String,
    /// Headscale's database
    #[arg(long, value_enum, default_value = "sqlite")]
    database: DatabaseKind,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum DatabaseKind {
    Sqlite,
    Postgres,
}

/// The script, as JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    database: DatabaseKind,
    from: &'a str,
    to: &'a str,
    sql: &'a str,
}

impl Migrate {
    /// Prints the script.
    pub(super) fn run(self, settings: &Settings) -> io::Result<ExitCode> {
        let SignIn::Issuer(issuer) = &settings.headscale.sign_in else {
            complain("headscale.sign_in is not `issuer`, so there is nothing to migrate to");
            return Ok(ExitCode::from(BAD_CONFIG));
        };
        let database = match self.database {
            DatabaseKind::Sqlite => Database::Sqlite,
            DatabaseKind::Postgres => Database::Postgres,
        };
        let from = Issuer::new(self.from);
        let sql = match migration(&from, &issuer.url, database) {
            Ok(sql) => sql,
            Err(why) => {
                complain(&why.to_string());
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        };
        if self.json {
            say_json(&Told {
                database: self.database,
                from: from.as_str(),
                to: issuer.url.as_str(),
                sql: &sql,
            })?;
        } else {
            say(sql.trim_end())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

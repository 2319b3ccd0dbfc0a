//! Headscale's `users` in a real `SQLite` and a real `PostgreSQL`, and the shells that an operator runs a
//! script with.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Its indexes, the same since 0.26.
const INDEXES: &str = "
CREATE INDEX idx_users_deleted_at ON users(deleted_at);
CREATE UNIQUE INDEX idx_provider_identifier ON users(provider_identifier) WHERE provider_identifier IS NOT NULL;
CREATE UNIQUE INDEX idx_name_provider_identifier ON users(name, provider_identifier);
CREATE UNIQUE INDEX idx_name_no_provider_identifier ON users(name) WHERE provider_identifier IS NULL;
";

/// The table as each line of versions makes it.
const TABLES: [(&str, &str); 2] = [
    (
        "0.26",
        "CREATE TABLE users(id integer PRIMARY KEY AUTOINCREMENT, created_at datetime, updated_at datetime, deleted_at datetime, name text, display_name text, email text, provider_identifier text, provider text, profile_pic_url text);",
    ),
    (
        "0.27 to 0.30",
        "CREATE TABLE users(id integer PRIMARY KEY AUTOINCREMENT, name text, display_name text, email text, provider_identifier text, provider text, profile_pic_url text, created_at datetime, updated_at datetime, deleted_at datetime);",
    ),
];

/// The same in `PostgreSQL`.
const POSTGRES: &str = "CREATE TABLE users(id bigserial PRIMARY KEY, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz, name text, display_name text, email text, provider_identifier text, provider text, profile_pic_url text);";

/// What a script printed, and whether its shell was content.
pub(crate) struct Ran {
    pub(crate) content: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            content: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// One database of Headscale's.
pub(crate) trait Users {
    /// What `headwarden headscale-migrate --database` calls it.
    fn kind(&self) -> &'static str;
    /// Runs a script as its head says.
    fn run(&self, script: &Path) -> Ran;
    /// Runs one statement; its rows, one a line.
    fn ask(&self, statement: &str) -> Vec<String>;

    /// Adds a person; the name is not the key.
    fn add(&self, name: &str, identifier: Option<&str>) {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let identifier = identifier.map_or("NULL".to_owned(), quote);
        self.ask(&format!(
            "INSERT INTO users(name, email, provider_identifier) VALUES ({}, NULL, {identifier});",
            quote(name)
        ));
    }

    /// The identifiers, in the order in which people were added.
    fn identifiers(&self) -> Vec<String> {
        self.ask("SELECT coalesce(provider_identifier, '-') FROM users ORDER BY id;")
    }
}

/// A file, and `sqlite3`.
pub(crate) struct Sqlite {
    file: PathBuf,
    _directory: TempDir,
}

impl Sqlite {
    /// One database for each shape of the table.
    pub(crate) fn of_each_version() -> Vec<(&'static str, Self)> {
        let databases = TABLES.map(|(versions, table)| {
            let directory = tempfile::tempdir().unwrap();
            let sqlite = Self {
                file: directory.path().join("db.sqlite"),
                _directory: directory,
            };
            sqlite.ask(&format!("{table}{INDEXES}"));
            (versions, sqlite)
        });
        databases.into()
    }
}

impl Users for Sqlite {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn run(&self, script: &Path) -> Ran {
        let script = std::fs::File::open(script).unwrap();
        let sqlite = Command::new("sqlite3")
            .arg("-bail")
            .arg(&self.file)
            .stdin(script)
            .output();
        sqlite.unwrap().into()
    }

    fn ask(&self, statement: &str) -> Vec<String> {
        let asked = Command::new("sqlite3")
            .arg(&self.file)
            .arg(statement)
            .output();
        lines(asked.unwrap())
    }
}

fn lines(output: Output) -> Vec<String> {
    let ran = Ran::from(output);
    assert!(ran.content, "{}", ran.err);
    ran.out.lines().map(str::to_owned).collect()
}

/// A server of our own, on a socket in a directory of its own; it refuses to run as root.
pub(crate) struct Postgres {
    server: Child,
    home: TempDir,
}

impl Postgres {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if is_root() {
            run("chmod", &["0711", path(home.path())]);
            run("chown", &["nobody", path(&data)]);
        }
        let made = as_nobody("initdb")
            .args([
                "--auth=trust",
                "--username=headscale",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut server = as_nobody("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", data.display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(server.stderr.take().unwrap());
        let mut said = said.lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("ready to accept connections")));
        // It must not wait for somebody to read what it says later.
        std::thread::spawn(move || said.for_each(drop));
        Self { server, home }
    }

    /// An empty database of this name with the table in it.
    pub(crate) fn database(&self, name: &'static str) -> PostgresDatabase<'_> {
        let database = PostgresDatabase { server: self, name };
        self.psql("postgres", &["-c", &format!("CREATE DATABASE {name}")]);
        database.ask(&format!("{POSTGRES}{INDEXES}"));
        database
    }

    fn psql(&self, database: &str, arguments: &[&str]) -> Output {
        let host = self.home.path().join("data");
        Command::new("psql")
            .args(["--no-psqlrc", "--username=headscale", "--host"])
            .arg(host)
            .arg(format!("--dbname={database}"))
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast shutdown: it takes its shared memory along.
        run("kill", &["-s", "INT", &self.server.id().to_string()]);
        let _ = self.server.wait();
    }
}

/// One database of the server's.
pub(crate) struct PostgresDatabase<'a> {
    server: &'a Postgres,
    name: &'static str,
}

impl Users for PostgresDatabase<'_> {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn run(&self, script: &Path) -> Ran {
        let script = format!("--file={}", script.display());
        self.server
            .psql(self.name, &["--set", "ON_ERROR_STOP=1", "-At", &script])
            .into()
    }

    fn ask(&self, statement: &str) -> Vec<String> {
        lines(self.server.psql(self.name, &["-qAt", "-c", statement]))
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// A program of `PostgreSQL`, which are in no `PATH`; as somebody else where we are root.
fn as_nobody(program: &str) -> Command {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").expect("the package postgresql is there");
    let mut found: Vec<PathBuf> = versions
        .map(|entry| entry.unwrap().path().join("bin").join(program))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    let program = found.pop().expect("a version of postgresql");
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig", "INT"])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

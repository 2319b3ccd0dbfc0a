//! The recipe of a web UI as its page in `docs/guides` gives it: what is tested is what an operator copies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::house::{More, free_addresses};

/// The text of a page, and what its blocks say in place of an operator's own values.
pub(crate) struct Recipe {
    page: String,
    /// What is put into its `api` section.
    more_of_the_api: &'static str,
    /// Where the web UI listens in this test.
    pub(crate) upstream: SocketAddr,
    secrets: TempDir,
}

impl Recipe {
    /// Of the page `docs/guides/<name>.md`; `api_key` is Headscale's.
    pub(crate) fn of(name: &str, api_key: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = root.join("docs/guides").join(name).with_extension("md");
        let page = std::fs::read_to_string(page).expect("the guide is there");
        let secrets = tempfile::tempdir().expect("a directory");
        let key = secrets.path().join("headscale_api_key");
        std::fs::write(&key, api_key).expect("it is written");
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("it is ours");
        let [upstream] = free_addresses();
        Self {
            page,
            more_of_the_api: "",
            upstream,
            secrets,
        }
    }

    /// The same where the operator wrote this into the `api` section, too.
    pub(crate) fn with_api(self, more_of_the_api: &'static str) -> Self {
        assert!(
            self.page.contains(more_of_the_api.trim()),
            "the page says so"
        );
        Self {
            more_of_the_api,
            ..self
        }
    }

    /// Where credentials are, and what else is written.
    pub(crate) fn secrets(&self) -> &Path {
        self.secrets.path()
    }

    /// The audit log of its house.
    pub(crate) fn audit(&self) -> PathBuf {
        self.secrets.path().join("audit.jsonl")
    }

    /// The one YAML block that begins with `# <whose>`.
    fn block(&self, whose: &str) -> &str {
        let opening = format!("```yaml\n# {whose}\n");
        let mut found = self.page.split(&opening).skip(1);
        let rest = found
            .next()
            .unwrap_or_else(|| panic!("no block of {whose}"));
        assert!(found.next().is_none(), "several blocks of {whose}");
        rest.split("```").next().expect("a block ends")
    }

    /// Headwarden's block as additions to a configuration: its upstream is this test's, and its credentials are
    /// in a directory of the test.
    pub(crate) fn headwarden(&self) -> More {
        let block = self.block("Headwarden");
        let upstream = block
            .split("upstream: http://")
            .nth(1)
            .expect("an upstream");
        let upstream = upstream.split_whitespace().next().expect("an address");
        let secrets = self.secrets.path().display().to_string();
        let mut text = block.replace(upstream, &self.upstream.to_string());
        for place in ["${CREDENTIALS_DIRECTORY}", "/var/lib/headwarden"] {
            text = text.replace(place, &secrets);
        }
        if !self.more_of_the_api.is_empty() {
            text = text.replace("api:\n", &format!("api:\n  {}\n", self.more_of_the_api));
        }
        let (mut headscale, mut top) = (String::new(), String::new());
        let mut section = "";
        for line in text.lines() {
            if !line.starts_with([' ', '#']) {
                section = line;
            }
            match section {
                "headscale:" if line == section => {}
                "headscale:" => headscale.extend([line, "\n"]),
                _ => top.extend([line, "\n"]),
            }
        }
        let audit = self.audit();
        let audit = audit.display().to_string();
        top.extend(["audit: { path: ", &audit, " }\n"]);
        More {
            headscale: headscale.leak(),
            top: top.leak(),
            ..More::default()
        }
    }

    /// The web UI's own block, read as it would read it.
    pub(crate) fn of_the_web_ui(&self, whose: &str) -> Value {
        serde_saphyr::from_str(self.block(whose)).expect("the block is YAML")
    }
}

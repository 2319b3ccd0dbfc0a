//! A real browser: Debian's Chromium, driven by `tests/rig/browser/driver.mjs`.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::child::JsonChild;

/// A running Chromium with one fresh profile. Everything it wrote goes when this is dropped.
pub(crate) struct Browser {
    // Dropped first, so that nobody writes into the directory while it goes.
    child: JsonChild,
    _directory: TempDir,
}

/// What a tab shows.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) url: String,
    pub(crate) title: String,
    /// The visible text.
    pub(crate) text: String,
    /// Status of the last main document.
    pub(crate) status: u16,
}

impl Browser {
    /// Starts it with default settings.
    pub(crate) fn start() -> Self {
        Self::start_with(&json!({}))
    }

    /// Starts it with: `cookies` (`false` blocks all of them, as the setting in the browser's own
    /// preferences does), `hosts` (name → address, resolved so), `trust_any_certificate`,
    /// `dark`, `phone`, `locale` (the language that its person reads; `en-US`), `scripts` (`false` runs none).
    pub(crate) fn start_with(settings: &Value) -> Self {
        let directory = TempDir::new().expect("a directory for the browser");
        let place = directory.path().display().to_string();
        let environment = [("BROWSER_CONFIG", settings.to_string()), ("TMPDIR", place)];
        let mut child = JsonChild::node("browser/driver.mjs", &environment);
        child.hear();
        Self {
            child,
            _directory: directory,
        }
    }

    /// Types an address into the current tab.
    pub(crate) fn open(&mut self, url: &str) -> View {
        self.view(&json!({ "do": "open", "url": url }))
    }

    /// Fills in the field with this name.
    pub(crate) fn fill(&mut self, name: &str, value: &str) {
        self.child
            .ask(&json!({ "do": "fill", "name": name, "value": value }));
    }

    /// Presses the button or link with this text, and waits until the page that it leads to is
    /// there.
    pub(crate) fn press(&mut self, text: &str) -> View {
        self.view(&json!({ "do": "press", "text": text }))
    }

    /// Fills in the provider's login form.
    pub(crate) fn sign_in(&mut self, username: &str) -> View {
        self.fill("username", username);
        self.press("Sign in")
    }

    /// What the current tab shows now.
    pub(crate) fn look(&mut self) -> View {
        self.view(&json!({ "do": "look" }))
    }

    /// Waits until the address in the current tab begins with `prefix`.
    pub(crate) fn wait_for(&mut self, prefix: &str) -> View {
        self.view(&json!({ "do": "wait_for", "prefix": prefix }))
    }

    /// Opens another tab of the same profile and goes on there.
    pub(crate) fn new_tab(&mut self) {
        self.child.ask(&json!({ "do": "new_tab" }));
    }

    /// Runs a script in the page, without its CSP in the way; its value.
    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        self.child
            .ask(&json!({ "do": "evaluate", "script": script }))["value"]
            .clone()
    }

    /// The same in a window of this width.
    pub(crate) fn evaluate_at(&mut self, width: u32, script: &str) -> Value {
        let asked = json!({ "do": "evaluate", "script": script, "width": width });
        self.child.ask(&asked)["value"].clone()
    }

    /// Presses what this selector (Playwright's) finds first, on a page that changes by itself.
    pub(crate) fn click(&mut self, at: &str) {
        self.child.ask(&json!({ "do": "click", "at": at }));
    }

    /// Types into the field that this selector finds first.
    pub(crate) fn type_into(&mut self, at: &str, value: &str) {
        self.child
            .ask(&json!({ "do": "type", "at": at, "value": value }));
    }

    /// Waits until this selector finds something that can be seen.
    pub(crate) fn wait_to_see(&mut self, at: &str) -> View {
        self.view(&json!({ "do": "wait_to_see", "at": at }))
    }

    /// What axe-core finds on the page, in a theme and a width: objects with `rule`, `impact`, `help`, `at`.
    /// Fails if it looked at nothing.
    pub(crate) fn examine(&mut self, dark: bool, width: u32) -> Vec<Value> {
        let asked = json!({ "do": "examine", "dark": dark, "width": width });
        let answer = self.child.ask(&asked);
        assert!(answer["passed"].as_u64() > Some(5), "{answer}");
        answer["findings"].as_array().cloned().unwrap_or_default()
    }

    /// Where the Tab key stops, in its order: objects with `place` (among everything that can be used), `of`
    /// (how much that is), `what`, `ring` (whether the focus can be seen), `width`, `height`.
    pub(crate) fn tab_stops(&mut self) -> Vec<Value> {
        let answer = self.child.ask(&json!({ "do": "tab_stops" }));
        answer["stops"].as_array().cloned().unwrap_or_default()
    }

    /// Presses Tab until what is called so has the focus: by its `aria-label`, its label or its text.
    pub(crate) fn tab_to(&mut self, name: &str) {
        self.child.ask(&json!({ "do": "tab_to", "name": name }));
    }

    /// Presses a key.
    pub(crate) fn key(&mut self, key: &str) {
        self.child.ask(&json!({ "do": "key", "key": key }));
    }

    /// Presses a key that leads to another page; that page.
    pub(crate) fn follow(&mut self, key: &str) -> View {
        self.view(&json!({ "do": "follow", "key": key }))
    }

    /// Writes over what stands in the field that has the focus.
    pub(crate) fn write_over(&mut self, text: &str) {
        self.child.ask(&json!({ "do": "write_over", "text": text }));
    }

    /// Cookies that would go to `url`: objects with `name`, `value`, `path`, `secure`, `httpOnly`,
    /// `sameSite`.
    pub(crate) fn cookies(&mut self, url: &str) -> Vec<Value> {
        let answer = self.child.ask(&json!({ "do": "cookies", "url": url }));
        answer["cookies"].as_array().cloned().unwrap_or_default()
    }

    /// Loads the current page again.
    pub(crate) fn reload(&mut self) -> View {
        self.view(&json!({ "do": "reload" }))
    }

    /// Every request of the current profile: objects with `method`, `url`, `kind` (`document`,
    /// `image`, …), `status` (absent when it was blocked or failed).
    pub(crate) fn requests(&mut self) -> Vec<Value> {
        let answer = self.child.ask(&json!({ "do": "requests" }));
        answer["requests"].as_array().cloned().unwrap_or_default()
    }

    /// What the console said so far, errors that no script caught included: violations of the
    /// content security policy are among it.
    pub(crate) fn console(&mut self) -> Vec<String> {
        let answer = self.child.ask(&json!({ "do": "console" }));
        serde_json::from_value(answer["console"].clone()).unwrap_or_default()
    }

    /// Writes `<directory>/<name>.png`.
    pub(crate) fn screenshot(&mut self, directory: &Path, name: &str) {
        let path = directory.join(format!("{name}.png")).display().to_string();
        self.child.ask(&json!({ "do": "screenshot", "path": path }));
    }

    /// Writes `<name>-light.png`, `<name>-dark.png`, and the same of a phone: `<name>-phone-light.png`, ….
    pub(crate) fn portraits(&mut self, directory: &Path, name: &str) {
        for (look, dark, phone) in [
            ("light", false, false),
            ("dark", true, false),
            ("phone-light", false, true),
            ("phone-dark", true, true),
        ] {
            let path = directory.join(format!("{name}-{look}.png"));
            let path = path.display().to_string();
            self.child
                .ask(&json!({ "do": "screenshot", "path": path, "dark": dark, "phone": phone }));
        }
    }

    fn view(&mut self, command: &Value) -> View {
        let answer = self.child.ask(command);
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let status = answer["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok());
        View {
            url: text("url"),
            title: text("title"),
            text: text("text"),
            status: status.unwrap_or_default(),
        }
    }
}

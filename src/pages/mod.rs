//! What a person sees: typed functions that return whole responses, and their JSON twins for
//! requests that are no navigation.
//!
//! What belongs here: words, markup and the headers that guard them. What does not: deciding which
//! page it is (that is `proxy`), and anything secret but the one-time token of a form.
//!
//! Every page is plain HTML that works without scripts: text that came from a claim, a query or a header
//! is escaped, cut and stripped of control characters. The policy allows the one style sheet, and on a few
//! pages the one script, by hash; no other would run. The words are in `texts`, one file for each language.

mod confirm;
mod denied;
mod devices;
mod fault;
mod json;
mod language;
mod notice;
mod sessions;
mod shell;
mod sign_in;
mod signed_out;
mod step_up;
mod text;
mod ways;

pub use confirm::{Confirmation, confirm_register, confirm_ssh};
pub use denied::{Refusal, denied};
pub use devices::{
    AddDevice, Ask, AskDevice, Changed, Device, Devices, Everybody, NoDevices, Owner,
    Row as PersonRow, add_device, ask_device, devices, everybody, no_devices,
};
pub use fault::{Fault, error};
pub use json::{Readers, json, json_for, oauth_error};
pub use language::Language;
pub use notice::{
    UpstreamFailure, misdirected, newest_link, not_found, start_again, too_many_requests,
    upstream_down,
};
pub use sessions::{OwnSession, OwnSessions, sessions};
pub use shell::{Context, guard};
pub use sign_in::{
    ProviderError, attempt_expired, attempt_used, cookies_needed, provider_refused,
    provider_unavailable, sign_in_failed, signed_out_meanwhile,
};
pub use signed_out::{AtTheProvider, sign_out, signed_out, signed_out_in_frame};
pub use step_up::{StepUp, nothing_sent, step_up_needed, step_up_not_done, step_up_refused};

/// Starts a sign-in.
pub const SIGN_IN: &str = "/.headwarden/sign-in";
/// Starts a sign-in at which the provider asks for the account again.
pub const SWITCH_USER: &str = "/.headwarden/sign-in?switch=1";
/// Proves more about the person of a session: for the page of `for`, and back to that of `back`.
pub const STEP_UP: &str = "/.headwarden/step-up";
/// Ends the session, by POST.
pub const LOGOUT: &str = "/.headwarden/logout";
/// A person's own sessions; ends them, by POST.
pub const SESSIONS: &str = "/.headwarden/sessions";
/// A person's own devices; changes their names, by POST.
pub const DEVICES: &str = "/.headwarden/devices";
/// How to add one.
pub const DEVICES_ADD: &str = "/.headwarden/devices/add";
/// Everybody's, for those who may look at them.
pub const DEVICES_PEOPLE: &str = "/.headwarden/devices/people";
/// Asks whether to sign a device out, and does, by POST.
pub const DEVICES_SIGN_OUT: &str = "/.headwarden/devices/sign-out";
/// Asks whether to remove a device, and does, by POST.
pub const DEVICES_REMOVE: &str = "/.headwarden/devices/remove";
/// Takes the answer to [`confirm_register`], by POST.
pub const CONFIRM_REGISTER: &str = "/.headwarden/confirm-register";
/// Takes the answer to [`confirm_ssh`], by POST.
pub const CONFIRM_SSH: &str = "/.headwarden/confirm-ssh";

#[cfg(test)]
mod tests;

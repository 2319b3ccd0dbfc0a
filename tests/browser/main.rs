//! What a person sees: a real browser through the whole house, the provider on another site.
//!
//! Every visit ends with a look at the browser's console: no page may make it complain, about the
//! content security policy least of all. With `HEADWARDEN_SCREENSHOTS=<directory>` every page is
//! photographed: light and dark, on a desktop and on a phone.
#![cfg(test)]

mod axe;
mod days;
mod denials;
mod devices;
#[expect(dead_code, reason = "most faults are no matter of a browser")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod gallery;
mod german;
mod hands;
mod http2;
mod keyboard;
mod outages;
mod recipe;
mod scene;
mod sessions;
mod sign_in;
mod sign_out;
mod static_site;
mod step_up;
#[path = "../support/mod.rs"]
mod support;
mod ui_stage;
mod web_uis;

//! What the fuzz targets do: each gives its input to one border of Headwarden and panics when what
//! comes out is not what an independent reading allows. Written once and used twice: `cargo fuzz`
//! searches with them (`fuzz_targets/`), and the ordinary tests replay every seed
//! (`tests/fuzz_corpora.rs`).

mod issuing;
mod support;

pub mod access;
pub mod authorize;
pub mod callback;
pub mod claims;
pub mod client_ip;
pub mod config_file;
pub mod cookies;
pub mod discovery;
pub mod door;
pub mod environment;
pub mod head;
pub mod headers;
pub mod headscale_answers;
pub mod id_token;
pub mod jwks;
pub mod logout_token;
pub mod migration;
pub mod pages;
pub mod return_to;
pub mod rules;
pub mod sealed;
pub mod token_endpoint;
pub mod username;

/// A target: its name, which is also that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("access", access::run),
    ("authorize", authorize::run),
    ("callback", callback::run),
    ("claims", claims::run),
    ("client_ip", client_ip::run),
    ("config_file", config_file::run),
    ("cookies", cookies::run),
    ("discovery", discovery::run),
    ("door", door::run),
    ("environment", environment::run),
    ("head", head::run),
    ("headers", headers::run),
    ("headscale_answers", headscale_answers::run),
    ("id_token", id_token::run),
    ("jwks", jwks::run),
    ("logout_token", logout_token::run),
    ("migration", migration::run),
    ("pages", pages::run),
    ("return_to", return_to::run),
    ("rules", rules::run),
    ("sealed", sealed::run),
    ("token_endpoint", token_endpoint::run),
    ("username", username::run),
];

//! Writes what is made of the table of keys: `config/headwarden.schema.json`, and the tables of
//! `docs/configuration.md`. A test fails where either is not what this would write.
//!
//! `cargo run --example config_reference`

use std::error::Error;
use std::fs;
use std::path::Path;

use headwarden::config;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::write(root.join("config/headwarden.schema.json"), config::schema())?;
    let document = root.join("docs/configuration.md");
    let text = fs::read_to_string(&document)?;
    fs::write(&document, config::with_tables(&text))?;
    Ok(())
}

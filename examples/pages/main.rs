//! Writes every page into a directory, to be looked at in a browser:
//! `cargo run --example pages -- /tmp/pages`; in German with `de` behind it.

mod every;

use std::error::Error;
use std::path::PathBuf;

use headwarden::pages::{Context, Language};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("which directory?")?;
    std::fs::create_dir_all(&directory)?;
    let context = Context {
        site: "headscale.company",
        support_id: "k7rd2m9xq4",
        form_action: &[],
        language: Language::accepted(std::env::args().nth(2).as_deref()),
        shows_devices: true,
    };
    for (name, page) in every::pages(&context) {
        std::fs::write(directory.join(format!("{name}.html")), page.body())?;
    }
    Ok(())
}

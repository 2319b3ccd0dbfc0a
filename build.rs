//! Asks the linker for a smaller binary, where the linker and this machine can do with it.
//!
//! - Identical functions are folded into one. That takes a linker such as LLD, which Rust brings along for x86-64 Linux.
//!   Nothing here tells functions apart by their addresses.
//! - Relative relocations are packed (`DT_RELR`), which glibc reads since 2.36, musl since 1.2.4.
//!
//! Each is tried with an empty program first, so that no other linker, and no older machine, meets a flag that it does
//! not know.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything by the environment"
)]

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

const FLAGS: [&str; 2] = ["-Wl,--icf=all", "-Wl,-z,pack-relative-relocs"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let said = |name| env::var(name).unwrap_or_default();
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    // Nobody minds the size of a dev build, and whoever wants to see names wants to see the right ones.
    if said("PROFILE") != "release" || said("DEBUG") != "false" {
        return;
    }
    // What runs elsewhere cannot be tried.
    if said("HOST") != said("TARGET") {
        return;
    }
    let folder = said("OUT_DIR");
    let folder = Path::new(&folder);
    let source = folder.join("empty.rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return;
    }
    for flag in FLAGS {
        let program = folder.join("empty");
        let mut build = Command::new(said("RUSTC"));
        build.arg(&source).arg("-o").arg(&program);
        build.args(["-C", &format!("link-arg={flag}")]);
        if let Ok(linker) = env::var("RUSTC_LINKER") {
            build.args(["-C", &format!("linker={linker}")]);
        }
        let flags = said("CARGO_ENCODED_RUSTFLAGS");
        build.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
        if succeeds(&mut build) && succeeds(&mut Command::new(&program)) {
            println!("cargo:rustc-link-arg={flag}");
        }
    }
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

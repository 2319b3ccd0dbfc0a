//! Completions and manual pages, tried with the programs that read them.

use std::process::{Command, Stdio};

use crate::desk::Desk;

/// The subcommands, as `--help` names them.
fn subcommands(desk: &Desk) -> Vec<String> {
    let help = desk.run(&["--help"]).out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    names
}

#[test]
fn bash_reads_its_completions_and_they_name_every_subcommand() {
    let desk = Desk::new("");
    let names = subcommands(&desk);
    for shell in ["bash", "zsh", "fish"] {
        let ran = desk.run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for name in &names {
            assert!(ran.out.contains(name.as_str()), "{shell}: {name}");
        }
        desk.write(shell, &ran.out);
    }
    let script = "source ./bash && COMP_WORDS=(headwarden expl) COMP_CWORD=1 && \
                  _headwarden headwarden expl headwarden && echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash")
        .args(["--norc", "-c", script])
        .current_dir(desk.directory.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&bash.stdout).trim(),
        "explain",
        "{bash:?}"
    );
    assert_eq!(desk.run(&["completions", "cmd"]).code, 2);
}

#[test]
fn every_subcommand_has_a_page_that_a_typesetter_takes() {
    let desk = Desk::new("");
    std::fs::create_dir(desk.path("man")).unwrap();
    let ran = desk.run(&["man", "--dir", "man"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut pages: Vec<String> = subcommands(&desk)
        .iter()
        .map(|name| format!("headwarden-{name}.1"))
        .collect();
    pages.push("headwarden.1".to_owned());
    pages.push("headwarden-sessions-revoke.1".to_owned());
    for page in &pages {
        let path = desk.path("man").join(page);
        assert!(path.is_file(), "{page}");
        let groff = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-b"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&groff.stderr);
        assert!(groff.status.success() && err.is_empty(), "{page}: {err}");
        let source = std::fs::read_to_string(&path).unwrap();
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(source.contains(part), "{page} has no {part}");
        }
    }
    let whole = desk.run(&["man"]).out;
    assert_eq!(
        whole,
        std::fs::read_to_string(desk.path("man/headwarden.1")).unwrap()
    );
    assert_eq!(desk.run(&["man", "--dir", "nowhere"]).code, 1);
}

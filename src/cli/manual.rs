//! `headwarden completions` and `headwarden man`: made from the command line itself, so that neither can
//! name a flag that is not there.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::{Cli, FAILED, complain};

/// Print a shell's completions
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Known,
}

/// Shells whose completions are tried.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    /// Prints them.
    pub(super) fn run(self) -> io::Result<ExitCode> {
        let shell = match self.shell {
            Known::Bash => Shell::Bash,
            Known::Zsh => Shell::Zsh,
            Known::Fish => Shell::Fish,
        };
        // Into memory first: the generator ends the process where its output does.
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "headwarden", &mut text);
        io::Write::write_all(&mut io::stdout().lock(), &text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the manual page, or write one for each subcommand
#[derive(Args, Debug)]
pub(super) struct Man {
    /// Write the page of the program and one of each subcommand into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    /// Prints or writes.
    pub(super) fn run(self) -> io::Result<ExitCode> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            let command = Cli::command().disable_help_subcommand(true);
            clap_mangen::Man::new(command).render(&mut page)?;
            io::Write::write_all(&mut io::stdout().lock(), &page)?;
            return Ok(ExitCode::SUCCESS);
        };
        match clap_mangen::generate_to(Cli::command(), &dir) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(why) => {
                complain(&format!("no manual in {}: {why}", dir.display()));
                Ok(ExitCode::from(FAILED))
            }
        }
    }
}

//! Files that a subcommand writes because it was told to.

use std::fs::OpenOptions;
use std::io::{Result, Write as _};
use std::path::Path;

/// Writes a file that is not there yet; one that is stays as it is.
///
/// # Errors
/// Those of the file system, `AlreadyExists` among them.
pub(super) fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        write_new(&path, "one").unwrap();
        let again = write_new(&path, "two").unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }
}

//! Files that are read again when they change, and what was made of them. A change that cannot be used
//! leaves what was there.
//!
//! What counts is what the files hold: names, links and times of change say nothing where a directory
//! is swapped by a link, as Kubernetes does. Somebody may write one file after the other, so a change is
//! taken when it was seen twice alike, and called bad only when it was for some looks.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{FileText, ReadFile};
use crate::domain::hash::sha256;

/// Looks at the same new content after which it counts.
const SETTLED: u32 = 2;
/// Looks at the same bad content after which somebody hears of it.
const BAD: u32 = 5;

/// Makes something of the files' texts, or says why not.
pub(super) type Load<T> = Box<dyn Fn(&[FileText]) -> Result<T, String> + Send>;

/// What a look brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing new, or nothing that counts yet.
    Same,
    /// The value is another one.
    Changed,
    /// The files changed and cannot be used; told once for each change.
    Bad(String),
}

/// Whether a change may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It may: nobody said anything.
    Some,
    /// Somebody says that it is complete.
    None,
}

type Print = [u8; 32];

/// A value with the files it comes from.
pub(super) struct Watched<T> {
    paths: Vec<PathBuf>,
    load: Load<T>,
    value: Arc<T>,
    /// The content that was last taken, or found bad.
    judged: Print,
    /// Other content, and how often it was seen in a row.
    candidate: Option<(Print, u32)>,
    /// Why the last change cannot be used.
    trouble: Option<String>,
}

impl<T> Watched<T> {
    /// Reads the files for the first time. Where one is not there yet, and `absent` says what that
    /// means, it may come later.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(super) fn new(
        paths: Vec<PathBuf>,
        load: Load<T>,
        read: ReadFile<'_>,
        absent: Option<T>,
    ) -> Result<Self, String> {
        let found = texts(&paths, read);
        let judged = print_of(&found);
        let missing =
            |path: &PathBuf| read(path).is_err_and(|why| why.kind() == io::ErrorKind::NotFound);
        let value = match absent {
            Some(absent) if found.is_err() && paths.iter().any(missing) => absent,
            _ => found.and_then(|texts| load(&texts))?,
        };
        Ok(Self {
            paths,
            load,
            value: Arc::new(value),
            judged,
            candidate: None,
            trouble: None,
        })
    }

    /// What the files last held that could be used.
    pub(super) fn value(&self) -> &Arc<T> {
        &self.value
    }

    /// The files, most telling first.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Why what the files hold now is not in use.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Looks at the files.
    pub(super) fn look(&mut self, read: ReadFile<'_>, patience: Patience) -> Look {
        let found = texts(&self.paths, read);
        let print = print_of(&found);
        if print == self.judged {
            self.candidate = None;
            return Look::Same;
        }
        let looks = match self.candidate {
            Some((seen, looks)) if seen == print => looks.saturating_add(1),
            _ => 1,
        };
        self.candidate = Some((print, looks));
        if patience == Patience::Some && looks < SETTLED {
            return Look::Same;
        }
        match found.and_then(|texts| (self.load)(&texts)) {
            Ok(value) => {
                self.value = Arc::new(value);
                self.judge(print, None);
                Look::Changed
            }
            Err(why) if patience == Patience::None || looks >= BAD => {
                self.judge(print, Some(why.clone()));
                Look::Bad(why)
            }
            Err(_) => Look::Same,
        }
    }

    fn judge(&mut self, print: Print, trouble: Option<String>) {
        self.judged = print;
        self.candidate = None;
        self.trouble = trouble;
    }
}

fn texts(paths: &[PathBuf], read: ReadFile<'_>) -> Result<Vec<FileText>, String> {
    let read = |path: &PathBuf| {
        read(path).map_err(|why| format!("cannot read {}: {}", path.display(), told(&why)))
    };
    paths.iter().map(read).collect()
}

/// Without the text of the system, which adds the number of the error.
fn told(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::InvalidData => why.to_string(),
        kind => kind.to_string(),
    }
}

fn print_of(found: &Result<Vec<FileText>, String>) -> Print {
    let mut whole = Vec::new();
    match found {
        Ok(texts) => texts.iter().for_each(|file| {
            whole.push(sha256(file.text.as_bytes()));
        }),
        Err(why) => whole.extend([[0; 32], sha256(why.as_bytes())]),
    }
    sha256(&whole.concat())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Two files in one word: `a:b`. Equal halves belong together; `-` is a file that is not there.
    fn reader(content: &str) -> impl Fn(&Path) -> io::Result<FileText> {
        let (cert, key) = content.split_once(':').unwrap();
        let (cert, key) = (cert.to_owned(), key.to_owned());
        move |path| {
            let text = if path == Path::new("/cert") {
                &cert
            } else {
                &key
            };
            if text == "-" {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(FileText {
                text: text.clone(),
                mode: 0o600,
            })
        }
    }

    fn watched(content: &str) -> Result<Watched<String>, String> {
        let paths = vec!["/cert".into(), "/key".into()];
        let load = |texts: &[FileText]| match texts {
            [cert, key] if cert.text == key.text => Ok(cert.text.clone()),
            _ => Err("no pair".to_owned()),
        };
        Watched::new(paths, Box::new(load), &reader(content), None)
    }

    #[test]
    fn at_the_start_the_files_must_be_good() {
        assert_eq!(watched("a:a").unwrap().value().as_str(), "a");
        assert_eq!(watched("a:b").err().unwrap(), "no pair");
        assert_eq!(
            watched("a:-").err().unwrap(),
            "cannot read /key: entity not found"
        );
    }

    #[test]
    fn what_may_come_later_is_waited_for_and_not_let_go_again() {
        let load = |texts: &[FileText]| match texts {
            [one] if one.text != "bad" => Ok(one.text.clone()),
            _ => Err("bad".to_owned()),
        };
        let new = |content: &str| {
            let absent = Some("none".to_owned());
            Watched::new(
                vec!["/cert".into()],
                Box::new(load),
                &reader(content),
                absent,
            )
        };
        assert_eq!(new("bad:").err().unwrap(), "bad");
        let mut watched = new("-:").unwrap();
        assert_eq!(watched.value().as_str(), "none");
        assert_eq!(watched.look(&reader("-:"), Patience::None), Look::Same);
        assert_eq!(watched.look(&reader("a:"), Patience::None), Look::Changed);
        let gone = watched.look(&reader("-:"), Patience::None);
        assert!(matches!(gone, Look::Bad(_)), "{gone:?}");
        assert_eq!(watched.value().as_str(), "a");
    }

    #[test]
    fn a_change_counts_when_it_stays_and_is_good_and_is_told_once_when_it_is_bad() {
        use Look::{Changed, Same};
        let bad = || Look::Bad("no pair".to_owned());
        let gone = || Look::Bad("cannot read /cert: entity not found".to_owned());
        // Each look: what the files hold, what comes of it, what is in use then.
        let tables: &[&[(&str, Look, &str)]] = &[
            // One after the other, within one look and over several.
            &[
                ("b:b", Same, "a"),
                ("b:b", Changed, "b"),
                ("b:b", Same, "b"),
            ],
            &[
                ("b:a", Same, "a"),
                ("b:b", Same, "a"),
                ("b:b", Changed, "b"),
            ],
            &[
                ("b:a", Same, "a"),
                ("b:a", Same, "a"),
                ("b:a", Same, "a"),
                ("b:b", Same, "a"),
                ("b:b", Changed, "b"),
            ],
            // Bad for good: the old one stays, and one line says so.
            &[
                ("b:x", Same, "a"),
                ("b:x", Same, "a"),
                ("b:x", Same, "a"),
                ("b:x", Same, "a"),
                ("b:x", bad(), "a"),
                ("b:x", Same, "a"),
                ("b:x", Same, "a"),
                ("b:b", Same, "a"),
                ("b:b", Changed, "b"),
            ],
            &[
                ("-:a", Same, "a"),
                ("-:a", Same, "a"),
                ("-:a", Same, "a"),
                ("-:a", Same, "a"),
                ("-:a", gone(), "a"),
                ("-:a", Same, "a"),
                // Back to what it was: that is told too.
                ("a:a", Same, "a"),
                ("a:a", Changed, "a"),
            ],
            // Gone before anybody was told.
            &[
                ("b:x", Same, "a"),
                ("b:x", Same, "a"),
                ("a:a", Same, "a"),
                ("a:a", Same, "a"),
            ],
            // Never twice the same.
            &[
                ("b:b", Same, "a"),
                ("c:c", Same, "a"),
                ("d:d", Same, "a"),
                ("d:d", Changed, "d"),
            ],
        ];
        for table in tables {
            let mut watched = watched("a:a").unwrap();
            for (index, (content, expected, value)) in table.iter().enumerate() {
                let look = watched.look(&reader(content), Patience::Some);
                assert_eq!(&look, expected, "look {index} of {table:?}");
                assert_eq!(
                    watched.value().as_str(),
                    *value,
                    "look {index} of {table:?}"
                );
            }
            assert_eq!(watched.trouble(), None);
        }
    }

    #[test]
    fn who_says_that_a_change_is_complete_hears_at_once() {
        let mut watched = watched("a:a").unwrap();
        let look = watched.look(&reader("b:x"), Patience::None);
        assert_eq!(look, Look::Bad("no pair".to_owned()));
        assert_eq!(watched.trouble(), Some("no pair"));
        assert_eq!(watched.look(&reader("b:b"), Patience::None), Look::Changed);
        assert_eq!((watched.value().as_str(), watched.trouble()), ("b", None));
    }
}

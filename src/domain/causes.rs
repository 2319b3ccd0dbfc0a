//! What lies under an error.

use std::error::Error;
use std::iter::successors;

/// The causes of `error`, from the nearest on; it is not one of them itself.
pub fn causes(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |inner| Error::source(*inner))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<dyn Error>>);

    #[test]
    fn each_cause_follows_what_it_is_the_cause_of() {
        let deepest = io::Error::other("no route");
        let middle = Layer("no connection", Some(Box::new(deepest)));
        let error = Layer("no answer", Some(Box::new(middle)));
        let told: Vec<String> = causes(&error).map(ToString::to_string).collect();
        assert_eq!(told, ["no connection", "no route"]);
        assert_eq!(causes(&Layer("alone", None)).count(), 0);
    }
}

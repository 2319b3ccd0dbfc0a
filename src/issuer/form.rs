//! A form-encoded body in which every parameter appears once.

use url::form_urlencoded;

/// A parameter appears more than once (RFC 6749 section 3.2 forbids it): which one counts is not
/// guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate;

#[derive(Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`. A parameter without a value is as good as absent
    /// (RFC 6749 section 3.2).
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Duplicate> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Duplicate);
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }

    /// The value of `name`, unless it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

//! The user name that Headscale gets.

/// `strip_email_domain`, with what the guide means by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripDomain {
    /// `user@example.net` becomes `user`.
    Strip,
    /// `user@example.net` becomes `user.example.net`.
    Dot,
    /// The key is absent: the name is left as it is.
    Keep,
}

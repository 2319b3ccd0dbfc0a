//! I: the claims of a person, and the rules.

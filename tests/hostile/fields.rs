//! B: header fields that claim what only we may say.

//! J: tokens, keys and the provider's answers.

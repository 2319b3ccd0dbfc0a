//! C: the callback and its state.

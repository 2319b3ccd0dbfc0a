//! P: nothing leaks.

//! A: the target that is judged is the target that is forwarded.

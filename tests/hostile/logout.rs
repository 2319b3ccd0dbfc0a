//! L: signing out.

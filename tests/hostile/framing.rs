//! S: framing and upgrades.

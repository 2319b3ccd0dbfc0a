//! K: what we write: pages, fields and log lines.

//! The Debian package: built around the binary under test, installed with dpkg and started by systemd, on a machine
//! of its own.

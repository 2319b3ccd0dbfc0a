//! What an operator installs, looked at with the tools that will look at it: the systemd units, the Debian package,
//! the container image, compose, Kubernetes and Helm.
#![cfg(test)]

mod files;
mod machine;
mod package;
mod units;

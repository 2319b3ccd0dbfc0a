//! What an operator installs, looked at with the tools that will look at it: the systemd units, the Debian package,
//! the container image, compose, Kubernetes and Helm, and the scripts that make them.
#![cfg(test)]

mod compose;
mod files;
mod helm;
mod image;
mod kubernetes;
mod machine;
mod package;
mod scripts;
mod units;

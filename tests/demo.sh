#!/usr/bin/env bash
# A provider, a Headscale stand-in and Headwarden on this machine, to look at with a browser.
# `tests/demo.sh --walk` only shows what happens, and ends.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh
exec cargo test --locked --quiet --test demo -- "$@"

# The CI's jobs by name; `just` alone lists them.

_list:
    @just --list --unsorted

# everything that has to pass
ci:
    .ci/run

# formatting
fmt:
    .ci/run format

# clippy, warnings are errors
lint:
    .ci/run lints

# every test, or those that the arguments of `cargo test` pick
test *arguments:
    tests/run {{ arguments }}

# every seed of the fuzz targets once, without fuzzing
corpora:
    tests/run --test fuzz_corpora

# one fuzz target for so many seconds (needs nightly Rust and cargo-fuzz)
fuzz target seconds:
    fuzz/run {{ seconds }} {{ target }}

# every fuzz target for so many seconds each (needs nightly Rust and cargo-fuzz)
fuzz-all seconds:
    fuzz/run {{ seconds }}

# advisories, licences, sources, one TLS stack, one crypto provider
deny:
    .ci/run dependencies

# dependencies that nothing uses
machete:
    .ci/run unused

# a provider, a Headscale stand-in and Headwarden on this machine
demo:
    cargo run --release --example demo

# criterion's benchmarks
bench:
    cargo bench --locked

# Headwarden beside nginx, bare pingora, mod_auth_openidc and oauth2-proxy
compare *arguments:
    cargo build --release --locked
    cargo build --release --locked --example bare_proxy
    benches/compare/run {{ arguments }}

# line coverage by room
coverage *arguments:
    tests/coverage {{ arguments }}

# mutation testing of the core and the verifiers, or of some rooms
mutants *rooms:
    tests/mutants {{ rooms }}

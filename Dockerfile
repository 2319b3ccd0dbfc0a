# syntax=docker/dockerfile:1
# Versions, not digests: docs/deploy/docker.md says how to pin these two further.
FROM rust:1.95-slim-bookworm AS build
# ring and jemalloc are built from C sources.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /build

# The dependencies, in a layer of their own: built with empty sources, kept until Cargo.lock changes.
# Cargo wants every target that Cargo.toml names to exist.
COPY Cargo.toml Cargo.lock askama.toml build.rs ./
COPY patches patches
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    mkdir src benches tests \
    && echo 'fn main() {}' | tee src/main.rs > src/lib.rs \
    && sed -n '/^\[\[bench\]\]/,/^$/s/^name = "\(.*\)"/benches\/\1.rs/p; /^\[\[test\]\]/,/^$/s/^name = "\(.*\)"/tests\/\1.rs/p' Cargo.toml \
       | xargs -I{} cp src/main.rs {} \
    && cargo build --release --locked

COPY src src
# Cargo goes by time, and the stubs are younger than the sources.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin headwarden \
    && install -D -m 0755 target/release/headwarden /image/usr/local/bin/headwarden \
    && install -d -m 0700 /image/var/lib/headwarden

# glibc, libgcc and the CA certificates; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="headwarden" \
      org.opencontainers.image.description="Authenticating reverse proxy for Headscale, and the OpenID issuer it trusts" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/usr/local/bin/headwarden /usr/local/bin/headwarden
COPY --from=build --chown=65532:65532 /image/var/lib/headwarden /var/lib/headwarden
COPY LICENSE /usr/share/doc/headwarden/LICENSE
USER 65532:65532
# The key ring and the issuer's key: part of every user's identity, keep it.
VOLUME ["/var/lib/headwarden"]
# Public; 8181 is for Headscale alone, and the admin listener stays on loopback.
EXPOSE 80 443 8181
HEALTHCHECK --interval=15s --timeout=12s --start-period=90s --retries=3 \
    CMD ["/usr/local/bin/headwarden", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/headwarden"]
CMD ["serve"]

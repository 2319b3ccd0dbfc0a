#!/usr/bin/env bash
# Installs what the tests need beside Rust, on a fresh Debian machine. Run it as often as you like:
# it says what it does, and does nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer first"

# Command and the Debian package that has it.
missing=()
while read -r command package; do
    command -v "$command" >/dev/null || missing+=("$package")
done <<'END'
gcc gcc
make make
chromium chromium
jsonschema python3-jsonschema
node nodejs
npm npm
curl curl
redis-server redis-server
lintian lintian
man man-db
openssl openssl
shellcheck shellcheck
strip binutils
systemd-analyze systemd
promtool prometheus
haproxy haproxy
nginx nginx
callgrind_control valgrind
wrk wrk
pyflakes3 pyflakes3
sqlite3 sqlite3
psql postgresql
groff groff
END

# Parts without a command of their own.
[[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] || missing+=(libnginx-mod-stream)
/usr/bin/python3 -c 'import jwt, cryptography' 2>/dev/null || missing+=(python3-jwt python3-cryptography)

if ((${#missing[@]})); then
    say "installing Debian packages: ${missing[*]}"
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq)
    "${as_root[@]}" apt-get update -qq
    if [[ " ${missing[*]} " == *" prometheus "* ]]; then
        # promtool comes with a server that nobody asked for, and that would bring an exporter along.
        [[ ! -d /run/systemd/system ]] || "${as_root[@]}" systemctl mask --quiet prometheus.service
        "${install[@]}" --no-install-recommends prometheus >/dev/null
    fi
    "${install[@]}" "${missing[@]}" >/dev/null
fi

node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
    fail "node $(node --version) is too old for the tests' OpenID provider: 20 or newer is needed"

# The Debian package is built in a test.
if ! cargo deb --version >/dev/null 2>&1; then
    say "building cargo-deb once"
    cargo install cargo-deb --version 3.8.0 --locked --quiet
fi

# npm writes no lock file into what it installs that could be compared, so we keep our own copy.
rig=tests/rig/provider
stamp=$rig/node_modules/.installed-package-lock.json
if ! cmp -s "$rig/package-lock.json" "$stamp"; then
    say "installing the npm packages of $rig"
    npm ci --prefix "$rig" --no-audit --no-fund --loglevel=error
    cp "$rig/package-lock.json" "$stamp"
fi
say "everything is there"

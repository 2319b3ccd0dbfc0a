"""Headwarden as it is measured: its configuration, and its process."""

import signal
import subprocess

from . import meter
from .provider import CLIENT_ID, CLIENT_SECRET
from .stage import Failed, answers, free_port, headwarden_binary

CONFIG = """\
server_url: {origin}
listen:
  - address: "{host}:{port}"
{listen}admin: {{ address: "127.0.0.1:{admin}", sessions: true }}
workers: {workers}
keys_path: {keys}
headscale:
  url: {headscale}
  sign_in: none
oidc:
  issuer: "{issuer}"
  client_id: {client}
  client_secret: {secret}
  allowed_groups: [headscale]
{oidc}access:
{access}  - path: /app/**
    upstream: {upstream}
    groups: [headscale]
    identity_headers: {identity}
shutdown: {{ lead: 0s, grace: {grace} }}
log: {{ level: warn }}
{top}"""


class Headwarden:
    """One process, and what its files and addresses are; it can be started anew."""

    def __init__(self, stage, issuer, upstream, headscale=None, workers=1, cpus=None, name="headwarden", **more):
        self.stage, self.cpus, self.name, self.binary = stage, cpus, name, headwarden_binary()
        self.port, self.admin = free_port(), free_port()
        scheme = "https" if "tls:" in more.get("listen", "") else "http"
        self.origin = f"{scheme}://127.0.0.1:{self.port}"
        self.fields = {
            "origin": self.origin,
            "host": "127.0.0.1",
            "port": self.port,
            "admin": self.admin,
            "keys": stage.files / f"{name}.keys.json",
            "workers": workers,
            "headscale": headscale or upstream,
            "upstream": upstream,
            "issuer": issuer,
            "client": CLIENT_ID,
            "secret": CLIENT_SECRET,
            **{"listen": "", "oidc": "", "access": "", "grace": "10s", "identity": "remote", "top": "", **more},
        }
        self.config = stage.files / f"{name}.yaml"
        self.write()
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def redirect_uri(self):
        return f"{self.origin}/oidc/callback"

    def write(self, **more):
        """Writes the configuration, with other values for some of its parts, and has it checked."""
        self.config.write_text(CONFIG.format(**{**self.fields, **more}), encoding="utf-8")
        self.config.chmod(0o600)
        check = [str(self.binary), "check", "--config", str(self.config)]
        told = subprocess.run(check, capture_output=True, text=True, check=False)
        if told.returncode:
            raise Failed(f"headwarden check refused the configuration:\n{told.stdout}{told.stderr}")

    def start(self):
        """Starts it, and returns the seconds until it was ready."""
        command = [self.binary, "serve", "--config", self.config]
        self.process = self.stage.start(self.name, command, cpus=self.cpus)
        ready = f"http://127.0.0.1:{self.admin}/readyz"
        return self.stage.ready(self.process, lambda: answers(ready))

    def end(self, how=signal.SIGTERM):
        self.stage.end(self.process, how)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def version(self):
        told = subprocess.run([str(self.binary), "--version"], capture_output=True, text=True, check=True)
        return told.stdout.strip()

    def usage(self):
        return meter.Usage.of(self.pid)

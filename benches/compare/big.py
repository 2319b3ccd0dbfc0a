"""Pomerium and authentik's outpost: what they need beside a binary. Written by their documentation, for whoever has them."""

import base64
import os
import subprocess

from compare.contestants import Contestant
from rig.provider import CLIENT_ID, CLIENT_SECRET
from rig.stage import Failed, answers, free_port

PAGES, AUTHENTICATE = "app.bench.test", "authenticate.bench.test"
POMERIUM = """\
address: "127.0.0.1:{port}"
insecure_server: true
grpc_address: "127.0.0.1:{grpc}"
grpc_insecure: true
authenticate_service_url: https://{authenticate}
shared_secret: {shared}
cookie_secret: {cookie}
idp_provider: oidc
idp_provider_url: {issuer}
idp_client_id: {client}
idp_client_secret: {secret}
idp_scopes: [openid, profile, email]
log_level: error
access_log_fields: []
routes:
  - from: https://{pages}
    to: {upstream}
    allow_any_authenticated_user: true
    pass_identity_headers: true
"""


def secret():
    """32 bytes in base64."""
    return base64.b64encode(os.urandom(32)).decode()


class Pomerium(Contestant):
    """Everything in one process, as behind a load balancer that takes TLS off. POMERIUM_BIN names it."""

    name = "Pomerium"
    sign_in_path = "/app/"
    public = f"https://{PAGES}"
    redirect_uri = f"https://{AUTHENTICATE}/oauth2/callback"
    forwarded = {"X-Forwarded-Proto": "https"}

    @property
    def hosts(self):
        return {name: ("127.0.0.1", self.port) for name in (PAGES, AUTHENTICATE)}

    def command(self):
        text = POMERIUM.format(
            port=self.port, grpc=free_port(), authenticate=AUTHENTICATE, shared=secret(), cookie=secret(),
            issuer=self.issuer, client=CLIENT_ID, secret=CLIENT_SECRET, pages=PAGES, upstream=self.upstream,
        )
        return [os.environ["POMERIUM_BIN"], "--config", self.stage.write("pomerium.yaml", text)]

    def env(self):
        return {"GOMAXPROCS": "1"}

    def version(self):
        told = subprocess.run([os.environ["POMERIUM_BIN"], "--version"], capture_output=True, text=True, check=False)
        return f"Pomerium {told.stdout.strip()}"


class AuthentikOutpost(Contestant):
    """authentik's proxy outpost. AUTHENTIK_OUTPOST_BIN names it.

    It takes its configuration from an authentik, and people sign in there with scripts that only a browser runs. So it
    wants AUTHENTIK_HOST and AUTHENTIK_TOKEN of an outpost whose one provider has AUTHENTIK_EXTERNAL_HOST as external
    host and this upstream as internal one (`--upstream-port`), and AUTHENTIK_OUTPOST_COOKIE: the `Cookie` of a
    person who signed in there before. The outpost keeps sessions beyond its end.
    """

    name = "authentik outpost"
    sign_in_path = "/app/"

    def __init__(self, stage, upstream, issuer, cpus):
        super().__init__(stage, upstream, issuer, cpus)
        wanted = ("AUTHENTIK_HOST", "AUTHENTIK_TOKEN", "AUTHENTIK_EXTERNAL_HOST", "AUTHENTIK_OUTPOST_COOKIE")
        missing = [name for name in wanted if not os.environ.get(name)]
        if missing:
            raise Failed(f"the outpost needs {', '.join(missing)} too: see benches/compare/big.py")
        self.public = os.environ["AUTHENTIK_EXTERNAL_HOST"].rstrip("/")
        self.cookie = os.environ["AUTHENTIK_OUTPOST_COOKIE"]
        scheme, _, host = self.public.partition("://")
        self.hosts = {host: ("127.0.0.1", self.port)}
        self.forwarded = {"X-Forwarded-Proto": scheme}

    def command(self):
        return [os.environ["AUTHENTIK_OUTPOST_BIN"]]

    def start(self):
        self.process = self.stage.start("outpost", self.command(), cpus=self.cpus, env=self.env())
        ping = f"http://127.0.0.1:{self.port}/outpost.goauthentik.io/ping"
        return self.stage.ready(self.process, lambda: answers(ping))

    def env(self):
        listen = {"HTTP": self.port, "HTTPS": free_port(), "METRICS": free_port()}
        places = {f"AUTHENTIK_LISTEN__{name}": f"127.0.0.1:{port}" for name, port in listen.items()}
        return {"GOMAXPROCS": "1", "AUTHENTIK_LOG_LEVEL": "error", **places}

    def version(self):
        return "authentik outpost"

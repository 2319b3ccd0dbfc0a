"""The certified OpenID provider that the tests use: tests/rig/provider."""

import json
import subprocess
import threading

from .stage import ROOT, Failed, needed

HOME = ROOT / "tests/rig/provider"
CLIENT_ID = "headwarden"
CLIENT_SECRET = "the-client-secret-0123456789abcdef"


class Provider:
    """A running provider. `host` is what its issuer names; its socket is always on 127.0.0.1."""

    def __init__(self, stage, host="127.0.0.1", **settings):
        if not (HOME / "node_modules").is_dir():
            raise Failed(f"{HOME}/node_modules is missing: tests/setup.sh, or npm ci --prefix {HOME}")
        given = json.dumps({"host": host, "refresh_tokens": True, **settings})
        self.process = stage.start(
            "provider",
            [needed("node", "nodejs"), HOME / "provider.mjs"],
            env={"PROVIDER_CONFIG": given, "NODE_ENV": "production"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.turn = threading.Lock()
        ready = self.hear()
        self.origin, self.issuer = ready["origin"], ready["issuer"]
        self.port = int(self.origin.rpartition(":")[2])

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the provider ended: see tests/rig/provider")
        return json.loads(line)

    def ask(self, what, **more):
        """One command of tests/rig/provider/provider.mjs."""
        with self.turn:
            self.process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.hear()
        if not answer["ok"]:
            raise Failed(f"the provider refused {what}: {answer}")
        return answer

    def client(self, *redirect_uris):
        """Registers the one client, or changes where it may send people."""
        client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uris": redirect_uris}
        self.ask("client", client=client)

    def person(self, username, groups=("headscale",), **claims):
        """Invents somebody."""
        claims = {"name": username.title(), "email": f"{username}@acmecorp.net", "groups": list(groups), **claims}
        self.ask("person", username=username, claims=claims)

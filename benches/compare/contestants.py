"""What is compared: each is configured for one worker, no log of requests, a connection to the upstream that is kept."""

import base64
import os
import subprocess
from pathlib import Path

from rig.headwarden import Headwarden
from rig.provider import CLIENT_ID, CLIENT_SECRET
from rig.stage import ROOT, Failed, answers, free_port, needed

#: What a browser would have got from any of them: 1 KiB.
PAGE = "x" * 1023 + "\n"


class Visited:
    """How a person gets to a contestant."""

    #: Where a sign-in begins; none if there is none.
    sign_in_path = None
    #: Names that are no host of this machine, and where they are; what a server in front would have said.
    hosts, forwarded = {}, {}
    #: Of a person who signed in before, where it cannot be done here.
    cookie = None
    #: The origin that people know, where it is another one.
    public = None


class Ours(Headwarden, Visited):
    """Headwarden; a page behind a rule by groups, and `Remote-*` for the upstream."""

    sign_in_path = "/app/"


class Contestant(Visited):
    """One server on a free port of 127.0.0.1."""

    name = ""
    callback = "/oidc/callback"

    def __init__(self, stage, upstream, issuer, cpus):
        self.stage, self.upstream, self.issuer, self.cpus = stage, upstream, issuer, cpus
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.process = None

    @property
    def redirect_uri(self):
        return f"{self.origin}{self.callback}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        self.process = self.stage.start(self.name.replace(" ", "-"), self.command(), cpus=self.cpus, env=self.env())
        return self.stage.ready(self.process, lambda: answers(f"{self.origin}/app/"))

    def end(self):
        self.stage.end(self.process)

    def env(self):
        return {}

    def command(self):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError


NGINX = """\
daemon off;
worker_processes 1;
pid {files}/{name}.pid;
error_log {files}/{name}.error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  client_body_temp_path {files}/{name}-temp;
  proxy_temp_path {files}/{name}-temp;
  fastcgi_temp_path {files}/{name}-temp;
  uwsgi_temp_path {files}/{name}-temp;
  scgi_temp_path {files}/{name}-temp;
  keepalive_requests 100000000;
  {more}
}}
"""


class Nginx(Contestant):
    """nginx as nothing but a reverse proxy: the floor."""

    name = "nginx"

    def inside(self):
        upstream = self.upstream.removeprefix("http://")
        return (
            f"upstream static {{ server {upstream}; keepalive 128; keepalive_requests 100000000; }}\n"
            f"  server {{ listen 127.0.0.1:{self.port}; location / {{ proxy_pass http://static;\n"
            '    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;\n'
            "    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; } }"
        )

    def command(self):
        name = self.name.replace(" ", "-")
        text = NGINX.format(files=self.stage.files, name=name, more=self.inside())
        return [needed("nginx", "nginx"), "-c", self.stage.write(f"{name}.conf", text)]

    def version(self):
        told = subprocess.run([needed("nginx", "nginx"), "-v"], capture_output=True, text=True, check=True)
        return told.stderr.strip().removeprefix("nginx version: ")


class Direct(Nginx):
    """The static upstream itself, asked without anything in front."""

    def __init__(self, stage, cpus, name="direct", port=None):
        super().__init__(stage, "", "", cpus)
        self.name = name
        if port:
            self.port, self.origin = port, f"http://127.0.0.1:{port}"

    def inside(self):
        root = self.stage.files / "static"
        (root / "app").mkdir(parents=True, exist_ok=True)
        (root / "app/index.html").write_text(PAGE)
        return (
            f"open_file_cache max=10; sendfile on; tcp_nopush on; large_client_header_buffers 8 64k;\n"
            f"  server {{ listen 127.0.0.1:{self.port}; root {root}; location = /health {{ return 200; }} }}"  # Headwarden asks
        )


class Bare(Contestant):
    """pingora without anything of ours: benches/compare/bare.rs."""

    name = "bare pingora"

    def command(self):
        path = Path(os.environ.get("BARE_PROXY_BIN", ROOT / "target/release/examples/bare_proxy"))
        if not path.is_file():
            raise Failed(f"{path} is missing: cargo build --release --locked --example bare_proxy")
        return [path, f"127.0.0.1:{self.port}", self.upstream.removeprefix("http://")]

    def version(self):
        lines = (ROOT / "Cargo.lock").read_text().splitlines()
        return "pingora " + lines[lines.index('name = "pingora"') + 1].split('"')[1]


class Apache(Contestant):
    """Apache with mod_auth_openidc: one process; sessions in its shared memory, which is its default."""

    name = "mod_auth_openidc"
    sign_in_path = "/app/"

    def command(self):
        modules = Path("/usr/lib/apache2/modules")
        if not (modules / "mod_auth_openidc.so").is_file():
            raise Failed("mod_auth_openidc is missing: apt-get install apache2 libapache2-mod-auth-openidc")
        names = ["mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc"]
        loaded = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names)
        text = f"""\
{loaded}
ServerRoot {self.stage.files}
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
PidFile {self.stage.files}/apache.pid
Mutex posixsem
ErrorLog {self.stage.files}/apache.error.log
LogLevel error
User www-data
Group www-data
StartServers 1
ServerLimit 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
KeepAlive On
MaxKeepAliveRequests 0
OIDCProviderMetadataURL {self.issuer}.well-known/openid-configuration
OIDCClientID {CLIENT_ID}
OIDCClientSecret {CLIENT_SECRET}
OIDCRedirectURI {self.redirect_uri}
OIDCCryptoPassphrase only-for-this-measurement
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCCookieSameSite Off
<Location />
  AuthType openid-connect
  Require valid-user
  ProxyPass {self.upstream}/ keepalive=On
</Location>
"""
        return [needed("apache2", "apache2"), "-DFOREGROUND", "-f", self.stage.write("apache.conf", text)]

    def version(self):
        command = ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", "libapache2-mod-auth-openidc", "apache2"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip(", ")


class OAuth2Proxy(Contestant):
    """oauth2-proxy with its default store: the session is in the cookie, sealed. OAUTH2_PROXY_BIN names it."""

    name = "oauth2-proxy"
    sign_in_path = "/app/"
    callback = "/oauth2/callback"

    def command(self):
        secret = base64.urlsafe_b64encode(os.urandom(32)).decode()
        return [
            os.environ["OAUTH2_PROXY_BIN"],
            f"--http-address=127.0.0.1:{self.port}",
            f"--upstream={self.upstream}/",
            "--provider=oidc",
            f"--oidc-issuer-url={self.issuer}",
            f"--client-id={CLIENT_ID}",
            f"--client-secret={CLIENT_SECRET}",
            f"--redirect-url={self.redirect_uri}",
            f"--cookie-secret={secret}",
            "--cookie-secure=false",
            "--email-domain=*",
            "--allowed-group=headscale",
            "--scope=openid profile email",
            "--code-challenge-method=S256",
            "--skip-provider-button=true",
            "--standard-logging=false",
            "--auth-logging=false",
            "--request-logging=false",
        ]

    def env(self):
        return {"GOMAXPROCS": "1"}

    def version(self):
        command = [os.environ["OAUTH2_PROXY_BIN"], "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(" (")[0].strip()

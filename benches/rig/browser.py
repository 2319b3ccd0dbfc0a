"""A person with a browser, as far as a sign-in needs one: redirects, cookies, one form."""

import http.client
import re
import time
from html import unescape
from urllib.parse import urlencode, urljoin, urlsplit

from .stage import Failed

#: A browser gives up after 20; nothing here needs as many.
MOST_HOPS = 20
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
}
FORM = re.compile(r'<form id="login" method="post" action="([^"]+)"')


class Browser:
    """`address` is where its connections come from; `hosts` says where a name is: `{"name:443": ("127.0.0.1", 8443)}`."""

    def __init__(self, address="127.0.0.1", hosts=None, headers=None, timeout=60):
        self.address = address
        self.hosts = hosts or {}
        self.headers = {**NAVIGATION, **(headers or {})}
        self.timeout = timeout
        self.jar = {}

    def cookies(self, url):
        """What `Cookie` says at an origin."""
        kept = self.jar.get(urlsplit(url).netloc, {})
        return "; ".join(f"{name}={value}" for name, value in kept.items())

    def ask(self, url, form=None):
        """One request over a connection of its own: status, header fields, body."""
        parts = urlsplit(url)
        where = self.hosts.get(parts.netloc, (parts.hostname, parts.port or 80))
        headers = {**self.headers, "Host": parts.netloc}
        if self.cookies(url):
            headers["Cookie"] = self.cookies(url)
        body = None
        if form is not None:
            body = urlencode(form)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
            headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        connection = http.client.HTTPConnection(*where, timeout=self.timeout, source_address=(self.address, 0))
        target = parts.path or "/"
        target += f"?{parts.query}" if parts.query else ""
        try:
            connection.request("POST" if form is not None else "GET", target, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        self.keep(parts.netloc, answer.headers.get_all("Set-Cookie", []))
        return answer.status, answer.headers, text

    def keep(self, netloc, lines):
        """The cookies of an answer. Paths do not matter here: each origin has few."""
        kept = self.jar.setdefault(netloc, {})
        for line in lines:
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            gone = any(each.lower() in ("max-age=0", "max-age=-1") for each in attributes)
            gone |= any(each.lower().startswith("expires=") and " 1970 " in each.replace("-", " ") for each in attributes)
            if gone or not value:
                kept.pop(name, None)
            else:
                kept[name] = value

    def sign_in(self, url, username):
        """From a page without a session through the provider's form back to the page: its status and body."""
        form, steps = None, []
        for _ in range(MOST_HOPS):
            began = time.monotonic()
            status, headers, body = self.ask(url, form)
            steps.append(f"{status} {url.partition('?')[0]} {time.monotonic() - began:.2f} s")
            if status in (301, 302, 303, 307, 308):
                url, form = urljoin(url, headers["Location"]), None
                continue
            found = FORM.search(body.decode(errors="replace"))
            if not found or form is not None:
                self.steps = steps
                return status, body
            url, form = urljoin(url, unescape(found[1])), {"username": username}
        raise Failed("a sign-in that does not end:\n" + "\n".join(steps))

"""A real OpenID provider, and a browser's way through it to the token of its user."""

import base64
import http.client
import json
import secrets
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.component import programs

ISSUER: Final = "https://login.example/"
CLIENT: Final = "shop"
_BACK: Final = "http://127.0.0.1:1/back"
_USER, _PASSWORD = "test-user@localhost", "verysecure"


@dataclass(frozen=True, slots=True)
class Provider:
    """It runs on the loopback; ``secret`` is the client's."""

    port: int
    secret: str

    def keys(self) -> str:
        """Its key set (RFC 7517)."""
        return self._ask("GET", self._knows("jwks_uri"))[1]

    def logged_in(self) -> str:
        """The ID token of the user, by the authorization code flow (OpenID Connect Core 1.0, section 3.1)."""
        asked = {"client_id": CLIENT, "redirect_uri": _BACK, "response_type": "code", "scope": "openid profile"}
        asked["nonce"] = secrets.token_hex(8)
        where = self._sent_on("GET", f"{self._knows('authorization_endpoint')}?{urllib.parse.urlencode(asked)}")
        (number,) = urllib.parse.parse_qs(urllib.parse.urlsplit(where).query)["authRequestID"]
        form = {"id": number, "username": _USER, "password": _PASSWORD}
        back = self._sent_on("GET", self._sent_on("POST", "/login/username", form))
        (code,) = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"]
        said = self._ask(
            "POST",
            self._knows("token_endpoint"),
            {"grant_type": "authorization_code", "code": code, "redirect_uri": _BACK},
            {"authorization": "Basic " + base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()},
        )[1]
        token: str = json.loads(said)["id_token"]
        return token

    def _knows(self, what: str) -> str:
        """A path of its own, from its discovery document (OpenID Connect Discovery 1.0)."""
        known = json.loads(self._ask("GET", "/.well-known/openid-configuration")[1])
        assert known["issuer"] == ISSUER
        return urllib.parse.urlsplit(known[what]).path

    def _sent_on(self, method: str, path: str, form: dict[str, str] | None = None) -> str:
        """Where an answer sends the browser."""
        headers, body = self._ask(method, path, form)
        assert "location" in headers, f"{method} {path}: {body[:300]}"
        return headers["location"]

    def _ask(
        self, method: str, path: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent: dict[str, Any] = {"content-type": "application/x-www-form-urlencoded"} if form else {}
            target = urllib.parse.urlsplit(path)
            where = target.path + (f"?{target.query}" if target.query else "")
            connection.request(method, where, urllib.parse.urlencode(form or {}), {**sent, **(headers or {})})
            answer = connection.getresponse()
            return {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Provider]:
    """It runs for as long as the block does."""
    secret = secrets.token_hex(16)
    command = [str(programs.openid()), f"-issuer={ISSUER}", f"-secret={secret}", f"-redirect={_BACK}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Provider(int(process.stdout.readline()), secret)
        finally:
            process.kill()

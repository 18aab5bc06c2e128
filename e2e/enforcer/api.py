"""The little of the Kubernetes API that is needed here: requests with JSON, and watch.

Plain HTTP: importing the official client takes longer than everything that happens here until the rules are in force.
"""

import base64
import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

CONNECT_SECONDS = 10.0
WATCH_SECONDS = 120
"""How long one watch lasts by our own wish, so that a connection that died silently is noticed."""


class ApiError(Exception):
    """The API server answered with an error; ``code`` is HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        """Say which code, and what the server said."""
        super().__init__(f"the API server answered {code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Server:
    """An API server and how to reach it."""

    host: str
    port: int
    context: ssl.SSLContext
    headers: Mapping[str, str]

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``. Raises ApiError, OSError, http.client.HTTPException."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Send one request and return the JSON of the answer; ``kind`` is the body's media type. Raises as ``get``."""
        with self._answer(method, path, CONNECT_SECONDS, body, kind) as response:
            return json.load(response)

    def watch(self, path: str, version: str) -> Iterator[Mapping[str, Any]]:
        """Yield the events of a collection from ``version`` on, until the server ends the watch. Raises as ``get``."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": WATCH_SECONDS,
        }
        with self._answer("GET", f"{path}?{urlencode(query)}", WATCH_SECONDS + CONNECT_SECONDS) as response:
            while line := response.readline():
                yield json.loads(line)

    @contextmanager
    def _answer(
        self, method: str, path: str, seconds: float, body: Any = None, kind: str = "application/json"
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=seconds)
        try:
            headers = {"Accept": "application/json", "Content-Type": kind, **self.headers}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            if response.status // 100 != 2:
                raise ApiError(response.status, response.read(2000).decode(errors="replace"))
            yield response
        finally:
            connection.close()


def server(kubeconfig: Path) -> Server:
    """Return the server of a kubeconfig's current context. Raises OSError, or KeyError when something is missing."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    address = urlsplit(cluster["server"])
    tls = ssl.create_default_context(cadata=_content(cluster, "certificate-authority", kubeconfig).decode())
    if "client-certificate" in user or "client-certificate-data" in user:
        parts = [_content(user, key, kubeconfig) for key in ("client-certificate", "client-key")]
        _load_chain(tls, b"\n".join(parts))
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return Server(address.hostname or "", address.port or 443, tls, headers)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in entries if each["name"] == name)


def _content(entry: Mapping[str, str], key: str, kubeconfig: Path) -> bytes:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data)
    return (kubeconfig.parent / entry[key]).read_bytes()


def _load_chain(tls: ssl.SSLContext, pem: bytes) -> None:
    """Load certificate and key; ssl takes them from files only, and this one never reaches a disk."""
    descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        tls.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)

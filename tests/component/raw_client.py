"""HTTP to an API server with nothing in between, so that tests see what it answers to exactly what they send."""

import base64
import http.client
import json
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from e2e.cluster.controlplane import ControlPlane


class Answer:
    """What the API server said: the status, the object or Status that it sent, and its warnings."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.warnings = response.headers.get_all("Warning") or []
        body = response.read()
        self.body: dict[str, Any] = json.loads(body) if body else {}

    @property
    def accepted(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 300

    @property
    def message(self) -> str:
        """What a person reads when it did not."""
        return str(self.body.get("message", ""))


class RawClient:
    """One connection as cluster administrator."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", control_plane.port, context=_context(control_plane.kubeconfig), timeout=30
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """One request; ``body`` is sent as JSON."""
        headers = {"Content-Type": content_type, "Accept": accept}
        self._connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        return Answer(self._connection.getresponse())


def _context(kubeconfig: Path) -> ssl.SSLContext:
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority").decode())
    certificate = kubeconfig.parent / "raw-client.pem"
    certificate.touch(mode=0o600)
    certificate.write_bytes(_pem(user, "client-key") + b"\n" + _pem(user, "client-certificate"))
    context.load_cert_chain(certificate)
    return context


def _pem(entry: dict[str, str], name: str) -> bytes:
    """The file that a kubeconfig names or holds."""
    if name in entry:
        return Path(entry[name]).read_bytes()
    return base64.b64decode(entry[f"{name}-data"])

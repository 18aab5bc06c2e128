"""Requests to the API server as anybody, and what it answers."""

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any

from e2e.cluster import controlplane


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API server answered."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class Api:
    """Requests to the API server as anybody."""

    def __init__(self, plane: controlplane.ControlPlane) -> None:
        self._port = plane.port
        pki = plane.directory / "pki"
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str = "",
        groups: Sequence[str] = (),
        media: str = "application/json",
    ) -> Reply:
        """One request; ``body`` is an object, or bytes to send as they are."""
        headers = {"Content-Type": media, "Accept": "application/json"}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=30)
        try:
            connection.putrequest(method, path)
            for name, value in headers.items():
                connection.putheader(name, value)
            if user:
                connection.putheader("Impersonate-User", user)
                for group in groups:
                    connection.putheader("Impersonate-Group", group)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            text = answer.read()
            warnings = tuple(_warning(each) for each in answer.headers.get_all("Warning") or ())
            return Reply(answer.status, json.loads(text) if text.startswith(b"{") else {}, warnings)
        finally:
            connection.close()

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False, **who: Any) -> Reply:
        """POST an object to its collection."""
        return self.request("POST", collection(obj) + ("?dryRun=All" if dry_run else ""), obj, **who)

    def apply(self, obj: Mapping[str, Any], **who: Any) -> Reply:
        """Server-side apply."""
        path = f"{collection(obj)}/{obj['metadata']['name']}?fieldManager=test&force=true"
        return self.request("PATCH", path, obj, media="application/apply-patch+yaml", **who)

    def merge(self, path: str, patch: Mapping[str, Any], **who: Any) -> Reply:
        """JSON merge patch."""
        return self.request("PATCH", path, patch, media="application/merge-patch+json", **who)


_PLURALS = {
    "NetworkPolicy": "networkpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "SecurityPolicy": "securitypolicies",
    "ClusterSecurityPolicy": "clustersecuritypolicies",
    "ServiceIdentity": "serviceidentities",
}


def collection(obj: Mapping[str, Any]) -> str:
    """The path of an object's collection."""
    version, kind = obj["apiVersion"], obj["kind"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = obj["metadata"].get("namespace")
    plural = _PLURALS.get(kind, kind.lower() + "s")
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def _warning(header: str) -> str:
    """The text of a Warning header (RFC 7234 §5.5)."""
    return str(json.loads(header.partition(" - ")[2]))

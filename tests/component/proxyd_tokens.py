"""ServiceAccount tokens that no kubelet would ask for, signed by the API server's own key."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from e2e.cluster.controlplane import ControlPlane

#: Claims that name what a token is bound to.
BOUND = frozenset({"pod", "node"})


def resigned(control_plane: ControlPlane, token: str, **claims: Any) -> str:
    """A token of the API server's own making but for these claims."""
    head, payload, _ = token.split(".")
    body = {**json.loads(base64.urlsafe_b64decode(payload + "==")), **claims}
    signed = f"{head}.{_encoded(json.dumps(body).encode())}"
    pem = (control_plane.directory / "pki" / "service-accounts.key").read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return f"{signed}.{_encoded(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def unbound(control_plane: ControlPlane, token: str) -> str:
    """The same token bound to no pod: NodeRestriction keeps kubelets from asking for one."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))["kubernetes.io"]
    return resigned(control_plane, token, **{"kubernetes.io": {k: v for k, v in claims.items() if k not in BOUND}})


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

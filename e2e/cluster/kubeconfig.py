"""Kubeconfig files, self-contained, so that one may be copied anywhere."""

import base64
import os
from pathlib import Path

import yaml

from e2e.cluster.certificates import KeyPair


def write(target: Path, *, server: str, authority: Path, user: KeyPair, name: str) -> Path:
    """Writes a kubeconfig that only its owner may read, and returns its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": _inline(authority)}}],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _inline(user.certificate),
                    "client-key-data": _inline(user.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        yaml.safe_dump(document, stream, sort_keys=False)
    return target


def _inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()

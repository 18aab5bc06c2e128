"""Kubeconfig files, self-contained, so that one may be copied anywhere."""

import base64
from pathlib import Path

import yaml

from e2e.cluster.certificates import KeyPair
from e2e.cluster.files import put


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
    put(target, yaml.safe_dump(document, sort_keys=False), mode=0o600)
    return target


def _inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()

"""Putting images into a registry."""

import urllib.request
from pathlib import Path

from e2e.cluster.command import run


def push(crane: Path, layout: Path, reference: str) -> str:
    """Pushes an image layout or tar under a name with a tag; returns the name with the digest in the tag's place."""
    return run(crane, "push", "--insecure", layout, reference).strip()


def answers(host: str) -> bool:
    """Whether a registry answers at host:port."""
    try:
        with urllib.request.urlopen(f"http://{host}/v2/", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False

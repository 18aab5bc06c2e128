"""Credentials from imagePullSecrets, matched to a registry as the kubelet matches them. Never logged, never shown."""

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model.image_reference import DEFAULT_REGISTRY, ImageReference

_HUB_NAMES: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
#: Bytes of a Secret at most; entries in it at most.
_MAX_DOCUMENT: Final = 1024 * 1024
_MAX_ENTRIES: Final = 256


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password (or a token in its place)."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """The value of the header Authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Entry:
    """For which registry, and for which paths of it, credentials are meant."""

    host: str
    path: str
    credentials: Credentials

    def serves(self, image: ImageReference) -> bool:
        """Whether they are for this image. A ``*`` stands for characters of one part of the host's name."""
        host = image.registry
        if host == DEFAULT_REGISTRY and self.host in _HUB_NAMES:
            matched = True
        else:
            theirs, ours = self.host.split("."), host.split(".")
            matched = len(theirs) == len(ours) and all(map(fnmatch.fnmatchcase, ours, theirs))
        return matched and (not self.path or f"{image.repository}/".startswith(f"{self.path}/"))


def read(secret: Mapping[str, Any]) -> tuple[Entry, ...]:
    """What is in a Secret of either of Kubernetes' two types; what cannot be read in it is left out."""
    data = secret.get("data") or {}
    entries: list[Entry] = []
    for key in (".dockerconfigjson", ".dockercfg"):
        text = data.get(key)
        if not isinstance(text, str) or len(text) > _MAX_DOCUMENT:
            continue
        try:
            document = json.loads(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error, RecursionError):
            continue
        auths = document.get("auths") if key == ".dockerconfigjson" and isinstance(document, dict) else document
        if isinstance(auths, dict):
            entries += [e for name, value in list(auths.items())[:_MAX_ENTRIES] if (e := _entry(name, value))]
    return tuple(entries)


def choose(image: ImageReference, entries: Iterable[Entry]) -> Credentials | None:
    """The credentials for an image: those with the longest path, then the first."""
    matching = [each for each in entries if each.serves(image)]
    return max(matching, key=lambda each: len(each.path)).credentials if matching else None


def _entry(name: str, value: Any) -> Entry | None:
    if not isinstance(value, dict):
        return None
    user, password = value.get("username"), value.get("password")
    if isinstance(value.get("auth"), str) and value["auth"]:
        try:
            user, colon, password = base64.b64decode(value["auth"], validate=True).decode().partition(":")
        except (ValueError, binascii.Error):
            return None
        if not colon:
            return None
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        return None
    rest = name.partition("://")[2] or name
    host, _, path = rest.rstrip("/").partition("/")
    # Old files name Docker Hub by the path of an interface that is no repository.
    return Entry(host.lower(), "" if path in {"v1", "v2"} else path, Credentials(user, password))

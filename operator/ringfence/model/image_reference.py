"""References to container images, read as the container runtimes read them, so that a policy judges what will run.

A short name is one of Docker Hub's, a registry's name knows no upper case, and a digest beats a tag. What a runtime
would not take, or would take for something else than a reference (the id of an image that lies on the node), is an
error: nothing is known of where it comes from. Letters beyond ASCII are never part of a reference, so look-alikes are
errors too.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

DEFAULT_REGISTRY: Final = "docker.io"
#: Its former name, which the runtimes still understand.
LEGACY_REGISTRY: Final = "index.docker.io"
OFFICIAL: Final = "library"
#: What a runtime takes when a reference has neither tag nor digest.
DEFAULT_TAG: Final = "latest"

#: The longest repository, and the longest registry, in characters.
MAX_NAME: Final = 255

#: Hexadecimal digits of each algorithm that the runtimes know.
_DIGESTS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}

_LABEL: Final = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::[0-9]+)?")
_PATH: Final = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX: Final = re.compile("[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class ImageReference:
    """Where an image comes from: ``registry`` (``host`` or ``host:port``, lower case), ``repository`` below it.

    ``tag`` is "" when none was written (then DEFAULT_TAG counts, unless there is a digest). ``digest`` is
    ``<algorithm>:<hexadecimal>`` or ""; where there is one, runtimes ignore the tag.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


@lru_cache(maxsize=4096)
def parse(text: str) -> ImageReference:
    """The reference that ``text`` is; raises ValueError, which says what is wrong with it."""
    if not text:
        raise ValueError("is empty")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds characters that no image reference has")
    name, at, digest = text.partition("@")
    if at and not _is_digest(digest):
        raise ValueError("has a digest that is none; such are sha256: and 64 of 0-9 and a-f")
    # A colon before the last slash belongs to the port of the registry.
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, colon, tag = name, "", ""
    if colon and _TAG.fullmatch(tag) is None:
        raise ValueError("has a tag that is none; tags have at most 128 of A-Z, a-z, 0-9, '_', '.' and '-'")
    if path in _DIGESTS or (not colon and len(path) == 64 and _HEX.fullmatch(path)):
        raise ValueError("is the id of an image, which says nothing of where it comes from")
    registry, repository = _split(path)
    _check(registry, repository)
    return ImageReference(registry, repository, tag, digest)


def _split(path: str) -> tuple[str, str]:
    """Registry and repository. The first component is a registry when it looks like a host."""
    first, slash, rest = path.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        first, rest = DEFAULT_REGISTRY, path
    elif first == LEGACY_REGISTRY:
        first = DEFAULT_REGISTRY
    if first == DEFAULT_REGISTRY and "/" not in rest:
        rest = f"{OFFICIAL}/{rest}"
    return first.lower(), rest


def _check(registry: str, repository: str) -> None:
    """Raises ValueError for what is no registry or no repository."""
    if max(len(registry), len(repository)) > MAX_NAME:
        raise ValueError(f"has a registry or a repository of more than {MAX_NAME} characters")
    if _HOST.fullmatch(registry) is None:
        raise ValueError("begins with what is no registry; such are registry.example and registry.example:5000")
    if repository != repository.lower():
        raise ValueError("has upper case in its repository, which no registry takes")
    if not all(_PATH.fullmatch(component) for component in repository.split("/")):
        raise ValueError(
            "has a repository that is none: components of a-z and 0-9, inside with '.', '_', '__' or '-', "
            "separated by single slashes"
        )


def _is_digest(text: str) -> bool:
    algorithm, _, digits = text.partition(":")
    return len(digits) == _DIGESTS.get(algorithm) and _HEX.fullmatch(digits) is not None

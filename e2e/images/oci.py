"""Writing OCI images: what changes by itself (times) is left out of the layers, so equal input is equal bytes.

Format: https://github.com/opencontainers/image-spec (image layout, manifest, configuration).
"""

import hashlib
import io
import json
import shutil
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Layer:
    """One compressed layer on disk."""

    file: Path
    digest: str
    """Of the compressed bytes, as sha256:hex."""
    diff_id: str
    """Of the tar itself, as sha256:hex."""
    size: int


@dataclass(frozen=True, slots=True)
class Config:
    """How a container of the image starts."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    working_directory: str = ""
    environment: Sequence[str] = ()
    """NAME=value, in order."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """The `config` object of the OCI image configuration."""
        values = {
            "User": self.user,
            "Env": list(self.environment),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "WorkingDir": self.working_directory,
            "Labels": dict(sorted(self.labels.items())),
        }
        return {key: value for key, value in values.items() if value}


def write_layer(target: Path, fill: Callable[[tarfile.TarFile], None]) -> Layer:
    """Compresses the tar that `fill` writes into `target`."""
    with target.open("wb") as stream:
        writer = _Compressor(stream)
        with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            fill(tar)
        writer.finish()
    return Layer(
        target, f"sha256:{writer.packed.hexdigest()}", f"sha256:{writer.plain.hexdigest()}", target.stat().st_size
    )


def write_layout(target: Path, layers: Sequence[Layer], config: Config) -> str:
    """Writes an image layout with one image in it and returns the digest of its manifest."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        _link(layer.file, blobs / _hex(layer.digest))
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config.wire(),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    described = [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size} for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _blob(blobs, _CONFIG, image),
        "layers": described,
    }
    written = _blob(blobs, _MANIFEST, manifest)
    (target / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (target / "index.json").write_text(_json({"schemaVersion": 2, "manifests": [written]}))
    return str(written["digest"])


def entry(name: str, mode: int, size: int = 0) -> tarfile.TarInfo:
    """A tar header owned by root, with no time."""
    header = tarfile.TarInfo(name)
    header.mode = mode
    header.size = size
    return header


def add_file(tar: tarfile.TarFile, name: str, source: Path, mode: int) -> None:
    """Adds a regular file."""
    with source.open("rb") as stream:
        tar.addfile(entry(name, mode, source.stat().st_size), stream)


def add_directory(tar: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    """Adds a directory."""
    header = entry(name, mode)
    header.type = tarfile.DIRTYPE
    tar.addfile(header)


class _Compressor(io.RawIOBase):
    """gzip with a fixed header (no name, no time), hashing both sides as bytes pass."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.plain = hashlib.sha256()
        self.packed = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer") -> int:
        self.plain.update(data)
        self._put(self._deflate.compress(data))
        return memoryview(data).nbytes

    def finish(self) -> None:
        self._put(self._deflate.flush())

    def _put(self, data: bytes) -> None:
        self.packed.update(data)
        self._target.write(data)


def _blob(blobs: Path, media_type: str, value: Mapping[str, Any]) -> dict[str, Any]:
    data = _json(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")

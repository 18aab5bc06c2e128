"""Images that hold static programs and nothing else: the pods' pause, CoreDNS, and agnhost for tests."""

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e import exchange
from e2e.cluster import paths
from e2e.images import oci

_PASSWD = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
_FORMAT = "2"
"""Part of each image's key: change it when the content changes for another reason than the program."""


@dataclass(frozen=True, slots=True)
class StaticImage:
    """One program, and how it starts."""

    name: str
    command: tuple[str, ...] = ()
    user: str = "65532:65532"
    beside: Callable[[], Path] | None = None
    """Builds another program, to be in the image by its file's name."""


IMAGES = (
    StaticImage("pause"),
    # Serves port 53; the manifest gives it the one capability that this takes.
    StaticImage("coredns", user="0:0"),
    StaticImage("agnhost", command=("pause",), beside=exchange.build),
)


def build(image: StaticImage, program: Path) -> Path:
    """The image layout for a program; made once for each content."""
    programs = {image.name: program}
    if image.beside is not None:
        other = image.beside()
        programs[other.name] = other
    digest = hashlib.sha256(f"{_FORMAT} {(image.name, image.command, image.user)}".encode())
    for each in programs.values():
        with each.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").hexdigest().encode())
    target = paths.cache() / "images" / "static" / f"{image.name}-{digest.hexdigest()[:16]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            _write(Path(scratch), image, programs)
            shutil.move(Path(scratch) / "layout", target)
    return target


def _write(scratch: Path, image: StaticImage, programs: dict[str, Path]) -> None:
    passwd = scratch / "passwd"
    passwd.write_text(_PASSWD)

    def fill(tar: tarfile.TarFile) -> None:
        for name, program in programs.items():
            oci.add_file(tar, name, program, 0o755)
        oci.add_directory(tar, "etc")
        oci.add_file(tar, "etc/passwd", passwd, 0o644)
        oci.add_directory(tar, "tmp", 0o1777)

    layer = oci.write_layer(scratch / "layer", fill)
    config = oci.Config(
        entrypoint=(f"/{image.name}",),
        command=image.command,
        user=image.user,
        environment=("PATH=/",),
        working_directory="/",
    )
    oci.write_layout(scratch / "layout", [layer], config)

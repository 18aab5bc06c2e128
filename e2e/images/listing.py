"""What is in an image, as text to compare: one line for each file, with its rights, its owner and what it holds."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster.command import run


def of_layout(layout: Path) -> list[str]:
    """The files of an image layout, sorted by name; a later layer's file takes the place of an earlier one's."""
    blobs = layout / "blobs"
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    found: dict[str, str] = {}
    for layer in manifest["layers"]:
        with tarfile.open(blobs / layer["digest"].replace(":", "/")) as tar:
            found.update(_entries(tar))
    return [found[name] for name in sorted(found)]


def of_docker(reference: str) -> list[str]:
    """The files of an image that a Docker engine has, as a container of it would see them."""
    container = run("docker", "create", reference).strip()
    try:
        return of_export(_export(container))
    finally:
        run("docker", "rm", container)


def of_export(data: bytes) -> list[str]:
    """The files in what `docker export` wrote, without the mount points that Docker adds to every container."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {name: line for name, line in _entries(tar) if not _added_by_docker(name)}
    return [found[name] for name in sorted(found)]


def differences(ours: list[str], theirs: list[str]) -> list[str]:
    """The lines that only one side has, marked - (only ours) and + (only theirs), sorted by what they name."""
    only_ours = [("-", line) for line in set(ours) - set(theirs)]
    only_theirs = [("+", line) for line in set(theirs) - set(ours)]
    return [f"{mark} {line}" for mark, line in sorted([*only_ours, *only_theirs], key=lambda pair: pair[1].split()[-1])]


def _export(container: str) -> bytes:
    return subprocess.run(["docker", "export", container], capture_output=True, check=True).stdout


def _entries(tar: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in tar:
        name = "/" + member.name.removeprefix("./").strip("/")
        if name == "/":
            continue
        if member.isdir():
            content = "directory"
        elif member.issym():
            content = f"-> {member.linkname}"
        else:
            stream = tar.extractfile(member)
            content = hashlib.sha256(stream.read() if stream else b"").hexdigest()
        yield name, f"{member.mode & 0o7777:04o} {member.uid}:{member.gid} {content} {name}"


def _added_by_docker(name: str) -> bool:
    stubs = ("/.dockerenv", "/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab")
    return any(name == stub or name.startswith(f"{stub}/") for stub in stubs)

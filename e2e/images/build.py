"""From a Dockerfile to an image layout."""

import json
import os
import shutil
import stat
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import paths
from e2e.images import context, dockerfile, oci, stages
from e2e.images.context import Context
from e2e.images.oci import Layer


@dataclass(frozen=True, slots=True)
class Image:
    """One image of this repository."""

    name: str
    dockerfile: str
    """From the root of the repository; <dockerfile>.dockerignore stands beside it."""


IMAGES = (Image("ringfence", "operator/Dockerfile"), Image("ringfence-proxy", "proxy/Dockerfile"))

TESTS = Image("tests", "tests/Dockerfile")
"""Not an image that anybody runs: building it runs the unit tests on the Python of the image."""


def build(image: Image, root: Path = paths.REPOSITORY) -> Path:
    """Builds what has changed; returns the directory of the image layout. Raises ClusterError or ValueError."""
    built = carry_out(image, root)
    target = paths.cache() / "images" / "layouts" / f"{image.name}-{built.key}"
    if not target.exists():
        layers = [_pack(directory) for directory in built.layers]
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            layout = Path(scratch) / "layout"
            oci.write_layout(layout, layers, built.config)
            shutil.move(layout, target)
    return target


def carry_out(image: Image, root: Path = paths.REPOSITORY) -> stages.Built:
    """Carries out the image's Dockerfile as far as it is not kept already. Raises ClusterError or ValueError."""
    file = root / image.dockerfile
    ignore = context.parse(file.with_name(f"{file.name}.dockerignore").read_text())
    return stages.build(dockerfile.parse(file.read_text()), Context(root, ignore))


def results_of_tests(root: Path = paths.REPOSITORY) -> str:
    """Runs the unit tests on the image's Python, unless these sources passed already; returns what they printed.

    Raises ClusterError with the end of the output when they fail.
    """
    return (carry_out(TESTS, root).layers[-1] / "results.txt").read_text()


def _pack(directory: Path) -> Layer:
    """The layer as a compressed tar, kept beside its directory."""
    packed, facts = directory.with_suffix(".tar.gz"), directory.with_suffix(".json")
    if facts.exists():
        known = json.loads(facts.read_text())
        return Layer(packed, known["digest"], known["diff_id"], known["size"])
    partial = directory.with_suffix(".partial.gz")
    layer = oci.write_layer(partial, lambda tar: _fill(tar, directory))
    partial.rename(packed)
    facts.write_text(json.dumps({"digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size}))
    return Layer(packed, layer.digest, layer.diff_id, layer.size)


def _fill(tar: tarfile.TarFile, directory: Path) -> None:
    for parent, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted([*directories, *files]):
            _add(tar, Path(parent, name), Path(parent, name).relative_to(directory))


def _add(tar: tarfile.TarFile, path: Path, name: Path) -> None:
    facts = path.lstat()
    header = oci.entry(str(name), stat.S_IMODE(facts.st_mode), 0)
    header.uid, header.gid = facts.st_uid, facts.st_gid
    if stat.S_ISDIR(facts.st_mode):
        header.type = tarfile.DIRTYPE
        tar.addfile(header)
    elif stat.S_ISLNK(facts.st_mode):
        header.type, header.linkname = tarfile.SYMTYPE, os.readlink(path)
        tar.addfile(header)
    elif stat.S_ISREG(facts.st_mode):
        header.size = facts.st_size
        with path.open("rb") as stream:
            tar.addfile(header, stream)
    else:
        # overlayfs marks a removed file by a device; the last stage of our Dockerfiles only adds files.
        raise ValueError(
            f"{name}: a layer of the last stage holds something that is no file, directory or symbolic link"
        )

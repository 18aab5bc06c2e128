"""The programs that a cluster is made of, built once from Go modules and kept by the hash of their sources."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import go, paths, versions
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import Ticker, say, step

_SOURCE = Path(__file__).parent / "programs"
_MINOR = re.compile(r"(\d+)\.(\d+)\.\d+")


@dataclass(frozen=True, slots=True)
class ProgramSet:
    """Programs that are built together, because one invocation compiles what they share once."""

    title: str
    packages: tuple[str, ...]
    """Go import paths, or directories in programs/."""
    programs: tuple[tuple[str, tuple[str, ...]], ...]
    """Each binary, and the names beside its own that it is called by."""


CONTROL = ProgramSet(
    "etcd, kube-apiserver, kubectl", ("./cmd/rf-control",), (("rf-control", ("etcd", "kube-apiserver", "kubectl")),)
)
"""All that component tests need."""

NODE = ProgramSet(
    "kubelet and the rest of the node, registry, crane",
    ("./cmd/rf-node", "./cmd/registry", "github.com/google/go-containerregistry/cmd/crane"),
    (
        ("rf-node", ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")),
        ("registry", ()),
        ("crane", ()),
    ),
)

CONTENT = ProgramSet(
    "what runs in the cluster's pods: pause, CoreDNS, agnhost",
    ("./cmd/pause", "./cmd/coredns", "k8s.io/kubernetes/test/images/agnhost"),
    (("pause", ()), ("coredns", ()), ("agnhost", ())),
)

KIND = ProgramSet("kind", ("sigs.k8s.io/kind",), (("kind", ()),))

HELM = ProgramSet("helm", ("helm.sh/helm/v4/cmd/helm",), (("helm", ()),))


def ensure(*sets: ProgramSet) -> Path:
    """The directory of these sets' programs; builds what is missing. Safe to call from several processes."""
    directory = binaries()
    if all(_complete(directory, each) for each in sets):
        return directory
    with lock(paths.cache() / "tools" / "lock", "another process builds the tools; waiting for it"):
        missing = [each for each in sets if not _complete(directory, each)]
        if missing:
            _build(go.toolchain(), missing, directory)
    return directory


def binaries() -> Path:
    """Where what this checkout's programs/ says is, or will be."""
    digest = hashlib.sha256()
    for file in sorted([*_SOURCE.glob("go.*"), *_SOURCE.glob("cmd/**/*.go")]):
        digest.update(f"{file.relative_to(_SOURCE)}\0".encode() + file.read_bytes() + b"\0")
    digest.update(repr(build_flags()).encode())
    return paths.cache() / "tools" / digest.hexdigest()[:12] / "bin"


def build_flags() -> tuple[str, ...]:
    """How everything is built: static, small, and with the version that the API server tells its clients."""
    match = _MINOR.fullmatch(versions.KUBERNETES)
    assert match is not None
    stamp = {
        "gitVersion": f"v{versions.KUBERNETES}",
        "gitMajor": match[1],
        "gitMinor": match[2],
        "gitTreeState": "clean",
    }
    variables = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamp.items())
    return ("-trimpath", "-buildvcs=false", "-tags=providerless,grpcnotrace", f"-ldflags=-s -w {variables}")


@contextmanager
def lock(file: Path, message: str) -> Iterator[None]:
    """Holds a lock between processes; says `message` when it has to wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  {message} ...")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _names(each: ProgramSet) -> Iterator[tuple[str, str]]:
    for binary, links in each.programs:
        yield binary, binary
        for link in links:
            yield link, binary


def _complete(directory: Path, each: ProgramSet) -> bool:
    return all((directory / name).exists() for name, _ in _names(each))


def _build(toolchain: Path, sets: list[ProgramSet], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        for each in sets:
            with step(f"building {each.title}"):
                _compile(toolchain, each, scratch)
                for name, binary in _names(each):
                    _install(Path(scratch), directory, name, binary)


def _install(scratch: Path, directory: Path, name: str, binary: str) -> None:
    if name == binary:
        shutil.move(scratch / binary, directory / binary)
        return
    link = scratch / name
    link.symlink_to(binary)
    os.replace(link, directory / name)


def _compile(toolchain: Path, each: ProgramSet, target: str) -> None:
    command = [str(toolchain), "build", "-v", *build_flags(), "-o", f"{target}/", *each.packages]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    output: list[str] = []
    ticker = Ticker()
    with subprocess.Popen(
        command, cwd=_SOURCE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            output.append(line)
            ticker.tick(f"{len(output)} packages so far")
    if child.returncode != 0:
        raise ClusterError(f"cannot build {each.title}:\n{''.join(output[-30:])}")

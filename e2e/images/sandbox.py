"""Running a command in a directory tree as if it were the root of a machine, and mounting one tree over another."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.command import run
from e2e.cluster.errors import ClusterError

_DEVICES = ("null", "zero", "full", "random", "urandom")
_MACHINE_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_TRUST = "/run/machine-certificates.crt"

# In namespaces of its own: mounts and left-over processes end with it. The machine's resolver and certificates are
# lent, so that downloads work behind a proxy, and never become part of the tree.
_SCRIPT = """
root=$1 trust=$2; shift 2
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in {devices}; do : > "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
if [ -e "{machine}" ]; then cp "{machine}" "$root$trust"; fi
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" /usr/bin/env --ignore-environment "$@"
"""

_LENT = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")


@contextmanager
def overlay(lower: Sequence[Path], upper: Path) -> Iterator[Path]:
    """A tree that shows `lower` (topmost first) and keeps changes in `upper`. Each path must be on one file system."""
    with tempfile.TemporaryDirectory(dir=upper.parent, prefix="work-") as scratch:
        work, target = Path(scratch, "work"), Path(scratch, "root")
        work.mkdir()
        target.mkdir()
        if len(lower) == 0:
            run("mount", "--bind", upper, target)
        else:
            layers = ":".join(map(str, lower))
            run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={layers},upperdir={upper},workdir={work}", target)
        try:
            yield target
        finally:
            run("umount", target)


def execute(root: Path, command: str, *, environment: Mapping[str, str], directory: str) -> None:
    """Runs a shell command in the tree. Raises ClusterError with the end of its output when it fails."""
    for name in ("proc", "dev", "run", "etc"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc/resolv.conf").touch()
    lent = {name: os.environ[name] for name in _LENT if name in os.environ}
    trust = {name: _TRUST for name in ("PIP_CERT", "SSL_CERT_FILE") if Path(_MACHINE_CERTIFICATES).exists()}
    variables = [f"{name}={value}" for name, value in {**trust, **lent, **environment}.items()]
    script = _SCRIPT.format(devices=" ".join(_DEVICES), machine=_MACHINE_CERTIFICATES)
    isolated = (
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--ipc",
        "--uts",
        "sh",
        "-euc",
        script,
        "sandbox",
        str(root),
        _TRUST,
    )
    shell = ("/bin/sh", "-c", f"cd '{directory}' && {{ {command}\n}}")
    done = subprocess.run(
        [*isolated, *variables, *shell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise ClusterError(f"RUN {command}\nended with {done.returncode}:\n{done.stdout[-4000:]}")

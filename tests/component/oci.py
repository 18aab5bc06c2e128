"""A real registry on loopback, and images and signatures pushed to it as their makers push them."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.signatures.found import Bundle, SimpleSigning

from e2e.cluster import go, paths, ports, tools
from tests.component.webhook_rig import until
from tests.unit.signatures.authority import b64

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True)
class Pushing:
    """What is pushed to a registry that answers on loopback at ``port``."""

    port: int

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def image(self, repository: str, content: bytes) -> str:
        """Push an image of one layer; its digest."""
        layer = self.blob(repository, content)
        config = self.blob(repository, json.dumps({"layer": layer["digest"]}).encode())
        return self.manifest(repository, {"config": config, "layers": [layer]})

    def sign(self, repository: str, digest: str, *found: SimpleSigning) -> None:
        """Put signatures of the older form under their tag."""
        layers = [self._simple(repository, each) for each in found]
        config = self.blob(repository, b"{}")
        self.manifest(repository, {"config": config, "layers": layers}, digest.replace(":", "-") + ".sig")

    def attach(self, repository: str, digest: str, found: Bundle, *, by_tag: bool = False) -> None:
        """Attach a bundle as a referrer; ``by_tag``: list it as registries without the interface have it."""
        layer = {**self.blob(repository, found.document), "mediaType": BUNDLE}
        subject = {"mediaType": MANIFEST, "digest": digest, "size": 1}
        config = {**self.blob(repository, b"{}"), "mediaType": "application/vnd.oci.empty.v1+json"}
        document = {"config": config, "layers": [layer], "artifactType": BUNDLE}
        if not by_tag:
            self.manifest(repository, {**document, "subject": subject})
            return
        attached = self.manifest(repository, document)
        entry = {"mediaType": MANIFEST, "digest": attached, "size": 1, "artifactType": BUNDLE}
        self.manifest(repository, {"manifests": [entry]}, digest.replace(":", "-"), INDEX)

    def manifest(self, repository: str, document: dict[str, Any], tag: str = "", media_type: str = MANIFEST) -> str:
        """Push a manifest; its digest."""
        content = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._request("PUT", f"/v2/{repository}/manifests/{tag or digest}", content, media_type)
        return digest

    def blob(self, repository: str, content: bytes) -> dict[str, Any]:
        """Push a blob; its descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = f"/v2/{repository}/blobs/uploads/?digest={digest}"
        self._request("POST", path, content, "application/octet-stream")
        return {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}

    def _simple(self, repository: str, found: SimpleSigning) -> dict[str, Any]:
        annotations = {"dev.cosignproject.cosign/signature": b64(found.signature)}
        if found.certificate:
            annotations["dev.sigstore.cosign/certificate"] = found.certificate.decode()
            annotations["dev.sigstore.cosign/bundle"] = found.log.decode()
        kind = "application/vnd.dev.cosign.simplesigning.v1+json"
        return {**self.blob(repository, found.payload), "mediaType": kind, "annotations": annotations}

    def _request(self, method: str, path: str, content: bytes, media_type: str) -> None:
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, content, {"Content-Type": media_type}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            assert answer.status in {201, 202}, path

    def there(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


@dataclass(frozen=True)
class Registry(Pushing):
    """``crane registry serve``; ``process`` is killed to have it away."""

    process: subprocess.Popen[bytes]


def with_referrers() -> Path:
    """The same registry with its list of referrers on, which crane has no flag for."""
    source = Path(__file__).parent / "referrers.go"
    programs = Path(tools.__file__).parent / "programs"
    place = programs / "cmd" / "referrers" / "main.go"
    overlay = json.dumps({"Replace": {str(place): str(source)}})
    return _built("referrers", [source, programs / "go.sum"], programs, "./cmd/referrers", overlay)


def _built(name: str, sources: list[Path], directory: Path, package: str, overlay: str = "") -> Path:
    """A Go program, built once for what it is made of."""
    digest = hashlib.sha256(b"\0".join(each.read_bytes() for each in sources)).hexdigest()[:12]
    made = paths.cache() / "tools" / f"{name}-{digest}"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory() as scratch:
        written, built = Path(scratch) / "overlay.json", Path(scratch) / name
        written.write_text(overlay or "{}")
        command = [str(go.toolchain()), "build", f"-overlay={written}", "-trimpath", "-o", str(built), package]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        subprocess.run(command, cwd=directory, env=environment, check=True)
        made.parent.mkdir(parents=True, exist_ok=True)
        aside = made.with_suffix(f".{os.getpid()}")
        shutil.move(built, aside)
        aside.replace(made)
    return made


@contextmanager
def registry(directory: Path, port: int = 0, *, referrers: bool = False) -> Iterator[Registry]:
    """A registry on loopback while the block runs; ``directory`` gets its log."""
    chosen = port or ports.free()[0]
    address = f"127.0.0.1:{chosen}"
    if referrers:
        command = [str(with_referrers()), address]
    else:
        crane = tools.ensure(tools.CONTROL, tools.NODE) / "crane"
        command = [str(crane), "registry", "serve", f"--address={address}"]
    with (directory / "registry.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        made = Registry(chosen, process)
        until(made.there, 20)
        yield made
    finally:
        process.kill()
        process.wait(10)

"""cert-manager's controllers as a program to compare with, and the objects that it is asked for.

Built from its Go module by the source in certmanager/. Its webhook is not installed: what it checks and fills in is
right already in what is written here.
"""

import base64
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from ringfence.kube import client
from ringfence.kube.resources import Resource

from bench import following, rig
from e2e.cluster.certificates import Authority
from e2e.goprogram.build import Module

USER: Final = "cert-manager"
CERTIFICATES: Final = Resource("cert-manager.io/v1", "Certificate", "certificates")
ISSUERS: Final = Resource("cert-manager.io/v1", "Issuer", "issuers")
_MODULE: Final = "github.com/cert-manager/cert-manager"
_SOURCE: Final = Path(__file__).parent / "certmanager"
#: From nothing, on two cores that others use too.
_BUILD_SECONDS: Final = 2400


@dataclass(frozen=True, slots=True)
class Program:
    """The program, its version, and the directory of its module's source."""

    path: Path
    version: str
    module: Path

    def running(self, config: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run it while the block does, with what its own command has as defaults."""
        return rig.process([str(self.path), f"--kubeconfig={config}"])

    def crds(self) -> list[dict[str, Any]]:
        """Its CustomResourceDefinitions."""
        files = sorted((self.module / "deploy" / "crds").glob("*.yaml"))
        return [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]


def build() -> Program:
    """The program; raises BuildError, or ClusterError where there is no Go."""
    module = Module("cert-manager-controller", _SOURCE)
    path = module.build("cert-manager-controller", within=_BUILD_SECONDS)
    return Program(path, module.version_of(_MODULE), module.directory_of(_MODULE))


async def prepare(api: client.Client, program: Program, namespaces: list[str], place: Path) -> None:
    """Its kinds, and in each namespace an issuer with a CA of its own (not ready before the controllers run)."""
    for crd in program.crds():
        await rig.create(api, crd)
    for resource in (CERTIFICATES, ISSUERS):
        await rig.served(api, resource)
    pair = Authority(place, "issuer").create()
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    for name in namespaces:
        await rig.create(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        metadata = {"name": "ca", "namespace": name}
        encoded = {key: base64.b64encode(file.read_bytes()).decode() for key, file in data.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls"}
        await rig.create(api, {**secret, "data": encoded})
        issuer = {"apiVersion": ISSUERS.api_version, "kind": "Issuer", "metadata": metadata}
        await rig.create(api, {**issuer, "spec": {"ca": {"secretName": "ca"}}}, ISSUERS)


async def issuers_ready(api: client.Client, count: int) -> None:
    """Return once so many issuers are ready."""
    await following.until(api, ISSUERS, "0", count, lambda status: status.ready, 60)


def certificate(namespace: str, name: str) -> dict[str, Any]:
    """What a ServiceIdentity of that name stands for: the same key, life, renewal and SPIFFE ID."""
    return {
        "apiVersion": CERTIFICATES.api_version,
        "kind": CERTIFICATES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "secretName": f"{name}-identity",
            "duration": "4h",
            "renewBefore": "3h",
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "uris": [f"spiffe://cluster.local/ns/{namespace}/sa/{name}"],
            "usages": ["digital signature", "server auth", "client auth"],
            "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"},
        },
    }

"""A pod whose proxy fetches an issuer's keys, a name server, and whoever serves the keys, at addresses of all kinds."""

import datetime
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.metrics.v3 import stats_pb2
from google.protobuf import json_format
from ringfence.inject import bootstrap
from ringfence.model.mesh import Mesh
from ringfence.model.requests import Request
from ringfence.model.resources import Rule, SecurityPolicy, Traffic

from tests.component import host_peers, proxy_net, request_rig, token_rig
from tests.component.proxy_net import Identities, Net
from tests.component.request_rig import WEB, Asked
from tests.component.token_rig import POLICY, Signer
from tests.unit.policy import making as policies
from tests.unit.policy.making import policy
from tests.unit.translate.envoy import making

PEERS = Path(__file__).with_name("key_peers.py")
HOST, URI = "idp.example", "https://idp.example/keys?v=1"
NAME_SERVER, SERVED, OTHER = "20.0.0.53", "20.0.0.1", "20.0.0.2"
#: Where no keys are ever fetched: a Service, a pod, the node, where clouds serve credentials, the pod itself.
INSIDE = ("10.96.0.1", "10.244.0.3", "192.168.0.10", "20.7.0.1", "169.254.169.254", "100.100.100.200", "127.0.0.1")
PORT = 443
INSTALLATION = replace(
    policies.INSTALLATION, proxies=True, jwks_hosts=(HOST, "*.idp.example"), host_closed=("20.7.0.0/16",)
)


class Roots:
    """A root, and what it signs, as files."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issued = _named(name)
        self._root = self._signed(self._issued, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.pem = self._root.public_bytes(serialization.Encoding.PEM).decode()

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: Any, days: int = 1
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._issued).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=3))
        made = made.not_valid_after(now + datetime.timedelta(days=days))
        for each in extensions:
            made = made.add_extension(each, critical=True)
        return made.sign(self._key, hashes.SHA256())

    def server(self, *names: str, days: int = 1) -> dict[str, str]:
        """The certificate of a host of these names, and its key; made once, since servers read them at any time."""
        place = f"{self._name}-{names[0].replace('*', 'any')}-{days}"
        cert, file = (self._directory / f"{place}.{kind}" for kind in ("crt", "key"))
        told = {"cert": str(cert), "key": str(file)}
        if cert.exists():
            return told
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        found = self._signed(_named(names[0]), key, alternatives, days=days)
        cert.write_bytes(found.public_bytes(serialization.Encoding.PEM))
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return told


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def mesh(*written: SecurityPolicy) -> Mesh:
    """The cluster with these policies, where keys may be fetched from the host."""
    world = policies.world(*written, pods=request_rig.PODS, installation=INSTALLATION, identities=request_rig.LABELLED)
    return making.mesh(world, request_rig.HTTP)


@dataclass
class Served:
    """The network with whoever serves keys; what it answers, and what names lead to, changes at any time."""

    net: Net
    svids: Identities
    place: Path
    roots: Roots
    _answer: dict[str, Any] = field(default_factory=dict)

    def knows(self, names: dict[str, Any]) -> None:
        """Names and their addresses from now on."""
        _write(self.place / "zone.json", names)

    def answers(self, **changes: Any) -> None:
        """What is answered from now on, beside a good certificate."""
        self._answer = {**self.roots.server(HOST), "body": "", **changes}
        for side in ("callers", "pod"):
            _write(self.place / f"{side}.json", self._answer)

    def seen(self) -> list[str]:
        """The connections since the last question, wherever they ended, and what was asked for on them."""
        found: list[str] = []
        for side in ("callers", "pod"):
            file = self.place / f"{side}.seen"
            if file.exists():
                found += file.read_text().splitlines()
                file.unlink()
        return found

    def declared(self, by: Signer, **changes: Any) -> Signer:
        """The issuer, its keys fetched."""
        told = {"jwks": "", "jwks_uri": URI, "ca_bundle": self.roots.pem, **changes}
        return replace(by, declared=replace(by.declared, **told))

    def config(
        self,
        known: tuple[Signer, ...],
        *rules: Rule,
        egress: tuple[Rule, ...] | None = None,
        traffic: tuple[Traffic, ...] = (),
    ) -> Any:
        made = policy(POLICY, ingress=rules, egress=egress)
        issuers = tuple(each.declared for each in known)
        written = replace(made, spec=replace(made.spec, issuers=issuers, traffic=traffic))
        return request_rig.config(mesh(written))

    @contextmanager
    def proxied(
        self,
        known: tuple[Signer, ...],
        *rules: Rule,
        egress: tuple[Rule, ...] | None = None,
        traffic: tuple[Traffic, ...] = (),
    ) -> Iterator[Path]:
        """The proxy of db, ready; yields its log."""
        with self.running(self.config(known, *rules, egress=egress, traffic=traffic)) as log:
            yield log

    @contextmanager
    def running(self, made: Any) -> Iterator[Path]:
        """The proxy of db with this configuration, ready; yields its log."""
        limits = json_format.ParseDict(bootstrap.runtime(), bootstrap_pb2.LayeredRuntime())
        secrets = self.svids.secrets("shop", "db")
        counted = json_format.ParseDict(bootstrap.statistics(), stats_pb2.StatsConfig())
        with proxy_net.running(self.net, made, secrets, layered_runtime=limits, stats_config=counted) as log:
            yield log

    def statuses(self, *requests: Request | Asked) -> list[int]:
        asked = [each if isinstance(each, Asked) else Asked(each, WEB, True) for each in requests]
        answers = request_rig.ask(self.net, self.svids, asked)
        return [200 if program else status for status, program, _ in answers]

    def becomes(self, wanted: int, request: Request, within: float = 20.0) -> bool:
        """Whether the request comes to be answered so."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.statuses(request) == [wanted]:
                return True
            time.sleep(0.3)
        return False


def _write(path: Path, value: Any) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value))
    fresh.rename(path)


def keys(*signers: Signer) -> str:
    """The public keys of issuers as one set."""
    return json.dumps({"keys": [key for each in signers for key in json.loads(each.declared.jwks)["keys"]]})


def secret(by: Signer, value: bytes, kid: str = "") -> tuple[dict[str, str], str]:
    """A symmetric key as it stands in a set, and a token that was made with it."""
    key = {"kty": "oct", "kid": kid or by.kid, "k": token_rig.part(value), "alg": "HS256"}
    return key, token_rig.hmac_signed(by, value)


@contextmanager
def network(directory: Path) -> Iterator[Served]:
    """The network, the name server and the servers."""
    with ExitStack() as stack:
        net = stack.enter_context(request_rig.network(directory))
        net.give("callers", [*_callers()])
        config = Path("/etc/netns") / net.place("pod")
        config.mkdir(parents=True)
        stack.callback(shutil.rmtree, config)
        (config / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
        made = Served(net, Identities(directory, "cluster.local"), directory, Roots(directory, "root"))
        made.knows({HOST: [SERVED]})
        made.answers()
        zone = str(directory / "zone.json")
        command = net.command("callers", sys.executable, host_peers.__file__, "serve", zone, NAME_SERVER)
        stack.enter_context(proxy_net.listening(command))
        for side in ("callers", "pod"):
            command = net.command(side, sys.executable, str(PEERS), "serve", str(directory / f"{side}.json"), str(PORT))
            stack.enter_context(proxy_net.listening(command))
        yield made


def _callers() -> list[str]:
    """Beside those that call requests."""
    taken = (request_rig.WEB, request_rig.API, request_rig.OUTSIDE)
    return [NAME_SERVER, SERVED, OTHER, *(each for each in INSIDE if each != "127.0.0.1" and each not in taken)]

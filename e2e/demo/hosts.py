"""Hosts outside: which a program may call by its name, what else it tries, and that `ringfence can-i` says the same.

The outside is this machine. It answers at one address, to which several names lead that the cluster's DNS learns from
the demo; one more name leads inside, as its owner may make it do.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step
from e2e.demo import attempts, mesh
from e2e.demo.attempts import ALLOWED, DENIED, Row
from e2e.demo.client import Client, Object, until

GROUP = "hosts"
CALLER, STRANGER, OPEN = "buyer", "stranger", "outsider"
INSIDE_PORT = 80
ZONE = "bank.example"
NAMED, UNNAMED, INSIDE = f"api.{ZONE}", f"other.{ZONE}", f"inside.{ZONE}"
_SETTLES = 30.0
_DNS_LEARNS = 120.0
"""Seconds until the cluster's DNS has read a changed ConfigMap; kind's looks every half minute."""


class _Handler(BaseHTTPRequestHandler):
    """Says by which name it was called."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers.get("host", "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: what came is told by the answers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The host outside, and the address of a program inside that lets everybody in."""

    address: str
    port: int
    inside: str

    @property
    def names(self) -> str:
        """What the cluster's DNS is to know, as a block of CoreDNS."""
        lines = f"{self.address} {NAMED} {UNNAMED}\n        {self.inside} {INSIDE}"
        return f"{ZONE}:53 {{\n    errors\n    hosts {{\n        {lines}\n        ttl 5\n    }}\n}}\n"


@contextmanager
def outside(cluster: backend.Cluster, admin: Client, plain: str) -> Iterator[Outside]:
    """The host answers, and the cluster's DNS knows its names, for as long as the block runs. Raises ClusterError."""
    address = cluster.environment["RINGFENCE_OUTSIDE"]
    inside = admin.get("service", OPEN, f"--namespace={plain}")["spec"]["clusterIP"]
    try:
        server = ThreadingHTTPServer((address, 0), _Handler)
    except OSError as error:
        raise ClusterError(f"nothing can answer at {address}, which stands for the world outside: {error}") from error
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = Outside(address, server.server_port, inside)
        before = admin.get("configmap", "coredns", "--namespace=kube-system")["data"]["Corefile"]
        try:
            _tell_dns(admin, made.names + before)
            yield made
        finally:
            _tell_dns(admin, before)
            server.shutdown()


def _tell_dns(admin: Client, corefile: str) -> None:
    change = json.dumps({"data": {"Corefile": corefile}})
    admin.run("patch", "configmap", "coredns", "--namespace=kube-system", "--type=merge", f"--patch={change}")


def show(cluster: backend.Cluster, admin: Client, image: str, space: str, plain: str) -> list[Row]:
    """Tries what rules about hosts promise. Needs the programs of ``proxies.show`` in its two namespaces."""
    with outside(cluster, admin, plain) as there:
        with step("a program that may call one host outside"):
            admin.apply([*mesh.service(space, CALLER, image), _policy(space, there)])
            mesh.wait_running(admin, space, CALLER)
            named = lambda: _call(admin, space, NAMED, there.port).outcome == "200"  # noqa: E731
            until(named, "the name is known and the policy is in force", _DNS_LEARNS + _SETTLES, every=1)
        with step("calling hosts outside, and asking `ringfence can-i` about each"):
            ends = ((CALLER, NAMED), (CALLER, UNNAMED), (STRANGER, NAMED))
            return [*(_asked(admin, space, *each, there.port) for each in ends), *_tricks(admin, space, plain, there)]


def _policy(space: str, there: Outside) -> Object:
    rules = [
        {"name": "bank", "to": [{"host": NAMED}], "ports": [there.port]},
        {"name": "trap", "to": [{"host": INSIDE}], "ports": [INSIDE_PORT]},
    ]
    spec = {"appliesTo": {"identities": [CALLER]}, "egress": rules}
    metadata = {"name": "bank", "namespace": space}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": "SecurityPolicy", "metadata": metadata, "spec": spec}


def _call(admin: Client, space: str, host: str, port: int, *options: str, source: str = CALLER) -> mesh.Answer:
    return mesh.call(admin, space, source, host, port, "/", *options)


def _asked(admin: Client, space: str, source: str, name: str, port: int) -> Row:
    says = attempts.can_i(admin, f"{space}/{source}", f"host:{name}", port)
    got = _call(admin, space, name, port, source=source).outcome
    word = ALLOWED if says.allowed else DENIED
    good = got == "200" if says.allowed else got in mesh.REFUSED
    return Row(GROUP, f"{source} → {name}:{port}", f"{word}: {says.why}", got, good)


def _tricks(admin: Client, space: str, plain: str, there: Outside) -> Iterator[Row]:
    """What programs do that want elsewhere."""
    shown = f"--header=host={NAMED}:{there.port}"
    elsewhere = _call(admin, space, "192.0.2.1", there.port, shown)
    led = elsewhere.outcome == "200" and elsewhere.said == f"{NAMED}:{there.port}"
    says = "the name counts and not the address that the program chose"
    told = f"{elsewhere.outcome}, from {NAMED}" if led else elsewhere.outcome
    yield Row(GROUP, f"{CALLER} → 192.0.2.1, with the allowed name", says, told, led)
    bare = _call(admin, space, there.address, there.port).outcome
    says = f"{DENIED}: an address is no name"
    yield Row(GROUP, f"{CALLER} → {there.address}, without a name", says, bare, bare in mesh.REFUSED)
    # That it answers shows who is not enrolled, whom nothing holds.
    free = mesh.call(admin, plain, OPEN, INSIDE, INSIDE_PORT).outcome
    inside = _call(admin, space, INSIDE, INSIDE_PORT).outcome
    says = f"{DENIED}: no name leads inside, whatever a name server says"
    told = f"{inside} ({free} for {OPEN}, which is not enrolled)"
    good = free == "200" and inside in mesh.REFUSED
    yield Row(GROUP, f"{CALLER} → {INSIDE}, allowed, which leads to {OPEN}", says, told, good)

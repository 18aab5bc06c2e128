"""Proxies: who gets an answer and who does not, what is on the wire, and how soon a change of policy is in force."""

from collections.abc import Callable
from contextlib import suppress

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step
from e2e.demo import attempts, capture, mesh
from e2e.demo.attempts import ALLOWED, DENIED, Row
from e2e.demo.client import Client, Done, Object, until

GROUP = "proxies"
SPACE = "shop-mesh"
PLAIN = "shop-plain"
_SETTLES = 30.0
_CAPTURED = 60.0
"""Seconds that listening takes at most."""


def show(cluster: backend.Cluster, admin: Client, image: str) -> list[Row]:
    """Tries what proxies promise. Raises ClusterError when the programs do not even start."""
    with step("three programs with proxies, one without"):
        _start(admin, image)
    with step("calling through the proxies"):
        rows = [_injected(admin), *_calls(admin)]
    if capture.possible(cluster):
        with step("listening to the wire"):
            rows.append(_wire(cluster, admin))
    with step("tightening a policy and loosening it again"):
        rows += _changes(admin)
    rows.append(_list(admin))
    return rows


def _start(admin: Client, image: str) -> None:
    labels = {"ringfence.dev/enroll": "enforce"}
    admin.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLAIN}},
            mesh.program(SPACE),
            mesh.program(PLAIN),
            mesh.allow(SPACE, "store", "web", mesh.HTTP, mesh.GREETING),
            _restricted(),
        ]
    )
    for name in ("store", "web", "stranger"):
        admin.apply(mesh.service(SPACE, name, image))
    admin.apply(mesh.service(PLAIN, "outsider", image))
    mesh.wait_running(admin, SPACE, "store", "web", "stranger")
    mesh.wait_running(admin, PLAIN, "outsider")
    until(lambda: _outcome(admin, SPACE, "web", 80) == "200", "web reaches store", _SETTLES, every=1)


def _restricted() -> Object:
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "level", "namespace": SPACE},
        "spec": {"admission": {"podSecurity": "restricted"}},
    }


def _outcome(admin: Client, space: str, source: str, port: int, path: str = "/") -> str:
    return mesh.call(admin, space, source, f"store.{SPACE}", port, path).outcome


def _injected(admin: Client) -> Row:
    pods = admin.get("pods", f"--namespace={SPACE}")["items"]
    first = [each["spec"].get("initContainers", [{}])[0] for each in pods]
    good = bool(pods) and all(
        each.get("name") == mesh.PROXY and each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for each in first
    )
    ready = f"{len(pods)} pods Ready, each with an unprivileged proxy" if good else "a pod lacks its proxy"
    says = "every pod gets a proxy and satisfies `restricted` with it"
    return Row(GROUP, f"kubectl get pods -n {SPACE}", says, ready, good)


def _calls(admin: Client) -> list[Row]:
    refused = mesh.REFUSED
    tried: list[tuple[str, str, str, int, str, tuple[str, ...], str]] = [
        (SPACE, "web", "over mutual TLS", 80, "/", ("200",), f"{ALLOWED}: SecurityPolicy store-web rule web"),
        (SPACE, "web", "where the server speaks first", mesh.GREETING, "-", ("greeted",), f"{ALLOWED}: the same rule"),
        (SPACE, "stranger", "with an identity that no rule names", 80, "/", refused, f"{DENIED}: no rule allows it"),
        (PLAIN, "outsider", "in plaintext, from outside", 80, "/", refused, f"{DENIED}: transport is Strict"),
    ]
    rows = []
    for space, source, how, port, path, wanted, says in tried:
        answer = mesh.call(admin, space, source, f"store.{SPACE}", port, path)
        rows.append(Row(GROUP, f"{source} → store:{port}, {how}", says, answer.outcome, answer.outcome in wanted))
    said = mesh.call(admin, SPACE, "web", f"store.{SPACE}", 80).said
    told = f"spiffe://cluster.local/ns/{SPACE}/sa/web" in said
    happened = "told the SPIFFE ID of web" if told else "not told"
    rows.append(Row(GROUP, "what the program of store is told", "who calls, by a header", happened, told))
    return rows


def _wire(cluster: backend.Cluster, admin: Client) -> Row:
    (pod,) = admin.get("pods", f"--namespace={SPACE}", "--selector=app=store")["items"]
    says = "TLS 1.3 and nothing else between the pods"
    name = pod["metadata"]["name"]
    try:
        with capture.Capture(cluster, admin, SPACE, name, mesh.HTTP, _CAPTURED) as listening:
            # A new client each time, so that there are handshakes to see.
            admin.run("delete", "pod", f"--namespace={SPACE}", "--selector=app=web", "--grace-period=1", "--wait=false")
            mesh.wait_running(admin, SPACE, "web")
            if listening.began:
                until(lambda: _outcome(admin, SPACE, "web", 80) == "200", "web reaches store", _SETTLES, every=0.2)
            seen = listening.result()
    except (ValueError, ClusterError) as error:
        return Row(GROUP, f"capture on {name}", says, str(error), as_said=False)
    happened = f"{seen.tls13} handshakes of TLS 1.3, {seen.older} older, {seen.plain} plain requests"
    good = seen.tls13 > 0 and not seen.older and not seen.plain
    return Row(GROUP, f"capture on {name} while web calls it anew", says, happened, good)


def _changes(admin: Client) -> list[Row]:
    rows = []
    closing = lambda: admin.run("delete", "secpol", "store-web", f"--namespace={SPACE}")  # noqa: E731
    opening = lambda: admin.apply([mesh.allow(SPACE, "store", "web", mesh.HTTP, mesh.GREETING)])  # noqa: E731
    for what, act, wanted in (
        ("kubectl delete secpol store-web", closing, lambda outcome: outcome != "200"),
        ("kubectl apply it again", opening, lambda outcome: outcome == "200"),
    ):
        rows.append(_timed(admin, what, act, wanted))
    return rows


def _timed(admin: Client, what: str, act: Callable[[], object], wanted: Callable[[str], bool]) -> Row:
    """The time from the answer of the API server to the first call that goes the new way; a look takes 0.4 s."""
    act()
    says = "in force within a second or two, by the next call"
    try:
        took = until(lambda: wanted(_outcome(admin, SPACE, "web", 80)), what, _SETTLES, every=0.05)
    except ClusterError as error:
        return Row(GROUP, what, says, str(error), as_said=False)
    return Row(GROUP, what, says, f"in force, seen after {took:.1f} s", took < 5)


def _list(admin: Client) -> Row:
    found: list[Done] = []

    def listed() -> bool:
        found.append(attempts.ringfence(admin, "proxy", "list", "--namespace", SPACE))
        return found[-1].ok and all(name in found[-1].out for name in ("store", "web", "stranger"))

    # What proxies have acknowledged of the change just made is reported every few seconds.
    with suppress(ClusterError):
        until(listed, "all use the newest configuration", _SETTLES, every=1)
    good, done = listed(), found[-1]
    return Row(
        GROUP,
        "ringfence proxy list",
        "each proxy, its certificate, what it has acknowledged",
        "listed" if good else "not listed",
        good,
        done.out.rstrip() or done.message,
    )

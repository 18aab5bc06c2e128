"""What is done to the programs of steady.py while they run: parts of Ringfence go away and come back, keys and roots
change, policies change, the programs themselves are replaced. Each returns when all is well again, or raises.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.reconcile.serving import CA_SECRET, PROXYD_SECRET

from e2e.cluster import backend, process
from e2e.cluster.errors import ClusterError
from e2e.cluster.local import LocalCluster
from e2e.demo import attempts, authority, client, crash, install, leader, mesh
from e2e.demo.client import Object, until
from e2e.scenarios import proxyd, steady, support
from e2e.scenarios.steady import BEFORE, LONG, SPACE, Loaded

NODE = "ringfence-node"
BUNDLE_SPREADS = 20.0
"""Seconds until pods have what their ConfigMaps say: this cluster's kubelets look every 5 to 8 seconds."""
LOGGED = 12
"""Seconds after which a proxy has written down what has ended: it keeps lines for up to ten."""
LISTENED = 125
"""Seconds for which `ringfence proxy peers` listens: below two minutes it says nothing."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """``ends``: what may end a held connection before its age, "" for nothing."""

    act: Callable[[Loaded], None]
    ends: str = ""

    @property
    def name(self) -> str:
        """For tests and the table."""
        return self.act.__name__.replace("_", " ")


def pause(short: float, long: float) -> None:
    """Waits; in a soak the long time."""
    time.sleep(long if LONG else short)


def rounds(seconds: float, every: float) -> Iterator[int]:
    """Numbers, one each ``every`` seconds, for so long."""
    begin = time.monotonic()
    for number in itertools.count():
        due = begin + number * every
        if max(due, time.monotonic()) >= begin + seconds:
            return
        time.sleep(max(0.0, due - time.monotonic()))
        yield number


def nothing(loaded: Loaded) -> None:
    """What the others are compared with."""
    pause(5, 30)
    assert loaded.pods("load")


# --- proxyd -----------------------------------------------------------------------------------------------------------


def proxyd_killed(loaded: Loaded) -> None:
    """Its processes are killed whenever there are any, for ten minutes in the long form."""
    begin, killed = time.monotonic(), 0
    while time.monotonic() - begin < (600 if LONG else 15):
        listed = loaded.admin.get("pods", f"--namespace={install.NAMESPACE}", "--output=json")["items"]
        for pod in listed:
            if pod["metadata"]["name"].startswith(f"{install.PROXYD}-"):
                killed += len(crash.kill(loaded.cluster, loaded.admin, pod))
        time.sleep(1)
    assert killed >= 2, "both replicas were killed"
    # Kubelets wait up to five minutes before they start again what crashes all the time; new pods do not wait.
    loaded.admin.run("delete", "pods", f"--namespace={install.NAMESPACE}", f"--selector={proxyd.labels(loaded)}")
    install.wait_proxies_ready(loaded.cluster)
    proxyd.all_connected(loaded)


def proxyd_away_while_pods_start(loaded: Loaded) -> None:
    """The proxies go on with what they have; new ones wait."""
    support.scale(loaded.admin, install.NAMESPACE, install.PROXYD, 0)
    with _starting(loaded):
        pause(15, 120)
    support.scale(loaded.admin, install.NAMESPACE, install.PROXYD, 2)
    _started(loaded)


def proxyd_replaced(loaded: Loaded) -> None:
    """Every proxy gets a new stream, and a new certificate."""
    loaded.admin.run("rollout", "restart", f"--namespace={install.NAMESPACE}", f"deployment/{install.PROXYD}")
    install.wait_proxies_ready(loaded.cluster)
    proxyd.all_connected(loaded)


def serving_certificate_replaced(loaded: Loaded) -> None:
    """Another one of the same CA, and then a handshake with everybody."""
    before = proxyd.secret(loaded, PROXYD_SECRET)["tls.crt"]
    loaded.admin.run("delete", "secret", PROXYD_SECRET, f"--namespace={install.NAMESPACE}")
    until(lambda: proxyd.secret(loaded, PROXYD_SECRET).get("tls.crt", before) != before, "another certificate", 60)
    assert proxyd.is_signed(loaded)
    proxyd.new_streams(loaded)


def serving_ca_replaced(loaded: Loaded) -> None:
    """A new root joins the files of all pods and signs when these have had time to arrive.

    That is five minutes. In the short form it signs once this cluster's kubelets have looked: the old certificate is
    deleted then.
    """
    before = proxyd.secret(loaded, CA_SECRET)["tls.crt"]
    # A root whose key is lost is replaced, and goes on to be trusted, as one that has become old.
    done = support.patch(loaded.admin, install.NAMESPACE, f"secret/{CA_SECRET}", {"data": {"tls.key": ""}})
    assert done.ok, done.message
    until(lambda: proxyd.secret(loaded, CA_SECRET).get("tls.crt", before) != before, "there is another root", 60)
    took = until(lambda: proxyd.is_told(loaded), "the new root is in the bundle", 90)
    print(f"  the new root is in the bundle after {took:.1f} s")
    time.sleep(BUNDLE_SPREADS)
    if LONG:
        assert not proxyd.is_signed(loaded), "the new root signs before the pods can have it"
    else:
        loaded.admin.run("delete", "secret", PROXYD_SECRET, f"--namespace={install.NAMESPACE}")
    until(lambda: proxyd.is_signed(loaded), "the new root signs", 400 if LONG else 60, every=1)
    proxyd.new_streams(loaded)


# --- new pods that have to wait ---------------------------------------------------------------------------------------


@contextmanager
def _starting(loaded: Loaded) -> Iterator[None]:
    """Pods are made: `late`, and another `store` by rolling restart. At the end of the block they still wait."""
    before = {name: loaded.pods(name) for name in ("store", "late")}
    loaded.admin.run("scale", f"--namespace={SPACE}", "deployment/late", "--replicas=1")
    loaded.admin.run("rollout", "restart", f"--namespace={SPACE}", "deployment/store")

    def made() -> list[str]:
        return [pod for name, known in before.items() for pod in loaded.pods(name) if pod not in known]

    until(lambda: len(made()) >= 2, "the new pods are there", 60)
    yield
    for name in made():
        pod = loaded.admin.get("pod", name, f"--namespace={SPACE}")
        (program,) = pod["status"].get("containerStatuses", [{"state": {"waiting": {}}}])
        assert "waiting" in program["state"], f"the program of {name} was started: {program['state']}"
        proxies = [each for each in pod["status"].get("initContainerStatuses", []) if each["name"] == mesh.PROXY]
        assert all(each["restartCount"] == 0 for each in proxies), f"the proxy of {name} crashed"


def _started(loaded: Loaded) -> None:
    """What waited runs."""
    mesh.wait_running(loaded.admin, SPACE, "store", "late", within=180)
    loaded.admin.run("scale", f"--namespace={SPACE}", "deployment/late", "--replicas=0")


# --- node, controller, API server -------------------------------------------------------------------------------------


def node_killed(loaded: Loaded) -> None:
    """The redirects stay where they are."""
    loaded.admin.run("delete", "pods", "--all", f"--namespace={NODE}", "--grace-period=0", "--force")
    install.wait_proxies_ready(loaded.cluster)


def node_away_while_pods_start(loaded: Loaded) -> None:
    """No pod that is made meanwhile starts its program: nothing would lead its connections through its proxy."""

    def nowhere(value: str | None) -> None:
        selector = {"nodeSelector": {"ringfence.dev/nowhere": value}}
        change: dict[str, Any] = {"spec": {"template": {"spec": selector}}}
        done = support.patch(loaded.admin, NODE, f"daemonset/{NODE}", change)
        assert done.ok, done.message

    nowhere("true")
    try:
        until(lambda: not loaded.admin.get("pods", f"--namespace={NODE}")["items"], "node is away", 60)
        with _starting(loaded):
            pause(15, 120)
    finally:
        nowhere(None)
    install.wait_proxies_ready(loaded.cluster)
    _started(loaded)


def controller_and_api_server_killed(loaded: Loaded) -> None:
    """Neither is there for two minutes in the long form; on kind the kubelet has the API server back at once."""
    leader.kill(loaded.cluster, loaded.admin)
    if isinstance(loaded.cluster, LocalCluster):
        process.stop_marked(loaded.cluster.layout.nodes[0].directory / "kube-apiserver.pid", grace=0)
        pause(5, 120)
        until(_comes_up, "what was killed runs again", 240, every=5)
    else:
        support.restart_api_server(loaded.cluster)
        pause(5, 120)
    until(lambda: loaded.admin.attempt("get", "--raw=/readyz").ok, "the API server is back", 90)
    install.wait_ready(loaded.cluster)
    install.wait_proxies_ready(loaded.cluster)
    proxyd.all_connected(loaded)


def _comes_up() -> bool:
    """Whether all of the cluster runs, which on a busy machine takes longer than its own commands wait."""
    with suppress(ClusterError):
        backend.start(install.CLUSTER)
        return True
    return False


# --- identities -------------------------------------------------------------------------------------------------------


def identities_reissued(loaded: Loaded) -> None:
    """A new key and certificate for all proxies every ten seconds, for five minutes in the long form."""
    seen: dict[str, set[str]] = {}
    count = 0
    for number in rounds(300 if LONG else 30, 10):
        renew_at = 0.26 if number % 2 else 0.24
        loaded.admin.apply([steady.identity(name, renew_at) for name in ("store", "load", "hold", "thief")])
        count += 1
        before = {pod: len(serials) for pod, serials in seen.items()}

        def renewed(before: dict[str, int] = before) -> bool:
            for each in proxyd.proxies(loaded):
                seen.setdefault(each["pod"], set()).add((each["certificate"] or {}).get("serial", ""))
            return all(len(serials) > before.get(pod, 0) for pod, serials in seen.items())

        # The first look may come before the first new certificate; who never gets another is told below.
        time.sleep(4)
        with suppress(ClusterError):
            until(renewed, "every proxy has another certificate", 30, every=1)
    loaded.admin.apply([steady.identity(name) for name in ("store", "load", "hold", "thief")])
    fewest = min(len(serials) for serials in seen.values())
    assert fewest >= count - 1, f"a proxy had {fewest} certificates in {count} rounds"


def root_rotated(loaded: Loaded) -> None:
    """The new root signs once every proxy trusts it."""
    until(lambda: authority.status(loaded.admin).phase == authority.IDLE, "no rotation is under way", 60, every=1)
    done = attempts.ringfence(loaded.admin, "ca", "rotate", "--yes")
    assert done.ok, done.message
    until(lambda: authority.status(loaded.admin).phase == authority.ACTIVATED, "the new root signs", 120, every=1)
    root = authority.status(loaded.admin).current

    def issued() -> bool:
        return all((each["certificate"] or {}).get("issuer") == root for each in proxyd.proxies(loaded))

    until(issued, "every proxy has a certificate of the new root", 60, every=1)


# --- policies ---------------------------------------------------------------------------------------------------------


def policies_changing(loaded: Loaded) -> None:
    """Five policies change each second, which open and close something else."""
    peer = [{"identity": {"namespace": SPACE, "name": "store"}}]
    changes = 0
    for number in rounds(120 if LONG else 15, 1):
        ingress: list[Object] = [{"name": "store", "from": peer, "ports": [1000 + number % 500]}]
        loaded.admin.apply([mesh.policy(SPACE, f"changing-{each}", "load", ingress) for each in range(5)])
        changes += 5
    print(f"  {changes} changes of policies")


def tcp_policy_tightened(loaded: Loaded) -> None:
    """The port of held connections is opened to somebody else and closed to them again."""
    for number in rounds(60 if LONG else 20, 10):
        more = () if number % 2 else ("late",)
        loaded.admin.apply([steady.who_may(*more)])
    loaded.admin.apply([steady.who_may()])
    time.sleep(6)


def made_strict(loaded: Loaded) -> None:
    """Permissive lets in a caller without a proxy; the report names it; with its proxy, the report says that Strict is
    safe; and then it is.
    """
    loaded.admin.apply([steady.who_may(permissive=True)])
    first = loaded.counts("legacy", BEFORE)
    until(lambda: loaded.counts("legacy", BEFORE).good > first.good, "plaintext is let in", 30, every=1)
    time.sleep(5)
    begin = loaded.counts("legacy", BEFORE)
    _reported(loaded, safe=False)
    _moved(loaded)
    _reported(loaded, safe=True)
    loaded.admin.apply([steady.who_may()])
    time.sleep(10)
    seen = loaded.counts("legacy", BEFORE).since(begin)
    assert not seen.failed, f"{seen.failed} of the caller that got its proxy meanwhile: {seen.last}"
    assert seen.good > steady.RATE


def _moved(loaded: Loaded) -> None:
    """The old pod goes, and is counted to its end; the new one has a proxy."""
    loaded.restart("legacy", BEFORE)
    (pod,) = loaded.pods("legacy", BEFORE)
    spec = loaded.admin.get("pod", pod, f"--namespace={BEFORE}")["spec"]
    assert mesh.PROXY in [each["name"] for each in spec.get("initContainers", [])]
    # The old one's last connection may end when it has counted, and its proxy's peer tells of it later still.
    time.sleep(LOGGED)


def _reported(loaded: Loaded, *, safe: bool) -> None:
    """The report says so. Of what was before the caller moved the logs still tell, so it listens from now on."""
    program = str(Path(sys.executable).parent / "ringfence")
    words = ["proxy", "peers", f"{SPACE}/store", "--output=json"]
    span = [f"--for={LISTENED}s"] if safe else ["--since=1m"]
    done = client.call([program, *words, *span], loaded.admin.environment, None, LISTENED + 60)
    assert done.out, done.message
    said = json.loads(done.out)
    assert said["safeForStrict"] is safe, said
    refused = [each["peer"] for each in said["plaintext"] if each["strict"] == "refused"]
    assert bool(refused) is not safe
    assert all(each.startswith(f"{BEFORE}/legacy ") for each in refused), refused


# --- the programs -----------------------------------------------------------------------------------------------------


def server_replaced(loaded: Loaded) -> None:
    """One pod after the other, by its Deployment."""
    loaded.admin.run("rollout", "restart", f"--namespace={SPACE}", "deployment/store")
    mesh.wait_running(loaded.admin, SPACE, "store")


def clients_replaced(loaded: Loaded) -> None:
    """One pod after the other; what they ask for until their end counts."""
    for _ in range(3 if LONG else 1):
        for name in ("load", "hold"):
            loaded.restart(name)


ALL = (
    Disturbance(nothing),
    Disturbance(identities_reissued),
    Disturbance(proxyd_replaced),
    Disturbance(serving_certificate_replaced),
    Disturbance(serving_ca_replaced),
    Disturbance(proxyd_killed),
    Disturbance(proxyd_away_while_pods_start, "the end of their pod"),
    Disturbance(controller_and_api_server_killed),
    Disturbance(node_killed),
    Disturbance(node_away_while_pods_start, "the end of their pod"),
    Disturbance(server_replaced, "the end of their pod"),
    Disturbance(clients_replaced),
    Disturbance(policies_changing),
    Disturbance(tcp_policy_tightened, "a policy"),
    Disturbance(root_rotated),
    Disturbance(made_strict),
)

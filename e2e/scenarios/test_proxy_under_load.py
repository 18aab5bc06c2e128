"""Steady load through two proxies while parts of Ringfence, and the programs themselves, go away and come back.

Nothing that the policy allows may fail, and nothing that it denies may pass. The long forms run in `make soak`.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from e2e.cluster import backend
from e2e.demo import attempts, authority, install, leader, mesh
from e2e.demo.client import Client, until
from e2e.scenarios import support

pytestmark = [pytest.mark.node]

LONG = bool(os.environ.get("RINGFENCE_SOAK"))
RATE = 100
"""Requests a second of each program that asks: the machine has other work too."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A namespace with `store` under load from `load`, who may, and `thief`, who may not."""

    cluster: backend.Cluster
    admin: Client
    space: str
    image: str

    def counts(self) -> tuple[int, dict[str, int], int]:
        """Good answers to who may; what else it got; good answers to who may not."""
        asked = mesh.load_report(self.admin, self.space, "load")
        stolen = mesh.load_report(self.admin, self.space, "thief").get("200", 0)
        good = asked.pop("200", 0)
        return good, asked, stolen

    def pause(self, seconds: float, long: float = 0) -> None:
        """Waits, in a soak for the long time."""
        time.sleep(long if LONG and long else seconds)


@pytest.fixture(scope="module")
def loaded(cluster: backend.Cluster, admin: Client, proxies: str) -> Iterator[Loaded]:
    """The programs, asking since before the first test."""
    space = "mesh-load"
    admin.run("delete", "namespace", space, "--ignore-not-found", timeout=180)
    labels = {"ringfence.dev/enroll": "enforce"}
    admin.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}},
            mesh.program(space),
            mesh.allow(space, "store", "load", mesh.HTTP),
            *mesh.service(space, "store", proxies, replicas=2),
        ]
    )
    for name in ("load", "thief"):
        admin.apply(mesh.service(space, name, proxies, "load", "store", "80", f"--rate={RATE}"))
    mesh.wait_running(admin, space, "store", "load", "thief")
    made = Loaded(cluster, admin, space, proxies)

    def runs() -> bool:
        with suppress(ValueError):
            return made.counts()[0] > RATE
        return False

    until(runs, "the load runs", 90, every=1)
    yield made
    admin.run("delete", "namespace", space, "--ignore-not-found", timeout=180)


def nothing(loaded: Loaded) -> None:
    """What the others are compared with."""
    loaded.pause(5)


def proxyd_away(loaded: Loaded) -> None:
    """The proxies go on with what they have."""
    support.scale(loaded.admin, install.NAMESPACE, "ringfence-proxyd", 0)
    loaded.pause(15, long=600)
    support.scale(loaded.admin, install.NAMESPACE, "ringfence-proxyd", 2)


def proxyd_replaced(loaded: Loaded) -> None:
    """Every proxy gets a new stream, and a new certificate."""
    loaded.admin.run("rollout", "restart", f"--namespace={install.NAMESPACE}", "deployment/ringfence-proxyd")
    install.wait_proxies_ready(loaded.cluster)


def controller_and_api_server_killed(loaded: Loaded) -> None:
    """Neither is asked while requests go through."""
    leader.kill(loaded.cluster, loaded.admin)
    support.restart_api_server(loaded.cluster)
    loaded.pause(5, long=120)
    until(lambda: loaded.admin.attempt("get", "--raw=/readyz").ok, "the API server is back", 90)
    install.wait_ready(loaded.cluster)


def node_killed(loaded: Loaded) -> None:
    """The redirects stay where they are."""
    loaded.admin.run("delete", "pods", "--all", "--namespace=ringfence-node", "--grace-period=0", "--force")
    install.wait_proxies_ready(loaded.cluster)


def server_replaced(loaded: Loaded) -> None:
    """One pod after the other, by its Deployment."""
    loaded.admin.run("rollout", "restart", f"--namespace={loaded.space}", "deployment/store")
    mesh.wait_running(loaded.admin, loaded.space, "store")


def policies_changing(loaded: Loaded) -> None:
    """Five changes a second of a policy that opens and closes something else."""
    end = time.monotonic() + (300 if LONG else 15)
    number = 0
    while time.monotonic() < end:
        number += 1
        loaded.admin.apply([mesh.allow(loaded.space, "load", "store", 1000 + number % 500)])
        time.sleep(0.1)


def root_rotated(loaded: Loaded) -> None:
    """The new root signs once every proxy trusts it."""
    until(lambda: authority.status(loaded.admin).phase == authority.IDLE, "no rotation is under way", 60, every=1)
    done = attempts.ringfence(loaded.admin, "ca", "rotate", "--yes")
    assert done.ok, done.message
    until(lambda: authority.status(loaded.admin).phase == authority.ACTIVATED, "the new root signs", 120, every=1)
    loaded.pause(20)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "disturb",
    [
        nothing,
        proxyd_away,
        proxyd_replaced,
        controller_and_api_server_killed,
        node_killed,
        server_replaced,
        policies_changing,
        root_rotated,
    ],
)
def test_nothing_allowed_fails_and_nothing_denied_passes(loaded: Loaded, disturb: Callable[[Loaded], None]) -> None:
    good, others, _ = loaded.counts()
    disturb(loaded)
    time.sleep(3)
    good_then, others_then, stolen = loaded.counts()
    failed = {key: count - others.get(key, 0) for key, count in others_then.items() if count > others.get(key, 0)}
    print(f"  {disturb.__name__}: {good_then - good} requests answered, failed: {failed or 'none'}, stolen: {stolen}")
    assert not failed, mesh.proxy_log(loaded.admin, loaded.space, "load", '"code":503')[-5:]
    assert good_then - good > RATE
    assert stolen == 0

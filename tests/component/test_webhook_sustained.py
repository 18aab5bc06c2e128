"""The webhook under steady load while policies change and its replicas are replaced one by one.

RINGFENCE_SUSTAINED_SECONDS says for how long (60; `make soak` asks for 600).
"""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from bench import reviews
from tests.component import webhook_rig
from tests.component.sustained import PATIENCE, Balancer, Created, Direct, Endpoints, InBackground, Question, Tally
from tests.component.webhook_rig import Rig, Webhook, container, pod, until

SECONDS = float(os.environ.get("RINGFENCE_SUSTAINED_SECONDS", "60"))
#: Of what was measured as the limit at the start.
SHARE = 0.6
#: Seconds: for finding the limit, between two changes of policy, for which a replica goes on after SIGTERM.
_MEASURING, _EVERY, _DRAIN = 4.0, 1.0, 3.0

pytestmark = [pytest.mark.component, pytest.mark.timeout(SECONDS + 540)]

_SHOP = reviews.NAMESPACE
_PRIVILEGED = "privileged"
_FOREIGN = "from none of the registries that are allowed"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("sustained", tmp_path_factory.mktemp("sustained")) as made:
        made.enforced(_SHOP)
        yield made


def _questions() -> list[Question]:
    foreign = reviews.pod()
    foreign["spec"]["containers"][0]["image"] = "registry.example.org/shop/checkout"
    return [
        Question(reviews.review(reviews.pod())),
        Question(reviews.review(reviews.pod(good=False)), _PRIVILEGED),
        Question(reviews.review(reviews.pod())),
        Question(reviews.review(foreign), _FOREIGN),
    ]


def _pods() -> list[tuple[dict[str, object], str]]:
    image = "registry.example.com/shop/checkout"
    good = pod("good", _SHOP, containers=[container("main") | {"image": image}])
    bad = pod("bad", _SHOP, containers=[container("main") | {"image": image}], hostNetwork=True)
    foreign = pod("foreign", _SHOP)
    return [(good, ""), (bad, "host-namespaces"), (good, ""), (foreign, _FOREIGN)]


def _floor() -> dict[str, object]:
    admission = {"podSecurity": "restricted", "images": {"registries": ["registry.example.com/shop"]}}
    return webhook_rig.floor("floor", "restricted") | {"spec": {"namespaceSelector": {}, "admission": admission}}


class _Changes:
    """A policy of the namespace is another one each second; none of them loosens the floor, none refuses the good."""

    def __init__(self, rig: Rig) -> None:
        self.count = 0
        self.failed: list[str] = []
        self._rig = rig
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self.count += 1
            level = ("privileged", "baseline", "restricted")[self.count % 3]
            registries = ["registry.example.com/shop", f"registry-{self.count}.example.com"]
            policy = {
                "apiVersion": "ringfence.dev/v1alpha1",
                "kind": "SecurityPolicy",
                "metadata": {"name": "changing", "namespace": _SHOP},
                "spec": {"admission": {"podSecurity": level, "images": {"registries": registries}}},
            }
            reply = self._rig.api.apply(policy)
            if not reply.ok:
                self.failed.append(reply.message)


def _replace(rig: Rig, replicas: list[Webhook], endpoints: Endpoints, enough: Callable[[int], bool]) -> int:
    """Replace the replicas one by one, as many as are enough: the next goes when the new one is ready.

    Returns how many went.
    """
    replaced = 0
    while not enough(replaced):
        former = replicas[replaced % len(replicas)]
        endpoints.remove(former.port)
        assert former.stop() == 0, former.log.read_text()[-2000:]
        replicas[replaced % len(replicas)] = new = rig.start_webhook(drain=_DRAIN)
        endpoints.add(new.port)
        replaced += 1
        time.sleep(1)
    return replaced


def _limit(behind: InBackground, direct: Direct) -> float:
    """Reviews a second at most."""
    running = behind.start(lambda stop: direct.run(stop, None))
    time.sleep(_MEASURING)
    behind.end()
    tally: Tally = running.result(2 * PATIENCE)
    assert tally.wrong == ([], [], [])
    return tally.done / _MEASURING


def test_nothing_fails_while_policies_change_and_replicas_are_replaced(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rig.ca is not None
    context = ssl.create_default_context(cadata=rig.ca.certificate.decode())
    assert rig.webhook is not None
    first, endpoints = rig.webhook, Endpoints()
    replicas = [rig.start_webhook(drain=_DRAIN) for _ in range(2)]
    for each in replicas:
        endpoints.add(each.port)
    balancer = Balancer(endpoints)
    with InBackground() as serving:
        serving.start(balancer.run)
        rig.configure(url=f"https://localhost:{balancer.port}", patience=PATIENCE)
        assert rig.api.apply(_floor()).ok
        until(lambda: all(_as_asked(rig, each) for each in _pods() for _ in range(6)), 60)
        first.stop()
        direct = Direct(endpoints, context, _questions())
        with InBackground() as measuring:
            limit = _limit(measuring, direct)
        with InBackground() as asking, Created(rig.api, _pods()) as created, _Changes(rig) as changes:
            running = asking.start(lambda stop: direct.run(stop, limit * SHARE))
            ends = time.monotonic() + SECONDS

            def enough(replaced: int) -> bool:
                # On a slow machine it takes longer until as much was tried.
                tried = direct.tally.done > SECONDS * limit * SHARE / 4 and created.tally.done > SECONDS
                changed = replaced >= SECONDS / 30 and changes.count >= SECONDS / 2
                return tried and changed and time.monotonic() >= ends

            replaced = _replace(rig, replicas, endpoints, enough)
            asking.end()
            straight: Tally = running.result(2 * PATIENCE)
    with capsys.disabled():
        print(
            f"\nsustained {SECONDS:.0f} s at {SHARE:.0%} of {limit:,.0f} reviews/s, {changes.count} changes of policy,"
            f" {replaced} replicas replaced: straight {straight}; through the API server {created.tally}"
        )
    assert straight.wrong == ([], [], [])
    assert created.tally.wrong == ([], [], [])
    assert (straight.late, created.tally.late) == ([], [])
    assert changes.failed == []
    assert straight.done > SECONDS * limit * SHARE / 4
    assert created.tally.done > SECONDS
    assert replaced >= SECONDS / 30
    assert changes.count >= SECONDS / 2


def _as_asked(rig: Rig, case: tuple[dict[str, object], str]) -> bool:
    obj, refused = case
    reply = rig.api.create(obj, dry_run=True)
    return refused in reply.message if refused else reply.ok

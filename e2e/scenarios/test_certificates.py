"""Certificates in use: two programs that shake hands all the time notice neither renewal nor a whole rotation."""

import base64
import json
import time
from collections.abc import Callable

import pytest

from e2e.cluster import backend
from e2e.demo import attempts, authority, certificates, install, leader, peers
from e2e.demo.client import Client, until
from e2e.scenarios import support
from e2e.scenarios.conftest import Sandboxes

pytestmark = [pytest.mark.node]

CA = "secret/ringfence-ca"
RENEWED_WITHIN = 100.0
ROTATED_WITHIN = 120.0
OUTLIVED = 660.0
"""Seconds after which no certificate of ten minutes is valid any more."""


@pytest.mark.timeout(420)
def test_nobody_notices_a_renewal_a_rotation_and_a_killed_controller(
    cluster: backend.Cluster, admin: Client, image: str, sandbox: Sandboxes
) -> None:
    """All steps of a rotation, but for the ten minutes that the last certificate of the old root would live: no Secret
    has one by then, and the CA's state is told that it has ended.
    """
    _finish_what_is_under_way(admin)
    space = _two_programs(admin, image, sandbox)
    before = certificates.until_talking(admin, space)
    _wait_renewed(admin, space)
    _wait_renewed(admin, space, lambda: _delete_secrets(admin, space))
    _rotate(cluster, admin, space, lambda: _end_old_certificates(admin))
    _nobody_noticed(admin, space, before)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_nobody_notices_a_rotation_that_waits_for_every_certificate_to_end(
    cluster: backend.Cluster, admin: Client, image: str, sandbox: Sandboxes
) -> None:
    _finish_what_is_under_way(admin)
    space = _two_programs(admin, image, sandbox)
    before = certificates.until_talking(admin, space)
    _rotate(cluster, admin, space, lambda: None)
    _nobody_noticed(admin, space, before)


def _two_programs(admin: Client, image: str, sandbox: Sandboxes) -> str:
    space = sandbox("certified", enroll="enforce").name
    admin.apply(peers.objects(space, image))
    peers.wait_running(admin, space)
    return space


def _wait_renewed(admin: Client, space: str, ask: Callable[[], None] = lambda: None) -> None:
    """Every identity has a new certificate, by itself or because of `ask`, and the programs use theirs."""
    first = authority.certificates(admin, space)
    assert set(first) == set(peers.ALGORITHMS)
    ask()

    def renewed() -> bool:
        now = authority.certificates(admin, space)
        return all(now[name]["serial"] != first[name]["serial"] for name in first)

    until(renewed, "every certificate is renewed", RENEWED_WITHIN, every=1)
    used = {name: each["serial"] for name, each in authority.certificates(admin, space).items()}
    until(
        lambda: all(used[name] in each.serials for name, each in peers.reports(admin, space).items()),
        "the programs use their new certificates",
        30,
        every=1,
    )


def _delete_secrets(admin: Client, space: str) -> None:
    """How somebody has certificates renewed now."""
    secrets = [peers.secret_of(name) for name in peers.ALGORITHMS]
    admin.run("delete", "secrets", *secrets, f"--namespace={space}")
    until(lambda: admin.attempt("get", "secrets", *secrets, f"--namespace={space}").ok, "the Secrets are back", 30)


def _rotate(cluster: backend.Cluster, admin: Client, space: str, outlive: Callable[[], None]) -> None:
    """By command, with the leader killed at the first step; `outlive` is done when no Secret needs the old root."""
    old = authority.status(admin).current
    asked = attempts.ringfence(admin, "ca", "rotate", "--yes")
    assert asked.ok, asked.message
    until(lambda: authority.status(admin).phase == authority.PREPARED, "a new root is prepared", 30)
    new = authority.status(admin).roots["next"]
    killed = leader.kill(cluster, admin)
    assert leader.wait_for_another(admin, killed) <= leader.TAKEN_OVER_WITHIN

    _wait_trusting(admin, space, {old, new})
    assert authority.status(admin).phase == authority.PREPARED, "trusted before it signs"
    assert authority.issuers(admin, space) == {old}
    until(lambda: authority.status(admin).phase == authority.ACTIVATED, "the new root signs", ROTATED_WITHIN, every=1)
    until(lambda: authority.issuers(admin, space) == {new}, "every certificate is of the new root", 60)
    until(
        lambda: all(each.issuers == (old, new) for each in peers.reports(admin, space).values()),
        "both programs have seen certificates of the new root",
        30,
        every=1,
    )
    outlive()
    until(lambda: authority.status(admin).phase == authority.IDLE, "the old root is retired", OUTLIVED, every=1)
    assert authority.status(admin).roots == {"current": new}
    _wait_trusting(admin, space, {new})


def _wait_trusting(admin: Client, space: str, roots: set[str]) -> None:
    until(
        lambda: all(each.trusted == roots for each in peers.reports(admin, space).values()),
        "both programs have read the trust bundle",
        30,
        every=1,
    )


def _nobody_noticed(admin: Client, space: str, before: dict[str, peers.Report]) -> None:
    # A few more under the new root alone.
    time.sleep(3)
    happened, good = certificates.verdict(before, peers.reports(admin, space))
    assert good, happened


def _finish_what_is_under_way(admin: Client) -> None:
    """Ends the rotation of a demo that ran just before."""
    if authority.status(admin).phase == authority.ACTIVATED:
        _end_old_certificates(admin)
    until(lambda: authority.status(admin).phase == authority.IDLE, "no rotation is under way", 60, every=1)


def _end_old_certificates(admin: Client) -> None:
    """Has the CA's state say that the last certificate of the previous root has ended by now. The controller still
    looks for itself whether a Secret has one.
    """
    secret = admin.get(CA, f"--namespace={install.NAMESPACE}")
    state = json.loads(base64.b64decode(secret["data"]["state.json"]))
    state["previous"]["leavesUntil"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    changed = {
        "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]},
        "data": {"state.json": base64.b64encode(json.dumps(state).encode()).decode()},
    }
    done = support.patch(admin, install.NAMESPACE, CA, changed)
    assert done.ok, done.message

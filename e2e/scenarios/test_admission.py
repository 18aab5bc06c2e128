"""No way around admission: what is refused stays refused when the webhook is away, and nobody else is held up."""

import contextlib
from collections.abc import Iterator

import pytest

from e2e.cluster import backend
from e2e.demo import attempts, install, people
from e2e.demo.client import Client, until
from e2e.scenarios import support
from e2e.scenarios.conftest import Sandboxes

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


@contextlib.contextmanager
def _no_webhook(admin: Client) -> Iterator[None]:
    """Every replica of the webhook is gone."""
    support.scale(admin, install.NAMESPACE, "ringfence-webhook", 0)
    try:
        yield
    finally:
        support.scale(admin, install.NAMESPACE, "ringfence-webhook", 2)
        # Pods are ready before all of the network leads to them.
        until(lambda: all(_answered(admin) for _ in range(5)), "the webhook answers again", 60)


def _answered(admin: Client) -> bool:
    """Whether the API server gets an answer: without one nobody makes a Namespace that is to be closed."""
    labels = {support.ENROLL: "enforce"}
    probe = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "answered", "labels": labels}}
    return admin.create(probe, "--dry-run=server").ok


def test_pods_are_let_in_or_refused_with_a_reason(cluster: backend.Cluster, opened_shop: Client) -> None:
    rows = attempts.pods(opened_shop, install.agnhost(cluster))
    assert [row for row in rows if not row.as_said] == []


def test_a_namespaces_admin_cannot_open_it(opened_shop: Client) -> None:
    assert [row for row in people.namespace_admin(opened_shop) if not row.as_said] == []


def test_pods_wait_for_a_webhook_that_is_away_and_others_do_not(admin: Client, sandbox: Sandboxes) -> None:
    closed = sandbox("closed", enroll="enforce")
    closed.wait_closed()
    with _no_webhook(admin):
        free = sandbox("free")
        for space in (closed, free):
            admin.apply([each for each in space.program("web") if each["kind"] == "ServiceAccount"])

        refused = admin.create(closed.pod("web", "web"))
        assert not refused.ok
        assert "ringfence" in refused.message.lower()
        assert admin.create(free.pod("web", "web")).ok

        # What the API server holds by itself: a forged label, enrolment, strangers' NetworkPolicies.
        forged = free.pod("forged", "web")
        forged["metadata"]["labels"]["ringfence.dev/identity"] = "checkout"
        refused = admin.create(forged)
        assert not refused.ok
        assert "ringfence.dev/identity" in refused.message
        assert not free.enroll().ok
        assert not admin.create(closed.allow_all()).ok
        assert admin.create(free.allow_all()).ok


def test_running_pods_live_on_while_the_webhook_is_away(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("running", enroll="enforce")
    client, server = space.run("client", "server")
    admin.apply([space.allow("server", "client")])
    support.wait_reaches(admin, client, server.address)
    with _no_webhook(admin):
        [pod] = space.pod_names("server")
        assert support.ready_replicas(admin, space.name, "server") == 1
        # No policy closes sessions here, so the API server has nobody to ask: connections live on, and are seen to.
        assert support.reaches(admin, client, server.address)
        # A new pod does not come, the old one can go, and its status is still written.
        admin.run("delete", "pod", pod, f"--namespace={space.name}", "--wait=true", timeout=60)
        until(lambda: support.ready_replicas(admin, space.name, "server") == 0, "its status is written", 30)
        assert space.pod_names("server") == []
    # Controllers back off while they are refused; a restart of the rollout shortens the wait.
    admin.run("rollout", "restart", "deployment/server", f"--namespace={space.name}")
    space.wait_running("server")
    support.wait_reaches(admin, client, server.address)


def test_one_replica_killed_is_not_noticed(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("killed", enroll="enforce")
    admin.apply([each for each in space.program("web") if each["kind"] in {"ServiceAccount", "ServiceIdentity"}])
    space.wait_closed()
    selector = "--selector=app.kubernetes.io/component=webhook"
    listed = admin.get("pods", f"--namespace={install.NAMESPACE}", selector)["items"]
    # Of an installation just before some may still be on their way out.
    pods = [each for each in listed if "deletionTimestamp" not in each["metadata"]]
    assert len(pods) == 2
    victim = pods[0]["metadata"]["name"]
    admin.run("delete", "pod", victim, f"--namespace={install.NAMESPACE}", "--wait=false")
    failed = [
        done.message
        for number in range(40)
        if not (done := admin.create(space.pod(f"web-{number}", "web"), "--dry-run=server")).ok
    ]
    assert failed == []
    until(lambda: support.ready_replicas(admin, install.NAMESPACE, "ringfence-webhook") == 2, "it is replaced", 60)

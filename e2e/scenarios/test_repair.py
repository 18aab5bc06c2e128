"""Whatever is changed by hand, killed or restarted: it ends as the policies say."""

import time
from collections.abc import Iterable
from datetime import datetime

import pytest

from e2e.cluster import backend
from e2e.demo import authority, install, leader, people
from e2e.demo.client import Client, Object, until
from e2e.scenarios import support
from e2e.scenarios.conftest import Sandboxes

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

REPAIRED_WITHIN = 5.0
SEEN_WITHIN = 30.0
"""Seconds until kubectl shows it, on a machine with much other work."""
DENY = "networkpolicy/ringfence-default-deny"


def test_what_is_deleted_comes_back(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("deleted", enroll="enforce")
    space.wait_closed()
    before = space.network_policies()
    admin.run("delete", "networkpolicies", "--all", f"--namespace={space.name}")
    gone = time.time()
    until(lambda: set(space.network_policies()) == set(before), "all are back", SEEN_WITHIN, every=0.05)
    _made_in_time(space.network_policies().values(), gone)


def _made_in_time(objects: Iterable[Object], gone: float) -> None:
    """Objects say when they were made, so that a busy machine, on which kubectl takes a second, does not count."""
    made = [datetime.fromisoformat(each["metadata"]["creationTimestamp"]).timestamp() for each in objects]
    assert max(made) <= gone + REPAIRED_WITHIN


def test_what_is_edited_is_put_right(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("edited", enroll="enforce")
    space.wait_closed()
    spec = space.network_policies()["ringfence-default-deny"]["spec"]
    done = support.patch(admin, space.name, DENY, {"spec": {"ingress": [{}]}, "metadata": {"labels": {"a": "b"}}})
    if done.ok:  # the cluster's administrator holds `enroll`; admission may still refuse an edit
        until(
            lambda: space.network_policies()["ringfence-default-deny"]["spec"] == spec,
            "the edit is undone",
            REPAIRED_WITHIN,
            every=0.05,
        )
    assert space.network_policies()["ringfence-default-deny"]["spec"] == spec


def test_admission_configuration_comes_back(admin: Client, ringfence: None) -> None:
    for kind, name in (
        ("validatingwebhookconfiguration", "ringfence"),
        ("mutatingwebhookconfiguration", "ringfence"),
        ("validatingadmissionpolicybinding", "ringfence-pods"),
        ("validatingadmissionpolicy", "ringfence-pods"),
    ):
        admin.run("delete", kind, name)
        _wait_back(admin, kind, name)


def _wait_back(admin: Client, kind: str, name: str) -> None:
    gone = time.time()
    until(lambda: admin.attempt("get", kind, name).ok, f"{kind} {name} is back", SEEN_WITHIN, every=0.05)
    _made_in_time([admin.get(kind, name)], gone)


def test_the_controller_killed_at_work_goes_on(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("killed", enroll="enforce")
    client, server = space.run("client", "server")
    admin.apply([space.allow("server", "client")])
    selector = "--selector=app.kubernetes.io/component=controller"
    admin.run("delete", "pod", selector, f"--namespace={install.NAMESPACE}", "--grace-period=0", "--force")
    # Changed while nobody looks.
    admin.run("delete", "securitypolicy", "server", f"--namespace={space.name}")
    admin.attempt("delete", DENY, f"--namespace={space.name}")
    admin.run(
        "rollout", "status", f"--namespace={install.NAMESPACE}", "deployment/ringfence-controller", "--timeout=90s"
    )
    until(space.is_closed, "the namespace is closed again", 60)
    support.wait_cut(admin, client, server.address)


def test_the_leader_killed_alone_is_replaced_by_the_standby_and_nothing_is_lost(
    cluster: backend.Cluster, admin: Client, sandbox: Sandboxes
) -> None:
    space = sandbox("led", enroll="enforce")
    client, server = space.run("client", "server")
    space.wait_closed()
    killed = leader.kill(cluster, admin)
    # Changed while nobody leads: one thing deleted, one thing asked for, and a certificate wanted.
    admin.attempt("delete", DENY, f"--namespace={space.name}")
    gone = time.time()
    wanted = {"spec": {"certificate": {"secretName": "server-identity"}}}
    admin.apply([space.allow("server", "client")])
    assert support.patch(admin, space.name, "serviceidentity/server", wanted).ok

    nobody = leader.wait_for_another(admin, killed)
    assert nobody <= leader.TAKEN_OVER_WITHIN
    until(lambda: "ringfence-default-deny" in space.network_policies(), "the deleted is back", SEEN_WITHIN)
    _made_in_time([space.network_policies()["ringfence-default-deny"]], max(gone, killed.at + nobody))
    until(lambda: bool(authority.certificates(admin, space.name)), "the certificate is there", SEEN_WITHIN)
    support.wait_reaches(admin, client, server.address)
    assert not support.reaches(admin, server, client.address)
    until(lambda: support.ready_replicas(admin, install.NAMESPACE, "ringfence-controller") == 2, "it is replaced", 60)


def test_a_restart_of_the_api_server_is_survived(cluster: backend.Cluster, admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("restart", enroll="enforce")
    client, server = space.run("client", "server")
    support.restart_api_server(cluster)
    until(lambda: admin.attempt("get", "--raw=/readyz").ok, "the API server is back", 60)
    admin.apply([space.allow("server", "client")])
    until(lambda: support.reaches(admin, client, server.address), "the new rule is in force", 60)
    for each in install.DEPLOYMENTS:
        admin.run("rollout", "status", f"--namespace={install.NAMESPACE}", f"deployment/{each}", "--timeout=60s")
    rows = people.platform_admin(admin, space.name)
    assert [row for row in rows if not row.as_said] == []

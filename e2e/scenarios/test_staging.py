"""How a namespace gets closed: at once while it is empty, in stages while pods from before enrolment run."""

import pytest

from e2e.demo import attempts
from e2e.demo.client import Client, until
from e2e.scenarios.conftest import Sandboxes
from e2e.scenarios.support import PORT, reaches, wait_cut, wait_reaches

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


def test_an_empty_namespace_is_closed_before_its_first_pod(admin: Client, sandbox: Sandboxes) -> None:
    """Namespace and pods arrive in one breath; no pod ever runs without the default deny."""
    space = sandbox("empty", enroll="enforce")
    admin.apply(space.program("web"))
    seen_open = []

    def running() -> bool:
        pods = admin.get("pods", f"--namespace={space.name}")["items"]
        policies = space.network_policies()
        if pods and "ringfence-default-deny" not in policies:
            seen_open.append([each["metadata"]["name"] for each in pods])
        return any(each["status"].get("phase") == "Running" for each in pods)

    until(running, "the first pod runs", 90, every=0.1)
    assert seen_open == []
    assert space.is_closed()


def test_pods_from_before_enrolment_are_named_restarted_and_then_closed_in(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("before")
    client, server = space.run("client", "server")
    admin.apply([space.allow("server", "client")])
    wait_reaches(admin, client, server.address)
    wait_reaches(admin, server, client.address)
    before = space.pod_names("client") + space.pod_names("server")

    assert space.enroll().ok
    until(lambda: bool(space.condition()), "Ringfence says what it waits for", 20)
    condition = space.condition()
    assert (condition["status"], condition["reason"]) == ("False", "Staged")
    assert all(name in condition["message"] for name in before)
    # Staged: nothing is cut off, in either direction.
    assert space.network_policies() == {}
    assert reaches(admin, client, server.address)
    assert reaches(admin, server, client.address)

    done = attempts.ringfence(admin, "enroll", space.name)
    assert done.ok, done.message
    space.wait_running("client")
    space.wait_running("server")
    space.wait_closed()
    after = space.pod_names("client") + space.pod_names("server")
    assert not set(before) & set(after)
    wait_reaches(admin, client, server.address)
    wait_cut(admin, server, client.address)


def test_strangers_network_policies_hold_up_closing_and_are_named(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("strangers")
    stranger = space.allow_all()
    assert admin.create(stranger).ok
    assert space.enroll().ok
    until(lambda: bool(space.condition()), "Ringfence says what it waits for", 20)
    condition = space.condition()
    assert (condition["status"], condition["reason"]) == ("False", "StrangersNetworkPolicies")
    assert "allow-all" in condition["message"]

    admin.run("delete", "networkpolicy", "allow-all", f"--namespace={space.name}")
    space.wait_closed()
    again = admin.create(stranger)
    assert not again.ok
    assert "Ringfence" in again.message


def test_audit_blocks_nothing(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("audited", enroll="audit")
    client, server = space.run("client", "server", identity=False)
    # Pods are ready before every node's network leads to them.
    wait_reaches(admin, client, server.address)
    wait_reaches(admin, server, client.address)
    assert space.network_policies() == {}
    pods = admin.get("pods", f"--namespace={space.name}")["items"]
    labels = {each["metadata"]["labels"].get("ringfence.dev/identity") for each in pods}
    assert labels == {"client", "server"}


def test_unenrolling_opens(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("leaving", enroll="enforce")
    client, server = space.run("client", "server")
    space.wait_closed()
    assert not reaches(admin, client, f"server.{space.name}:{PORT}")
    admin.run("label", "namespace", space.name, "ringfence.dev/enroll-")
    until(lambda: space.network_policies() == {}, "its NetworkPolicies are gone", 20)
    # Pods that have a proxy go on with it as it was.
    assert not reaches(admin, client, server.address)
    for name in ("client", "server"):
        admin.run("rollout", "restart", f"deployment/{name}", f"--namespace={space.name}")
        space.wait_running(name)
    wait_reaches(admin, client, server.address)
    until(lambda: space.condition() == {}, "the condition is gone", 20)

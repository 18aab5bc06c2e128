"""The proxies on a real node: mutual TLS between pods, what the policy says, and nothing by any other way."""

import subprocess
import time

import pytest

from e2e.cluster import backend
from e2e.demo import mesh
from e2e.demo.client import Client, until
from e2e.scenarios.conftest import Sandboxes

pytestmark = [pytest.mark.node]

SETTLES = 30.0


@pytest.fixture
def shop(admin: Client, proxies: str, sandbox: Sandboxes) -> str:
    """A closed namespace where `web` may call `store`, and `stranger` nobody."""
    space = sandbox("mesh", enroll="enforce").name
    admin.apply([mesh.program(space), mesh.allow(space, "store", "web", mesh.HTTP, mesh.GREETING)])
    for name in ("store", "web", "stranger"):
        admin.apply(mesh.service(space, name, proxies))
    mesh.wait_running(admin, space, "store", "web", "stranger")
    return space


def _outcome(admin: Client, space: str, source: str, host: str, port: int, path: str = "/") -> str:
    return mesh.call(admin, space, source, host, port, path).outcome


@pytest.mark.timeout(300)
def test_who_is_allowed_gets_an_answer_and_nobody_else_does(admin: Client, shop: str) -> None:
    until(lambda: _outcome(admin, shop, "web", "store", 80) == "200", "web reaches store", SETTLES, every=1)
    assert _outcome(admin, shop, "web", "store", mesh.GREETING, "-") == "greeted", "the server speaks first"
    assert _outcome(admin, shop, "stranger", "store", 80) in ("403", "503", "closed", "silent")
    assert _outcome(admin, shop, "stranger", "store", mesh.GREETING, "-") in ("closed", "silent")
    assert _outcome(admin, shop, "store", "web", 80) in ("403", "503", "closed", "silent")


@pytest.mark.timeout(300)
def test_the_program_is_told_who_calls(admin: Client, shop: str) -> None:
    until(lambda: _outcome(admin, shop, "web", "store", 80) == "200", "web reaches store", SETTLES, every=1)
    said = mesh.call(admin, shop, "web", "store", 80).said
    assert f"spiffe://cluster.local/ns/{shop}/sa/web" in said


@pytest.mark.timeout(300)
def test_pod_addresses_lead_where_services_lead(admin: Client, shop: str) -> None:
    until(lambda: _outcome(admin, shop, "web", "store", 80) == "200", "web reaches store", SETTLES, every=1)
    (pod,) = admin.get("pods", f"--namespace={shop}", "--selector=app=store")["items"]
    address = pod["status"]["podIP"]
    assert _outcome(admin, shop, "web", address, mesh.HTTP) == "200"
    assert _outcome(admin, shop, "stranger", address, mesh.HTTP) in ("403", "503", "closed", "silent")
    assert _outcome(admin, shop, "web", "127.0.0.1", mesh.HTTP) == "200", "a pod's loopback is its own"


@pytest.mark.timeout(300)
def test_a_policy_is_in_force_within_a_second_of_its_change(admin: Client, shop: str) -> None:
    until(lambda: _outcome(admin, shop, "web", "store", 80) == "200", "web reaches store", SETTLES, every=1)
    admin.run("delete", "secpol", "store-web", f"--namespace={shop}")
    changed, answered = time.monotonic(), 0.0

    def cut_off() -> bool:
        nonlocal answered
        asked = time.monotonic()
        if _outcome(admin, shop, "web", "store", 80) != "200":
            return True
        answered = asked
        return False

    until(cut_off, "web is cut off", SETTLES, every=0.1)
    admin.apply([mesh.allow(shop, "store", "web", mesh.HTTP, mesh.GREETING)])
    until(lambda: _outcome(admin, shop, "web", "store", 80) == "200", "web reaches store again", SETTLES, every=0.1)
    # When the last call that was answered began: how long kubectl takes is not the policy's doing.
    assert answered < changed + 5


@pytest.mark.timeout(300)
def test_plaintext_from_outside_the_mesh_is_refused(
    cluster: backend.Cluster, admin: Client, proxies: str, shop: str, sandbox: Sandboxes
) -> None:
    space = sandbox("plain").name
    admin.apply([mesh.program(space), *mesh.service(space, "web", proxies)])
    mesh.wait_running(admin, space, "web")
    (pod,) = admin.get("pods", f"--namespace={space}", "--selector=app=web")["items"]
    assert mesh.PROXY not in [each["name"] for each in pod["spec"].get("initContainers", [])]
    assert _outcome(admin, space, "web", f"store.{shop}", 80) in ("closed", "silent")
    # The node itself is let through by the network (kubelets probe from there), so only the proxy is in the way.
    (store,) = admin.get("pods", f"--namespace={shop}", "--selector=app=store")["items"]
    nodes = sorted(each["metadata"]["name"] for each in admin.get("nodes")["items"])
    entering = cluster.entering(nodes.index(store["spec"]["nodeName"]) + 1)

    def asked(port: int, path: str) -> subprocess.CompletedProcess[str]:
        url = f"http://{store['status']['podIP']}:{port}{path}"
        command = [*entering, "curl", "--silent", "--fail", "--max-time", "3", url]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert asked(15021, "/ready").returncode == 0, "the node reaches the pod"
    done = asked(mesh.HTTP, "/")
    assert done.returncode != 0, f"plaintext was answered: {done.stdout}"

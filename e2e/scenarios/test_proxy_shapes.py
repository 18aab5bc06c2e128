"""Workloads of every shape with proxies: how Services lead to them, and how they begin and end."""

from collections.abc import Iterator

import pytest

from e2e.demo.client import until
from e2e.traffic import pods
from e2e.traffic.place import REFUSED, Place

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def clock(traffic: Place) -> Iterator[str]:
    """A CronJob that was there before the first test here: it is due each minute, and gone when others are tested."""
    job = {"template": {"spec": {**_once(traffic, "ask", "web", "server", "80", "--expect=200")}}}
    traffic.admin.apply(
        [
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": "clock", "namespace": traffic.space},
                "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}},
            }
        ]
    )
    yield "clock"
    traffic.admin.run("delete", "cronjob", "clock", f"--namespace={traffic.space}")


def _once(traffic: Place, *arguments: str) -> dict[str, object]:
    return {**pods.pod_spec("worker", traffic.image, *arguments), "restartPolicy": "Never"}


@pytest.mark.usefixtures("clock")
def test_a_service_with_ports_of_many_protocols(traffic: Place) -> None:
    for kind, port, outcome in (("web", 80, "200"), ("lines", 9000, "greeted"), ("datagram", 9999, "echoed")):
        assert traffic.ask("friend", kind, "server", port)["outcome"] == outcome, kind
        assert traffic.ask("stranger", kind, "server", port)["outcome"] in REFUSED, kind


def test_a_stateful_set_behind_a_headless_service(traffic: Place) -> None:
    space = traffic.space
    traffic.admin.apply(
        [
            *pods.identity(space, "store"),
            traffic.allow("store", "friend"),
            traffic.allow("store", "store"),
            pods.service(space, "store", clusterIP="None"),
            pods.workload(space, "store", traffic.image, kind="StatefulSet", replicas=2, serviceName="store"),
        ]
    )
    traffic.wait("store", kind="statefulset")
    for number in (0, 1):
        host = f"store-{number}.store.{space}.svc.cluster.local"
        said = traffic.ask("friend", "web", host, 8080, "--expect=200")["said"]
        assert said["pod"] == f"store-{number}"
        assert f"spiffe://cluster.local/ns/{space}/sa/friend" in said["from"]
        assert traffic.ask("friend", "lines", host, 9000)["outcome"] == "greeted"
        assert traffic.ask("stranger", "web", host, 8080)["outcome"] in REFUSED
    assert traffic.ask("pod/store-0", "web", f"store-1.store.{space}", 8080)["said"]["pod"] == "store-1"
    assert traffic.ask("friend", "web", "store", 8080)["outcome"] == "200", "the Service's name is its pods"


def test_a_pod_that_calls_its_own_service_and_its_own_address(traffic: Place) -> None:
    [server] = traffic.pods("server")
    for host, port in (("server", 80), (server["status"]["podIP"], 8080)):
        found = traffic.ask("server", "web", host, port)
        assert found["outcome"] == "200"
        assert f"spiffe://cluster.local/ns/{traffic.space}/sa/server" in found["said"]["from"]
    assert traffic.ask("server", "lines", "server", 9000)["outcome"] == "greeted"
    assert traffic.ask("stranger", "web", server["status"]["podIP"], 8080)["outcome"] in REFUSED


def test_a_job_ends_when_its_program_does_and_its_init_containers_have_the_network(traffic: Place) -> None:
    spec = _once(traffic, "ask", "web", "server", "80", "--expect=200")
    spec["initContainers"] = [pods.container(traffic.image, "ask", "web", "server", "80", "--expect=200", name="first")]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": traffic.space},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": "once"}}, "spec": spec}},
    }
    traffic.admin.apply([job])
    traffic.admin.run("wait", f"--namespace={traffic.space}", "job/once", "--for=condition=Complete", "--timeout=110s")
    [pod] = traffic.pods("once")
    assert pod["status"]["phase"] == "Succeeded"
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["ringfence-proxy", "first"]
    said = traffic.admin.run("logs", f"--namespace={traffic.space}", "job/once", "--container=first")
    assert f"spiffe://cluster.local/ns/{traffic.space}/sa/worker" in said
    ended = [each["state"]["terminated"] for each in pod["status"]["initContainerStatuses"]]
    assert [each["exitCode"] for each in ended] == [0, 0], "the proxy ended by itself, after the program"


def test_a_deployment_is_rolled_and_its_last_call_is_carried(traffic: Place) -> None:
    traffic.admin.apply(
        [pods.workload(traffic.space, "worker", traffic.image, "wait", "--farewell=server:80", replicas=2)]
    )
    traffic.wait("worker")
    before = {each["metadata"]["name"] for each in traffic.pods("worker")}
    traffic.admin.run("rollout", "restart", f"--namespace={traffic.space}", "deployment/worker")
    traffic.wait("worker")

    def told() -> bool:
        return before <= set(traffic.ask("friend", "web", "server", 80)["said"]["farewells"])

    until(told, f"{before} have said farewell through their proxies", 30, every=1)


def test_a_cron_job_has_run_and_ended(traffic: Place, clock: str) -> None:
    def done() -> bool:
        listed = traffic.admin.get("jobs", f"--namespace={traffic.space}")["items"]
        owned = [each for each in listed if each["metadata"]["name"].startswith(f"{clock}-")]
        return any(each.get("status", {}).get("succeeded") for each in owned)

    until(done, "a job of the clock is complete", 180, every=1)

"""What the measurement of pods' starts makes of what it has seen; and what it says where there is no node."""

import asyncio
from typing import Any

import msgspec
import pytest
from ringfence.inject.injection import Injection
from ringfence.inject.sidecar import container
from ringfence.model.proxy_settings import ProxySettings

from bench import podstart
from e2e.demo import install


def pod(name: str, ready: str) -> podstart._Pod:
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]
    return msgspec.convert({"metadata": {"name": name}, "status": {"conditions": conditions}}, podstart._Pod)


def test_a_pod_is_ready_when_it_is_first_said_to_be() -> None:
    async def main() -> None:
        watched = podstart.Watched()
        waiting = asyncio.create_task(watched.until(watched.ready, "a"))
        watched.take("ADDED", msgspec.convert({"metadata": {"name": "a"}}, podstart._Pod))
        watched.take("MODIFIED", pod("a", "False"))
        watched.take("MODIFIED", pod("b", "True"))
        await asyncio.sleep(0)
        assert not waiting.done()
        watched.take("MODIFIED", pod("a", "True"))
        first = await waiting
        watched.take("MODIFIED", pod("a", "True"))
        # Its last state may still say Ready: it is gone all the same.
        watched.take("DELETED", pod("a", "True"))
        assert watched.ready["a"] == first
        assert await watched.until(watched.gone, "a") >= first
        assert "b" not in watched.gone

    asyncio.run(main())


def test_who_does_not_come_so_far_is_an_error_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podstart, "_WITHIN", 0.05)
    watched = podstart.Watched()
    with pytest.raises(RuntimeError, match="pod lost did not come so far"):
        asyncio.run(watched.until(watched.ready, "lost"))


@pytest.mark.parametrize(("later", "met"), [(1.5, True), (1.6, False)])
def test_the_medians_are_compared_with_the_goal(later: float, met: bool) -> None:
    without = [1.0, 2.0, 30.0]
    waiting, with_ = ([each + more for each in without] for more in (1.25, later))
    rows = podstart.figures({podstart.WITH: with_, podstart.WITHOUT: without, podstart.WAITING: waiting})
    assert [(row.measured, row.met) for row in rows[-2:]] == [(f"{later:.2f} s", met), ("1.25 s", None)]
    assert [row.measured.split(",")[0] for row in rows[:3]] == [f"median {2 + more:.2f} s" for more in (0, 1.25, later)]


def test_what_any_sidecar_costs_is_told_by_one_that_is_probed_as_the_proxy_is() -> None:
    program = {"name": "http", "image": "agnhost", "securityContext": {"privileged": False}, "ports": [{}]}
    pod = {"metadata": {"name": "web-1"}, "spec": {"containers": [program]}}
    changed = podstart.with_sidecar(pod)
    [sidecar] = changed["spec"].pop("initContainers")
    assert changed == pod
    proxy = sidecar_of_a_proxy()
    for probe in ("startupProbe", "readinessProbe"):
        assert sidecar[probe]["periodSeconds"] == proxy[probe]["periodSeconds"]
    assert sidecar["restartPolicy"] == proxy["restartPolicy"] == "Always"
    assert f"--http-port={sidecar['startupProbe']['httpGet']['port']}" in sidecar["args"]
    assert sidecar["securityContext"] == program["securityContext"]


def sidecar_of_a_proxy() -> dict[str, Any]:
    return container(Injection(ProxySettings(image="envoy:1")), 2_000_000_000)


def test_without_a_cluster_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "CLUSTER", "nosuch")
    (row,) = podstart.rows()
    assert "there is no cluster nosuch (start it with: make cluster)" in row.measured
    assert row.met is None

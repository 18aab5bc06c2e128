"""Live clusters by the contexts of a kubeconfig: compared with each other, and with files."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, people

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane("drift", controllers=["namespace-controller"]) as running:
        cluster.install_crds(running)
        yield running


def contexts(control_plane: ControlPlane, path: Path) -> Path:
    """A kubeconfig whose context ``prod`` leads to the cluster, and whose current one leads nowhere."""
    found = yaml.safe_load(control_plane.kubeconfig.read_text())
    (context,) = found["contexts"]
    nowhere = {"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}
    found["clusters"].append(nowhere)
    found["contexts"] = [
        {**context, "name": "prod"},
        {**context, "name": "same"},
        {"name": "nowhere", "context": {**context["context"], "cluster": "nowhere"}},
    ]
    found["current-context"] = "nowhere"
    path.write_text(yaml.safe_dump(found))
    return path


def let_in(name: str, caller: str) -> dict[str, Any]:
    """A policy that lets somebody call db."""
    return cluster.policy("drift", name, caller, 5432, appliesTo={"identities": ["db"]})


def objects(*callers: str) -> list[dict[str, Any]]:
    names = ("web", "api", "db")
    own = [let_in(f"by-{caller}", caller) for caller in callers]
    return [*(cluster.identity("drift", name) for name in names), *own]


async def _populate(control_plane: ControlPlane) -> None:
    async with cluster.connected(control_plane) as api:
        await cluster.apply(api, cluster.namespace("drift", "enforce"))
        for each in objects("web"):
            await cluster.apply(api, each)


def test_clusters_by_their_contexts(control_plane: ControlPlane, tmp_path: Path) -> None:
    asyncio.run(_populate(control_plane))
    config = contexts(control_plane, tmp_path / "kubeconfig")
    same, wider = tmp_path / "same.yaml", tmp_path / "wider.yaml"
    same.write_text(yaml.safe_dump_all(objects("web")))
    wider.write_text(yaml.safe_dump_all(objects("web", "api")))

    def ringfence(*arguments: str) -> tuple[int, str, str]:
        return asyncio.run(people.ringfence(config, *arguments))

    status, out, err = ringfence("drift", "cluster:prod", "cluster:same", str(same))
    assert status == 0, err
    assert out == f"cluster:same: the same as cluster:prod\n{same}: the same as cluster:prod\n"

    # What the files lack is missed, not taken from the cluster.
    status, out, err = ringfence("drift", str(wider), "cluster:prod", "-o", "json")
    (told,) = json.loads(out)["environments"]
    assert status == 1, err
    assert [(each["workload"], each["more"], len(each["less"])) for each in told["workloads"]] == [("drift/db", [], 1)]

    # `diff` lays files over the cluster: there the policy of the cluster stays.
    status, out, err = ringfence("diff", "cluster:prod", str(wider))
    assert status == 1, err
    assert "access is wider" in out
    status, _, err = ringfence("diff", "cluster:prod", str(same))
    assert status == 0, err

    # The context counts, not the current one.
    status, _, err = ringfence("drift", str(same), "cluster")
    assert status == 2
    assert "127.0.0.1:1" in err
    status, _, err = ringfence("drift", str(same), "cluster:absent")
    assert status == 2
    assert "absent" in err


def test_records_are_replayed_against_the_cluster(control_plane: ControlPlane, tmp_path: Path) -> None:
    asyncio.run(_populate(control_plane))
    config = contexts(control_plane, tmp_path / "kubeconfig")
    flows = tmp_path / "flows.jsonl"
    flows.write_text(
        "".join(
            json.dumps({"source": f"drift/{name}", "target": "drift/db", "port": 5432}) + "\n"
            for name in ("web", "api")
        )
    )
    narrower = tmp_path / "narrower.yaml"
    narrower.write_text(yaml.safe_dump(let_in("by-web", "api")))

    def simulate(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = ("simulate", *arguments, "--flows", str(flows), "-o", "json")
        status, out, err = asyncio.run(people.ringfence(config, *command))
        assert out, err
        return status, json.loads(out)

    status, told = simulate("-f", str(narrower), "--from", "cluster:prod")
    assert status == 1
    assert [(each["from"], each["calls"]) for each in told["broken"]] == [("drift/web", 1)]
    status, told = simulate("--context", "prod")
    assert [each["from"] for each in told["broken"]] == ["drift/api"]
    assert told["unused"] == []

"""Reports on a real API server, in both kinds, with the rights of the chart; OpenReports' schema is its own."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ringfence.kube import client, resources
from ringfence.kube.reports import PodPages, ReportKinds
from ringfence.model.names import API_VERSION
from ringfence.reconcile import scan, scanner

from e2e import modules
from e2e.cluster import paths
from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.controller_rig import Plane

pytestmark = pytest.mark.component

CHART_CRD = paths.REPOSITORY / "charts" / "ringfence" / "files" / "policyreports.yaml"
#: What the format's own project publishes.
OPEN_REPORTS = ("github.com/openreports/reports-api", "v0.2.1", "h1:g9KS3yle9Y1elmww4TK9EkD1rl6inIaiIJPX6e+u680=")


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("reports", controllers=["namespace-controller", "serviceaccount-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "LEAST_SECONDS", 0.2)
    monkeypatch.setattr(scanner, "RETRY_SECONDS", 1.0)


def _pod(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example/main"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], **spec},
    }


def _floor(level: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterSecurityPolicy",
        "metadata": {"name": "floor"},
        "spec": {
            "namespaceSelector": {"matchLabels": {"team": "reports"}},
            "admission": {"podSecurity": level},
        },
    }


async def _until(api: client.Client, resource: resources.Resource, namespace: str, **summary: int) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        found = await cluster.get(api, resource, namespace, scan.NAME)
        return found if found is not None and summary.items() <= found["summary"].items() else None

    found: dict[str, Any] = await cluster.eventually(there, f"{resource.kind} with {summary}", within=60)
    return found


def test_what_already_runs_is_reported_and_followed(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    _hurry(monkeypatch)

    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(120):
            await cluster.apply(api, yaml.safe_load(CHART_CRD.read_text()))
            await cluster.eventually(lambda: cluster.served(api, resources.POLICY_REPORTS), "served")
            # The pods are from before enrolment, so nothing has checked them.
            await cluster.apply(api, cluster.namespace("reported", team="reports"))
            await cluster.eventually(
                lambda: cluster.get(api, resources.SERVICE_ACCOUNTS, "reported", "default"), "its ServiceAccount"
            )
            for number in range(3):
                await cluster.apply(api, _pod("reported", f"old-{number}", hostPID=True))
            await cluster.apply(api, cluster.identity("reported", "default"))
            await cluster.apply(api, _floor("baseline"))
            await cluster.apply(api, cluster.namespace("reported", "audit", team="reports"))
            async with plane.controller():
                report = await _until(api, resources.POLICY_REPORTS, "reported", fail=3)
                by_rule = {each["rule"]: each for each in report["results"]}
                assert by_rule["host-namespaces"]["result"] == "warn"
                assert by_rule["host-namespaces"]["properties"]["pods"] == "3"
                assert by_rule["identity-label"]["result"] == "fail"
                # Whoever is mended, and policies that change, are followed.
                for number in range(3):
                    await cluster.delete(api, resources.PODS, "reported", f"old-{number}")
                await _until(api, resources.POLICY_REPORTS, "reported", fail=0, warn=0)
                # Taken out again.
                body = {"metadata": {"labels": {"ringfence.dev/enroll": None}}}
                path = resources.NAMESPACES.path("", "reported")
                await api.request("PATCH", path, body=body, content_type=client.MERGE)

                async def gone() -> bool:
                    return await cluster.get(api, resources.POLICY_REPORTS, "reported", scan.NAME) is None

                await cluster.eventually(gone, "the report goes with the enrolment", within=60)
            await cluster.delete(api, resources.CUSTOM_RESOURCE_DEFINITIONS, "", "policyreports.wgpolicyk8s.io")
            kinds = ReportKinds(api, scan.KINDS)

            async def forgotten() -> bool:
                return await kinds.served() is None

            await cluster.eventually(forgotten, "the kind is gone", within=60)

    asyncio.run(main())


def test_open_reports_takes_it_as_it_is(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "LEAST_SECONDS", 0.2)
    crd = modules.directory(*OPEN_REPORTS) / "config" / "crd" / "openreports.io_reports.yaml"

    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(120):
            await cluster.apply(api, yaml.safe_load(crd.read_text()))
            await cluster.eventually(lambda: cluster.served(api, resources.OPEN_REPORTS), "served")
            await cluster.apply(api, cluster.namespace("open", team="reports"))
            await cluster.eventually(
                lambda: cluster.get(api, resources.SERVICE_ACCOUNTS, "open", "default"), "its ServiceAccount"
            )
            await cluster.apply(api, _pod("open", "old", hostPID=True))
            await cluster.apply(api, _floor("baseline"))
            await cluster.apply(api, cluster.namespace("open", "audit", team="reports"))
            async with plane.controller():
                report = await _until(api, resources.OPEN_REPORTS, "open", fail=1)
                # Nothing of it was pruned: every field is one that the format knows.
                tally = scan.Tally()
                assert report["results"]
                wanted = tally.report("open", *scan.KINDS[1])
                assert wanted.keys() <= report.keys()
                result = next(each for each in report["results"] if each["rule"] == "host-namespaces")
                assert set(result) == {
                    "source",
                    "category",
                    "policy",
                    "rule",
                    "result",
                    "scored",
                    "severity",
                    "message",
                    "properties",
                    "resources",
                } - ({"scored"} if not result.get("scored") and "scored" not in result else set())

    asyncio.run(main())


def test_pods_come_page_by_page(plane: Plane) -> None:
    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(60):
            await cluster.apply(api, cluster.namespace("paged"))
            await cluster.eventually(
                lambda: cluster.get(api, resources.SERVICE_ACCOUNTS, "paged", "default"), "its ServiceAccount"
            )
            for number in range(7):
                await cluster.apply(api, _pod("paged", f"p-{number}"))
            sizes = [len(page) async for page in PodPages(api, page=3).pages("paged")]
            assert sizes == [3, 3, 1]

    asyncio.run(main())

"""`ringfence proxy list`: what replicas have said and what is not known are told apart."""

import argparse
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from ringfence import settings
from ringfence.cli import live, proxy_list
from ringfence.cli.console import Console, Output
from ringfence.cli.proxy_list import Seen
from ringfence.kube import errors
from ringfence.model.acknowledgements import LIVE_SECONDS, ProxyState, Report
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE
from ringfence.model.proxy import CONTAINER
from ringfence.reconcile import proxy_reports

NOW = 1_800_000_000.0
OWN = "ringfence-system"
INSTALLED = settings.parse("", {"POD_NAMESPACE": OWN})
PRESENT = INSTALLED.proxy.image
GOOD = ProxyState(
    "shop", "web-1", "uid-1", "web", "node-1", True, int(NOW) - 50, "ab" * 12, "f1", int(NOW) + 3600, "b", "r" * 64
)


def pod(
    name: str, uid: str, *, image: str = PRESENT, phase: str = "Running", proxied: bool = True, namespace: str = "shop"
) -> dict[str, Any]:
    spec = {"serviceAccountName": "web", "nodeName": "node-1", "containers": [{"name": "main"}]}
    if proxied:
        spec["initContainers"] = [{"name": CONTAINER, "image": image}]
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": uid},
        "spec": spec,
        "status": {"phase": phase},
    }


def said(*proxies: ProxyState, replica: str = "a", written: float = NOW, **more: Any) -> Any:
    return proxy_reports.encode(Report(replica, written, proxies, **more), OWN)


def asked(
    *reports: Any, pods: list[dict[str, Any]] | None, namespace: str = "", everything: bool = False
) -> tuple[dict[str, Any], int]:
    seen = Seen(reports, None if pods is None else tuple(pods), INSTALLED, bundle="b")
    return proxy_list.report(seen, NOW, namespace, everything=everything)


def states(data: dict[str, Any]) -> dict[str, str]:
    return {each["pod"]: each["state"] for each in data["proxies"]}


def test_a_proxy_that_is_as_it_should_be() -> None:
    data, status = asked(said(GOOD), pods=[pod("web-1", "uid-1"), pod("old", "uid-9", proxied=False)])
    assert (status, data["attention"]) == (0, [])
    assert data["proxies"] == [
        {
            "namespace": "shop",
            "pod": "web-1",
            "uid": "uid-1",
            "node": "node-1",
            "identity": "spiffe://cluster.local/ns/shop/sa/web",
            "state": "connected",
            "replica": "a",
            "since": "2027-01-15T07:59:10Z",
            "certificate": {"serial": "ab" * 12, "issuer": "f1", "notAfter": "2027-01-15T09:00:00Z"},
            "revision": "r" * 64,
            "newest": True,
            "bundle": "current",
            "refused": "",
            "image": PRESENT,
            "imageCurrent": True,
        }
    ]
    assert data["replicas"] == [
        {"name": "a", "live": True, "written": "2027-01-15T08:00:00Z", "proxies": 1, "dropped": 0}
    ]


def test_who_is_behind_refuses_or_has_no_certificate_needs_attention() -> None:
    proxies = [
        GOOD,
        replace(GOOD, pod="web-2", uid="uid-2", revision=""),
        replace(GOOD, pod="web-3", uid="uid-3", nack="listeners inbound: missing ):"),
        replace(GOOD, pod="web-4", uid="uid-4", not_after=int(NOW) - 1),
        replace(GOOD, pod="web-5", uid="uid-5", serial="", not_after=0),
        replace(GOOD, pod="web-6", uid="uid-6", bundle="before"),
    ]
    data, status = asked(said(*proxies), pods=[pod(each.pod, each.uid) for each in proxies])
    assert status == 1
    assert data["attention"] == [
        "1 proxy not trusting the present roots yet: shop/web-6",
        "1 proxy not using the newest configuration yet: shop/web-2",
        "1 proxy refusing a part of the configuration: shop/web-3",
        "2 proxies without a valid certificate: shop/web-4, shop/web-5",
    ]
    by_name = {each["pod"]: each for each in data["proxies"]}
    assert by_name["web-2"]["newest"] is False
    assert by_name["web-3"]["refused"] == "listeners inbound: missing ):"
    assert by_name["web-5"]["certificate"] is None


def test_of_a_silent_replica_nothing_is_taken_to_hold() -> None:
    data, status = asked(said(GOOD, written=NOW - LIVE_SECONDS - 1), pods=[pod("web-1", "uid-1")])
    assert status == 1
    assert states(data) == {"web-1": "unknown"}
    assert data["proxies"][0]["newest"] is None
    assert data["attention"] == [
        "1 proxy of which only a silent replica knows: shop/web-1",
        "no replica of proxyd says anything: look whether it runs, and at its log",
    ]


def test_a_proxy_that_came_to_another_replica_is_connected() -> None:
    silent = said(GOOD, written=NOW - LIVE_SECONDS - 1)
    moved = said(replace(GOOD, since=int(NOW)), replica="b")
    data, status = asked(silent, moved, pods=[pod("web-1", "uid-1")])
    assert (status, data["attention"]) == (0, [])
    assert [(each["name"], each["live"]) for each in data["replicas"]] == [("a", False), ("b", True)]
    assert states(data) == {"web-1": "connected"}
    assert data["proxies"][0]["replica"] == "b"


def test_who_left_who_never_came_and_who_is_gone() -> None:
    reports = said(
        replace(GOOD, connected=False),
        replace(GOOD, pod="gone", uid="uid-2", connected=False),
        replace(GOOD, pod="done", uid="uid-3", connected=False),
    )
    pods = [pod("web-1", "uid-1"), pod("done", "uid-3", phase="Succeeded"), pod("new", "uid-4")]
    data, status = asked(reports, pods=pods)
    assert states(data) == {"web-1": "away", "new": "absent"}
    assert status == 1
    everything, _ = asked(reports, pods=pods, everything=True)
    assert states(everything) == {"web-1": "away", "new": "absent", "gone": "ended", "done": "ended"}


def test_a_pod_that_was_made_again_under_its_name_is_another_proxy() -> None:
    data, _ = asked(said(GOOD), pods=[pod("web-1", "uid-new")], everything=True)
    assert [(each["uid"], each["state"]) for each in data["proxies"]] == [("uid-1", "ended"), ("uid-new", "absent")]


def test_without_the_right_to_see_pods_nothing_is_said_of_images() -> None:
    data, status = asked(said(GOOD, replace(GOOD, namespace="bank", uid="uid-2")), pods=None, namespace="shop")
    assert status == 0
    assert [(each["namespace"], each["image"], each["imageCurrent"]) for each in data["proxies"]] == [
        ("shop", None, None)
    ]


def test_an_old_image_is_told_and_hinders_nothing() -> None:
    data, status = asked(said(GOOD), pods=[pod("web-1", "uid-1", image="envoy:old")])
    assert (data["proxies"][0]["image"], data["proxies"][0]["imageCurrent"], status) == ("envoy:old", False, 0)


def test_nobody_says_anything() -> None:
    data, status = asked(pods=[pod("web-1", "uid-1")])
    assert status == 1
    assert data["attention"][-1] == "no replica of proxyd says anything: look whether it runs, and at its log"
    assert asked(pods=[]) == ({"proxies": [], "replicas": [], "attention": []}, 0)


def test_what_cannot_be_read_or_did_not_fit_is_named() -> None:
    broken = {**said(replica="b"), "binaryData": {}}
    data, status = asked(said(GOOD, dropped=7), broken, pods=[pod("web-1", "uid-1")])
    assert status == 1
    assert data["attention"] == [
        "the ConfigMap ringfence-proxyd-b holds no report that this version understands",
        "7 proxies of a did not fit into its report",
    ]


# --- the whole command ------------------------------------------------------------------------------------------------


class Api:
    """Lists of objects by path; ``denied`` are Forbidden."""

    ahead = 0.0

    def __init__(self, lists: dict[str, list[Any]], denied: tuple[str, ...] = ()) -> None:
        self._lists = lists
        self._denied = denied
        self.queries: list[dict[str, str]] = []

    async def request(self, method: str, path: str, *, query: dict[str, str] | None = None) -> Any:
        if path in self._denied:
            raise errors.of_status(f"{method} {path}", 403, {"message": "you may not"})
        if path in self._lists:
            self.queries.append(query or {})
            return {"items": self._lists[path]}
        raise errors.of_status(f"{method} {path}", 404, {"message": "not found"})

    async def close(self) -> None:
        pass


REPORTS = f"/api/v1/namespaces/{OWN}/configmaps"


def command(
    monkeypatch: pytest.MonkeyPatch, api: Api, output: Output = Output.TEXT, namespace: str = ""
) -> tuple[int, str]:
    async def connect(_: object) -> Api:
        return api

    monkeypatch.setattr(live, "connect", connect)
    monkeypatch.setattr(proxy_list, "clock", lambda: NOW)
    out = io.StringIO()
    arguments = argparse.Namespace(
        namespace=namespace, all=False, kubeconfig=None, context=None, ringfence_namespace=OWN
    )
    return proxy_list.run(arguments, Console(out, out, {}, output=output)), out.getvalue()


def test_people_see_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = replace(GOOD, pod="web-2", uid="uid-2", revision="", nack="listeners inbound: \x1b[31m" + "x" * 200)
    api = Api({REPORTS: [said(GOOD, refused)], "/api/v1/pods": [pod("web-1", "uid-1"), pod("web-2", "uid-2")]})
    status, told = command(monkeypatch, api)
    assert status == 1
    assert api.queries[0]["labelSelector"] == f"{LABEL_MANAGED_BY}=ringfence,{LABEL_PURPOSE}=proxies"
    lines = told.splitlines()
    first = next(line for line in lines if "web-1" in line).split()
    assert first[:4] == ["shop", "web-1", "connected", "spiffe://cluster.local/ns/shop/sa/web"]
    assert first[4:] == ["abababababab", "1h", "r" * 12, "current"]
    assert "behind" in next(line for line in lines if "web-2" in line)
    assert "\x1b" not in told
    assert "needs attention: 1 proxy refusing a part of the configuration: shop/web-2" in told


def test_programs_see_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/api/v1/namespaces/shop"
    api = Api({REPORTS: [said(GOOD)], path: [], f"{path}/pods": [pod("web-1", "uid-1")]})
    status, told = command(monkeypatch, api, Output.JSON, "shop")
    # The remark about settings goes to standard error, which is the same stream here.
    assert status == 0
    assert json.loads(told[told.index("{") :])["proxies"][0]["revision"] == "r" * 64


def test_who_may_not_read_the_reports_is_told_which_right_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(live.NoCluster, match="the right to list configmaps in namespace ringfence-system"):
        command(monkeypatch, Api({}, denied=(REPORTS,)))


def test_who_may_not_see_pods_gets_what_proxyd_says(monkeypatch: pytest.MonkeyPatch) -> None:
    status, told = command(monkeypatch, Api({REPORTS: [said(GOOD)]}, denied=("/api/v1/pods",)))
    assert status == 0
    assert "only what proxyd says is shown" in told


def test_a_namespace_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(live.NoCluster, match="there is no namespace nowhere"):
        command(monkeypatch, Api({REPORTS: []}), namespace="nowhere")

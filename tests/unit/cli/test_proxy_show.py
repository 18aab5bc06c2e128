"""`ringfence proxy show`: what is compared with what the proxy says, and who has none."""

import json
from pathlib import Path
from typing import Any

import pytest
from ringfence import settings
from ringfence.cli import live, main, proxy_list
from ringfence.cli.documents import Document
from ringfence.model.acknowledgements import ProxyState, Report
from ringfence.model.proxy import CONTAINER
from ringfence.reconcile import proxy_reports

from tests.unit.cli.test_proxy_list import NOW, OWN, Api

SHOP = Path(__file__).parents[2] / "golden" / "cli" / "shop.in.yaml"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main.main(["proxy", "show", *words], {})
    said = capsys.readouterr()
    return status, said.out, said.err


def test_programs_see_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, "data/db", "-f", str(SHOP), "-o", "json")
    data = json.loads(out)
    assert status == 0
    assert len(data.pop("revision")) > 10
    inbound, outbound = data.pop("inbound"), data.pop("outbound")
    assert data == {
        "kind": "StatefulSet",
        "namespace": "data",
        "name": "db",
        "identity": "spiffe://cluster.local/ns/data/sa/db",
        "enrolment": "enforce",
        "closed": True,
        "proxy": None,
        "policies": ["SecurityPolicy data/db"],
        "transport": "Strict",
        "traffic": [],
        "egressListed": False,
    }
    (first, rest) = inbound
    assert (first["port"], first["protocol"], rest["port"], rest["rules"]) == (5432, "TCP", None, [])
    (rule,) = first["rules"]
    assert (rule["from"], rule["effect"], rule["transport"]) == (["shop/api"], "allowed", "mutual TLS")
    assert rule["rule"]["rule"] == "api-only"
    assert {"to": "shop/web", "ports": "80", "transport": "mutual TLS"}.items() <= outbound[1].items()


def test_raw_is_what_compile_shows(capsys: pytest.CaptureFixture[str]) -> None:
    status, raw, remarks = told(capsys, "shop/api", "-f", str(SHOP), "--raw")
    assert status == 0
    assert "equal revisions are equal bytes" in remarks
    assert main.main(["compile", "-f", str(SHOP), "--proxy", "shop/api"], {}) == 0
    assert capsys.readouterr().out == raw


# --- in a cluster -----------------------------------------------------------------------------------------------------


def objects(*, proxied: bool = True, **spec: Any) -> list[Document]:
    def made(kind: str, name: str, namespace: str = "", version: str = "v1", **rest: Any) -> Document:
        metadata = {"name": name, "uid": f"uid-{name}", **({"namespace": namespace} if namespace else {})}
        return Document.answered(
            {"apiVersion": version, "kind": kind, "metadata": {**metadata, **rest.pop("metadata", {})}, **rest}
        )

    inits = [{"name": CONTAINER, "image": "x"}] if proxied else []
    pod_spec = {"serviceAccountName": "web", "containers": [{"name": "main"}], "initContainers": inits, **spec}
    return [
        made("Namespace", "shop", metadata={"labels": {"ringfence.dev/enroll": "audit"}}),
        made("ServiceIdentity", "web", "shop", "ringfence.dev/v1alpha1", spec={}),
        made(
            "Pod",
            "web-1",
            "shop",
            spec=pod_spec,
            status={"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
            metadata={"labels": {"ringfence.dev/identity": "web"}},
        ),
        made(
            "Service",
            "web",
            "shop",
            spec={"clusterIP": "10.96.0.1", "selector": {"ringfence.dev/identity": "web"}, "ports": [{"port": 80}]},
        ),
    ]


def cluster(monkeypatch: pytest.MonkeyPatch, documents: list[Document], *reports: Any) -> None:
    answered = live.Answered(tuple(documents), settings.parse("", {"POD_NAMESPACE": OWN}))
    pods = [each.value for each in documents if each.value["kind"] == "Pod"]
    path = "/api/v1/namespaces/shop"
    api = Api({f"/api/v1/namespaces/{OWN}/configmaps": list(reports), path: [], f"{path}/pods": pods})

    async def ask(*_: object) -> live.Answered:
        return answered

    async def connect(_: object) -> Api:
        return api

    monkeypatch.setattr(live, "ask", ask)
    monkeypatch.setattr(live, "connect", connect)
    monkeypatch.setattr(proxy_list, "clock", lambda: NOW)


def said(**more: Any) -> Any:
    state = {"namespace": "shop", "pod": "web-1", "uid": "uid-web-1", "service_account": "web", **more}
    return proxy_reports.encode(Report("a", NOW, (ProxyState(**state),)), OWN)


def test_the_revision_is_compared_with_what_the_proxy_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(monkeypatch, objects(), said(revision="f" * 24))
    revision = json.loads(told(capsys, "shop/web-1", "-o", "json")[1])["revision"]
    assert "the proxy uses ffffffffffff" in told(capsys, "shop/web-1")[1]
    cluster(monkeypatch, objects(), said(revision=revision))
    assert f"revision {revision[:12]}: the proxy uses exactly this" in told(capsys, "web-1", "-n", "shop")[1]
    cluster(monkeypatch, objects(), said(revision="", nack="listeners inbound: no"))
    out = told(capsys, "shop/web-1")[1]
    assert "an older one, at least in part" in out
    assert "it refuses listeners inbound: no" in out


def test_endpoints_of_the_cluster_are_in_the_revision(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(monkeypatch, objects())
    before = json.loads(told(capsys, "shop/web-1", "-o", "json")[1])["revision"]
    away = {"addresses": ["10.0.0.1"], "conditions": {"ready": False}, "targetRef": {"kind": "Pod", "name": "web-1"}}
    labels = {"kubernetes.io/service-name": "web"}
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-x", "namespace": "shop", "labels": labels},
        "endpoints": [away],
    }
    cluster(monkeypatch, [*objects(), Document.answered(slice_)])
    assert json.loads(told(capsys, "shop/web-1", "-o", "json")[1])["revision"] != before


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "it is from before the proxies (`ringfence enroll shop` restarts such pods)"),
        ({"hostNetwork": True}, "it is in the network of its node (nothing governs it)"),
    ],
)
def test_a_pod_without_a_proxy_is_told_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spec: dict[str, Any], why: str
) -> None:
    cluster(monkeypatch, objects(proxied=False, **spec))
    status, _, err = told(capsys, "shop/web-1")
    assert status == 2
    assert f"pod shop/web-1 has no proxy: {why}" in err


def test_without_the_right_to_reports_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(monkeypatch, objects())

    async def refused(*_: object) -> Any:
        raise live.NoCluster("you may not")

    monkeypatch.setattr(proxy_list, "see", refused)
    status, out, err = told(capsys, "shop/web-1")
    assert (status, "what the proxy itself says is not shown: you may not" in err) == (0, True)
    assert "Who may come in" in out

"""What real Envoys have logged, at both ends of calls: replayed, and made into policies under which nothing breaks."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.cli import documents, main, proxies, world
from ringfence.model.mesh import Mesh
from ringfence.model.world import Installation
from ringfence.translate import envoy

from tests.component import proxy_net
from tests.component.proxy_net import API, POD, WEB, Identities, Net
from tests.component.test_proxy_envoy import call
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

RANGE = "10.244.0.0/16"
DB_PORTS = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-sql", "port": 5432}]
API_PORTS = [{"name": "http", "port": 80, "targetPort": 9090}, {"name": "tcp-raw", "port": 7000}]


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "shop", **more}


def pod(name: str, address: str) -> dict[str, Any]:
    labels = {"ringfence.dev/identity": name}
    sidecar = {"name": "ringfence-proxy", "image": "envoy", "restartPolicy": "Always"}
    spec = {"serviceAccountName": name, "containers": [{"name": "c", "image": "c"}], "initContainers": [sidecar]}
    status = {"phase": "Running", "podIPs": [{"ip": address}]}
    metadata = meta(f"{name}-0", uid=name, labels=labels)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def service(name: str, address: str, ports: list[dict[str, Any]]) -> dict[str, Any]:
    spec = {"selector": {"ringfence.dev/identity": name}, "clusterIP": address, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name), "spec": spec}


def ringfences(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": meta(name), "spec": spec}


def who(name: str) -> dict[str, Any]:
    return {"identity": {"namespace": "shop", "name": name}}


SHOP = {"name": "shop", "labels": {"ringfence.dev/enroll": "enforce"}}
CLUSTER = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": SHOP},
    *(ringfences("ServiceIdentity", name) for name in ("db", "web", "api")),
    *(pod(name, address) for name, address in (("db", POD), ("web", WEB), ("api", API))),
    service("db", "10.96.0.1", DB_PORTS),
    service("api", "10.96.0.2", API_PORTS),
]
POLICIES = [
    ringfences(
        "SecurityPolicy",
        "db",
        appliesTo={"identities": ["db"]},
        ingress=[
            {"name": "orders", "from": [who("web")], "ports": [8080], "http": [{"paths": ["/orders/{*}", "/open"]}]},
            {"name": "sql", "from": [who("web")], "ports": [5432]},
        ],
    ),
    ringfences(
        "SecurityPolicy",
        "api",
        appliesTo={"identities": ["api"]},
        ingress=[{"name": "all", "from": [who("db")], "ports": [9090, 7000]}],
    ),
]


def mesh() -> Mesh:
    text = yaml.safe_dump_all([*CLUSTER, *POLICIES])
    read = documents.parsed([[("cluster.yaml", text.encode(), False)]], "cluster.yaml")
    return proxies.planned(world.load(read, Installation(pod_cidrs=(RANGE,), proxies=True)), "default")


def logged(net: Net, svids: Identities) -> Path:
    """The log of db's proxy after calls that come in and calls that go out, of each some that are refused."""
    known = mesh()
    subject = making.pod("db", containers=[{"name": "c", "ports": [{"containerPort": 8080}, {"containerPort": 5432}]}])
    subject["status"] = {"podIPs": [{"ip": POD}]}
    config = envoy.configure(envoy.subject(subject, known), known)
    web, api = svids.files("shop", "web"), svids.files("shop", "api")
    coming = [
        *({**call(WEB, 8080, web, http=True), "path": f"/orders/{number}"} for number in (17, 18, 19)),
        {**call(WEB, 8080, web, http=True), "path": "/open?q=1"},
        {**call(WEB, 8080, web, http=True), "path": "/admin"},
        {**call(API, 8080, api, http=True), "path": "/open"},
        call(WEB, 5432, web),
        call(API, 5432, api),
    ]
    going = [
        {**call("", 80, http=True), "target": "10.96.0.2", "path": "/items/1"},
        {**call("", 7000), "target": API},
        {**call("", 7001), "target": API},
    ]
    with net.pods({API: api}), proxy_net.running(net, config, svids.secrets("shop", "db")) as log:
        assert net.call(coming) == ["allowed", "allowed", "allowed", "allowed", "denied", "denied", "allowed", "denied"]
        answers = net.call(going, side="pod")
        assert answers[2] == "denied"
        assert "denied" not in answers[:2]
    return log


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name, content in (("cluster", CLUSTER), ("policies", POLICIES)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump_all(content))
    return {path.stem: str(path) for path in tmp_path.glob("*.yaml")}


def ringfence(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main.main([*arguments, "--pod-cidr", RANGE], {})
    said = capsys.readouterr()
    return status, said.out, said.err


def test_what_proxies_have_logged(
    net: Net, svids: Identities, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(logged(net, svids))
    base = ["-f", files["cluster"], "--flows", log]

    # Under the policies that were in force nothing breaks, and what was denied stays so.
    status, out, err = ringfence(capsys, "simulate", *base, "-f", files["policies"], "-o", "json")
    told = json.loads(out)
    assert (status, told["broken"], told["opened"], told["unknown"]) == (0, [], [], []), err + out
    assert told["allowed"]["calls"] == 7
    assert told["denied"]["calls"] == 4
    assert told["unused"] == []
    assert told["read"]["bad"] == 0

    # A narrower policy breaks just what it no longer allows.
    narrower = json.loads(json.dumps(POLICIES))
    narrower[0]["spec"]["ingress"][0]["http"][0]["paths"] = ["/open"]
    del narrower[1]["spec"]["ingress"][0]["ports"][1]
    (tmp_path / "narrower.yaml").write_text(yaml.safe_dump_all(narrower))
    status, out, _ = ringfence(capsys, "simulate", *base, "-f", str(tmp_path / "narrower.yaml"), "-o", "json")
    broken = {(each["from"], each["to"], each["port"]): each for each in json.loads(out)["broken"]}
    assert status == 1
    assert broken.keys() == {("shop/web", "shop/db", 8080), ("shop/db", "shop/api", 7000)}
    assert broken["shop/web", "shop/db", 8080]["requests"] == {"GET /orders/{*}": 3}

    # What is suggested is what was allowed, and nothing breaks under it.
    status, out, err = ringfence(capsys, "suggest", *base)
    assert status == 0, err
    assert "none breaks" in err
    made = {each["metadata"]["name"]: each["spec"]["ingress"] for each in yaml.safe_load_all(out)}
    assert made == {
        "db": [
            {"name": "web-5432", "from": [who("web")], "ports": [5432]},
            {
                "name": "web-8080",
                "from": [who("web")],
                "ports": [8080],
                "http": [{"methods": ["GET"], "paths": ["/open", "/orders/{*}"]}],
            },
        ],
        "api": [
            {"name": "db-7000", "from": [who("db")], "ports": [7000]},
            {
                "name": "db-9090",
                "from": [who("db")],
                "ports": [9090],
                "http": [{"methods": ["GET"], "paths": ["/items/{*}"]}],
            },
        ],
    }
    (tmp_path / "suggested.yaml").write_text(out)
    status, out, err = ringfence(capsys, "simulate", *base, "-f", str(tmp_path / "suggested.yaml"))
    assert status == 0, err + out


def test_without_pods_a_log_says_whose_it_is_by_its_name(
    net: Net, svids: Identities, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logged(net, svids)
    bare = tmp_path / "bare.yaml"
    bare.write_text(yaml.safe_dump_all([each for each in CLUSTER if each["kind"] != "Pod"]))
    arguments = ["simulate", "-f", str(bare), "-f", files["policies"], "-o", "json"]
    status, out, _ = ringfence(capsys, *arguments, "--flows", f"shop/db={log}")
    assert (status, json.loads(out)["broken"], json.loads(out)["unknown"]) == (0, [], []), out
    # Nobody has seen the certificate of db there.
    status, out, _ = ringfence(capsys, *arguments, "--flows", str(log))
    assert status == 2
    assert all("no pod has it" in each["why"] for each in json.loads(out)["unknown"])


def test_a_log_on_standard_input(
    net: Net,
    svids: Identities,
    files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = logged(net, svids).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    status, out, _ = ringfence(capsys, "simulate", "-f", files["cluster"], "-f", files["policies"], "--flows", "-")
    assert (status, out.partition(":")[0]) == (0, "nothing breaks")

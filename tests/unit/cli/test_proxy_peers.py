"""`ringfence proxy peers`: it calls Strict safe only where it knows of every proxy, and for how long."""

import argparse
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from ringfence.cli import live, main, proxy_peers
from ringfence.cli.console import Console, Output
from ringfence.cli.proxy_logs import Log
from ringfence.cli.proxy_peers import Seen
from ringfence.kube import errors
from ringfence.model.proxy import CONTAINER
from ringfence.model.resources import AnonymousPeer, CidrPeer, NamespacePeer
from ringfence.model.world import Installation, World

from tests.unit.policy.making import allow, caller, policy

NOW = 1_800_000_000.0
WRITTEN = policy(
    ingress=(
        allow("web", caller("web")),
        allow("public", AnonymousPeer(), CidrPeer("192.0.2.0/24")),
        allow("mixed", caller("web"), NamespacePeer("other")),
    )
)
WORLD = World(Installation(), policies={"shop": (WRITTEN,)})


def line(source: str = "10.0.0.9:40000", **more: Any) -> dict[str, Any]:
    return {"direction": "inbound", "source": source, "destination": "10.0.0.1:8080", "answer": "allowed", **more}


def log(*lines: dict[str, Any], since: float = NOW - 600) -> Log:
    return Log(tuple((NOW - 5, each) for each in lines), since)


def seen(*logs: Log | None, unproxied: tuple[str, ...] = ()) -> Seen:
    by_pod = {f"db-{number}": each for number, each in enumerate(logs)}
    return Seen(by_pod, unproxied, lambda address: address, WORLD)


def answer(of: Seen, asked: float = NOW - 3600) -> tuple[bool | None, int, str]:
    data, status = proxy_peers.report(of, "shop/db", NOW, asked)
    return data["safeForStrict"], status, data["why"]


def test_safe_where_nobody_came_in_plaintext() -> None:
    mesh = line(tls="TLSv1.3", peer="spiffe://cluster.local/ns/shop/sa/web")
    assert answer(seen(log(mesh), log())) == (True, 0, "")


def test_not_safe_where_somebody_did_by_a_rule_for_identities() -> None:
    assert answer(seen(log(line(rule="shop/p#web")), log()))[:2] == (False, 1)


def test_what_strict_lets_in_too_does_not_count() -> None:
    assert answer(seen(log(line(rule="shop/p#public"), line(rule=":builtin/open#dns"))))[:2] == (True, 0)


@pytest.mark.parametrize("rule", ["shop/p#mixed", "shop/p#gone", "shop/gone#web", "", "nonsense"])
def test_where_it_is_not_known_by_what_a_caller_came_in_it_is_not_safe(rule: str) -> None:
    assert answer(seen(log(line(rule=rule))))[:2] == (False, 1)


def test_who_was_denied_already_does_not_count() -> None:
    assert answer(seen(log(line(answer="denied"))))[:2] == (True, 0)


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (seen(unproxied=("db-0",)), "no pod of it has a proxy"),
        (seen(log(), unproxied=("old",)), "1 pod without a proxy: old"),
        (seen(log(), None), "logs that could not be read: db-1"),
        (seen(log(), log(since=NOW - 60)), "the logs reach back 1m, which is too little to say anything"),
        (seen(log(), Log((), None)), "the logs reach back 0s, which is too little to say anything"),
    ],
)
def test_nothing_is_said_of_what_is_not_known(of: Seen, why: str) -> None:
    assert answer(of) == (None, 2, why)


def test_the_window_is_the_shortest_log_and_never_longer_than_asked() -> None:
    of = seen(log(), log(since=NOW - 300))
    assert proxy_peers.report(of, "shop/db", NOW, NOW - 3600)[0]["seconds"] == 300
    assert proxy_peers.report(of, "shop/db", NOW, NOW - 200)[0]["seconds"] == 200


# --- the whole command ------------------------------------------------------------------------------------------------


def pod(name: str, ip: str, account: str, namespace: str = "shop", *, proxied: bool = True, **spec: Any) -> Any:
    inits = [{"name": CONTAINER, "image": "envoy"}] if proxied else []
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": name},
        "spec": {"serviceAccountName": account, "nodeName": "n1", "initContainers": inits, **spec},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}], "hostIPs": [{"ip": "172.16.0.1"}]},
    }


class Api:
    """Answers by path; ``logs`` by pod."""

    def __init__(self, lists: dict[str, list[Any]], logs: dict[str, str], denied: tuple[str, ...] = ()) -> None:
        self._lists = lists
        self._logs = logs
        self._denied = denied
        self.queries: list[dict[str, str]] = []

    async def request(self, method: str, path: str, *, query: dict[str, str] | None = None) -> Any:
        del query
        if path in self._denied:
            raise errors.of_status(f"{method} {path}", 403, {"message": "you may not"})
        if path in self._lists:
            return {"items": self._lists[path]}
        raise errors.of_status(f"{method} {path}", 404, {"message": "not found"})

    async def request_bytes(self, method: str, path: str, *, query: dict[str, str], timeout: float) -> bytes:  # noqa: ASYNC109
        assert timeout > 30
        self.queries.append(query)
        name = path.split("/")[-2]
        if name not in self._logs:
            raise errors.of_status(f"{method} {path}", 403, {"message": "you may not"})
        return self._logs[name].encode()

    async def close(self) -> None:
        pass


SHOP = "/api/v1/namespaces/shop"
DB, OLD, WEB = pod("db-0", "10.0.0.1", "db"), pod("old", "10.0.0.8", "web", "other"), pod("web-0", "10.0.0.9", "web")
STAMP = "2027-01-15T07:50:00.000000000Z"
KINDS = "/apis/ringfence.dev/v1alpha1"


def api(logs: dict[str, str], *, denied: tuple[str, ...] = (), more: list[Any] | None = None) -> Api:
    lists = {
        SHOP: [],
        f"{SHOP}/pods": [DB, WEB, *(more or ())],
        "/api/v1/pods": [DB, WEB, OLD],
        f"{KINDS}/namespaces/shop/securitypolicies": [],
        f"{KINDS}/clustersecuritypolicies": [],
    }
    return Api(lists, logs, denied)


def told(monkeypatch: pytest.MonkeyPatch, using: Api, workload: str, output: Output = Output.TEXT) -> tuple[int, str]:
    async def connect(_: object) -> Api:
        return using

    monkeypatch.setattr(live, "connect", connect)
    monkeypatch.setattr(proxy_peers, "clock", lambda: NOW)
    out = io.StringIO()
    arguments = argparse.Namespace(
        workload=workload,
        since=3600.0,
        listen=0.0,
        lines=500,
        kubeconfig=None,
        context=None,
        ringfence_namespace="ringfence-system",
    )
    return proxy_peers.run(arguments, Console(out, out, {}, output=output)), out.getvalue()


def written(*lines: dict[str, Any]) -> str:
    return "".join(f"{STAMP} {json.dumps(each)}\n" for each in lines)


def test_people_see_who_where_and_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(
        line("10.0.0.8:1", rule="shop/p#web", audit="denied", auditRule="shop/q#no"),
        line("172.16.0.1:2"),
        line("10.0.0.9:3", answer="denied"),
    )
    using = api({"db-0": text})
    status, said = told(monkeypatch, using, "shop/db")
    assert status == 1
    assert using.queries == [{"container": CONTAINER, "timestamps": "true", "tailLines": "500"}]
    assert "other/web (pod old, 10.0.0.8)" in said
    assert "node n1 (172.16.0.1)" in said
    assert "SecurityPolicy shop/q rule no" in said
    assert "not safe for transport Strict: 2 connections in the last 10m over 1 proxy would have been refused" in said
    assert "shop/web (pod web-0, 10.0.0.9)" in said[said.index("Who was denied") :]


def test_safe_is_said_with_the_time_and_the_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = {"db-0": f"{STAMP} started\n", "web-0": f"{STAMP} started\n"}
    status, said = told(monkeypatch, api(logs), "shop")
    assert status == 0
    assert "safe for transport Strict: no plaintext connection in the last 10m over 2 proxies" in said


def test_a_log_that_may_not_be_read_is_named_with_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = told(monkeypatch, api({"db-0": f"{STAMP} started\n"}), "shop", Output.JSON)
    assert status == 2
    assert "the right to get pods/log" in said
    assert json.loads(said[said.index("{") :])["unread"] == ["web-0"]


def test_other_namespaces_pods_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    using = api({"db-0": written(line("10.0.0.8:1"))}, denied=("/api/v1/pods", f"{KINDS}/clustersecuritypolicies"))
    status, said = told(monkeypatch, using, "shop/db-0")
    assert status == 1
    assert "pods of other namespaces are shown by their addresses" in said
    assert "10.0.0.8 " in said


def test_a_workload_that_is_not_there_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(live.NoCluster, match=r"no pod of namespace shop is called dp .*; there are pods of db, web"):
        told(monkeypatch, api({}), "shop/dp")


def test_pods_of_the_node_and_finished_ones_are_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    host = pod("agent", "172.16.0.1", "db", proxied=False, hostNetwork=True)
    done = replace_phase(pod("job", "10.0.0.7", "db", proxied=False), "Succeeded")
    before = pod("before", "10.0.0.6", "db", proxied=False)
    text = {"db-0": f"{STAMP} started\n"}
    assert told(monkeypatch, api(text, more=[host, done]), "shop/db")[0] == 0
    assert "1 pod without a proxy: before" in told(monkeypatch, api(text, more=[before]), "shop/db")[1]


def replace_phase(of: dict[str, Any], phase: str) -> dict[str, Any]:
    return {**of, "status": {**of["status"], "phase": phase}}


def test_an_empty_log_tells_since_the_proxy_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started = [{"name": CONTAINER, "state": {"running": {"startedAt": "2027-01-15T07:30:00Z"}}}]
    db = {**DB, "status": {**DB["status"], "initContainerStatuses": started}}
    using = api({"db-0": ""})
    using._lists[f"{SHOP}/pods"] = [db]
    assert "in the last 30m over 1 proxy" in told(monkeypatch, using, "shop/db")[1]


@pytest.mark.parametrize(
    "words",
    [
        ["shop/"],
        ["Shop"],
        ["shop", "--since", "0m"],
        ["shop", "--since", "1y"],
        ["shop", "--lines", "0"],
        ["shop", "--for", "5m", "--since", "5m"],
    ],
)
def test_a_question_that_cannot_be_asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["proxy", "peers", *words], {}) == 2
    assert "argument" in capsys.readouterr().err


def test_replaced_rules_are_not_taken_for_those_that_let_in() -> None:
    renamed = replace(WRITTEN, meta=replace(WRITTEN.meta, name="other"))
    of = replace(seen(log(line(rule="shop/p#public"))), world=replace(WORLD, policies={"shop": (renamed,)}))
    assert answer(of)[:2] == (False, 1)

"""inject(inject(pod)) == inject(pod), with the patches really applied, and pods that are checked after it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.controls import pod as typed_pod
from ringfence.inject import check, pods, sidecar, typed
from ringfence.model import probes, proxy

from tests.unit.inject.making import HOW, UID, patched, pod

NAMES = st.sampled_from(["a", "b", "web", proxy.CONTAINER])
PORTS = st.sampled_from([80, 8080, "http", "none", "8081", 0, 70000, 15021, 15020, None])
ACTIONS = st.one_of(
    st.builds(
        lambda port, path, host, scheme: {
            "httpGet": {"port": port, **({"path": path} if path else {}), **host, **scheme}
        },
        PORTS,
        st.sampled_from(["", "/", "/healthz", "ready?x=y", "/ringfence/probe/http/8080/x"]),
        st.sampled_from([{}, {"host": "192.0.2.1"}, {"host": ""}]),
        st.sampled_from([{}, {"scheme": "HTTP"}, {"scheme": "HTTPS"}]),
    ),
    st.builds(lambda port: {"tcpSocket": {"port": port}}, PORTS),
    st.builds(
        lambda port, service: {"grpc": {"port": port, **service}}, PORTS, st.sampled_from([{}, {"service": "a/b"}])
    ),
    st.just({"exec": {"command": ["true"]}}),
)
PROBES = st.builds(lambda action, rest: {**action, **rest}, ACTIONS, st.sampled_from([{}, {"periodSeconds": 3}]))
CONTEXTS = st.sampled_from(
    [
        None,
        {},
        {"privileged": True},
        {"allowPrivilegeEscalation": True},
        {"capabilities": {"drop": ["ALL"]}},
        {"capabilities": {"drop": ["CHOWN"], "add": ["CAP_NET_ADMIN"]}},
        {"capabilities": {"add": ["SYS_ADMIN"]}},
        {"runAsUser": 1000},
    ]
)


def with_present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


CONTAINERS = st.builds(
    lambda name, live, ready, hook, context, restart: with_present(
        name=name,
        image="registry.example/x",
        ports=[{"name": "http", "containerPort": 8080}],
        livenessProbe=live,
        readinessProbe=ready,
        lifecycle=None if hook is None else {"preStop": hook},
        securityContext=context,
        restartPolicy=restart,
    ),
    NAMES,
    st.none() | PROBES,
    st.none() | PROBES,
    st.none() | ACTIONS,
    CONTEXTS,
    st.sampled_from([None, "Always"]),
)
VOLUMES = st.none() | st.lists(
    st.sampled_from([{"name": "data", "emptyDir": {}}, {"name": proxy.VOLUME, "emptyDir": {}}]), max_size=2
)
PODS = st.builds(
    lambda own, first, volumes, rest: pod(
        **with_present(containers=own, initContainers=first, volumes=volumes), **rest
    ),
    st.lists(CONTAINERS, min_size=1, max_size=3),
    st.none() | st.lists(CONTAINERS, max_size=3),
    VOLUMES,
    st.sampled_from(
        [{}, {"hostNetwork": True}, {"hostUsers": False}, {"os": {"name": "windows"}}, {"os": {"name": "linux"}}]
    ),
)


@given(PODS, st.booleans())
def test_twice_is_once(obj: dict[str, Any], fill: bool) -> None:
    once = patched(obj, fill=fill)
    assert patched(once, fill=fill) == once
    assert pods.operations(once, pods.injected(once, HOW, UID, fill=fill)) == []


@given(PODS)
def test_a_second_time_only_the_user_differs(obj: dict[str, Any]) -> None:
    """A pod is asked about again when a later webhook changed it: the dice are thrown again."""
    assert patched(patched(obj, UID), UID + 1) == patched(obj, UID + 1)


@given(PODS)
def test_nothing_else_is_touched(obj: dict[str, Any]) -> None:
    before = copy.deepcopy(obj)
    after = patched(obj)
    assert obj == before
    for name in after["spec"].keys() - {"containers", "initContainers", "volumes"}:
        assert after["spec"][name] == obj["spec"][name]
    for one, other in zip(obj["spec"]["containers"], after["spec"]["containers"], strict=True):
        for name in one.keys() - {"livenessProbe", "readinessProbe", "lifecycle", "securityContext"}:
            assert one[name] == other[name]


@given(PODS)
def test_an_injected_pod_has_a_good_proxy(obj: dict[str, Any]) -> None:
    spec = obj["spec"]
    first = pods.users(spec)[0]
    after = patched(obj, first)
    found = {each.control for each in check.problems(after, HOW)}
    if not pods.has_place(spec) or pods.occupied(spec):
        assert after == obj
    else:
        assert found <= {check.NAMES}
        assert after["spec"]["initContainers"][0] == sidecar.container(HOW, first)


@given(PODS)
def test_without_it_everything_stands_where_its_author_put_it(obj: dict[str, Any]) -> None:
    after = typed_pod.of(patched(obj))
    own = [each["name"] for each in obj["spec"].get("initContainers") or () if each["name"] != proxy.CONTAINER]
    assert [each.name for each in typed.without(after).spec.init_containers or ()][: len(own)] == own or (
        after == typed_pod.of(obj)
    )


def test_every_probe_goes_to_the_proxy() -> None:
    container = {
        "name": "web",
        "image": "x",
        "ports": [{"name": "web", "containerPort": 8080}],
        "livenessProbe": {
            "httpGet": {"port": "web", "path": "/live?x=y", "httpHeaders": [{"name": "Host", "value": "a"}]}
        },
        "readinessProbe": {"grpc": {"port": 9000, "service": "a"}, "periodSeconds": 3},
        "startupProbe": {"tcpSocket": {"port": 5432}, "failureThreshold": 9},
        "lifecycle": {
            "preStop": {"httpGet": {"port": 8443, "scheme": "HTTPS"}},
            "postStart": {"exec": {"command": ["true"]}},
        },
    }
    made = patched(pod(containers=[container]))["spec"]["containers"][0]

    def get(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": 15021, "scheme": "HTTP"}}

    live = get("/ringfence/probe/http/8080/live?x=y")
    live["httpGet"]["httpHeaders"] = [{"name": "Host", "value": "a"}]
    assert made["livenessProbe"] == live
    assert made["readinessProbe"] == {**get("/ringfence/probe/grpc/9000/a"), "periodSeconds": 3}
    assert made["startupProbe"] == {**get("/ringfence/probe/tcp/5432"), "failureThreshold": 9}
    assert made["lifecycle"]["preStop"] == get("/ringfence/probe/https/8443/")
    assert made["lifecycle"]["postStart"] == {"exec": {"command": ["true"]}}
    assert probes.parse(made["readinessProbe"]["httpGet"]["path"]) == probes.Probe(probes.ProbeKind.GRPC, 9000, "a")


def test_a_native_sidecar_of_the_users_comes_behind_and_is_probed_alike() -> None:
    own = {"name": "log", "image": "x", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 1}}}
    plain = {"name": "migrate", "image": "x"}
    made = patched(pod(initContainers=[plain, own]))["spec"]["initContainers"]
    assert [each["name"] for each in made] == [proxy.CONTAINER, "migrate", "log"]
    assert made[2]["livenessProbe"]["httpGet"]["path"] == "/ringfence/probe/tcp/1"


@pytest.mark.parametrize("probe", [{"tcpSocket": {"port": 80, "host": "192.0.2.1"}}, {"httpGet": {"port": "unknown"}}])
def test_what_is_not_for_the_pod_itself_or_cannot_be_told_stays(probe: dict[str, Any]) -> None:
    container = {"name": "web", "image": "x", "livenessProbe": probe}
    assert patched(pod(containers=[container]))["spec"]["containers"][0]["livenessProbe"] == probe


def test_a_sidecar_that_somebody_else_wrote_is_replaced() -> None:
    """Whoever could keep one could choose its user, and have an image that runs as it."""
    theirs = {**sidecar.container(HOW, UID + 7), "env": [{"name": "LD_PRELOAD", "value": "x"}]}
    made = patched(pod(initContainers=[{"name": "a", "image": "x"}, theirs, theirs]))
    assert [each["name"] for each in made["spec"]["initContainers"]] == [proxy.CONTAINER, "a"]
    assert made["spec"]["initContainers"][0] == sidecar.container(HOW, UID)


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_a_container_that_has_the_name_is_refused_not_replaced(kind: str) -> None:
    obj = pod(**{kind: [{"name": proxy.CONTAINER, "image": "x"}]})
    assert patched(obj) == obj
    found = check.problems(obj, HOW)
    assert (check.NAMES, f"spec.{kind}[0].name") in {(each.control, each.field) for each in found}
    assert check.SIDECAR in {each.control for each in found}


def test_users_of_a_pod_with_users_of_its_own_end_early() -> None:
    assert pods.users({"hostUsers": False}) == (40_000, 65_533)
    assert pods.users({}) == (2_000_000_000, 2_147_000_000)


def test_the_floor_is_filled_in_only_where_it_is_asked_for() -> None:
    obj = pod(containers=[{"name": "a", "image": "x"}])
    assert "securityContext" not in patched(obj, fill=False)["spec"]["containers"][0]
    assert patched(obj)["spec"]["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["BPF", "NET_ADMIN", "NET_RAW", "SETGID", "SETUID", "SYS_ADMIN", "SYS_PTRACE"]},
    }

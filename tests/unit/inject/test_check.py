"""Whatever happens to the proxy of a pod after it was added is seen."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ringfence.inject import check, sidecar
from ringfence.model import proxy

from tests.unit.inject.making import HOW, UID, patched, pod

Spec = dict[str, Any]


def _strip(spec: Spec) -> None:
    spec["initContainers"].pop(0)


def _late(spec: Spec) -> None:
    spec["initContainers"].append(spec["initContainers"].pop(0))


def _twice(spec: Spec) -> None:
    spec["initContainers"].append(dict(spec["initContainers"][0]))


def _set(path: str, value: object) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        *way, last = path.split(".")
        target: Any = spec
        for each in way:
            target = target[int(each)] if each.isdigit() else target.setdefault(each, {})
        target[int(last) if last.isdigit() else last] = value

    return change


PROXY = "initContainers.0"
TAMPERED: list[tuple[str, Callable[[Spec], None], str]] = [
    ("taken away", _strip, check.SIDECAR),
    ("behind others", _late, check.SIDECAR),
    ("twice", _twice, check.SIDECAR),
    ("another image", _set(f"{PROXY}.image", "evil.example/envoy"), check.IMAGE),
    ("another program", _set(f"{PROXY}.command", ["/bin/true"]), check.SIDECAR),
    ("more arguments", lambda spec: spec["initContainers"][0]["args"].append("--x"), check.SIDECAR),
    (
        "an environment",
        lambda spec: spec["initContainers"][0]["env"].append({"name": "A", "value": "b"}),
        check.SIDECAR,
    ),
    ("a whole environment", _set(f"{PROXY}.envFrom", [{"secretRef": {"name": "a"}}]), check.SIDECAR),
    ("a field of the future", _set(f"{PROXY}.fromTheFuture", True), check.SIDECAR),
    ("privileged", _set(f"{PROXY}.securityContext.privileged", True), check.SIDECAR),
    ("root", _set(f"{PROXY}.securityContext.runAsUser", 0), check.USER),
    ("a user of its own choice", _set(f"{PROXY}.securityContext.runAsUser", 1000), check.USER),
    ("a group of its own choice", _set(f"{PROXY}.securityContext.runAsGroup", 1000), check.USER),
    ("no group", _set(f"{PROXY}.securityContext.runAsGroup", None), check.USER),
    ("no startup probe", lambda spec: spec["initContainers"][0].pop("startupProbe"), check.SIDECAR),
    (
        "a mount",
        lambda spec: spec["initContainers"][0]["volumeMounts"].append({"name": "x", "mountPath": "/x"}),
        check.SIDECAR,
    ),
    ("a hook", _set(f"{PROXY}.lifecycle", {"postStart": {"exec": {"command": ["x"]}}}), check.SIDECAR),
    ("its volume gone", lambda spec: spec["volumes"].pop(), check.SIDECAR),
    ("its volume another", _set("volumes.0", {"name": proxy.VOLUME, "emptyDir": {}}), check.SIDECAR),
    (
        "its volume mounted",
        _set("containers.0.volumeMounts", [{"name": proxy.RUN_VOLUME, "mountPath": "/x"}]),
        check.NAMES,
    ),
    ("its port", _set("containers.0.ports", [{"containerPort": 15006}]), check.NAMES),
    (
        "its port probed",
        _set("containers.0.livenessProbe", {"httpGet": {"port": 15021, "path": "/quitquitquit"}}),
        check.NAMES,
    ),
    ("its user", _set("containers.0.securityContext.runAsUser", UID), check.USER),
    ("its user for all", _set("securityContext.runAsUser", UID), check.USER),
    (
        "its user in a debug container",
        _set("ephemeralContainers", [{"name": "d", "securityContext": {"runAsUser": UID}}]),
        check.USER,
    ),
]


@pytest.mark.parametrize(("change", "control"), [each[1:] for each in TAMPERED], ids=[each[0] for each in TAMPERED])
def test_it_is_seen(change: Callable[[Spec], None], control: str) -> None:
    good = patched(pod(initContainers=[{"name": "a", "image": "x"}]))
    assert check.problems(good, HOW) == []
    bad = copy.deepcopy(good)
    change(bad["spec"])
    assert control in {each.control for each in check.problems(bad, HOW)}


def test_a_token_for_proxyd_is_the_proxys_alone() -> None:
    """Whoever has one can have proxyd give it the key of the proxy, and speak past it."""
    token = {"serviceAccountToken": {"audience": proxy.AUDIENCE, "path": "t"}}
    other = {"serviceAccountToken": {"audience": "vault", "path": "t"}}
    volumes = [
        {"name": "a", "projected": {"sources": [other]}},
        {"name": "b", "projected": {"sources": [other, token]}},
    ]
    (found,) = check.problems(patched(pod(volumes=volumes)), HOW)
    assert found.control == check.NAMES
    assert found.field == "spec.volumes[1].projected.sources[1].serviceAccountToken.audience"


@pytest.mark.parametrize("where", [{"hostNetwork": True}, {"os": {"name": "windows"}}])
def test_where_there_is_no_place_for_a_proxy_nothing_is_one(where: Spec) -> None:
    obj = pod(**where)
    assert patched(obj) == obj
    assert check.problems(obj, HOW) == []
    obj["spec"] |= {"initContainers": [sidecar.container(HOW, UID)], "volumes": sidecar.volumes()}
    found = {(each.control, each.field) for each in check.problems(obj, HOW)}
    assert {
        (check.NAMES, "spec.initContainers[0].name"),
        (check.NAMES, "spec.initContainers[0].volumeMounts[0].name"),
        (check.NAMES, "spec.volumes[0].projected.sources[0].serviceAccountToken.audience"),
    } <= found


def test_what_others_may_decide_is_left_to_them() -> None:
    good = patched(pod())
    good["spec"]["initContainers"][0] |= {
        "imagePullPolicy": "Always",
        "resources": {"limits": {"memory": "1Gi"}},
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        "terminationMessagePath": "/dev/termination-log",
    }
    assert check.problems(good, HOW) == []


def test_a_user_that_a_container_sets_itself_wins_over_the_pods() -> None:
    obj = pod(containers=[{"name": "a", "image": "x", "securityContext": {"runAsUser": 7}}])
    obj["spec"]["securityContext"] = {"runAsUser": UID}
    assert check.problems(patched(obj), HOW) == []


def test_the_fields_are_those_of_the_author() -> None:
    obj = patched(pod(initContainers=[{"name": "a", "image": "x", "ports": [{"containerPort": 15001}]}]))
    (found,) = check.problems(obj, HOW, "spec.template.")
    assert found.field == "spec.template.spec.initContainers[0].ports[0].containerPort"


def test_an_outdated_image_says_which_is_the_present_one() -> None:
    obj = patched(pod())
    obj["spec"]["initContainers"][0]["image"] = "registry.example/envoy:v1.40.0-old"
    (found,) = check.problems(obj, HOW)
    assert found.control == check.IMAGE
    assert HOW.settings.image in found.message
    assert "restart" in found.fix


def test_no_token_for_the_api_server_gets_in() -> None:
    mounts = {each["mountPath"]: each for each in sidecar.container(HOW, UID)["volumeMounts"]}
    assert mounts["/var/run/secrets/kubernetes.io/serviceaccount"]["name"] == proxy.RUN_VOLUME

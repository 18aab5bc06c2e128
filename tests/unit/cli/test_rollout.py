"""Which pods are restarted when a namespace is enrolled."""

from typing import Any

from ringfence.cli import rollout
from ringfence.inject import pods
from ringfence.inject.injection import Injection
from ringfence.model.proxy_settings import ProxySettings

from tests.unit.inject.making import HOW, UID, pod


def named(name: str, obj: dict[str, Any], **labels: str) -> dict[str, Any]:
    identity = {"ringfence.dev/identity": "default"}
    return {**obj, "metadata": {"name": name, "namespace": "shop", "labels": labels or identity}}


def waiting(*objects: dict[str, Any], how: Injection | None = HOW) -> list[str]:
    return [each["metadata"]["name"] for each in rollout.waiting(objects, how)]


OLD = Injection(ProxySettings(enabled=True, image="registry.example/envoy:before"))
PODS = (
    named("good", dict(pods.injected(pod(), HOW, UID, fill=True))),
    named("old", dict(pods.injected(pod(), OLD, UID, fill=True))),
    named("bare", pod()),
    named("host", pod(hostNetwork=True)),
    named("unlabelled", dict(pods.injected(pod(), HOW, UID, fill=True)), app="x"),
)


def test_where_there_are_proxies_those_without_the_present_one_too() -> None:
    assert waiting(*PODS) == ["old", "bare", "unlabelled"]


def test_where_there_are_none_only_the_identity_counts() -> None:
    assert waiting(*PODS, how=None) == ["unlabelled"]


def test_finished_pods_wait_for_nothing() -> None:
    assert waiting({**named("done", pod()), "status": {"phase": "Succeeded"}}) == []


def test_what_a_pod_lacks_of_its_proxy() -> None:
    found = {each["metadata"]["name"]: str(rollout.proxy_lacks(each, HOW)) for each in PODS}
    assert found == {"good": "", "old": "old", "bare": "missing", "host": "", "unlabelled": ""}


def debugged() -> dict[str, Any]:
    obj: dict[str, Any] = dict(pods.injected(pod(), HOW, UID, fill=True))
    return {**obj, "spec": {**obj["spec"], "ephemeralContainers": [{"name": "d", "image": "x"}]}}


def test_where_it_is_enforced_those_from_an_audited_time_too() -> None:
    """Nothing was filled in for them, so what they run may become the proxy's user. What they say themselves stays."""
    signed = {"allowPrivilegeEscalation": True, "capabilities": {"add": ["SETUID", "SETGID"]}}
    free = pod(containers=[{"name": "a", "image": "x", "securityContext": signed}])
    found = (
        named("loose", dict(pods.injected(pod(), HOW, UID, fill=False))),
        named("debugged", debugged()),
        named("excepted", dict(pods.injected(free, HOW, UID, fill=True))),
        named("host", pod(hostNetwork=True)),
        PODS[0],
    )
    assert [each["metadata"]["name"] for each in rollout.waiting(found, HOW, enforced=True)] == ["loose", "debugged"]
    assert rollout.waiting(found, HOW) == []
    assert rollout.waiting(found, None, enforced=True) == []
    assert "behind it" in rollout.lack(HOW, enforced=True)

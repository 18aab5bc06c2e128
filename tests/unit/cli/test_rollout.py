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

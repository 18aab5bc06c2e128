"""Pods with a proxy, asked about as the API server asks: first to be changed, then to be judged."""

import copy
from collections.abc import Callable
from typing import Any

import jsonpatch
import pytest
from ringfence.inject import check, pods
from ringfence.model import proxy
from ringfence.webhook.review import Purpose

from tests.unit.inject.making import DIGEST, HOW
from tests.unit.webhook.asking import ask, refused
from tests.unit.webhook.fakes import FakeCluster, floor, identity, namespace, shop
from tests.unit.webhook.reviews import encoded


def pod(**spec: Any) -> dict[str, Any]:
    given = {
        "serviceAccountName": "payments",
        "containers": [{"name": "a", "image": f"registry.example/x@{DIGEST}"}],
        **spec,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": given}


def mutated(obj: dict[str, Any], cluster: FakeCluster | None = None) -> dict[str, Any]:
    """The pod as the API server has it after the mutating webhook."""
    answer = ask(cluster or FakeCluster(shop()), encoded(obj), Purpose.MUTATE, proxy=HOW)
    assert answer["allowed"], answer
    if "patch" not in answer:
        return obj
    result: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(obj), answer["patch"])
    return result


def judged(obj: dict[str, Any], old: dict[str, Any] | None = None, *more: Any, **kwargs: Any) -> dict[str, Any]:
    cluster = FakeCluster(shop(*more))
    return ask(cluster, encoded(obj, old, **kwargs), proxy=HOW)


def uid(obj: dict[str, Any]) -> int:
    return check.user(obj["spec"]["initContainers"][0])


def test_a_pod_gets_its_label_and_its_proxy_and_comes_in() -> None:
    obj = mutated(pod())
    assert obj["metadata"]["labels"] == {"ringfence.dev/identity": "payments"}
    assert obj["spec"]["initContainers"][0]["name"] == proxy.CONTAINER
    first, last = pods.users({})
    assert first <= uid(obj) <= last
    assert judged(obj)["allowed"]


def test_no_two_proxies_have_one_user() -> None:
    assert len({uid(mutated(pod())) for _ in range(20)}) == 20


def test_nobody_tells_a_proxys_group_from_its_user() -> None:
    contexts = [mutated(pod())["spec"]["initContainers"][0]["securityContext"] for _ in range(20)]
    assert len({each["runAsGroup"] for each in contexts}) == 20
    assert len({each["runAsGroup"] - each["runAsUser"] for each in contexts}) == 20
    first, last = pods.users({})
    assert all(first <= each["runAsGroup"] <= last for each in contexts)


def test_whoever_brings_a_sidecar_along_does_not_choose_its_user() -> None:
    known = mutated(pod())
    again = mutated(known)
    assert uid(again) != uid(known)
    assert judged(again)["allowed"]


@pytest.mark.parametrize("restricted", [False, True])
def test_a_floor_of_policies_asks_nothing_of_the_proxy(restricted: bool) -> None:
    """Its registry is not the author's, it has its own limits, and it satisfies the restricted level anyway."""
    admission = {
        "podSecurity": "restricted" if restricted else "privileged",
        "images": {"registries": ["registry.example/x"]},
    }
    context = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"]},
    }
    obj = mutated(pod(containers=[{"name": "a", "image": f"registry.example/x@{DIGEST}", "securityContext": context}]))
    answer = judged(obj, None, floor("floor", "restricted", admission=admission))
    assert answer["allowed"], answer
    obj["spec"]["containers"][0]["image"] = f"evil.example/x@{DIGEST}"
    message = refused(judged(obj, None, floor("floor", "restricted", admission=admission)))
    assert "spec.containers[0].image" in message
    assert proxy.CONTAINER not in message


def test_with_proxies_off_nothing_is_added() -> None:
    cluster = FakeCluster(shop())
    answer = ask(cluster, encoded(pod()), Purpose.MUTATE)
    assert [each["path"] for each in answer["patch"]] == ["/metadata/labels"]


@pytest.mark.parametrize("annotations", [{"sidecar.istio.io/inject": "false"}, {"ringfence.dev/inject": "false"}])
def test_no_annotation_opts_out(annotations: dict[str, str]) -> None:
    obj = pod()
    obj["metadata"]["annotations"] = annotations
    obj["metadata"]["labels"] = {"sidecar.istio.io/inject": "false"}
    assert mutated(obj)["spec"]["initContainers"][0]["name"] == proxy.CONTAINER


def test_a_pod_that_lost_its_proxy_is_refused_with_the_reason() -> None:
    obj = mutated(pod())
    obj["spec"].pop("initContainers")
    assert "spec.initContainers has no container ringfence-proxy" in refused(judged(obj))


def test_it_is_refused_in_an_audited_namespace_too() -> None:
    cluster = FakeCluster([namespace("shop", "audit"), identity("shop", "payments")])
    obj = mutated(pod(), cluster)
    assert ask(cluster, encoded(obj), proxy=HOW)["allowed"]
    obj["spec"].pop("initContainers")
    assert "has no container" in refused(ask(cluster, encoded(obj), proxy=HOW))


def test_an_audited_namespace_is_told_of_contrary_values_only() -> None:
    cluster = FakeCluster([namespace("shop", "audit"), identity("shop", "payments")])
    unset, contrary = pod(), pod()
    contrary["spec"]["containers"][0]["securityContext"] = {"capabilities": {"add": ["NET_ADMIN"]}}
    for obj, told in ((unset, 0), (contrary, 1)):
        after = mutated(obj, cluster)
        assert after["spec"]["containers"][0] == obj["spec"]["containers"][0]
        answer = ask(cluster, encoded(after), proxy=HOW)
        assert answer["allowed"]
        assert len([each for each in answer.get("warnings", ()) if "NET_ADMIN" in each]) == told
        assert len(answer.get("warnings", ())) == told


def told(obj: dict[str, Any]) -> str:
    """What its author is told when the pod is refused before it is injected."""
    return refused(ask(FakeCluster(shop()), encoded(obj), Purpose.MUTATE, proxy=HOW))


def test_contrary_values_are_refused_unless_somebody_signs_for_them() -> None:
    context = {"capabilities": {"add": ["NET_ADMIN"]}}
    obj = pod(containers=[{"name": "a", "image": f"registry.example/x@{DIGEST}", "securityContext": context}])
    message = told(obj)
    assert "proxy-capabilities" in message
    assert "spec.containers[0].securityContext.capabilities.add" in message
    excepted = {
        "name": "old",
        "namespace": "shop",
        "identities": ["payments"],
        "controls": ["proxy-capabilities"],
        "reason": "an old image",
        "until": "2099-01-01T00:00:00Z",
    }
    signed = floor("floor", "privileged", exceptions=[excepted])
    after = mutated(obj, FakeCluster(shop(signed)))
    assert "proxy-capabilities" in refused(judged(after))
    answer = judged(after, None, signed)
    assert answer["allowed"], answer


def test_a_pod_of_the_nodes_network_gets_no_proxy_and_is_refused() -> None:
    assert "spec.hostNetwork" in told(pod(hostNetwork=True))
    excepted = {
        "name": "node",
        "namespace": "shop",
        "identities": ["payments"],
        "controls": ["host-namespaces"],
        "reason": "looks at the node",
        "until": "2099-01-01T00:00:00Z",
    }
    signed = floor("floor", "privileged", exceptions=[excepted])
    obj = mutated(pod(hostNetwork=True), FakeCluster(shop(signed)))
    assert "initContainers" not in obj["spec"]
    assert judged(obj, None, signed)["allowed"]
    assert "spec.hostNetwork" in refused(judged(obj))


def test_the_name_of_the_proxy_is_taken() -> None:
    obj = pod(containers=[{"name": proxy.CONTAINER, "image": f"registry.example/x@{DIGEST}"}])
    assert "spec.containers[0].name is ringfence-proxy" in told(obj)


# --- pods that run ----------------------------------------------------------------------------------------------------


def running(*, started: bool = True) -> dict[str, Any]:
    obj = mutated(pod())
    obj["status"] = {"initContainerStatuses": [{"name": proxy.CONTAINER, "started": started}]}
    return obj


def debugged(obj: dict[str, Any], **context: Any) -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **context}
    container = {"name": "debugger", "image": "registry.example/tools", "securityContext": security}
    return {**obj, "spec": {**obj["spec"], "ephemeralContainers": [container]}}


def test_a_debug_container_says_its_user_and_waits_for_the_proxy() -> None:
    old = running()
    assert judged(debugged(old, runAsUser=1000), old, subresource="ephemeralcontainers")["allowed"]
    assert "runAsUser is not set" in refused(judged(debugged(old), old, subresource="ephemeralcontainers"))
    own = debugged(old, runAsUser=uid(old))
    assert "the user of the proxy" in refused(judged(own, old, subresource="ephemeralcontainers"))
    early = running(started=False)
    message = refused(judged(debugged(early, runAsUser=1000), early, subresource="ephemeralcontainers"))
    assert "before the pod's proxy has started" in message


def test_what_a_debug_container_leaves_unset_is_filled_in() -> None:
    old = running()
    new = debugged(old, runAsUser=1000)
    new["spec"]["ephemeralContainers"][0]["securityContext"] = {"runAsUser": 1000}
    body = encoded(new, old, subresource="ephemeralcontainers")
    answer = ask(FakeCluster(shop()), body, Purpose.MUTATE, proxy=HOW)
    assert answer["allowed"], answer
    (patch,) = answer["patch"]
    assert patch["path"] == "/spec/ephemeralContainers"
    context = patch["value"][0]["securityContext"]
    assert (context["allowPrivilegeEscalation"], "NET_RAW" in context["capabilities"]["drop"]) == (False, True)
    after = jsonpatch.apply_patch(copy.deepcopy(new), answer["patch"])
    assert judged(after, old, subresource="ephemeralcontainers")["allowed"]
    assert not judged(new, old, subresource="ephemeralcontainers")["allowed"]


def test_a_debug_container_does_not_mount_the_proxys_volumes() -> None:
    old = running()
    new = debugged(old, runAsUser=1000)
    new["spec"]["ephemeralContainers"][0]["volumeMounts"] = [{"name": proxy.VOLUME, "mountPath": "/x"}]
    assert "that volume is the proxy's alone" in refused(judged(new, old, subresource="ephemeralcontainers"))


def test_the_image_of_a_running_proxy_stays() -> None:
    old = running()
    new = copy.deepcopy(old)
    new["spec"]["initContainers"][0]["image"] = "evil.example/envoy"
    assert "spec.initContainers[0].image changes" in refused(judged(new, old))
    older = copy.deepcopy(old)
    older["spec"]["initContainers"][0]["image"] = "registry.example/envoy:v1.40.0-before"
    assert judged(old, older)["allowed"]


def test_an_image_that_says_as_whom_it_runs_stays() -> None:
    old = running()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = f"registry.example/x@{DIGEST.replace('0', '1')}"
    assert "spec.containers[0].image changes" in refused(judged(new, old))


def before() -> dict[str, Any]:
    """A pod from before there were proxies."""
    obj = pod()
    obj["metadata"]["labels"] = {"ringfence.dev/identity": "payments"}
    return obj


@pytest.mark.parametrize("make", [before, running])
def test_pods_that_run_go_on_and_end(make: Callable[[], dict[str, Any]]) -> None:
    old = make()
    new = copy.deepcopy(old)
    new["metadata"]["labels"]["version"] = "2"
    assert judged(new, old)["allowed"]
    new["metadata"]["finalizers"] = []
    assert judged(new, old)["allowed"]


@pytest.mark.parametrize("way", ["exec", "attach"])
def test_nobody_gets_into_the_proxy(way: str) -> None:
    kind = {"exec": "PodExecOptions", "attach": "PodAttachOptions"}[way]
    for container, allowed in ((proxy.CONTAINER, False), ("a", True)):
        options = {
            "apiVersion": "v1",
            "kind": kind,
            "container": container,
            "metadata": {"name": "p", "namespace": "shop"},
        }
        body = encoded(options, operation="CONNECT", subresource=way)
        assert ask(FakeCluster(shop()), body, proxy=HOW)["allowed"] is allowed


def test_the_author_of_a_workload_in_an_audited_namespace_is_told_the_same() -> None:
    cluster = FakeCluster([namespace("shop", "audit"), identity("shop", "payments")])
    template: dict[str, Any] = {"spec": pod()["spec"]}
    metadata = {"name": "d", "namespace": "shop"}
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
    assert "warnings" not in ask(cluster, encoded(obj), Purpose.WARN, proxy=HOW)
    template["spec"]["shareProcessNamespace"] = True
    (told,) = ask(cluster, encoded(obj), Purpose.WARN, proxy=HOW)["warnings"]
    assert "spec.template.spec.shareProcessNamespace" in told


def test_the_author_of_a_workload_is_told() -> None:
    template = {"spec": pod()["spec"]}
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "shop"},
        "spec": {"template": template},
    }
    assert "warnings" not in ask(FakeCluster(shop()), encoded(obj), Purpose.WARN, proxy=HOW)
    template["spec"]["shareProcessNamespace"] = True
    (told,) = ask(FakeCluster(shop()), encoded(obj), Purpose.WARN, proxy=HOW)["warnings"]
    assert "spec.template.spec.shareProcessNamespace" in told

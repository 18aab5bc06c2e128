"""Tokens by which proxies show whose pod they are: what somebody gets who may ask for tokens in a namespace.

With such a token, bound to the pod of another identity, proxyd would hand over that pod's certificate with its key.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ringfence.inject import sidecar
from ringfence.model import proxy

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import CONTROLLER, IDENTITY, Rig, pod, until

pytestmark = pytest.mark.component

TENANT = "tenant"
NODE = "node-1"
KUBELET: dict[str, Any] = {"user": f"system:node:{NODE}", "groups": ["system:nodes"]}
POLICY = "'ringfence-proxy-tokens'"
WAYS: dict[str, tuple[str, ...]] = {
    "for proxyd": (proxy.AUDIENCE,),
    "for proxyd beside others": ("vault", proxy.AUDIENCE, "https://kubernetes.default.svc.cluster.local"),
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("attacks-tokens", tmp_path_factory.mktemp("attacks-tokens"), webhook=False) as made:
        made.grant(TENANT, [("", ["serviceaccounts/token"], ["create"])])
        for node in (NODE, "node-2"):
            assert made.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}).ok
        for namespace, enroll in (("shop", "enforce"), ("plain", "")):
            made.namespace(namespace, enroll)
            account = {"name": "pay", "namespace": namespace}
            assert made.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}).ok
            labels = {IDENTITY: "pay"} if enroll else {}
            wanted = pod(
                "pay-1", namespace, labels=labels, serviceAccountName="pay", nodeName=NODE, volumes=sidecar.volumes()
            )
            reply = made.api.create(wanted)
            assert reply.ok, reply.message
        until(lambda: POLICY in ask(made, WAYS["for proxyd"], user=TENANT).message, 30)
        yield made


def ask(rig: Rig, audiences: Sequence[str], *, namespace: str = "shop", bound: bool = True, **who: Any) -> Reply:
    """A TokenRequest for the ServiceAccount `pay`, bound to its pod."""
    spec: dict[str, Any] = {"audiences": list(audiences), "expirationSeconds": 3600}
    if bound:
        uid = rig.api.request("GET", f"/api/v1/namespaces/{namespace}/pods/pay-1").body["metadata"]["uid"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": "pay-1", "uid": uid}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return rig.api.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/pay/token", body, **who)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("namespace", ["shop", "plain"])
@pytest.mark.parametrize("bound", [True, False], ids=["of a pod", "of no pod"])
def test_nobody_asks_for_them(rig: Rig, way: str, namespace: str, bound: bool) -> None:
    """Not even the platform, nor Ringfence itself; nor who only calls himself as a kubelet does."""
    everybody: list[dict[str, Any]] = [
        {"user": TENANT},
        {"user": "admin", "groups": ["system:masters"]},
        {"user": CONTROLLER, "groups": ["system:masters"]},
        {"user": f"system:node:{NODE}", "groups": ["system:masters"]},
        {"user": "mallory", "groups": ["system:masters", "system:nodes"]},
    ]
    for who in everybody:
        reply = ask(rig, WAYS[way], namespace=namespace, bound=bound, **who)
        assert reply.status == 403, (who, reply)
        assert POLICY in reply.message
        assert f"tokens for the audience {proxy.AUDIENCE} are for proxies" in reply.message


def test_kubelets_get_them_for_their_own_pods(rig: Rig) -> None:
    for namespace in ("shop", "plain"):
        reply = ask(rig, WAYS["for proxyd"], namespace=namespace, **KUBELET)
        assert reply.ok, reply.message
        assert reply.body["status"]["token"].count(".") == 2
    other = ask(rig, WAYS["for proxyd"], user="system:node:node-2", groups=["system:nodes"])
    assert other.status == 403
    assert POLICY not in other.message


def test_other_tokens_are_free(rig: Rig) -> None:
    """As they are asked for, and with no audience at all, which means the API server's own."""
    for audiences in (("vault",), (f"not-{proxy.AUDIENCE}",), (proxy.AUDIENCE.upper(),), ()):
        for bound in (True, False):
            reply = ask(rig, audiences, bound=bound, user=TENANT)
            assert reply.ok, reply.message
            assert proxy.AUDIENCE not in reply.body["spec"]["audiences"]

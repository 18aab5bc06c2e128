"""Pods, and proxies for them."""

import copy
from typing import Any

import jsonpatch
from ringfence.inject import pods
from ringfence.inject.injection import Injection
from ringfence.model.proxy_settings import ProxySettings

IMAGE = "registry.example/envoy:v1.40.0"
DIGEST = "sha256:" + "0" * 64
HOW = Injection(ProxySettings(enabled=True, image=IMAGE))
UID = 2_000_000_123


def pod(**spec: Any) -> dict[str, Any]:
    given = {"containers": [{"name": "program", "image": f"registry.example/program@{DIGEST}"}], **spec}
    return {"metadata": {"name": "p", "namespace": "shop"}, "spec": given}


def patched(obj: dict[str, Any], uid: int = UID, *, fill: bool = True, how: Injection = HOW) -> dict[str, Any]:
    """The pod as the API server has it after the patch."""
    after = pods.injected(obj, how, uid, fill=fill)
    result: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(obj), pods.operations(obj, after))
    assert result == after
    return result

"""What leads past the policies or the proxy of a pod that runs."""

from typing import Any

import pytest
from ringfence.controls import ways_past
from ringfence.inject import pods

from tests.unit.inject.making import HOW, UID, pod


def proxied(*, fill: bool = True, **spec: Any) -> dict[str, Any]:
    return dict(pods.injected(pod(**spec), HOW, UID, fill=fill))


def test_a_pod_of_an_enforced_namespace_has_none() -> None:
    assert not ways_past.has_one(proxied())


@pytest.mark.parametrize(
    "obj",
    [
        proxied(fill=False),
        proxied(shareProcessNamespace=True),
        proxied(hostPID=True),
        proxied(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        proxied(containers=[{"name": "a", "image": "x", "securityContext": {"capabilities": {"add": ["SETUID"]}}}]),
        pod(hostPID=True),
        {"metadata": {"name": "p"}, "spec": {"containers": 7}},
    ],
)
def test_ways_past(obj: dict[str, Any]) -> None:
    assert ways_past.has_one(obj)


def test_where_there_is_no_proxy_there_is_none_to_get_past() -> None:
    assert not ways_past.has_one(pod())

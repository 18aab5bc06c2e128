"""Paths are what the API server serves."""

import pytest
from ringfence.kube import resources


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (resources.PODS, (), "/api/v1/pods"),
        (resources.PODS, ("shop",), "/api/v1/namespaces/shop/pods"),
        (resources.PODS, ("shop", "a", "status"), "/api/v1/namespaces/shop/pods/a/status"),
        (resources.NAMESPACES, ("", "shop"), "/api/v1/namespaces/shop"),
        (resources.NAMESPACES, ("ignored", "shop", "status"), "/api/v1/namespaces/shop/status"),
        (
            resources.NETWORK_POLICIES,
            ("shop", "x"),
            "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/x",
        ),
        (
            resources.CLUSTER_SECURITY_POLICIES,
            ("", "floor", "status"),
            "/apis/ringfence.dev/v1alpha1/clustersecuritypolicies/floor/status",
        ),
    ],
)
def test_path(resource: resources.Resource, arguments: tuple[str, ...], path: str) -> None:
    assert resource.path(*arguments) == path


def test_every_kind_is_found_by_what_objects_carry() -> None:
    for resource in resources.ALL:
        assert resources.of(resource.api_version, resource.kind) is resource


def test_other_kinds_are_none_of_our_business() -> None:
    with pytest.raises(KeyError):
        resources.of("v1", "Node")

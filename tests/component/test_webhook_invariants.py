"""A change that breaks an invariant is refused by a real API server, with the calls that it would allow."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import Rig, until

pytestmark = pytest.mark.component


def resource(kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def lets_in(name: str, namespace: str, *peers: dict[str, Any], port: int) -> dict[str, Any]:
    spec = {
        "appliesTo": {"identities": [name.partition("-")[0]]},
        "ingress": [{"name": "callers", "from": list(peers), "ports": [port]}],
    }
    return resource("SecurityPolicy", name, spec, namespace)


def who(namespace: str, name: str) -> dict[str, Any]:
    return {"identity": {"namespace": namespace, "name": name}}


PROMISES = resource(
    "ClusterSecurityPolicy",
    "promises",
    {
        "namespaceSelector": {},
        "neverAllow": [{"name": "public-never-reaches-pci", "from": [{"zone": "public"}], "to": [{"zone": "pci"}]}],
        "alwaysAllow": [
            {"name": "metrics", "from": [who("watch", "prometheus")], "to": [{"zone": "pci"}], "ports": [9090]}
        ],
    },
)
POLICIES = "/apis/ringfence.dev/v1alpha1/namespaces/{}/securitypolicies/{}"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("invariants", tmp_path_factory.mktemp("invariants")) as made:
        made.enforced("front", "default", "web")
        made.enforced("middle", "default", "api")
        made.enforced("vault", "default", "db")
        made.enforced("watch", "default", "prometheus")
        for name, zone in (("front", "public"), ("vault", "pci")):
            labels = {"metadata": {"labels": {"ringfence.dev/zone": zone}}}
            assert made.api.merge(f"/api/v1/namespaces/{name}", labels).ok
        metrics = lets_in("db-metrics", "vault", who("watch", "prometheus"), port=9090)
        del metrics["spec"]["appliesTo"]
        for each in (metrics, lets_in("db", "vault", who("middle", "api"), port=5432)):
            assert made.api.create(each).ok
        # Whatever the cache does not show yet is refused, so ask until it does.
        until(lambda: made.api.create(PROMISES).status in {201, 409}, within=30)
        yield made


def _breaks(rig: Rig, obj: dict[str, Any]) -> Reply:
    """The answer once the webhook has seen what came before."""
    found: list[Reply] = []

    def refused() -> bool:
        found.append(rig.api.create(obj, dry_run=True))
        return not found[-1].ok

    until(refused, within=10, describe=lambda: found[-1].message)
    return found[-1]


def test_a_way_through_another_is_refused_with_its_calls(rig: Rig) -> None:
    reply = _breaks(rig, lets_in("api", "middle", who("front", "web"), port=8080))
    assert reply.status == 403
    assert "neverAllow public-never-reaches-pci of ClusterSecurityPolicy promises does not hold" in reply.message
    first, second = (
        reply.message.index("front/web -> middle/api TCP 8080"),
        reply.message.index("middle/api -> vault/db TCP 5432"),
    )
    assert first < second
    assert "SecurityPolicy middle/api rule callers allows it" in reply.message
    assert "SecurityPolicy vault/db rule callers allows it" in reply.message


def test_what_breaks_nothing_is_let_in(rig: Rig) -> None:
    reply = rig.api.create(lets_in("web", "front", {"anonymous": True}, port=8080))
    assert (reply.status, reply.warnings) == (201, ())


def test_closing_what_is_always_open_is_refused(rig: Rig) -> None:
    denies = resource("SecurityPolicy", "closed", {"ingress": [{"name": "all", "action": "Deny"}]}, "vault")
    reply = _breaks(rig, denies)
    assert reply.status == 403
    assert "alwaysAllow metrics" in reply.message
    assert "watch/prometheus -> vault/db TCP 9090" in reply.message


def test_an_update_is_proven_too(rig: Rig) -> None:
    assert rig.api.create(lets_in("api", "middle", who("watch", "prometheus"), port=8080)).ok
    wider = {"spec": lets_in("api", "middle", {"zone": "public"}, port=8080)["spec"]}
    reply = rig.api.merge(POLICIES.format("middle", "api"), wider)
    assert reply.status == 403
    assert "public-never-reaches-pci" in reply.message


def test_an_invariant_that_does_not_hold_is_refused_or_reported(rig: Rig) -> None:
    never = [{"name": "api-never-reaches-pci", "from": [who("middle", "api")], "to": [{"zone": "pci"}]}]
    broken = resource("ClusterSecurityPolicy", "broken", {"namespaceSelector": {}, "neverAllow": never})
    reply = _breaks(rig, broken)
    assert reply.status == 403
    assert "middle/api -> vault/db TCP 5432" in reply.message
    broken["spec"]["mode"] = "Audit"
    assert rig.api.create(broken, dry_run=True).ok


def test_malformed_invariants_are_refused_with_the_field(rig: Rig) -> None:
    for never, field in (
        ({"name": "n"}, "spec.neverAllow[0]"),
        ({"name": "n", "from": [{"zone": "a"}], "http": [{"methods": ["CONNECT"]}]}, "spec.neverAllow[0].http"),
        ({"name": "n", "from": [], "to": [{"zone": "a"}]}, "spec.neverAllow[0].from"),
    ):
        spec = {"namespaceSelector": {}, "neverAllow": [never]}
        reply = rig.api.create(resource("ClusterSecurityPolicy", "bad", spec))
        assert reply.status in {400, 422}, reply.message
        assert field in reply.message

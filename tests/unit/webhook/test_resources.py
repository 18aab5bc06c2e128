"""What the webhook refuses of Ringfence's own kinds because of what the platform has set."""

import pytest
from ringfence import api
from ringfence.webhook import resources
from ringfence.webhook.view import Rules
from ringfence.webhook.wire import Answer, GroupVersionKind, Request

from tests.unit.api.corpus_making import fetched, issuer
from tests.unit.webhook.fakes import FakeCluster

KIND = GroupVersionKind("ringfence.dev", "v1alpha1", "ClusterSecurityPolicy")


def judged(obj: dict[str, object], *listed: str) -> Answer:
    rules = Rules(controller="x", exempt=frozenset(), jwks_hosts=listed)
    return resources.validate(Request(kind=KIND), api.parse(obj), FakeCluster([]).view, rules, 0.0)


@pytest.mark.parametrize(
    "listed", [(), ("corp.example",), ("*.example",), ("login.corp.example.evil",), ("*.login.corp.example",)]
)
def test_keys_are_fetched_from_listed_hosts_alone(listed: tuple[str, ...]) -> None:
    answer = judged(fetched(), *listed)
    assert not answer.allowed
    assert "spec.jwtIssuers[name=corp].jwksUri: keys are not fetched from login.corp.example" in answer.message
    assert "network.jwksHosts of the chart" in answer.message
    assert (", ".join(listed) or "now empty") in answer.message


@pytest.mark.parametrize("listed", ["login.corp.example", "*.corp.example"])
def test_from_listed_ones_they_are(listed: str) -> None:
    assert judged(fetched(), "other.example", listed).allowed


def test_whoever_pastes_them_needs_no_list() -> None:
    assert judged(issuer()).allowed

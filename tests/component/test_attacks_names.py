"""Names that are more than names, in every position where a resource has one: refused, and the field is told."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ringfence import api
from ringfence.model.errors import InvalidResource

from e2e.cluster.controlplane import ControlPlane
from tests.component.raw_client import RawClient
from tests.component.test_crds import create
from tests.unit.api.corpus_making import certificate, cluster_policy, identity, policy, rule

pytestmark = pytest.mark.component

#: What ends a field, matches more than itself, or means something, where names are joined, logged or compiled.
ODD = {
    "separator of chains": "a|b",
    "separator of rules": "a#b",
    "slash": "a/b",
    "escaped slash": "a%2fb",
    "up": "..",
    "star": "*",
    "prefix": "a*",
    "brackets": "a[0]",
    "quote": 'a"b',
    "CEL": "a' || true || '",
    "expansion": "$(POD_UID)",
    "Envoy's expansion": "%REQ(:path)%",
    "template": "{{a}}",
    "space": "a b",
    "newline after": "a\n",
    "newline before": "\na",
    "NUL": "a\0b",
    "colon": "a:b",
    "user": "a@b",
    "zero width": "a\u200bb",
    "look-alike": "p\u0430y",
    "dash before": "-a",
    "too long": "a" * 2100,
}


def peer(**fields: Any) -> dict[str, Any]:
    return policy({"ingress": [rule(from_=[fields])]})


POSITIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "policy": lambda name: policy({"ingress": [rule()]}, name=name),
    "cluster policy": lambda name: cluster_policy(name=name),
    "identity": identity,
    "rule": lambda name: policy({"ingress": [rule(name=name)]}),
    "subject": lambda name: policy({"appliesTo": {"identities": [name]}, "ingress": [rule()]}),
    "label of the subject": lambda name: policy(
        {"appliesTo": {"podSelector": {"matchLabels": {"app": name}}}, "ingress": [rule()]}
    ),
    "key of the subject": lambda name: policy(
        {"appliesTo": {"podSelector": {"matchLabels": {name: "a"}}}, "ingress": [rule()]}
    ),
    "caller": lambda name: peer(identity={"name": name}),
    "caller's namespace": lambda name: peer(identity={"name": "a", "namespace": name}),
    "namespace": lambda name: peer(namespace=name),
    "zone": lambda name: peer(zone=name),
    "SPIFFE ID": lambda name: peer(spiffeID=f"spiffe://cluster.local/ns/shop/sa/{name}"),
    "trust domain": lambda name: peer(spiffeID=f"spiffe://{name}/ns/shop/sa/a"),
    "network": lambda name: peer(cidr=name),
    "port": lambda name: policy({"ingress": [rule(ports=[name])]}),
    "ServiceAccount": lambda name: identity(spec={"serviceAccountName": name}),
    "Secret": lambda name: certificate(secretName=f"{name}-identity"),
    "host name": lambda name: certificate(dnsNames=[name]),
}


#: Where one of these is what it says, by what SPIFFE and Kubernetes allow; it is compared as a whole all the same.
MEANT = {
    ("key of the subject", "slash"),
    ("SPIFFE ID", "slash"),
    ("SPIFFE ID", "dash before"),
    ("trust domain", "slash"),
    ("trust domain", "up"),
    ("trust domain", "dash before"),
}


@pytest.fixture(scope="module")
def server(api_server: ControlPlane) -> Iterator[RawClient]:
    with RawClient(api_server) as client:
        metadata = {"name": "shop"}
        client.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        yield client


@pytest.mark.parametrize("position", POSITIONS)
def test_a_plain_name_is_one(server: RawClient, position: str) -> None:
    """So that the test below is about names and nothing else."""
    plain = {"network": "10.0.0.0/8", "host name": "a.example.com"}.get(position, "payments")
    answer = create(server, POSITIONS[position](plain))
    assert answer.accepted, answer.message


@pytest.mark.parametrize("position", POSITIONS)
def test_what_is_more_than_a_name_is_none(server: RawClient, position: str) -> None:
    for what, text in ODD.items():
        if (position, what) in MEANT:
            continue
        obj = POSITIONS[position](text)
        assert not create(server, obj).accepted, what
        with pytest.raises(InvalidResource) as caught:
            api.parse(obj)
        assert all(each.path.startswith(("spec.", "metadata.name")) for each in caught.value.errors), what

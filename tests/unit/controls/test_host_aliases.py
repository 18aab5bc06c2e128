import pytest
from ringfence.controls.host_aliases import CONTROL

from tests.unit.controls.samples import asked, complaints, spec


@pytest.mark.parametrize(
    "fields", [{}, {"hostAliases": None}, {"hostAliases": []}, {"dnsConfig": {"searches": ["a"], "nameservers": []}}]
)
def test_none_pass(fields: dict) -> None:
    assert asked(CONTROL, spec(**fields)) == []


def test_each_is_named() -> None:
    aliases = [{"ip": "10.0.0.1", "hostnames": ["bank.example", "a.example"]}, {"ip": "::1"}]
    told = complaints(CONTROL, spec(hostAliases=aliases))
    assert [each.field for each in told] == ["spec.hostAliases[0]", "spec.hostAliases[1]"]
    assert told[0].message == 'gives "a.example", "bank.example" the address "10.0.0.1"'
    assert told[1].message == 'gives no name the address "::1"'


@pytest.mark.parametrize("policy", ["None", "ClusterFirst"])
def test_name_servers_of_its_own_are_named(policy: str) -> None:
    """They are asked beside the cluster's, too."""
    (told,) = complaints(CONTROL, spec(dnsPolicy=policy, dnsConfig={"nameservers": ["127.0.0.1", "::1"]}))
    assert told.field == "spec.dnsConfig.nameservers"
    assert told.message == 'has "127.0.0.1", "::1" say what names mean to this pod'

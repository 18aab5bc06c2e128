import pytest
from ringfence.controls.host_aliases import CONTROL

from tests.unit.controls.samples import asked, complaints, spec


@pytest.mark.parametrize("fields", [{}, {"hostAliases": None}, {"hostAliases": []}])
def test_none_pass(fields: dict) -> None:
    assert asked(CONTROL, spec(**fields)) == []


def test_each_is_named() -> None:
    aliases = [{"ip": "10.0.0.1", "hostnames": ["bank.example", "a.example"]}, {"ip": "::1"}]
    told = complaints(CONTROL, spec(hostAliases=aliases))
    assert [each.field for each in told] == ["spec.hostAliases[0]", "spec.hostAliases[1]"]
    assert told[0].message == 'gives "a.example", "bank.example" the address "10.0.0.1"'
    assert told[1].message == 'gives no name the address "::1"'

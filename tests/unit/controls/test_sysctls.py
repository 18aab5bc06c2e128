import pytest
from ringfence.controls.sysctls import ALLOWED, CONTROL

from tests.unit.controls.samples import found, spec


def with_sysctl(name: str) -> dict:
    return spec(securityContext={"sysctls": [{"name": name, "value": "1"}]})


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_safe_ones_pass(name: str) -> None:
    assert found(CONTROL, with_sysctl(name)) == []


@pytest.mark.parametrize(
    "name", ["kernel.msgmax", "net.ipv4.ip_forward", "net/ipv4/tcp_rmem", "NET.IPV4.TCP_RMEM", "", "net.ipv4.tcp_rmem "]
)
def test_others_are_refused(name: str) -> None:
    assert found(CONTROL, with_sysctl(name)) == ["spec.securityContext.sysctls[0].name"]


@pytest.mark.parametrize("context", [None, {}, {"sysctls": None}, {"sysctls": []}])
def test_none_pass(context: dict | None) -> None:
    assert found(CONTROL, spec(securityContext=context)) == []


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("kernel.shm_rmid_forced", 0),
        ("net.ipv4.ip_unprivileged_port_start", 0),
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_fin_timeout", 29),
        ("net.ipv4.tcp_rmem", 32),
        ("net.ipv4.tcp_wmem", 32),
    ],
)
def test_the_list_grew(name: str, since: int) -> None:
    refused = [version for version in range(36) if found(CONTROL, with_sysctl(name), version)]
    assert refused == list(range(since))

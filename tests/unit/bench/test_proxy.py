"""What the measurement of the proxy compares: one configuration, with security and without; and only good calls."""

import json
import subprocess
from pathlib import Path

import pytest
from ringfence.translate.envoy import static

from bench import fortio, proxy_mesh
from e2e import envoy

SECRETS = static.placeholders(proxy_mesh.TRUST_DOMAIN, proxy_mesh.NAMESPACE, proxy_mesh.SERVER)
SECURITY = ("DownstreamTlsContext", "UpstreamTlsContext", "rbac", "access_log", "tls_inspector", "private_key")


def made(account: str, *, bare: bool, services: int = 10) -> dict[str, object]:
    config = proxy_mesh.configured(proxy_mesh.mesh(services), account)
    return proxy_mesh.whole(config, SECRETS, "/run/admin", bare=bare)


def without_statistics(found: dict[str, object]) -> str:
    return json.dumps(found["static_resources"])


def test_the_whole_configuration_has_all_security_and_the_bare_one_none() -> None:
    whole, bare = (without_statistics(made(proxy_mesh.SERVER, bare=each)) for each in (False, True))
    assert [word for word in SECURITY if word not in whole] == ["UpstreamTlsContext"]  # a server calls nobody
    # The status listener and its place for probes stay: they are no part of a call.
    assert [word for word in SECURITY if word in bare] == []
    rules = {f"shop/guard-{number:02}#call" for number in range(proxy_mesh.POLICIES)}
    assert all(rule in whole for rule in rules)


def test_both_carry_by_the_same_clusters() -> None:
    def clusters(*, bare: bool) -> list[str]:
        return [each["name"] for each in made(proxy_mesh.CALLER, bare=bare)["static_resources"]["clusters"]]  # type: ignore[index]

    assert clusters(bare=True) == clusters(bare=False)


def test_of_all_services_the_caller_reaches_five() -> None:
    for services in (10, 100):
        config = proxy_mesh.configured(proxy_mesh.mesh(services), proxy_mesh.CALLER)
        reached = {each.name.split("|")[1] for each in config.endpoints}
        assert len(reached) == proxy_mesh.REACHABLE
        assert f"{proxy_mesh.NAMESPACE}/{proxy_mesh.SERVER}" in reached


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("account", [proxy_mesh.SERVER, proxy_mesh.CALLER])
def test_envoy_takes_it(tmp_path: Path, account: str, bare: bool) -> None:
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(made(account, bare=bare)))
    command = [str(envoy.binary()), "--mode", "validate", "--log-level", "error", "-c", str(file)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr[-3000:]


def answered(codes: dict[str, int]) -> str:
    percentiles = [{"Percentile": 50, "Value": 0.0005}, {"Percentile": 99, "Value": 0.002}]
    return json.dumps({"RetCodes": codes, "ActualQPS": 499.5, "DurationHistogram": {"Percentiles": percentiles}})


def test_a_result_is_read() -> None:
    assert fortio.result(answered({"200": 2000})) == fortio.Result(2000, 499.5, 0.0005, 0.002)


@pytest.mark.parametrize("codes", [{"200": 1999, "403": 1}, {"-1": 10}, {}])
def test_failed_calls_are_no_figures(codes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="answers other than 200"):
        fortio.result(answered(codes))

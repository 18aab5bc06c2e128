"""What the processes would refuse when they start, Helm refuses before anything is changed, in the same sense."""

from typing import Any

import pytest
import yaml
from ringfence import settings
from ringfence.model.proxy_settings import OLDEST_ENVOY

from tests.unit.chart import conftest as chart


def tracing(address: str, **more: Any) -> dict[str, Any]:
    return {"proxy": {"tracing": {"address": address, **more}}}


SIGSTORE = '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'

#: Values that both take, at the ends of what they may be.
GOOD: list[dict[str, Any]] = [
    {"proxy": {"drain": "1s"}},
    {"proxy": {"drain": "10m"}},
    {"proxy": {"drain": "9m60s"}},
    {"ca": {"ttl": "168h"}},
    {"ca": {"ttl": "87660h"}},
    {"ca": {"propagation": "0s", "reissueWithin": "24h", "maxTTL": "10m"}},
    {"ca": {"propagation": "1h", "reissueWithin": "0s", "maxTTL": "24h"}},
    {"network": {"podCIDRs": ["0.0.0.0/0", "10.128.0.0/9", "10.1.2.3/32", "255.255.255.255/32", "fd00::/8", "::/0"]}},
    {"proxy": {"image": {"tag": "v2.0.0"}}},
    {"proxy": {"image": {"tag": "", "digest": "sha256:" + "a" * 64}}},
    {"proxy": {"image": {"tag": "ours"}}},
    {"proxy": {"resources": {"requests": {"cpu": 1, "memory": 67108864}, "limits": {"cpu": 0.5, "memory": "1.5Gi"}}}},
    tracing("10.0.0.1:4317"),
    tracing("[fd00::1]:4317"),
    tracing("collector.observability.svc:4317", podLabels={"app": "collector"}),
    tracing("collector.observability.svc.cluster.local:4317", podLabels={"app": "collector"}),
    {"signatures": {"trustedRoot": SIGSTORE, "ca": "-----BEGIN CERTIFICATE-----\n"}},
]

#: Values that both refuse, and the name under which Helm does.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"proxy": {"drain": "0s"}}, "proxy.drain: 0s is out of range (write 1s to 10m)"),
    ({"proxy": {"drain": "10m1s"}}, "proxy.drain: "),
    ({"ca": {"ttl": "167h59m"}}, "ca.ttl: "),
    ({"ca": {"ttl": "87661h"}}, "ca.ttl: "),
    ({"ca": {"propagation": "1h1s"}}, "ca.propagation: "),
    ({"ca": {"reissueWithin": "25h"}}, "ca.reissueWithin: "),
    ({"ca": {"maxTTL": "9m"}}, "ca.maxTTL: "),
    ({"ca": {"maxTTL": "25h"}}, "ca.maxTTL: "),
    ({"network": {"podCIDRs": ["10.0.0.0/8", "10.244.1.0/16"]}}, "network.podCIDRs[1]: 10.244.1.0/16 is no CIDR "),
    ({"network": {"podCIDRs": ["10.0.0.256/32"]}}, "network.podCIDRs[0]: "),
    ({"network": {"hostOpenCIDRs": ["10.50.0.1/16"]}}, "network.hostOpenCIDRs[0]: "),
    ({"network": {"hostClosedCIDRs": ["20.7.0.1/31"]}}, "network.hostClosedCIDRs[0]: "),
    (
        {
            "network": {
                "openServices": [
                    {
                        "name": "dns",
                        "namespace": "dns",
                        "podLabels": {"app": "dns"},
                        "ports": [{"protocol": "UDP", "port": 53}],
                        "addresses": ["169.254.20.10/31", "169.254.20.11/31"],
                    }
                ]
            }
        },
        "network.openServices[0].addresses[1]: ",
    ),
    ({"proxy": {"image": {"tag": ""}}}, "proxy.image: neither tag nor digest "),
    ({"proxy": {"image": {"tag": "distroless-v1.39.9"}}}, "proxy.image.tag: Envoy 1.39.9 can be passed by "),
    ({"proxy": {"resources": {"limits": {"cpu": "1e3"}}}}, "proxy.resources.limits.cpu: 1e3 is no quantity "),
    (tracing("collector:4317"), "proxy.tracing.address: collector:4317 is no address "),
    (tracing("collector.observability.svc"), "proxy.tracing.address: "),
    (tracing("collector.observability.svc:4317"), "proxy.tracing.podLabels: is empty "),
    (tracing("10.0.0.1:4317", podLabels={"app": "collector"}), "proxy.tracing.podLabels: means nothing "),
    ({"signatures": {"trustedRoot": "no json"}}, "signatures.trustedRoot: is no Sigstore trusted root "),
    ({"signatures": {"trustedRoot": "{}"}}, "signatures.trustedRoot: "),
    ({"signatures": {"ca": "no certificate"}}, "signatures.ca: holds no certificate "),
]


def parsed(rendered: list[chart.Manifest]) -> settings.Settings:
    text = chart.only(rendered, "ConfigMap", "ringfence-config")["data"]["config.yaml"]
    return settings.parse(text, {"POD_NAMESPACE": "ringfence-system"})


@pytest.mark.parametrize("values", GOOD, ids=str)
def test_what_the_processes_take_helm_takes(values: dict[str, Any], render: chart.Render) -> None:
    assert parsed(render(values))


@pytest.mark.parametrize(("values", "said"), BAD, ids=str)
def test_what_the_processes_refuse_helm_refuses(
    values: dict[str, Any], said: str, render: chart.Render, unchecked: chart.Render
) -> None:
    with pytest.raises(settings.InvalidSettings):
        parsed(unchecked(values))
    with pytest.raises(chart.Refused) as refused:
        render(values)
    assert f"\n{said}" in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(render: chart.Render) -> None:
    with pytest.raises(chart.Refused) as refused:
        render({"proxy": {"drain": "1h", "image": {"tag": ""}}, "ca": {"ttl": "1h"}})
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in lines[1:4]] == ["ca.ttl", "proxy.image", "proxy.drain"]


def test_a_value_that_is_taken_away_is_the_default(render: chart.Render) -> None:
    values = {"ca": {"ttl": None, "maxTTL": None}, "proxy": {"drain": None, "tracing": {"address": None}}}
    assert parsed(render(values)).ca == settings.CaSettings()


def test_the_oldest_envoy_is_the_one_that_the_code_knows() -> None:
    text = (chart.CHART / "templates" / "_problems.tpl").read_text()
    oldest = ".".join(map(str, OLDEST_ENVOY))
    assert f'semverCompare "<{oldest}"' in text
    assert f"(write {oldest} or later)" in text
    assert yaml.safe_load((chart.CHART / "values.yaml").read_text())["proxy"]["image"]["tag"] in text

"""The proxy's section of the settings."""

import pytest
from ringfence import settings
from ringfence.model.proxy_settings import ProxySettings

DIGEST = "sha256:" + "a" * 64


def parse(text: str) -> settings.Settings:
    return settings.parse(text, {"POD_NAMESPACE": "ringfence-system"})


def test_off_by_default_and_then_nothing_is_opened() -> None:
    found = parse("")
    assert found.proxy == ProxySettings(enabled=False)
    assert [each.name for each in found.installation.open_services] == ["dns"]


def test_with_it_the_way_to_proxyd_is_open() -> None:
    found = parse("proxy: {enabled: true}")
    opened = found.installation.open_services[-1]
    assert (opened.namespace, opened.ports[0][1]) == ("ringfence-system", 15012)
    assert opened.pod_labels["app.kubernetes.io/component"] == "proxyd"


def test_all_of_it() -> None:
    text = f"""
proxy:
  enabled: true
  image: registry.example/envoy:v1.41.2@{DIGEST}
  pullPolicy: Always
  requests: {{memory: 64Mi, cpu: 1}}
  limits: {{}}
  concurrency: 2
  drain: 1m
  logLevel: info
  ownAddressOnly: true
"""
    assert parse(text).proxy == ProxySettings(
        enabled=True,
        image=f"registry.example/envoy:v1.41.2@{DIGEST}",
        pull_policy="Always",
        requests=(("cpu", "1"), ("memory", "64Mi")),
        limits=(),
        concurrency=2,
        drain_seconds=60,
        log_level="info",
        own_address_only=True,
    )


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("{image: 'envoyproxy/envoy:v1.39.9'}", "proxy.image"),
        ("{image: 'envoyproxy/envoy:distroless-v1.5.0'}", "proxy.image"),
        ("{image: envoyproxy/envoy}", "proxy.image"),
        ("{image: 'Envoy Proxy'}", "proxy.image"),
        ("{concurrency: 0}", "proxy.concurrency"),
        ("{concurrency: true}", "proxy.concurrency"),
        ("{drain: 11m}", "proxy.drain"),
        ("{requests: {cpu: lots}}", "proxy.requests.cpu"),
        ("{requests: [cpu]}", "proxy.requests"),
        ("{logLevel: loud}", "proxy.logLevel"),
        ("{unknown: 1}", "proxy.unknown"),
        ("{enabled: 'yes'}", "proxy.enabled"),
    ],
)
def test_what_is_wrong_is_named(section: str, key: str) -> None:
    with pytest.raises(settings.InvalidSettings) as caught:
        parse(f"proxy: {section}")
    assert [error.path for error in caught.value.errors] == [key]

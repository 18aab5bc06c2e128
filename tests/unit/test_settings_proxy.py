"""The proxy's section of the settings."""

import pytest
from ringfence import settings
from ringfence.model.proxy_settings import ProxySettings, Tracing
from ringfence.model.resources import Protocol
from ringfence.model.world import OpenService

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
    ("section", "wanted"),
    [
        (
            "{address: 'otel.obs.svc:4317', podLabels: {app: otel}}",
            Tracing("otel.obs.svc", 4317, (("app", "otel"),), 4317, 1.0),
        ),
        (
            "{address: 'otel.obs.svc.cluster.local:80', podLabels: {b: c, a: d}, podPort: 4317, sampling: 0.5}",
            Tracing("otel.obs.svc.cluster.local", 80, (("a", "d"), ("b", "c")), 4317, 0.5),
        ),
        ("{address: '192.0.2.7:4317', sampling: 100}", Tracing("192.0.2.7", 4317, (), 4317, 100.0)),
        ("{address: '[2001:db8::7]:4317', sampling: 0}", Tracing("2001:db8::7", 4317, (), 4317, 0.0)),
        ("{address: ''}", None),
        ("{}", None),
    ],
)
def test_where_spans_go(section: str, wanted: Tracing | None) -> None:
    found = parse(f"proxy: {{enabled: true, tracing: {section}}}")
    assert found.proxy.tracing == found.installation.tracing == wanted


def test_the_way_to_the_collector_is_open_and_no_other() -> None:
    inside = parse(
        "proxy: {enabled: true, tracing: {address: 'otel.obs.svc:80', podLabels: {app: otel}, podPort: 4317}}"
    )
    opened = inside.installation.open_services[-1]
    assert opened == OpenService("ringfence-tracing", "obs", {"app": "otel"}, ((Protocol.TCP, 4317),))
    outside = parse("proxy: {enabled: true, tracing: {address: '192.0.2.7:4317'}}").installation.open_services[-1]
    assert outside == OpenService("ringfence-tracing", "", {}, ((Protocol.TCP, 4317),), ("192.0.2.7/32",))


def test_without_proxies_there_are_no_spans_and_no_way() -> None:
    found = parse("proxy: {tracing: {address: '192.0.2.7:4317'}}").installation
    assert found.tracing is None
    assert [each.name for each in found.open_services] == ["dns"]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("{tracing: {address: 'otel.example.com:4317'}}", "proxy.tracing.address"),
        ("{tracing: {address: 'otel.obs.svc'}}", "proxy.tracing.address"),
        ("{tracing: {address: 'otel.obs.svc:0', podLabels: {a: b}}}", "proxy.tracing.address"),
        ("{tracing: {address: 'otel.obs.svc:99999', podLabels: {a: b}}}", "proxy.tracing.address"),
        ("{tracing: {address: '2001:db8::7:4317'}}", "proxy.tracing.address"),
        ("{tracing: {address: '[192.0.2.7]:4317'}}", "proxy.tracing.address"),
        ("{tracing: {address: 'http://otel.obs.svc:4317'}}", "proxy.tracing.address"),
        ("{tracing: {address: 4317}}", "proxy.tracing.address"),
        ("{tracing: {address: 'otel.obs.svc:4317'}}", "proxy.tracing.podLabels"),
        ("{tracing: {address: '192.0.2.7:4317', podLabels: {a: b}}}", "proxy.tracing.podLabels"),
        ("{tracing: {address: 'otel.obs.svc:4317', podLabels: {a: 1}}}", "proxy.tracing.podLabels"),
        ("{tracing: {address: 'otel.obs.svc:4317', podLabels: {a: b}, podPort: 70000}}", "proxy.tracing.podPort"),
        ("{tracing: {address: '192.0.2.7:4317', sampling: 101}}", "proxy.tracing.sampling"),
        ("{tracing: {address: '192.0.2.7:4317', sampling: true}}", "proxy.tracing.sampling"),
        ("{tracing: {adress: '192.0.2.7:4317'}}", "proxy.tracing.adress"),
        ("{tracing: on}", "proxy.tracing"),
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

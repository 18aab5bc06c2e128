"""Settings are understood whole, or refused whole with every mistake named."""

from pathlib import Path

import pytest
from ringfence import settings
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.resources import Protocol
from ringfence.model.world import Enrolment, Installation, OpenService

WHERE = {"POD_NAMESPACE": "platform-ringfence", "POD_NAME": "controller-1"}

FULL = """
trustDomain: corp.example
podCIDRs: [10.244.0.0/16, "fd00:10::/48"]
cidrCoversPods: true
hostOpenCIDRs: [10.50.0.0/16]
hostClosedCIDRs: [198.18.7.0/24]
jwksHosts: [login.corp.example, "*.idp.example"]
openServices:
- name: dns
  namespace: kube-system
  podLabels: {k8s-app: kube-dns}
  ports: [{protocol: UDP, port: 53}, {port: 5353}]
  addresses: [169.254.20.10/32]
defaultEnroll: audit
exemptNamespaces: [legacy]
apiServer: [{address: 10.0.0.1, port: 6443}]
policyReports: false
logLevel: debug
logFormat: text
ca: {keyAlgorithm: ECDSA-P384, ttl: 4380h, propagation: 90s, reissueWithin: 0s, maxTTL: 1h30m}
"""


def test_every_setting_is_read() -> None:
    assert settings.parse(FULL, WHERE) == settings.Settings(
        installation=Installation(
            trust_domain="corp.example",
            namespace="platform-ringfence",
            pod_cidrs=("10.244.0.0/16", "fd00:10::/48"),
            cidr_covers_pods=True,
            host_open=("10.50.0.0/16",),
            host_closed=("198.18.7.0/24",),
            jwks_hosts=("*.idp.example", "login.corp.example"),
            api_server=(("10.0.0.1", 6443),),
            exempt_namespaces=("legacy",),
            open_services=(
                OpenService(
                    name="dns",
                    namespace="kube-system",
                    pod_labels={"k8s-app": "kube-dns"},
                    ports=((Protocol.UDP, 53), (Protocol.TCP, 5353)),
                    addresses=("169.254.20.10/32",),
                ),
            ),
        ),
        default_enroll=Enrolment.AUDIT,
        exempt_namespaces=frozenset({"kube-system", "kube-public", "kube-node-lease", "platform-ringfence", "legacy"}),
        ca=settings.CaSettings(
            key_algorithm=KeyAlgorithm.ECDSA_P384, ttl=4380 * 3600, propagation=90, reissue_within=0, max_ttl=5400
        ),
        policy_reports=False,
        log_level="debug",
        log_format="text",
        pod_name="controller-1",
    )


def test_an_empty_file_is_all_defaults() -> None:
    assert settings.parse("", {}) == settings.Settings()


def test_open_services_that_are_set_to_none_are_none() -> None:
    assert settings.parse("openServices: []", {}).installation.open_services == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("trustDomain: Corp", "trustDomain"),
        ("ca: soon", "ca"),
        ("ca: {size: 7}", "ca.size"),
        ("ca: {keyAlgorithm: RSA-3072}", "ca.keyAlgorithm"),
        ("ca: {ttl: 3600}", "ca.ttl"),
        ("ca: {ttl: 1h}", "ca.ttl"),
        ("ca: {propagation: 2}", "ca.propagation"),
        ("ca: {maxTTL: 48h}", "ca.maxTTL"),
        ("trustDomain: 'corp\n'", "trustDomain"),
        ("trustDomain: 7", "trustDomain"),
        ("podCIDRs: 10.0.0.0/8", "podCIDRs"),
        ("podCIDRs: [10.0.0.1/8]", "podCIDRs[0]"),
        ("podCIDRs: [10.0.0.0/8, 7]", "podCIDRs[1]"),
        ("cidrCoversPods: 'yes'", "cidrCoversPods"),
        ("hostOpenCIDRs: [10.0.0.1/8]", "hostOpenCIDRs[0]"),
        ("hostOpenCIDRs: [10.0.0.0/8, 169.254.169.254/32]", "hostOpenCIDRs[1]"),
        ("hostOpenCIDRs: ['::1/128']", "hostOpenCIDRs[0]"),
        ("hostClosedCIDRs: [example.com]", "hostClosedCIDRs[0]"),
        ("jwksHosts: login.corp.example", "jwksHosts"),
        ("jwksHosts: [login.corp.example, 7]", "jwksHosts[1]"),
        *(
            (f"jwksHosts: ['{each}']", "jwksHosts[0]")
            for each in (
                "*",
                "*.",
                "a.*.b",
                "*.*.b",
                "Login.example",
                "192.0.2.1",
                "a.example:443",
                "localhost",
                "a.b.",
            )
        ),
        ("defaultEnroll: enforced", "defaultEnroll"),
        ("exemptNamespaces: [Legacy]", "exemptNamespaces[0]"),
        ("apiServer: [{address: api.example, port: 443}]", "apiServer[0].address"),
        ("apiServer: [{address: 10.0.0.1, port: 0}]", "apiServer[0].port"),
        ("apiServer: [{address: 10.0.0.1, port: 1, host: x}]", "apiServer[0].host"),
        ("openServices: [{name: a, namespace: b, podLabels: {c: d}}]", "openServices[0].ports"),
        ("openServices: [{name: a, namespace: b, ports: [{port: 1}]}]", "openServices[0]"),
        (
            "openServices: [{name: a, namespace: b, podLabels: {c: d}, ports: [{port: 1, protocol: ICMP}]}]",
            "openServices[0].ports[0].protocol",
        ),
        ("policyReports: some", "policyReports"),
        ("logLevel: loud", "logLevel"),
        ("logFormat: xml", "logFormat"),
        ("httpPort: 70000", "httpPort"),
        ("trustdomain: corp.example", "trustdomain"),
        ("- a list", "file"),
        ("a: [", "file"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(text: str, path: str) -> None:
    with pytest.raises(settings.InvalidSettings) as raised:
        settings.parse(text, {})
    assert path in [error.path for error in raised.value.errors]
    assert all(error.fix for error in raised.value.errors)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(settings.InvalidSettings) as raised:
        settings.parse("logLevel: loud\npodCIDRs: [x]\nunknown: 1", {"POD_NAMESPACE": "No Name"})
    assert [error.path for error in raised.value.errors] == ["POD_NAMESPACE", "logLevel", "podCIDRs[0]", "unknown"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(settings.InvalidSettings, match=r"missing\.yaml: file: No such file"):
        settings.load(tmp_path / "missing.yaml")


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("trustDomain: corp.example")
    assert settings.load(file, {}).installation.trust_domain == "corp.example"


ROOT = '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


def test_how_signatures_are_checked() -> None:
    text = f"""
signatures:
  trustedRoot: '{ROOT}'
  registries:
  - {{host: "registry.internal:5000", private: true, plainHTTP: true}}
  - {{host: registry.example}}
"""
    assert settings.parse(text, WHERE).signatures == settings.SignatureSettings(
        ROOT,
        (
            settings.RegistrySetting("registry.internal:5000", private=True, plain_http=True),
            settings.RegistrySetting("registry.example"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("signatures: {trustedRoot: '{}'}", "signatures.trustedRoot"),
        ("signatures: {trustedRoot: 'x'}", "signatures.trustedRoot"),
        ("signatures: {trustedRoot: '[1]'}", "signatures.trustedRoot"),
        ("signatures: {ca: 'x'}", "signatures.ca"),
        ("signatures: {registries: [{host: 'https://registry.example'}]}", "signatures.registries[0].host"),
        ("signatures: {registries: [{host: registry.example/app}]}", "signatures.registries[0].host"),
        ("signatures: {registries: [{}]}", "signatures.registries[0].host"),
        ("signatures: {registries: [registry.example]}", "signatures.registries[0]"),
        ("signatures: {registries: [{host: a.example, private: 1}]}", "signatures.registries[0].private"),
        ("signatures: {registries: [{host: a.example, open: true}]}", "signatures.registries[0].open"),
        ("signatures: {root: x}", "signatures.root"),
    ],
)
def test_wrong_settings_of_signatures_are_named(text: str, path: str) -> None:
    with pytest.raises(settings.InvalidSettings) as caught:
        settings.parse(text, WHERE)
    assert path in {error.path for error in caught.value.errors}

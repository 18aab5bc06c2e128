"""Resources, good and bad, each with who refuses it.

The unit tests hold the parser to it, the component tests a real API server with the CRDs.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Object = dict[str, Any]


class Verdict(StrEnum):
    """Who refuses a resource."""

    GOOD = "nobody"
    #: The API server by the CRD alone, and the parser.
    REFUSED = "the API server and the parser"
    #: The API server keeps what is wrong with it, so that the parser in the webhook sees it and refuses.
    KEPT = "the parser"


@dataclass(frozen=True)
class Case:
    """A resource and what is to become of it."""

    name: str
    obj: Object
    verdict: Verdict


NOTHING = object()


def identity(name: str = "payments", spec: Any = NOTHING, **extra: Any) -> Object:
    return _resource("ServiceIdentity", name, "shop", {} if spec is NOTHING else spec, extra)


def certificate(**fields: Any) -> Object:
    return identity(spec={"certificate": fields})


def grant(**fields: Any) -> Object:
    whole = {"namespace": "shop", "identities": ["payments"], "dnsNames": ["pay.example.com"], **fields}
    left = {name: value for name, value in whole.items() if value is not NOTHING}
    return cluster_policy({"namespaceSelector": {}, "grants": [left]})


#: P-256, made for this file.
PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEIU7O+ICxrXoNQQR/FFujRNCJctoi\n"
    "PD066go8mT3JAwHY/JDY6mK2FQAMrP0V/JlaqOEVKLHbWi/CVOFj9EMJeA==\n"
    "-----END PUBLIC KEY-----\n"
)
SIGNER = {"issuer": "https://token.example", "identity": "https://code.example/shop/app@refs/tags/v1"}


def signed(**rule: Any) -> Object:
    """A policy with one rule about signatures."""
    made = {"name": "release", "images": ["registry.example/shop/*"], **rule}
    return policy({"admission": {"images": {"signatures": [made]}}})


def policy(spec: Any = NOTHING, *, name: str = "payments", **extra: Any) -> Object:
    return _resource("SecurityPolicy", name, "shop", {"ingress": [rule()]} if spec is NOTHING else spec, extra)


def cluster_policy(spec: Any = NOTHING, *, name: str = "floor", **extra: Any) -> Object:
    default = {"namespaceSelector": {}, "admission": {"podSecurity": "baseline"}}
    return _resource("ClusterSecurityPolicy", name, "", default if spec is NOTHING else spec, extra)


def _resource(kind: str, name: str, namespace: str, spec: Any, extra: Mapping[str, Any]) -> Object:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    obj = {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, **extra}
    return copy.deepcopy(obj)


def rule(**fields: Any) -> Object:
    """An ingress rule; ``from_`` stands for ``from``."""
    return {"name": "r", **{name.removesuffix("_"): value for name, value in fields.items()}}


def ingress(**fields: Any) -> Object:
    return policy({"ingress": [rule(**fields)]})


def caller(**fields: Any) -> Object:
    return ingress(from_=[{name.removesuffix("_"): value for name, value in fields.items()}])


def egress(**fields: Any) -> Object:
    return policy({"egress": [rule(**fields)]})


def ports(*values: Any) -> Object:
    return ingress(ports=list(values))


def pod_security(value: Any) -> Object:
    return policy({"admission": {"podSecurity": value}})


def admitting(**sections: Any) -> Object:
    return policy({"admission": sections})


def images(**fields: Any) -> Object:
    return admitting(images=fields)


def registries(*places: Any) -> Object:
    return images(registries=list(places))


def exception(**fields: Any) -> Object:
    whole = {
        "name": "collector",
        "namespace": "logging",
        "identities": ["collector"],
        "controls": ["host-path"],
        "reason": "Reads the nodes' logs.",
        "until": "2027-03-31T00:00:00Z",
        **fields,
    }
    left = {name: value for name, value in whole.items() if value is not NOTHING}
    return cluster_policy({"namespaceSelector": {}, "exceptions": [left]})


def selecting(selector: Any) -> Object:
    return policy({"appliesTo": {"podSelector": selector}, "ingress": [rule()]})


def requirement(**fields: Any) -> Object:
    return selecting({"matchExpressions": [fields]})


GOOD: dict[str, Object] = {
    "certificate: nothing said": certificate(),
    "certificate: whole": certificate(
        secretName="payments-identity",
        ttl="1h30m",
        renewAt=0.5,
        keyAlgorithm="RSA-3072",
        dnsNames=["pay.example.com", "localhost", "a.1b", "a.1-2"],
    ),
    "certificate: of another ServiceAccount": identity(
        spec={"serviceAccountName": "till", "certificate": {"secretName": "till-identity"}}
    ),
    "certificate: shortest": certificate(ttl="10m", renewAt=0.1),
    "certificate: longest": certificate(ttl="24h", renewAt=0.9),
    "certificate: longest in minutes": certificate(ttl="23h59m60s"),
    "certificate: 32 names": certificate(dnsNames=[f"n{n}.example.com" for n in range(32)]),
    "certificate: label of 63": certificate(dnsNames=["a" * 63 + ".example.com"]),
    "grant: exact": grant(),
    "grant: of a suffix": grant(dnsNames=["*.example.com", "example.com"]),
    "identity: nothing but a name": identity(),
    "identity: no spec": {k: v for k, v in identity().items() if k != "spec"},
    "identity: a ServiceAccount": identity(spec={"serviceAccountName": "pay"}),
    "identity: a ServiceAccount with dots": identity(spec={"serviceAccountName": "a.b-c.0"}),
    "identity: name of 63": identity("x" * 63),
    "identity: name of 253 and a ServiceAccount of 63": identity("x" * 253, {"serviceAccountName": "y" * 63}),
    "identity: labels and annotations": identity(
        metadata={"name": "a", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"c": "true"}}
    ),
    "policy: one rule": policy(),
    "policy: name of 253": policy(name="x" * 253),
    "policy: admission only": policy({"admission": {"podSecurity": "privileged"}}),
    "pod security: level and version": pod_security({"level": "restricted", "version": "1.31"}),
    "pod security: level without version": pod_security({"level": "baseline"}),
    "pod security: first version": pod_security({"level": "restricted", "version": "1.0"}),
    "pod security: newest version": pod_security({"level": "restricted", "version": "1.35"}),
    "pod security: latest": pod_security({"level": "privileged", "version": "latest"}),
    "signatures: by key": signed(keys=[PEM]),
    "signatures: keyless": signed(keyless=[SIGNER]),
    "signatures: every image": signed(images=["*", "docker.io/*", "localhost:5000/a/b-c", "a.example/*"], keys=[PEM]),
    "signatures: a whole path of signers": signed(
        keyless=[{**SIGNER, "identity": "https://code.example/shop/*"}, {**SIGNER, "identity": "x://h/p@*"}]
    ),
    "signatures: a signer's mail address": signed(keyless=[{**SIGNER, "identity": "release@corp.example"}]),
    "policy: egress only": egress(),
    "admission: every section": admitting(
        podSecurity="restricted",
        images={"registries": ["registry.example"], "requireDigest": True, "forbidLatest": True},
        credentials={
            "forbidInEnvironment": True,
            "forbidInArguments": True,
            "forbidSecretVariables": True,
            "names": ["LEGACY_PIN", "x-pin", "_a.b"],
        },
        serviceAccount={"forbidAutomount": True, "forbidDefault": True},
        resources={"requireLimits": ["memory"], "requireRequests": ["cpu", "ephemeral-storage", "memory"]},
        pods={
            "requireReadOnlyRoot": True,
            "forbidHostAliases": True,
            "forbidPrivilegedPorts": True,
            "forbidEphemeralContainers": True,
        },
        sessions={"forbidExec": True, "forbidAttach": True, "forbidPortForward": True},
    ),
    "registries: every form": registries(
        "docker.io",
        "docker.io/library/nginx",
        "registry.example:5000/shop",
        "registry:5000",
        "localhost",
        "localhost:5000/a/b_c/d__e/f-g--h/i.j",
        "10.0.0.1:5000",
        "[2001:db8::1]:5000/shop",
    ),
    "registries: 128": registries(*(f"r{number}.example" for number in range(128))),
    "policy: audit": policy({"mode": "Audit", "ingress": [rule(action="Deny")]}),
    "policy: identities": policy({"appliesTo": {"identities": ["a", "b.c"]}, "ingress": [rule()]}),
    "policy: 64 identities": policy({"appliesTo": {"identities": [f"i{n}" for n in range(64)]}, "ingress": [rule()]}),
    "policy: the same rule name in both directions": policy({"ingress": [rule()], "egress": [rule()]}),
    "policy: 100 rules": policy({"ingress": [{"name": f"r{n}"} for n in range(100)]}),
    "policy: 64 peers and ports": ingress(from_=[{"zone": f"z{n}"} for n in range(64)], ports=list(range(1, 65))),
    "rule: name of 63": policy({"ingress": [{"name": "r" * 63}]}),
    "selector: labels": selecting({"matchLabels": {"app": "a", "example.org/Tier_1.x": "", "x/y": "B-c_d.e"}}),
    "selector: key of 253/63": selecting({"matchLabels": {"a" * 253 + "/" + "b" * 63: "c" * 63}}),
    "selector: In": requirement(key="app", operator="In", values=["a", ""]),
    "selector: NotIn": requirement(key="app", operator="NotIn", values=["a"]),
    "selector: Exists": requirement(key="app", operator="Exists"),
    "selector: DoesNotExist": requirement(key="ringfence.dev/identity", operator="DoesNotExist"),
    "peer: identity of the own namespace": caller(identity={"name": "checkout"}),
    "peer: identity of another": caller(identity={"namespace": "web", "name": "check.out"}),
    "peer: zone": caller(zone="a"),
    "peer: namespace": caller(namespace="0-a"),
    "peer: SPIFFE ID": caller(spiffeID="spiffe://example.org/ns/shop/sa/checkout"),
    "peer: SPIFFE ID with dots": caller(spiffeID="spiffe://a_b.c-d/..a/.../A"),
    "peer: cidr": caller(cidr="10.0.0.0/8"),
    "peer: everything": caller(cidr="0.0.0.0/0"),
    "peer: one address": caller(cidr="192.0.2.1/32"),
    "peer: cidr of version 6": caller(cidr="2001:db8::/32"),
    "peer: cidr of version 6 in full": caller(cidr="2001:db8:1:2:3:4:5:6/128"),
    "peer: all of version 6": caller(cidr="::/0"),
    "peer: except": caller(cidr="10.0.0.0/8", except_=["10.0.0.0/9", "10.128.0.0/10"]),
    "peer: 16 exceptions": caller(cidr="10.0.0.0/8", except_=[f"10.{n}.0.0/16" for n in range(16)]),
    "peer: apiServer": caller(apiServer=True),
    "peer: anonymous": caller(anonymous=True),
    "peer: apiServer in egress": egress(to=[{"apiServer": True}]),
    "ports: every form": ports(1, 65535, "http", {"port": 53, "protocol": "UDP"}, {"port": "sip", "protocol": "SCTP"}),
    "ports: a range": ports({"port": 8000, "endPort": 8100, "protocol": "TCP"}),
    "ports: a range of one": ports({"port": 8000, "endPort": 8000}),
    "ports: a whole number with a fraction of nothing": ports(8443.0),
    "ports: odd names": ports("a", "0a", "a-b", "1-2-c", "a" * 15),
    "cluster policy: every namespace": cluster_policy(),
    "cluster policy: a selector": cluster_policy(
        {"namespaceSelector": {"matchLabels": {"env": "prod"}}, "ingress": [rule(from_=[{"anonymous": True}])]}
    ),
    "cluster policy: identity with its namespace": cluster_policy(
        {"namespaceSelector": {}, "egress": [rule(to=[{"identity": {"namespace": "a", "name": "b"}}])]}
    ),
    "exception": exception(),
    "exception: another time zone": exception(until="2027-03-31T23:59:59+02:00"),
    "exception: a leap day": exception(until="2028-02-29T00:00:00Z"),
    "exception: a reason in any language": exception(reason="Прочитать журналы — 必要"),
}

REFUSED: dict[str, Object] = {
    "kind: unknown version": {**policy(), "apiVersion": "ringfence.dev/v1"},
    "metadata: bad name": policy(name="Payments"),
    "metadata: name of 254": policy(name="x" * 254),
    "metadata: name with a look-alike letter": policy(name="p\u0430yments"),
    "metadata: label that is not a string": policy(metadata={"name": "a", "namespace": "shop", "labels": {"a": True}}),
    "metadata: unknown field": policy(metadata={"name": "a", "namespace": "shop", "lables": {}}),
    "identity: default ServiceAccount of 64": identity("x" * 64),
    "identity: ServiceAccount of 64": identity(spec={"serviceAccountName": "x" * 64}),
    "identity: empty ServiceAccount": identity(spec={"serviceAccountName": ""}),
    "identity: ServiceAccount with a line end": identity(spec={"serviceAccountName": "pay\n"}),
    "identity: ServiceAccount with NUL": identity(spec={"serviceAccountName": "pay\x00"}),
    "identity: ServiceAccount in capitals": identity(spec={"serviceAccountName": "Pay"}),
    "identity: ServiceAccount that is a number": identity(spec={"serviceAccountName": 7}),
    "identity: spec is a list": identity(spec=[]),
    "policy: no spec": {k: v for k, v in policy().items() if k != "spec"},
    "policy: spec is null": policy(None),
    "policy: says nothing": policy({}),
    "policy: mode only": policy({"mode": "Enforce"}),
    "policy: unknown mode": policy({"mode": "enforce", "ingress": [rule()]}),
    "policy: mode is null": policy({"mode": None, "ingress": [rule()]}),
    "policy: ingress is an object": policy({"ingress": rule()}),
    "policy: ingress is empty": policy({"ingress": [], "egress": [rule()]}),
    "policy: rule is null": policy({"ingress": [None]}),
    "policy: rule is a string": policy({"ingress": ["r"]}),
    "policy: 101 rules": policy({"ingress": [{"name": f"r{n}"} for n in range(101)]}),
    "policy: 10,000 rules": policy({"ingress": [{"name": f"r{n}"} for n in range(10_000)]}),
    "policy: two rules of one name": policy({"ingress": [rule(), rule(action="Deny")]}),
    "policy: appliesTo is empty": policy({"appliesTo": {}, "ingress": [rule()]}),
    "policy: appliesTo has both": policy(
        {"appliesTo": {"identities": ["a"], "podSelector": {"matchLabels": {"a": "b"}}}, "ingress": [rule()]}
    ),
    "policy: no identities": policy({"appliesTo": {"identities": []}, "ingress": [rule()]}),
    "policy: identities twice": policy({"appliesTo": {"identities": ["a", "a"]}, "ingress": [rule()]}),
    "policy: 65 identities": policy({"appliesTo": {"identities": [f"i{n}" for n in range(65)]}, "ingress": [rule()]}),
    "policy: admission is empty": policy({"admission": {}}),
    "admission: a section is empty": admitting(images={}),
    "admission: every section is empty": admitting(
        images={}, credentials={}, serviceAccount={}, resources={}, pods={}, sessions={}
    ),
    "admission: a switch is false": images(requireDigest=False),
    "admission: a switch is a word": images(requireDigest="true"),
    "registries: none": registries(),
    "registries: null": images(registries=None),
    "registries: 129": registries(*(f"r{number}.example" for number in range(129))),
    "registries: twice": registries("registry.example", "registry.example"),
    "registries: no registry": registries("nginx"),
    "registries: no registry but a path": registries("library/nginx"),
    "registries: everything": registries("*"),
    "registries: pattern": registries("*.example"),
    "registries: pattern in the path": registries("registry.example/*"),
    "registries: empty": registries(""),
    "registries: upper case": registries("Registry.example"),
    "registries: upper case in the path": registries("registry.example/Shop"),
    "registries: scheme": registries("https://registry.example"),
    "registries: user": registries("user@registry.example"),
    "registries: slash at the end": registries("registry.example/"),
    "registries: two slashes": registries("registry.example//shop"),
    "registries: dots in the path": registries("registry.example/../shop"),
    "registries: dot at the end": registries("registry.example."),
    "registries: tag": registries("registry.example/shop:v1"),
    "registries: digest": registries("registry.example/shop@sha256:" + "0" * 64),
    "registries: look-alike": registries("r\u0435gistry.example"),
    "registries: line end": registries("registry.example\n"),
    "registries: former name": registries("index.docker.io"),
    "registries: former name with a path": registries("index.docker.io/library"),
    "registries: too long": registries("registry.example/" + "a" * 255),
    "credentials: names only": admitting(credentials={"names": ["PIN"]}),
    "credentials: names beside files": admitting(credentials={"names": ["PIN"], "forbidSecretVariables": True}),
    "credentials: no names": admitting(credentials={"names": [], "forbidInArguments": True}),
    "credentials: a pattern": admitting(credentials={"names": ["PIN.*"], "forbidInArguments": True}),
    "resources: none": admitting(resources={"requireLimits": []}),
    "resources: unknown": admitting(resources={"requireLimits": ["gpu"]}),
    "resources: twice": admitting(resources={"requireLimits": ["cpu", "cpu"]}),
    "signatures: none": policy({"admission": {"images": {"signatures": []}}}),
    "signatures: by nobody": signed(),
    "signatures: by key and keyless": signed(keys=[PEM], keyless=[SIGNER]),
    "signatures: no keys": signed(keys=[]),
    "signatures: a private key": signed(keys=[PEM.replace("PUBLIC", "PRIVATE")]),
    "signatures: no images": signed(images=[], keys=[PEM]),
    "signatures: a tag": signed(images=["registry.example/app:v1"], keys=[PEM]),
    "signatures: a digest": signed(images=["registry.example/app@sha256:" + "0" * 64], keys=[PEM]),
    "signatures: half a name": signed(images=["registry.example/app*"], keys=[PEM]),
    "signatures: a host alone": signed(images=["registry.example"], keys=[PEM]),
    "signatures: upper case": signed(images=["registry.example/App"], keys=[PEM]),
    "signatures: a name without a registry": signed(images=["nginx"], keys=[PEM]),
    "signatures: a name that is none": signed(images=["docker.io/nginx"], keys=[PEM]),
    "signatures: the former name": signed(images=["index.docker.io/library/nginx"], keys=[PEM]),
    "signatures: issuer without TLS": signed(keyless=[{**SIGNER, "issuer": "http://token.example"}]),
    "signatures: no issuer": signed(keyless=[{"identity": "a@b.example"}]),
    "signatures: no identity": signed(keyless=[{"issuer": "https://token.example"}]),
    "signatures: everybody": signed(keyless=[{**SIGNER, "identity": "*"}]),
    "signatures: everybody at a host": signed(keyless=[{**SIGNER, "identity": "https://code.example/*"}]),
    "signatures: half an identity": signed(keyless=[{**SIGNER, "identity": "https://code.example/shop/ap*"}]),
    "signatures: a star within": signed(keyless=[{**SIGNER, "identity": "https://code.example/*/app"}]),
    "policy: unknown level": policy({"admission": {"podSecurity": "strict"}}),
    "pod security: a number": pod_security(1),
    "pod security: a boolean": pod_security(True),
    "pod security: a list": pod_security(["restricted"]),
    "pod security: level with a newline": pod_security("restricted\n"),
    "pod security: no level": pod_security({"version": "1.31"}),
    "pod security: empty": pod_security({}),
    "pod security: unknown level": pod_security({"level": "strict"}),
    "pod security: level is null": pod_security({"level": None}),
    "pod security: unknown field": pod_security({"level": "baseline", "versions": "1.31"}),
    "pod security: version without quotes": pod_security({"level": "baseline", "version": 1.3}),
    "pod security: version with v": pod_security({"level": "baseline", "version": "v1.31"}),
    "pod security: version of a patch": pod_security({"level": "baseline", "version": "1.31.2"}),
    "pod security: version with a zero": pod_security({"level": "baseline", "version": "1.05"}),
    "pod security: version of the future": pod_security({"level": "baseline", "version": "1.36"}),
    "pod security: version 2": pod_security({"level": "baseline", "version": "2.0"}),
    "rule: no name": policy({"ingress": [{"action": "Deny"}]}),
    "rule: name is null": policy({"ingress": [{"name": None}]}),
    "rule: name of 64": policy({"ingress": [{"name": "r" * 64}]}),
    "rule: name with a dot": policy({"ingress": [{"name": "a.b"}]}),
    "rule: unknown action": ingress(action="Allowed"),
    "rule: action is null": ingress(action=None),
    "rule: no peers": ingress(from_=[]),
    "rule: peers is an object": ingress(from_={"zone": "a"}),
    "rule: 65 peers": ingress(from_=[{"zone": f"z{n}"} for n in range(65)]),
    "rule: no ports": ports(),
    "rule: 65 ports": ports(*range(1, 66)),
    "selector: empty": selecting({}),
    "selector: empty labels": selecting({"matchLabels": {}}),
    "selector: no expressions": selecting({"matchExpressions": []}),
    "selector: bad key": selecting({"matchLabels": {"a/b/c": "d"}}),
    "selector: empty key": selecting({"matchLabels": {"": "d"}}),
    "selector: key of 254/1": selecting({"matchLabels": {"a" * 254 + "/b": "c"}}),
    "selector: key of 1/64": selecting({"matchLabels": {"a/" + "b" * 64: "c"}}),
    "selector: bad value": selecting({"matchLabels": {"a": "-b"}}),
    "selector: value of 64": selecting({"matchLabels": {"a": "b" * 64}}),
    "selector: value is a number": selecting({"matchLabels": {"a": 1}}),
    "selector: 33 labels": selecting({"matchLabels": {f"l{n}": "x" for n in range(33)}}),
    "selector: In without values": requirement(key="a", operator="In"),
    "selector: In with no values": requirement(key="a", operator="In", values=[]),
    "selector: Exists with values": requirement(key="a", operator="Exists", values=["b"]),
    "selector: unknown operator": requirement(key="a", operator="Gt", values=["1"]),
    "selector: no operator": requirement(key="a"),
    "selector: no key": requirement(operator="Exists"),
    "peer: empty": caller(),
    "peer: null": ingress(from_=[None]),
    "peer: a string": ingress(from_=["checkout"]),
    "peer: two at once": caller(zone="a", namespace="b"),
    "peer: identity is a string": caller(identity="checkout"),
    "peer: identity without name": caller(identity={"namespace": "shop"}),
    "peer: identity with a star": caller(identity={"name": "*"}),
    "peer: identity in capitals": caller(identity={"name": "Checkout"}),
    "peer: zone is empty": caller(zone=""),
    "peer: zone of 64": caller(zone="z" * 64),
    "peer: zone with a look-alike letter": caller(zone="z\u043ene"),
    "peer: namespace with a dot": caller(namespace="a.b"),
    "peer: SPIFFE ID of a trust domain": caller(spiffeID="spiffe://example.org"),
    "peer: SPIFFE ID with dots for segment": caller(spiffeID="spiffe://example.org/a/../b"),
    "peer: SPIFFE ID with a line end": caller(spiffeID="spiffe://example.org/a\n"),
    "peer: SPIFFE ID with a star": caller(spiffeID="spiffe://example.org/*"),
    "peer: SPIFFE ID too long": caller(spiffeID="spiffe://example.org/" + "a" * 2048),
    "peer: cidr with host bits": caller(cidr="10.0.0.1/8"),
    "peer: cidr without prefix": caller(cidr="10.0.0.0"),
    "peer: cidr with a netmask": caller(cidr="10.0.0.0/255.0.0.0"),
    "peer: cidr with a padded prefix": caller(cidr="10.0.0.0/08"),
    "peer: cidr with padded bytes": caller(cidr="010.0.0.0/8"),
    "peer: cidr with a prefix too long": caller(cidr="10.0.0.0/33"),
    "peer: cidr that is none": caller(cidr="example.org"),
    "peer: cidr in capitals": caller(cidr="2001:DB8::/32"),
    "peer: cidr not shortened": caller(cidr="2001:db8:0:0::/32"),
    "peer: cidr with a zone": caller(cidr="fe80::%eth0/64"),
    "peer: cidr of mapped addresses": caller(cidr="::ffff:10.0.0.0/104"),
    "peer: cidr with a line end": caller(cidr="10.0.0.0/8\n"),
    "peer: cidr is a number": caller(cidr=10),
    "peer: except alone": caller(except_=["10.0.0.0/8"]),
    "peer: except beside zone": caller(zone="a", except_=["10.0.0.0/8"]),
    "peer: except outside": caller(cidr="10.0.0.0/8", except_=["11.0.0.0/16"]),
    "peer: except of the other family": caller(cidr="10.0.0.0/8", except_=["2001:db8::/32"]),
    "peer: except everything": caller(cidr="10.0.0.0/8", except_=["10.0.0.0/8"]),
    "peer: except wider": caller(cidr="10.0.0.0/8", except_=["0.0.0.0/0"]),
    "peer: except with host bits": caller(cidr="10.0.0.0/8", except_=["10.0.0.1/16"]),
    "peer: except is empty": caller(cidr="10.0.0.0/8", except_=[]),
    "peer: 17 exceptions": caller(cidr="10.0.0.0/8", except_=[f"10.{n}.0.0/16" for n in range(17)]),
    "peer: apiServer is false": caller(apiServer=False),
    "peer: anonymous is a string": caller(anonymous="true"),
    "ports: zero": ports(0),
    "ports: negative": ports(-1),
    "ports: too high": ports(65536),
    "ports: huge": ports(10**30),
    "ports: fraction": ports(80.5),
    "ports: boolean": ports(True),
    "ports: list": ports([80]),
    "ports: empty list in the list": ports([]),
    "ports: number in quotes": ports("8443"),
    "ports: name of 16": ports("a" * 16),
    "ports: name in capitals": ports("HTTP"),
    "ports: name with two dashes": ports("a--b"),
    "ports: name that ends with a dash": ports("a-"),
    "ports: range in a string": ports("80-90"),
    "ports: empty name": ports(""),
    "ports: object without port": ports({"protocol": "UDP"}),
    "ports: empty object": ports({}),
    "ports: unknown protocol": ports({"port": 80, "protocol": "udp"}),
    "ports: unknown field": ports({"port": 80, "proto": "UDP"}),
    "ports: protocol is null": ports({"port": 80, "protocol": None}),
    "ports: port is a boolean": ports({"port": True}),
    "ports: port is an object": ports({"port": {"port": 80}}),
    "ports: endPort is a string": ports({"port": 80, "endPort": "90"}),
    "ports: endPort too high": ports({"port": 80, "endPort": 65536}),
    "cluster policy: no selector": cluster_policy({"admission": {"podSecurity": "baseline"}}),
    "cluster policy: selector is null": cluster_policy(
        {"namespaceSelector": None, "admission": {"podSecurity": "baseline"}}
    ),
    "cluster policy: says nothing": cluster_policy({"namespaceSelector": {}}),
    "cluster policy: identity without namespace": cluster_policy(
        {"namespaceSelector": {}, "ingress": [rule(from_=[{"identity": {"name": "a"}}])]}
    ),
    "exception: no reason": exception(reason=NOTHING),
    "exception: empty reason": exception(reason=""),
    "exception: blank reason": exception(reason="   "),
    "exception: reason of two lines": exception(reason="a\nb"),
    "exception: reason that turns text": exception(reason="a\u202eb"),
    "exception: reason too long": exception(reason="a" * 1025),
    "exception: no end": exception(until=NOTHING),
    "exception: a day": exception(until="2027-03-31"),
    "exception: no time zone": exception(until="2027-03-31T00:00:00"),
    "exception: no such day": exception(until="2027-02-29T00:00:00Z"),
    "exception: no such hour": exception(until="2027-02-28T24:00:00Z"),
    "exception: no such century": exception(until="9999-01-01T00:00:00Z"),
    "exception: no identities": exception(identities=[]),
    "exception: no controls": exception(controls=NOTHING),
    "exception: control with a star": exception(controls=["*"]),
    "certificate: too short": certificate(ttl="9m59s"),
    "certificate: too long": certificate(ttl="24h1s"),
    "certificate: no unit": certificate(ttl="600"),
    "certificate: days": certificate(ttl="1d"),
    "certificate: fractions": certificate(ttl="1.5h"),
    "certificate: order": certificate(ttl="30m1h"),
    "certificate: negative": certificate(ttl="-1h"),
    "certificate: empty life": certificate(ttl=""),
    "certificate: line end": certificate(ttl="4h\n"),
    "certificate: life is a number": certificate(ttl=3600),
    "certificate: renewed at once": certificate(renewAt=0.09),
    "certificate: renewed too late": certificate(renewAt=0.91),
    "certificate: renewAt is a string": certificate(renewAt="0.5"),
    "certificate: renewAt is true": certificate(renewAt=True),
    "certificate: small RSA": certificate(keyAlgorithm="RSA-2048"),
    "certificate: unknown curve": certificate(keyAlgorithm="Ed25519"),
    "certificate: 33 names": certificate(dnsNames=[f"n{n}.example.com" for n in range(33)]),
    "certificate: a name twice": certificate(dnsNames=["a.example.com", "a.example.com"]),
    "certificate: wildcard": certificate(dnsNames=["*.example.com"]),
    "certificate: address": certificate(dnsNames=["192.0.2.1"]),
    "certificate: IPv6 address": certificate(dnsNames=["2001:db8::1"]),
    "certificate: upper case": certificate(dnsNames=["Pay.example.com"]),
    "certificate: trailing dot": certificate(dnsNames=["pay.example.com."]),
    "certificate: NUL": certificate(dnsNames=["pay.example.com\0.evil.example"]),
    "certificate: label of 64": certificate(dnsNames=["a" * 64 + ".example.com"]),
    "certificate: name of 254": certificate(dnsNames=[".".join(["a" * 49] * 5) + ".abcd"]),
    "certificate: look-alike letter": certificate(dnsNames=["p\u0430y.example.com"]),
    "certificate: Secret with a slash": certificate(secretName="a/b"),
    "certificate: Secret of any name": certificate(secretName="payments-tls"),
    "certificate: Secret of another": certificate(secretName="checkout-identity"),
    "certificate: Secret by the resource's name": identity(
        spec={"serviceAccountName": "till", "certificate": {"secretName": "payments-identity"}}
    ),
    "certificate: suffix alone": certificate(secretName="-identity"),
    "grant: no identities": grant(identities=[]),
    "grant: no names": grant(dnsNames=[]),
    "grant: star alone": grant(dnsNames=["*"]),
    "grant: star inside": grant(dnsNames=["a.*.example.com"]),
    "grant: two stars": grant(dnsNames=["*.*.example.com"]),
    "grant: everywhere": grant(namespace=NOTHING),
    "exception: two of one name": cluster_policy(
        {"namespaceSelector": {}, "exceptions": exception()["spec"]["exceptions"] * 2}
    ),
}

KEPT: dict[str, Object] = {
    "top: unknown field": policy(specs={}),
    "top: rules beside spec": policy(ingress=[]),
    "identity: unknown field": identity(spec={"serviceAcountName": "a"}),
    "certificate: unknown field": certificate(secretname="a"),
    "certificate: null": identity(spec={"certificate": None}),
    "certificate: name is null": certificate(secretName=None),
    "certificate: beside it": identity(spec={"secretName": "a"}),
    "identity: ServiceAccount is null": identity(spec={"serviceAccountName": None}),
    "identity: spec is null": identity(spec=None),
    "policy: unknown field": policy({"ingres": [], "egress": [rule()]}),
    "policy: transport": policy({"transport": {"mtls": "Disabled"}, "ingress": [rule()]}),
    "policy: exceptions": policy({"exceptions": [], "ingress": [rule()]}),
    "policy: egress is null": policy({"egress": None, "ingress": [rule()]}),
    "policy: appliesTo is null": policy({"appliesTo": None, "ingress": [rule()]}),
    "policy: appliesTo with a selector of namespaces": policy(
        {"appliesTo": {"identities": ["a"], "namespaceSelector": {}}, "ingress": [rule()]}
    ),
    "policy: level is null": pod_security(None),
    "admission: a section is null": admitting(images=None),
    "pod security: version is null": pod_security({"level": "baseline", "version": None}),
    "admission: unknown section": admitting(podSecurity="baseline", image={}),
    "images: mistyped": images(requireDigest=True, requiredDigest=True),
    "signatures: unknown field": signed(keys=[PEM], key="k"),
    "signatures: keys is null": signed(keys=None, keyless=[SIGNER]),
    "rule: from mistyped": ingress(form=[{"zone": "a"}]),
    "rule: from is null": ingress(from_=None),
    "rule: ports is null": ingress(ports=None),
    "rule: to in ingress": ingress(to=[{"zone": "a"}]),
    "rule: http": ingress(http=[{"methods": ["GET"]}]),
    "rule: jwt": ingress(jwt={"issuer": "corp"}),
    "rule: when": ingress(when=[{"attribute": "a", "in": ["b"]}]),
    "selector: mistyped beside a right one": selecting({"matchLabels": {"a": "b"}, "matchLabel": {"c": "d"}}),
    "selector: values is null": requirement(key="a", operator="Exists", values=None),
    "peer: host beside cidr": egress(to=[{"cidr": "10.0.0.0/8", "host": "api.bank.example"}]),
    "peer: condition beside identity": caller(identity={"name": "a", "zone": "b"}),
    "peer: other kind is null": caller(zone="a", cidr=None),
    "peer: namespace of the identity is null": caller(identity={"name": "a", "namespace": None}),
    "peer: anonymous in egress": egress(to=[{"anonymous": True, "zone": "a"}]),
    "peer: except leaves nothing": caller(cidr="10.0.0.0/8", except_=["10.0.0.0/9", "10.128.0.0/9"]),
    "ports: null": ports(None),
    "ports: endPort before port": ports({"port": 90, "endPort": 80}),
    "ports: endPort after a name": ports({"port": "http", "endPort": 90}),
    "ports: endPort is null": ports({"port": 90, "endPort": None}),
    "cluster policy: appliesTo": cluster_policy(
        {"namespaceSelector": {}, "appliesTo": {"identities": ["a"]}, "ingress": [rule()]}
    ),
    "exception: unknown field": exception(severity="low"),
    "spec of 1 MiB": policy(
        {
            "ingress": [
                rule(from_=[{"spiffeID": f"spiffe://example.org/{n}/" + "a" * 2000} for n in range(64)])
                | {"name": f"r{n}"}
                for n in range(8)
            ]
        }
    ),
}


def cases() -> Iterator[Case]:
    """All of them."""
    for verdict, group in ((Verdict.GOOD, GOOD), (Verdict.REFUSED, REFUSED), (Verdict.KEPT, KEPT)):
        for name, obj in group.items():
            yield Case(name, obj, verdict)

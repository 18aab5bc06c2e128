"""Resources, good and bad, each with who refuses it.

The unit tests hold the parser to it, the component tests a real API server with the CRDs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.unit.api.corpus_kept import KEPT
from tests.unit.api.corpus_making import (
    BY_CLAIM,
    BY_PATH,
    OF_CALLER,
    PEM,
    ROOT,
    SIGNER,
    Object,
    admitting,
    asking,
    caller,
    certificate,
    cluster_policy,
    counting,
    egress,
    exception,
    fetched,
    grant,
    identity,
    ingress,
    issuer,
    jwks,
    pod_security,
    policy,
    ports,
    registries,
    requirement,
    rule,
    selecting,
    signed,
)
from tests.unit.api.corpus_refused import REFUSED


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


GOOD: dict[str, Object] = {
    "traffic: every part": counting(
        ports=[80, "http"],
        rateLimits={
            "all": {"requests": 1_000_000, "per": "24h", "burst": 1_000_000},
            "perCaller": {"requests": 1, "per": "1s", "callers": [OF_CALLER]},
            "perClaim": [
                BY_CLAIM,
                {**BY_CLAIM, "claim": "https://x.example/o'hare"},
                {**BY_CLAIM, "issuer": "partner"},
                BY_PATH,
            ],
            "perHeader": [{"header": "x-tenant", "requests": 5, "per": "1m30s"}],
        },
        maxConnections=1,
        maxBody="1Gi",
        requestHeaders={"maxSize": "96Ki", "maxCount": 10},
        timeouts={"request": "1s", "idle": "24h", "stream": "1h"},
        headers={
            "toProgram": {"remove": ["x-debug"], "set": [{"name": "x-tier", "value": "100% gold"}]},
            "toCaller": {"remove": ["server"]},
        },
    ),
    "traffic: of a floor": cluster_policy({"namespaceSelector": {}, "traffic": [{"name": "a", "maxBody": "1"}]}),
    "rule: a token": asking(claims={"scope": ["a", "b"], "https://x.example/roles": ["c"]}, audiences=["pay"]),
    "rule: claims inside others": asking(
        nested=[{"path": ["realm_access", "roles"], "in": ["a"]}, {"path": ["a", "b", "c", "https://d"], "in": ["e"]}]
    ),
    "rule: no token": asking(absent=True),
    "issuer: with all that there is": issuer(
        header="x-user-token", remove=True, clockSkewSeconds=1, maxLifetime="1h", audiences=["a", "https://b/"]
    ),
    "issuer: an address of keys": fetched(),
    "issuer: an address of keys with all that there is": fetched(
        "https://a-1.idp.example:8443/a/b%20c;d/keys?v=1&x=/?", caBundle=f"the root:\r\n{ROOT}{ROOT}"
    ),
    "issuer: a policy's own": policy(
        {"jwtIssuers": [{"name": "a", "issuer": "b", "audiences": ["c"], "jwks": jwks()}], "ingress": [rule()]}
    ),
    "rule: requests": ingress(
        ports=[80],
        http=[
            {"methods": ["GET"], "paths": ["/", "/a/*", "/a/{*}/b"], "hosts": ["a.b"]},
            {"upgrades": ["websocket"]},
            {"methods": ["CONNECT"], "hosts": ["a.b"]},
        ],
        when=[{"attribute": "request.headers[a-b]", "in": ["c"]}, {"attribute": "request.headers[d]", "absent": True}],
    ),
    "rule: parameters and times": ingress(
        ports=[80],
        when=[
            {"attribute": "request.query[a.b]", "prefix": ["c"]},
            {"attribute": "request.time", "within": [{"days": ["Mon"], "from": "22:00", "to": "06:00"}]},
            {"attribute": "request.time", "outside": [{"notBefore": "2026-01-31T23:59:59Z"}]},
        ],
    ),
    "rule: the source, on every port": ingress(
        when=[
            {"attribute": "source.namespace", "in": ["a"]},
            {"attribute": "source.zone", "exists": True},
            {"attribute": "source.labels[role]", "notIn": ["b"]},
        ]
    ),
    "identity: labels for policies": identity(spec={"labels": {"role": "a.b-c_D", "1": "2"}}),
    "rule: gRPC": ingress(ports=[80], http=[{"grpc": [{"service": "a.b.C", "methods": ["D"]}], "hosts": ["a.b"]}]),
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
    "peer: host": egress(to=[{"host": "api.bank.example"}], ports=[443, {"port": 8443}]),
    "peer: host by wildcard, beside an identity": egress(
        to=[{"host": "*.bank.example"}, {"identity": {"name": "a"}}], ports=[443]
    ),
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
    "invariants": cluster_policy(
        {
            "namespaceSelector": {},
            "neverAllow": [
                {"name": "a", "from": [{"anonymous": True}], "to": [{"zone": "z"}], "through": [{"namespace": "n"}]},
                {"name": "b", "unless": [{"zone": "z"}], "to": [{"cidr": "::/0"}], "reach": "Direct", "ports": ["x"]},
            ],
            "alwaysAllow": [{"name": "a", "from": [{"apiServer": True}], "ports": [{"port": 1, "endPort": 9}]}],
        }
    ),
    "invariants: about requests": cluster_policy(
        {
            "namespaceSelector": {},
            "neverAllow": [{"name": "a", "to": [{"zone": "z"}], "http": [{"methods": ["DELETE"], "paths": ["/r/*"]}]}],
            "alwaysAllow": [
                {
                    "name": "a",
                    "from": [{"zone": "z"}],
                    "ports": [80],
                    "http": [{"paths": ["/metrics"]}, {"grpc": [{"service": "a.B"}]}],
                }
            ],
        }
    ),
    "exception": exception(),
    "exception: another time zone": exception(until="2027-03-31T23:59:59+02:00"),
    "exception: a leap day": exception(until="2028-02-29T00:00:00Z"),
    "exception: a reason in any language": exception(reason="Прочитать журналы — 必要"),
}


def cases() -> Iterator[Case]:
    """All of them."""
    for verdict, group in ((Verdict.GOOD, GOOD), (Verdict.REFUSED, REFUSED), (Verdict.KEPT, KEPT)):
        for name, obj in group.items():
            yield Case(name, obj, verdict)

"""Resources, good and bad, each with who refuses it.

The unit tests hold the parser to it, the component tests a real API server with the CRDs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.unit.api.corpus_making import (
    NO_ROOT,
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
    images,
    ingress,
    issuer,
    jwks,
    limited,
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


_CLAIM = {"issuer": "corp", "claim": "sub", "requests": 5, "per": "1m"}
_PATH = {"issuer": "corp", "path": ["org", "a.b", "id"], "requests": 5, "per": "1m"}
_CALLER = {"identity": {"name": "b"}, "requests": 5, "per": "1m"}

GOOD: dict[str, Object] = {
    "traffic: every part": counting(
        ports=[80, "http"],
        rateLimits={
            "all": {"requests": 1_000_000, "per": "24h", "burst": 1_000_000},
            "perCaller": {"requests": 1, "per": "1s", "callers": [_CALLER]},
            "perClaim": [
                _CLAIM,
                {**_CLAIM, "claim": "https://x.example/o'hare"},
                {**_CLAIM, "issuer": "partner"},
                _PATH,
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


KEPT: dict[str, Object] = {
    "traffic: mistyped": counting(maxBody="1Mi", maxbody="1Ki"),
    "traffic: ports is null": counting(maxBody="1Mi", ports=None),
    "traffic: UDP": counting(maxBody="1Mi", ports=[{"port": 53, "protocol": "UDP"}]),
    "traffic: a body of 2Gi": counting(maxBody="2Gi"),
    "traffic: headers of 97Ki": counting(requestHeaders={"maxSize": "97Ki"}),
    "traffic: a limit by another name": limited(limit=5),
    "traffic: a caller twice": counting(
        rateLimits={"perCaller": {"requests": 1, "per": "1s", "callers": [_CALLER, _CALLER]}}
    ),
    "traffic: a claim twice": counting(rateLimits={"perClaim": [_CLAIM, {**_CLAIM, "requests": 6}]}),
    "traffic: a path twice": counting(rateLimits={"perClaim": [_PATH, {**_PATH, "requests": 6}]}),
    "traffic: a header twice": counting(rateLimits={"perHeader": [{"header": "a", "requests": 1, "per": "1s"}] * 2}),
    "traffic: the client certificate": counting(headers={"toProgram": {"remove": ["x-forwarded-client-cert"]}}),
    "traffic: the client certificate, as CGI has it": counting(
        headers={"toProgram": {"set": [{"name": "x_forwarded_client_cert", "value": "a"}]}}
    ),
    "traffic: the host": counting(headers={"toProgram": {"set": [{"name": "host", "value": "a"}]}}),
    "traffic: a secret": counting(headers={"toProgram": {"set": [{"name": "authorization", "value": "Bearer a"}]}}),
    "traffic: set and removed": counting(headers={"toCaller": {"set": [{"name": "a", "value": "b"}], "remove": ["a"]}}),
    "traffic: a header that a rule looks at": policy(
        {
            "ingress": [{"name": "a", "ports": [80], "when": [{"attribute": "request.headers[x-env]", "in": ["b"]}]}],
            "traffic": [{"name": "a", "headers": {"toProgram": {"remove": ["x-env"]}}}],
        }
    ),
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
    "policy: transport is null": policy({"transport": None, "ingress": [rule()]}),
    "policy: oldest version of TLS": policy({"transport": {"mtls": "Strict", "minTLSVersion": "1.2"}}),
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
    "rule: http without ports": ingress(http=[{"methods": ["GET"]}]),
    "rule: http on UDP": ingress(ports=[{"port": 53, "protocol": "UDP"}], http=[{"methods": ["GET"]}]),
    "rule: a header that proxies write": ingress(
        ports=[80], when=[{"attribute": "request.headers[x-forwarded-for]", "exists": True}]
    ),
    "rule: http in egress": policy({"egress": [{"name": "a", "ports": [80], "http": [{"methods": ["GET"]}]}]}),
    "rule: a token without ports": ingress(jwt={"issuer": "corp"}),
    "rule: a token on a UDP port": ingress(ports=[{"port": 80, "protocol": "UDP"}], jwt={"issuer": "corp"}),
    "rule: a token in egress": policy({"egress": [{"name": "a", "ports": [80], "jwt": {"issuer": "corp"}}]}),
    "rule: a token and none": asking(absent=True, claims={"a": ["b"]}),
    "rule: a path twice": asking(nested=[{"path": ["a", "b"], "in": ["c"]}, {"path": ["a", "b"], "in": ["d"]}]),
    "rule: no token and a path": asking(absent=True, nested=[{"path": ["a", "b"], "in": ["c"]}]),
    "rule: audiences twice": asking(audiences=["a"], claims={"aud": ["a"]}),
    "rule: several words of a scope": asking(claims={"scope": ["a b"]}),
    "rule: a claim with a space in its name": asking(claims={"a b": ["c"]}),
    "rule: a Deny with any token": ingress(ports=[80], action="Deny", jwt={"issuer": "corp"}),
    "issuer: keys that are no JSON": issuer(jwks="keys"),
    "issuer: no keys": issuer(jwks='{"keys": []}'),
    "issuer: a symmetric key": issuer(jwks=jwks({"kty": "oct", "k": "c2VjcmV0"})),
    "issuer: in a header that proxies write": issuer(header="x-forwarded-for"),
    "issuer: an address of keys at a port that there is not": fetched("https://corp.example:65536/keys"),
    "issuer: roots that are no certificates": fetched(caBundle="roots"),
    "issuer: roots that cannot be read": fetched(
        caBundle="-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"
    ),
    "issuer: roots that sign nobody": fetched(caBundle=ROOT + NO_ROOT),
    "issuer: a private key among roots": fetched(caBundle=f"{ROOT}-----BEGIN PRIVATE KEY-----\n"),
    "selector: mistyped beside a right one": selecting({"matchLabels": {"a": "b"}, "matchLabel": {"c": "d"}}),
    "selector: values is null": requirement(key="a", operator="Exists", values=None),
    "peer: host without ports": egress(to=[{"host": "api.bank.example"}]),
    "peer: host in a Deny": egress(to=[{"host": "api.bank.example"}], ports=[443], action="Deny"),
    "peer: host with a range of ports": egress(to=[{"host": "a.example"}], ports=[{"port": 1, "endPort": 9}]),
    "peer: host with a named port": egress(to=[{"host": "api.bank.example"}], ports=[443, "https"]),
    "peer: host with UDP": egress(to=[{"host": "a.example"}], ports=[{"port": 443, "protocol": "UDP"}]),
    "peer: host of one label": egress(to=[{"host": "payments"}], ports=[443]),
    "peer: host in the cluster": egress(to=[{"host": "payments.shop.svc"}], ports=[443]),
    "peer: host in the cluster in full": egress(to=[{"host": "payments.shop.svc.cluster.local"}], ports=[443]),
    "peer: host that serves credentials": egress(to=[{"host": "metadata.google.internal"}], ports=[80]),
    "peer: host that is localhost": egress(to=[{"host": "a.localhost"}], ports=[443]),
    "peer: every host of a domain of the first level": egress(to=[{"host": "*.com"}], ports=[443]),
    "peer: a wildcard of thirteen labels": egress(to=[{"host": f"*.{'a.' * 11}example"}], ports=[443]),
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

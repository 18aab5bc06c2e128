"""Resources that the API server keeps though something is wrong with them: the parser refuses them."""

from tests.unit.api.corpus_making import (
    BY_CLAIM,
    BY_PATH,
    NO_ROOT,
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
    identity,
    images,
    ingress,
    issuer,
    jwks,
    limited,
    pod_security,
    policy,
    ports,
    requirement,
    rule,
    selecting,
    signed,
)

KEPT: dict[str, Object] = {
    "traffic: mistyped": counting(maxBody="1Mi", maxbody="1Ki"),
    "traffic: ports is null": counting(maxBody="1Mi", ports=None),
    "traffic: UDP": counting(maxBody="1Mi", ports=[{"port": 53, "protocol": "UDP"}]),
    "traffic: a body of 2Gi": counting(maxBody="2Gi"),
    "traffic: headers of 97Ki": counting(requestHeaders={"maxSize": "97Ki"}),
    "traffic: a limit by another name": limited(limit=5),
    "traffic: a caller twice": counting(
        rateLimits={"perCaller": {"requests": 1, "per": "1s", "callers": [OF_CALLER, OF_CALLER]}}
    ),
    "traffic: a claim twice": counting(rateLimits={"perClaim": [BY_CLAIM, {**BY_CLAIM, "requests": 6}]}),
    "traffic: a path twice": counting(rateLimits={"perClaim": [BY_PATH, {**BY_PATH, "requests": 6}]}),
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

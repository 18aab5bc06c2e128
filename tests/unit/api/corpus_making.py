"""Short ways to write the resources of the corpus."""

import copy
import json
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


NOTHING = object()
#: Limits of an entry of traffic: by a claim, by a claim inside others, and what one caller may.
BY_CLAIM = {"issuer": "corp", "claim": "sub", "requests": 5, "per": "1m"}
BY_PATH = {"issuer": "corp", "path": ["org", "a.b", "id"], "requests": 5, "per": "1m"}
OF_CALLER = {"identity": {"name": "b"}, "requests": 5, "per": "1m"}


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


#: A public key of P-256, made for this file, as an issuer of tokens serves it.
JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "IU7O-ICxrXoNQQR_FFujRNCJctoiPD066go8mT3JAwE",
    "y": "2PyQ2OpithUADKz9FfyZWqjhFSix21ovwlThY_RDCXg",
    "kid": "one",
}


#: A root, made for this file, and a certificate that is none.
ROOT = (
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBOTCB4KADAgECAgEBMAoGCCqGSM49BAMCMBsxGTAXBgNVBAMMEHJvb3Qgb2Yg\n"
    "ZXhhbXBsZXMwIBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAxMDEwMDAwMDBaMBsxGTAX\n"
    "BgNVBAMMEHJvb3Qgb2YgZXhhbXBsZXMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
    "AATmDR1TCyJ6fRAdVMLOpxBruD6syXlks0f1Yvx2TL7dMktM+rQFplYdvqCBt3Pp\n"
    "CnEYSGuIn7JMGSiZWJyUgeNAoxMwETAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49\n"
    "BAMCA0gAMEUCIEp3dUGnzqjikrSxWz6qgsoGHZx7Hnihq1/Ujlg2OsuEAiEAlUEv\n"
    "Psz1EihHPdssxTMArRGw1aeaHrgLCcTs82Nby6Q=\n"
    "-----END CERTIFICATE-----\n"
)
NO_ROOT = (
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBEjCBuaADAgECAgEBMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB25vIHJvb3Qw\n"
    "IBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAxMDEwMDAwMDBaMBIxEDAOBgNVBAMMB25v\n"
    "IHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARGFV/cCEbipqX7lreWQCUA\n"
    "HdepuwkTbHjmY3tNNm4AI7n1+Osiv+nXS3xVWcDtsxJhn/wJMoMWYst+Tj9Khvdg\n"
    "MAoGCCqGSM49BAMCA0gAMEUCIDU8uJ4oB9rb27+1R7Q1DEpm3E8Rv2ibuGfXJVB+\n"
    "4IDHAiEAsjjI3cCKs/I4+PuYOlv5zKevcEizIGDMVydtC1Vd7xw=\n"
    "-----END CERTIFICATE-----\n"
)


def fetched(uri: object = "https://login.corp.example/keys", **fields: Any) -> Object:
    """A ClusterSecurityPolicy that declares an issuer whose keys are fetched."""
    return issuer(jwks=NOTHING, jwksUri=uri, **fields)


def jwks(*keys: Any) -> str:
    """A JSON Web Key Set."""
    return json.dumps({"keys": list(keys or (JWK,))})


def issuer(**fields: Any) -> Object:
    """A ClusterSecurityPolicy that declares an issuer of tokens."""
    whole = {"name": "corp", "issuer": "https://corp.example", "audiences": ["pay"], "jwks": jwks(), **fields}
    left = {name: value for name, value in whole.items() if value is not NOTHING}
    return cluster_policy({"namespaceSelector": {}, "jwtIssuers": [left]})


def asking(**fields: Any) -> Object:
    """A policy with a rule that asks for a token."""
    return ingress(ports=[80], jwt={"issuer": "corp", **fields})


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


def counting(**parts: Any) -> Object:
    """A policy with one entry of traffic."""
    return policy({"traffic": [{"name": "a", **parts}]})


def limited(**rate: Any) -> Object:
    """A policy with one rate limit, of all requests."""
    return counting(rateLimits={"all": {"requests": 10, "per": "1s", **rate}})


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

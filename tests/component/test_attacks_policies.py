"""Policies that are as odd and as long as they are taken: Envoy takes what becomes of them.

A configuration that Envoy refuses leaves what was there before in force. So whoever could write a policy of which Envoy
takes nothing would be left alone by every later one, the platform's floors among them.
"""

import string
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from ringfence import api
from ringfence.model.mesh import ServicePort
from ringfence.model.resources import SecurityPolicy
from ringfence.translate.envoy import static

from tests.component.request_rig import INSTALLATION
from tests.component.test_proxy_golden import validate
from tests.unit.api.corpus_making import JWK, jwks, policy, rule
from tests.unit.policy import making as policies
from tests.unit.translate.envoy import making
from tests.unit.translate.envoy.making import service

pytestmark = pytest.mark.component

PORTS = [{"name": "c", "ports": [{"containerPort": 8080}, {"containerPort": 5432}]}]
SERVICES = {"shop": (service("db", ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432)),)}
PRINTABLE = "".join(sorted(set(string.printable) - set(string.whitespace)))
NAME = ".".join(["a" * 61, *["b" * 63] * 2, "c" * 63])
LABEL = "d" * 63
RATE = {"requests": 1_000_000, "per": "7s", "burst": 1_000_000}
JWT = {"issuer": LABEL, "claims": {PRINTABLE[::-1]: [PRINTABLE, "true", "3", "1e+22"], "a.b": ["c"], "scope": ["%"]}}


def asking(**fields: Any) -> dict[str, Any]:
    """An ingress rule of a name as long as there is, about requests to the port that speaks HTTP."""
    return rule(name=LABEL, ports=[8080], **fields)


def http(**fields: Any) -> dict[str, Any]:
    return {"ingress": [asking(http=[fields])]}


def when(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"ingress": [asking(when=list(conditions))]}


def limits(**fields: Any) -> dict[str, Any]:
    return {"ingress": [rule()], "traffic": [{"name": LABEL, "rateLimits": fields}]}


def changes(values: dict[str, str]) -> dict[str, Any]:
    given = {"set": [{"name": name, "value": value} for name, value in values.items()]}
    given["remove"] = [f"r-{number}" for number in range(16)]
    return {"ingress": [rule()], "traffic": [{"name": LABEL, "headers": {"toProgram": given, "toCaller": given}}]}


def issued(**fields: Any) -> dict[str, Any]:
    one = {"name": LABEL, "issuer": PRINTABLE, "audiences": [PRINTABLE[::-1]], "jwks": jwks(JWK), **fields}
    return {"jwtIssuers": [one], "ingress": [asking(jwt=JWT)]}


def calling(*hosts: str) -> dict[str, Any]:
    return {"egress": [rule(name=LABEL, to=[{"host": each} for each in hosts], ports=[80, 443, 65535])]}


#: Paths of the greatest length, and with as many open segments as fit.
OPEN = (
    "/{*}" * 20,
    "/{*}" * 19 + "/*",
    "/{*}/" + "a.+(" * 18,
    "/{*}" + "/a" * 38,
    "/a{}/{}".replace("{}", "$") + "/{*}" * 17,
)
LONG = ("/" + "a.b-c_d~e!f$g&h'i(j)k+l,m=n:o@" * 8, "/a" * 127 + "/*")
WINDOWS = [
    {"days": ["Mon", "Wed", "Fri"], "from": f"{hour:02}:59", "to": f"{hour:02}:58", "offset": "-13:59"}
    for hour in range(8)
]
CASES: dict[str, dict[str, Any]] = {
    **{f"open path {number}": http(paths=[path]) for number, path in enumerate(OPEN)},
    **{
        f"open path {number} of a Deny": {"ingress": [asking(action="Deny", http=[{"paths": [path]}])]}
        for number, path in enumerate(OPEN)
    },
    "long paths": http(paths=list(LONG)),
    "many of all": http(
        methods=[chr(65 + n) * 32 for n in range(16)],
        paths=[f"/{n}{LONG[0][:250]}" for n in range(32)],
        hosts=[f"{chr(97 + n)}{NAME[1:]}" for n in range(16)],
        upgrades=["websocket"],
    ),
    "gRPC": http(grpc=[{"service": "a" * 200, "methods": ["b" * 100]}]),
    "headers": when(
        {"attribute": "request.headers[a-b-c-d]", "in": [PRINTABLE.replace(",", "") * 2]},
        {"attribute": "request.headers[x]", "prefix": ["a b %REQ(:path)% {} \" \\ '"]},
        {"attribute": f"request.headers[{'y' * 70}]", "notIn": ["%"]},
        {"attribute": "request.headers[cookie]", "exists": True},
        {"attribute": "request.headers[authorization]", "absent": True},
    ),
    "parameters": when(
        {"attribute": f"request.query[{'a_' * 9}zz]", "in": ["z" * 56, "-._" * 18]},
        {"attribute": f"request.query[{'a.' * 9}zz]", "prefix": ["." * 56]},
        {"attribute": "request.query[a]", "absent": True},
    ),
    "times": when(
        {"attribute": "request.time", "within": WINDOWS},
        {"attribute": "request.time", "outside": WINDOWS[:7]},
        {
            "attribute": "request.time",
            "within": [{"notBefore": "1970-01-01T00:00:00Z", "notAfter": "9999-12-31T23:59:59Z"}],
        },
    ),
    "rates": limits(
        all={**RATE, "per": "24h"},
        perHeader=[{"header": "y" * 60, **RATE}, {"header": "a-b", **RATE, "per": "11s"}],
        perCaller={
            **RATE,
            "callers": [
                {"identity": {"name": "web"}, **RATE, "per": "13s"},
                {"identity": {"name": "web", "namespace": "shop"}, **RATE},
                {"identity": {"name": "api"}, "requests": 1, "per": "86399s"},
            ],
        },
    ),
    "bounds": {
        "ingress": [rule()],
        "traffic": [
            {
                "name": LABEL,
                "maxConnections": 1_000_000,
                "maxBody": "1Gi",
                "requestHeaders": {"maxSize": "96Ki", "maxCount": 100},
                "timeouts": {"request": "24h", "idle": "24h", "stream": "24h"},
            }
        ],
    },
    "headers that change": changes(
        {
            "x_y": "%REQ(:path)%",
            "a-b": PRINTABLE,
            "c": "%",
            "d": "%%",
            "e": "%DYNAMIC_METADATA(a:b)%",
            "f": "a " * 500 + "b",
        }
    ),
    "headers of the protocol": changes(
        dict.fromkeys(
            (
                "age",
                "content-encoding",
                "content-type",
                "date",
                "expect",
                "via",
                "server",
                "location",
                "http2-settings",
            ),
            "1",
        )
    ),
    "tokens": issued(),
    "tokens in a header": issued(header="a" * 57 + "-b-c-d", remove=True, clockSkewSeconds=300, maxLifetime="720h"),
    "a wildcard": calling("*.example.com", NAME),
    "a wildcard as long as there is": calling(f"*.{NAME[4:]}", "*." + ".".join(["ks"] * 10 + ["example"])),
    "many hosts": calling(*(f"h{n}.{NAME[4:]}" for n in range(16))),
}


def bootstrap(spec: dict[str, Any], name: str) -> str:
    """What becomes of a policy of the longest name."""
    made = api.parse(policy(spec, name=name))
    assert isinstance(made, SecurityPolicy)
    known = policies.world(made, pods=(policies.pod("db", ip="10.244.0.1"),), installation=INSTALLATION)
    config = making.configured(making.mesh(known, SERVICES), "db", containers=PORTS)
    found = static.bootstrap(config, static.placeholders("cluster.local", "shop", "db"))
    text: str = json_format.MessageToJson(found, preserving_proto_field_name=True)
    return text


@pytest.mark.parametrize("case", CASES)
def test_envoy_takes_whatever_is_taken(case: str, tmp_path: Path) -> None:
    made = tmp_path / "envoy.json"
    made.write_text(bootstrap(CASES[case], NAME))
    validate(made)

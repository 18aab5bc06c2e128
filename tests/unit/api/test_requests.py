"""``http`` and ``when``: what is read, and what is refused with the field and the fix."""

from typing import Any

import pytest
from ringfence import api
from ringfence.model.errors import InvalidResource
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Requests

LIKE = "names te, which callers or proxies on the way write as they like (name another header)"


def policy(section: str = "ingress", **rule: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {section: [{"name": "r", "ports": [8080], **rule}]},
    }


def read(**rule: Any) -> Requests | None:
    parsed = api.parse(policy(**rule))
    return parsed.spec.ingress[0].requests  # type: ignore[union-attr, index]


def errors(section: str = "ingress", **rule: Any) -> list[str]:
    with pytest.raises(InvalidResource) as refused:
        api.parse(policy(section, **rule))
    return [str(error) for error in refused.value.errors]


def test_what_is_read() -> None:
    assert read() is None
    assert read(http=[{"methods": ["POST", "GET"], "paths": ["/b", "/a/*"], "hosts": ["pay.shop"]}]) == Requests(
        (HttpMatch(("GET", "POST"), ("/a/*", "/b"), ("pay.shop",)),)
    )
    assert read(http=[{"upgrades": ["websocket"]}]) == Requests((HttpMatch(upgrades=("websocket",)),))
    conditions = [
        {"attribute": "request.headers[x-env]", "in": ["b", "a"]},
        {"attribute": "request.headers[x]", "absent": True},
    ]
    assert read(when=conditions) == Requests(
        when=(HeaderCondition("x", Asks.ABSENT), HeaderCondition("x-env", Asks.IN, ("a", "b")))
    )


def test_grpc_is_a_path_and_a_content_type() -> None:
    grpc = [{"service": "shop.v1.Pay", "methods": ["Charge"]}, {"service": "All"}]
    assert read(http=[{"grpc": grpc, "hosts": ["pay.shop"]}]) == Requests(
        (HttpMatch(("POST",), ("/All/*", "/shop.v1.Pay/Charge"), ("pay.shop",), grpc=True),)
    )


@pytest.mark.parametrize(
    "path",
    ["/", "/*", "/a", "/a/", "/a/*", "/{*}", "/a/{*}/b/*", "/.well-known/x", "/...", "/..a", "/a.b-c_d~e", "/@a:b=c"],
)
def test_paths_that_are_written_in_one_way_are_read(path: str) -> None:
    assert read(http=[{"paths": [path]}]) == Requests((HttpMatch(paths=(path,)),))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/a/./b",
        "/a/..",
        "/%41",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a*",
        "/*/b",
        "/a{*}",
        "/{a}",
        "/a b",
        "/é",
        "/a\\b",
        "/a\n",
        "/" + "a" * 256,
        "/**",
        "*",
    ],
)
def test_paths_that_would_never_match_or_mean_two_things_are_refused(path: str) -> None:
    (error,) = errors(http=[{"paths": [path]}])
    assert error.startswith("spec.ingress[0].http[0].paths[0]")


@pytest.mark.parametrize(
    ("rule", "at"),
    [
        ({"http": []}, "http"),
        ({"http": [{}]}, "http[0]"),
        ({"http": [{"paths": []}]}, "http[0].paths"),
        ({"when": []}, "when"),
        ({"when": [{"attribute": "request.headers[x]"}]}, "when[0]"),
        ({"when": [{"attribute": "request.headers[x]", "in": []}]}, "when[0].in"),
        ({"when": [{"attribute": "request.headers[x]", "exists": False}]}, "when[0].exists"),
        ({"when": [{"in": ["a"]}]}, "when[0].attribute"),
    ],
)
def test_what_says_nothing_is_refused(rule: dict[str, Any], at: str) -> None:
    assert [error.partition(" ")[0].rstrip(":") for error in errors(**rule)] == [f"spec.ingress[0].{at}"]


def test_connect_stands_alone_or_with_hosts() -> None:
    found = read(http=[{"methods": ["CONNECT"]}, {"methods": ["CONNECT"], "hosts": ["a.b"]}])
    assert found == Requests((HttpMatch(("CONNECT",)), HttpMatch(("CONNECT",), hosts=("a.b",))))
    assert found.tunnels
    assert not read(http=[{"methods": ["GET"]}]).tunnels


def test_what_is_refused_says_why() -> None:
    said = [
        *errors(http=[{"methods": ["GET", "CONNECT"]}]),
        *errors(http=[{"methods": ["CONNECT"], "paths": ["/a"]}]),
        *errors(http=[{"methods": ["CONNECT"], "upgrades": ["websocket"]}]),
        *errors(http=[{"grpc": [{"service": "a.B"}], "paths": ["/a"]}]),
        *errors(when=[{"attribute": "request.headers[te]", "in": ["a"]}]),
        *errors(when=[{"attribute": "request.headers[x]", "in": ["a"], "notIn": ["b"]}]),
        *errors(ports=[{"port": 53, "protocol": "UDP"}], http=[{"methods": ["GET"]}]),
        *errors("egress", http=[{"methods": ["GET"]}]),
    ]
    assert said == [
        "spec.ingress[0].http[0].methods: has CONNECT beside other methods (write CONNECT as another entry)",
        "spec.ingress[0].http[0].paths: cannot stand beside CONNECT, which has no path (write it as another entry)",
        "spec.ingress[0].http[0].upgrades: cannot stand beside CONNECT, which has no path (write it as another entry)",
        "spec.ingress[0].http[0].grpc: says the method and the path already (write what is not gRPC as another entry)",
        f"spec.ingress[0].when[0].attribute: {LIKE}",
        "spec.ingress[0].when[0]: a condition has in and notIn (give one of them)",
        "spec.ingress[0].ports[0]: is no TCP port, on which http could look at requests (write a rule of its own)",
        "spec.egress[0].http: is for ingress rules: the target's proxy judges requests (write it at the target)",
    ]


@pytest.mark.parametrize(
    "attribute",
    [
        "",
        "x-env",
        "request.headers[]",
        "request.headers[X]",
        "request.headers[x_y]",
        "request.headers[a-b-c-d-e]",
        "request.headers[x]\n",
        "request.headers[x",
        "request.headers[:path]",
        "request.headers[host]",
        "jwt.sub",
    ],
)
def test_attributes_that_nobody_looks_at_are_refused(attribute: str) -> None:
    assert errors(when=[{"attribute": attribute, "in": ["a"]}])


@pytest.mark.parametrize("value", ["", "a,b", " a", "a ", "é", "a\n", "a" * 257])
def test_values_that_a_header_cannot_have_or_only_with_others_are_refused(value: str) -> None:
    (error,) = errors(when=[{"attribute": "request.headers[x]", "in": [value]}])
    assert error.startswith("spec.ingress[0].when[0].in[0]")


def test_requests_need_ports() -> None:
    rule = policy(http=[{"methods": ["GET"]}], when=[{"attribute": "request.headers[x]", "exists": True}])
    del rule["spec"]["ingress"][0]["ports"]
    with pytest.raises(InvalidResource) as refused:
        api.parse(rule)
    assert [error.path for error in refused.value.errors] == ["spec.ingress[0].http"]

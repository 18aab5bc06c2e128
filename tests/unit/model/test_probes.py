"""Rewritten probes: what is in the path is all that there is to know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.probes import Probe, ProbeKind, parse

PORTS = st.integers(1, 65535)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


@pytest.mark.parametrize(
    ("probe", "path"),
    [
        (Probe(ProbeKind.HTTP, 8080, "/healthz?x=y"), "/ringfence/probe/http/8080/healthz?x=y"),
        (Probe(ProbeKind.HTTPS, 8443, "/"), "/ringfence/probe/https/8443/"),
        (Probe(ProbeKind.TCP, 5432), "/ringfence/probe/tcp/5432"),
        (Probe(ProbeKind.GRPC, 9000), "/ringfence/probe/grpc/9000/"),
        (Probe(ProbeKind.GRPC, 9000, "a/b c"), "/ringfence/probe/grpc/9000/a%2Fb%20c"),
    ],
)
def test_paths(probe: Probe, path: str) -> None:
    assert probe.path == path
    assert parse(path) == probe


@given(st.sampled_from(list(ProbeKind)), PORTS, TEXT)
def test_there_and_back(kind: ProbeKind, port: int, text: str) -> None:
    rest = "" if kind is ProbeKind.TCP else text if kind is ProbeKind.GRPC else f"/{text}"
    probe = Probe(kind, port, rest)
    assert parse(probe.path) == probe


def test_a_path_without_its_slash_gets_one() -> None:
    assert Probe(ProbeKind.HTTP, 80, "ready").path == "/ringfence/probe/http/80/ready"


@pytest.mark.parametrize(
    "path",
    [
        "/ready",
        "/ringfence/probe/udp/80/x",
        "/ringfence/probe/http/0/x",
        "/ringfence/probe/http/65536/x",
        "/ringfence/probe/http/080/x",
        "/ringfence/probe/http/80",
        "/ringfence/probe/tcp/80/x",
        "/x/ringfence/probe/tcp/80",
    ],
)
def test_other_paths_are_none(path: str) -> None:
    assert parse(path) is None

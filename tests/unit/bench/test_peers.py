"""Other engines beside which admission is measured: named by whoever runs them, never by accident."""

import pytest

from bench import peers


def test_each_is_named_with_its_place_and_its_process() -> None:
    found = peers.named({peers.VARIABLE: "kyverno=9443/validate/fail?timeout=3s@4711 gatekeeper=8443/v1/admit@12"})
    assert {name: (each.port, each.path, each.pid) for name, each in found.items()} == {
        "kyverno": (9443, "/validate/fail?timeout=3s", 4711),
        "gatekeeper": (8443, "/v1/admit", 12),
    }
    assert peers.absent(found) == {}


@pytest.mark.parametrize("text", ["kyverno", "kyverno=9443", "kyverno=9443/validate", "=9443/x@1", "kyverno=x/y@1"])
def test_what_does_not_say_where_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not NAME=PORT/PATH@PID"):
        peers.named({peers.VARIABLE: text})


def test_those_that_do_not_run_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert peers.absent(peers.named({})) == dict.fromkeys(peers.KNOWN, "not found on PATH")

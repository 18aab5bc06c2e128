"""``when`` beyond headers: parameters, times and the source; what is read, and what is refused with field and fix."""

from typing import Any

import pytest
from ringfence import api
from ringfence.model.errors import InvalidResource
from ringfence.model.requests import Asks, QueryCondition, Requests, TimeCondition
from ringfence.model.resources import Rule
from ringfence.model.sources import SourceAttribute, SourceCondition
from ringfence.model.windows import DAY, Window

from tests.unit.api.test_requests import policy


def rule(**written: Any) -> Rule:
    made = policy(**written)
    if written.get("ports") is None:
        made["spec"]["ingress"][0].pop("ports")
    parsed = api.parse(made)
    return parsed.spec.ingress[0]  # type: ignore[union-attr, index, no-any-return]


def refused(**written: Any) -> list[str]:
    with pytest.raises(InvalidResource) as found:
        rule(**{"ports": [8080], **written})
    return [str(error).removeprefix("spec.ingress[0].") for error in found.value.errors]


def when(attribute: str, **test: Any) -> dict[str, Any]:
    return {"attribute": attribute, **test}


def within(**window: Any) -> dict[str, Any]:
    return when("request.time", within=[window])


def test_parameters_are_read() -> None:
    found = rule(ports=[80], when=[when("request.query[a.b]", **{"in": ["z", "y"]})]).requests
    assert found == Requests(query=(QueryCondition("a.b", Asks.IN, ("y", "z")),))


def test_times_are_read() -> None:
    night = {"days": ["Fri", "Mon"], "from": "22:00", "to": "06:30", "offset": "-03:30"}
    moments = {"notBefore": "2026-11-26T10:00:00Z", "notAfter": "2026-11-26T10:00:01Z"}
    found = rule(ports=[80], when=[within(**night), when("request.time", outside=[moments, {"to": "24:00"}])]).requests
    assert found is not None
    assert set(found.times) == {
        TimeCondition((Window((0, 4), 22 * 3600, 6 * 3600 + 1800, -3 * 3600 - 1800),)),
        TimeCondition((Window(not_before=1795687200, not_after=1795687201), Window()), outside=True),
    }


def test_midnight_closes_a_window_at_the_end_of_its_day() -> None:
    found = rule(ports=[80], when=[within(**{"from": "22:00", "to": "00:00"})]).requests
    assert found is not None
    assert found.times[0].windows == (Window(opens=22 * 3600, closes=DAY),)


def test_the_source_is_no_part_of_the_request() -> None:
    found = rule(when=[when("source.zone", exists=True), when("source.namespace", **{"in": ["b", "a"]})])
    assert found.requests is None
    assert found.ports is None
    assert set(found.source) == {
        SourceCondition(SourceAttribute.ZONE, Asks.EXISTS),
        SourceCondition(SourceAttribute.NAMESPACE, Asks.IN, ("a", "b")),
    }


def test_labels_of_an_identity_are_read() -> None:
    identity = {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "ServiceIdentity",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"labels": {"role": "store", "a": "b"}},
    }
    assert api.parse(identity).labels == (("a", "b"), ("role", "store"))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (when("request.query[a]", within=[{"to": "10:00"}]), "when[0].within: cannot be asked of request.query"),
        (when("request.time", exists=True), "when[0].exists: cannot be asked of request.time"),
        (when("source.namespace", exists=True), "when[0].exists: cannot be asked of source.namespace"),
        (when("source.zone", prefix=["a"]), "when[0].prefix: cannot be asked of source.zone"),
        (when("request.query[a]", **{"in": ["a%20"]}), 'when[0].in[0]: "a%20" is not a value of at most 56'),
        (when("request.query[a]", **{"in": ["a" * 57]}), "when[0].in[0]: "),
        (when("request.query[" + "a" * 21 + "]", exists=True), "when[0].attribute: names a parameter of 21"),
        (when("request.query[a b]", exists=True), "when[0].attribute: "),
        (when("request.query[_a]", exists=True), "when[0].attribute: "),
        (when("source.zone", **{"in": ["A"]}), 'when[0].in[0]: "A" is not the name of a zone'),
        (when("source.labels[a/b]", exists=True), "when[0].attribute: "),
        (within(), "when[0].within[0]: a window says nothing"),
        (within(offset="+01:00"), "when[0].within[0]: a window says nothing"),
        (within(**{"from": "9:00"}), 'when[0].within[0].from: "9:00" is not a time of day'),
        (within(**{"from": "24:00"}), 'when[0].within[0].from: "24:00" is not a time of day'),
        (within(to="24:01"), 'when[0].within[0].to: "24:01" is not a time of day'),
        (within(**{"from": "10:00", "to": "10:00"}), "when[0].within[0].to: is the time at which the window opens"),
        (within(to="00:00"), "when[0].within[0].to: is the time at which the window opens"),
        (within(notBefore="2026-02-30T00:00:00Z"), "when[0].within[0].notBefore: "),
        (within(notBefore="1969-12-31T00:00:00Z"), "when[0].within[0].notBefore: "),
        (
            within(notBefore="2026-01-01T00:00:00Z", notAfter="2026-01-01T00:00:00Z"),
            "when[0].within[0].notAfter: is not after notBefore, so the window is never open",
        ),
        (
            within(days=["Mon"], notBefore="2026-11-26T00:00:00Z", notAfter="2026-11-28T00:00:00Z"),
            "when[0].within[0]: is never open: none of its days and times is between its moments",
        ),
        (within(notAfter="2026-01-01T00:00:00Z", offset="+01:00"), "when[0].within[0].offset: says nothing"),
        (within(timezone="Europe/Berlin"), "when[0].within[0].timezone: is not a field (write offset"),
    ],
)
def test_what_cannot_be_asked_is_refused(condition: dict[str, Any], said: str) -> None:
    (error,) = refused(when=[condition])
    assert error.startswith(said), error


@pytest.mark.parametrize("peer", [{"namespace": "a"}, {"cidr": "10.0.0.0/8"}, {"apiServer": True}, {"anonymous": True}])
def test_nothing_is_known_of_the_source_of_strangers(peer: dict[str, Any]) -> None:
    callers = [{"zone": "a"}, peer]
    (error,) = refused(**{"from": callers}, when=[when("source.zone", exists=True)])
    assert error.startswith("from[1]: names callers without an identity")


def test_labels_are_asked_of_bounded_callers_only() -> None:
    """Whoever may write ServiceIdentities in any namespace could take the label otherwise, or take it off."""
    asked = when("source.labels[role]", **{"in": ["a"]})
    (error,) = refused(when=[asked])
    assert error.startswith("when[0]: is about labels, which any namespace could give")
    (error,) = refused(when=[asked, when("source.zone", notIn=["a"])])
    assert error.startswith("when[0]: is about labels, which any namespace could give")
    (error,) = refused(action="Deny", **{"from": [{"zone": "a"}]}, when=[asked])
    assert error.startswith("when[0]: is about labels, which those who are denied could change")
    assert rule(**{"from": [{"zone": "a"}]}, when=[asked]).source
    assert rule(when=[asked, when("source.namespace", **{"in": ["a"]})]).source


def test_what_is_about_the_request_needs_ports() -> None:
    with pytest.raises(InvalidResource) as found:
        rule(when=[when("source.zone", exists=True), within(to="10:00")])
    assert [error.path for error in found.value.errors] == ["spec.ingress[0].when"]

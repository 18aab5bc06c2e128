"""The CA's Secret: written and read back, and everything that can be wrong with it, named with its fix."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from ringfence.model.ca import CaState, RotationReason, Slot
from ringfence.pki import slots, store
from ringfence.pki.root import make_root
from ringfence.pki.store import CACorrupt, CAExpired, CAForeign, CAMissing, CaUnusable

from tests.unit.pki.material import DAY, NOW, TRUST_DOMAIN, Forgery, idle, key, root

PREPARED = slots.prepare(idle(), root(2), NOW, RotationReason.REQUESTED)
ACTIVATED = slots.activate(PREPARED, NOW + 60, NOW + DAY)
STATES = {"idle": idle(), "prepared": PREPARED, "activated": ACTIVATED, "retired": slots.retire(ACTIVATED, NOW + DAY)}


@pytest.mark.parametrize("name", STATES)
def test_what_is_written_is_read_back(name: str) -> None:
    state = STATES[name]
    assert store.decode(store.encode(state), store.marker(state), TRUST_DOMAIN, NOW) == state
    assert store.encode(state) == store.encode(state), "the same state is the same bytes"


def test_the_secret_holds_the_keys_of_the_slots_and_no_others() -> None:
    data = {key: base64.b64decode(value) for key, value in store.encode(ACTIVATED).items()}
    assert sorted(data) == ["bundle.crt", "current.crt", "current.key", "state.json"]
    assert data["current.key"] == root(2).key
    assert not [value for value in data.values() if root(1).key in value]
    assert json.loads(data["state.json"]) == {
        "version": 1,
        "phase": "Activated",
        "since": "2027-01-15T08:01:00Z",
        "trustDomain": TRUST_DOMAIN,
        "reason": "Requested",
        "previous": {"fingerprint": root(1).root.fingerprint, "leavesUntil": "2027-01-16T08:00:00Z"},
    }
    assert sorted(store.encode(PREPARED)) == [
        "bundle.crt", "current.crt", "current.key", "next.crt", "next.key", "state.json",
    ]  # fmt: skip


def test_the_marker_is_public() -> None:
    marker = store.marker(PREPARED)
    assert "PRIVATE" not in "".join(marker.values())
    assert marker["fingerprints"].split() == sorted([root(1).root.fingerprint, root(2).root.fingerprint])
    assert marker["ca.crt"].encode() == PREPARED.bundle


def test_only_a_first_install_has_neither() -> None:
    assert store.decode(None, None, TRUST_DOMAIN, NOW) is None
    assert store.load(None, None, TRUST_DOMAIN, NOW) is None
    with pytest.raises(CAMissing, match="ringfence ca restore"):
        store.decode(None, store.marker(idle()), TRUST_DOMAIN, NOW)
    with pytest.raises(CAMissing):
        store.load(None, {"data": None}, TRUST_DOMAIN, NOW)


def test_a_secret_without_its_marker_is_accepted() -> None:
    # The marker is written after the Secret: a process may end in between.
    assert store.decode(store.encode(idle()), None, TRUST_DOMAIN, NOW) == idle()


def test_a_secret_of_another_type_is_not_ours() -> None:
    secret = {"type": "Opaque", "data": store.encode(idle())}
    with pytest.raises(CAForeign, match="it is not ours"):
        store.load(secret, None, TRUST_DOMAIN, NOW)
    assert store.load({**secret, "type": store.SECRET_TYPE}, None, TRUST_DOMAIN, NOW) == idle()


def test_another_trust_domain_is_foreign() -> None:
    with pytest.raises(CAForeign, match=r"set trustDomain back to mesh\.example"):
        store.decode(store.encode(idle()), None, "other.example", NOW)


def test_a_root_that_the_marker_does_not_know_is_foreign() -> None:
    other = slots.first(TRUST_DOMAIN, root(3), NOW)
    with pytest.raises(CAForeign, match="not among those"):
        store.decode(store.encode(other), store.marker(idle()), TRUST_DOMAIN, NOW)
    with pytest.raises(CAForeign):
        store.decode(store.encode(other), {}, TRUST_DOMAIN, NOW)


def test_the_marker_of_prepared_knows_what_activated_signs_with() -> None:
    assert store.decode(store.encode(ACTIVATED), store.marker(PREPARED), TRUST_DOMAIN, NOW + 60) == ACTIVATED


def test_a_root_that_has_ended_is_expired() -> None:
    end = root().root.not_after
    assert store.decode(store.encode(idle()), None, TRUST_DOMAIN, end - 1) == idle()
    with pytest.raises(CAExpired, match="ended on"):
        store.decode(store.encode(idle()), None, TRUST_DOMAIN, end)


def test_a_clock_before_the_root_is_told_to_be_set() -> None:
    with pytest.raises(CAExpired, match="set this machine's clock right"):
        store.decode(store.encode(idle()), None, TRUST_DOMAIN, NOW - 30 * DAY)


def data(**changes: bytes | None) -> dict[str, str]:
    """The Secret of the prepared state with some of its values replaced or taken away."""
    found = store.encode(PREPARED)
    for name, value in changes.items():
        key = name.replace("_", ".")
        if value is None:
            del found[key]
        else:
            found[key] = base64.b64encode(value).decode()
    return found


def facts(**changes: Any) -> bytes:
    known = json.loads(base64.b64decode(store.encode(PREPARED)["state.json"]))
    return json.dumps({key: value for key, value in (known | changes).items() if value != "-"}).encode()


CORRUPT: dict[str, Callable[[], dict[str, str]]] = {
    "empty": dict,
    "no state": lambda: data(state_json=None),
    "no current": lambda: data(current_crt=None),
    "no key": lambda: data(current_key=None),
    "half of next": lambda: data(next_key=None),
    "next lost": lambda: data(next_key=None, next_crt=None),
    "no bundle": lambda: data(bundle_crt=None),
    "not base64": lambda: {**data(), "current.crt": "###"},
    "certificate is text": lambda: data(current_crt=b"hello"),
    "certificate is broken": lambda: data(
        current_crt=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    ),
    "two certificates": lambda: data(current_crt=root(1).root.certificate + root(2).root.certificate),
    "key is text": lambda: data(current_key=b"hello"),
    "a leaf as a root": lambda: data(current_crt=Forgery().sign(), current_key=key().pem),
    "bundle without next": lambda: data(bundle_crt=root(1).root.certificate),
    "bundle with a stranger": lambda: data(bundle_crt=PREPARED.bundle + root(3).root.certificate),
    "bundle is text": lambda: data(bundle_crt=b"hello"),
    "bundle is broken": lambda: data(bundle_crt=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    "state is no JSON": lambda: data(state_json=b"{"),
    "state is deep": lambda: data(state_json=b"[" * 100_000),
    "state is a list": lambda: data(state_json=b"[]"),
    "another version": lambda: data(state_json=facts(version=2)),
    "no version": lambda: data(state_json=facts(version="-")),
    "unknown phase": lambda: data(state_json=facts(phase="Rotating")),
    "phase without its slot": lambda: data(state_json=facts(phase="Activated")),
    "idle with a reason": lambda: data(state_json=facts(phase="Idle")),
    "prepared without a reason": lambda: data(state_json=facts(reason=None)),
    "unknown reason": lambda: data(state_json=facts(reason=["x"])),
    "no trust domain": lambda: data(state_json=facts(trustDomain="-")),
    "since is a number": lambda: data(state_json=facts(since=5)),
    "since is no time": lambda: data(state_json=facts(since="yesterday")),
    "since has no zone": lambda: data(state_json=facts(since="2027-01-15T08:00:00")),
    "previous is text": lambda: data(state_json=facts(previous="x")),
    "previous is unknown": lambda: data(
        state_json=facts(previous={"fingerprint": "00", "leavesUntil": "2027-01-15T08:00:00Z"})
    ),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_secret_is_named_and_not_replaced(name: str) -> None:
    with pytest.raises(CACorrupt) as raised:
        store.decode(CORRUPT[name](), store.marker(PREPARED), TRUST_DOMAIN, NOW)
    assert raised.value.reason == "CACorrupt"
    assert "Secret ringfence-ca" in raised.value.message
    assert raised.value.fix in str(raised.value)
    assert "PRIVATE" not in str(raised.value)


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda: data(current_key=root(3).key),
        lambda: data(next_key=root(1).key),
        lambda: data(state_json=facts(trustDomain="other.example")),
    ],
    ids=["key of another root", "next with the key of current", "state of another trust domain"],
)
def test_parts_that_do_not_belong_together_are_foreign(spoiled: Callable[[], dict[str, str]]) -> None:
    with pytest.raises(CAForeign):
        store.read(spoiled())


def test_a_root_of_another_trust_domain_is_foreign_whatever_the_state_says() -> None:
    stranger = slots.first(TRUST_DOMAIN, make_root("other.example", NOW - DAY, 9), NOW)
    with pytest.raises(CAForeign, match=r"not one of the trust domain mesh\.example"):
        store.read(store.encode(stranger))


def test_every_error_has_a_reason_and_a_fix() -> None:
    kinds = CaUnusable.__subclasses__()
    assert sorted(kind.reason for kind in kinds) == ["CACorrupt", "CAExpired", "CAForeign", "CAMissing"]
    assert all("ringfence ca init --new-root" in kind("x").fix for kind in kinds)


def test_errors_show_no_key() -> None:
    state: CaState = slots.first(TRUST_DOMAIN, Slot(root(1).root, root(1).key[:-40]), NOW)
    with pytest.raises(CACorrupt) as raised:
        store.read(store.encode(state))
    assert root(1).key.splitlines()[1].decode() not in str(raised.value)
    assert raised.value.__cause__ is None

"""What access logs say: who came how, and for how long it is known."""

import json
from typing import Any

import pytest
from ringfence.cli import proxy_logs
from ringfence.cli.proxy_logs import Fact, Log, Tally

NOW = 1_800_000_000.0
STAMP = "2027-01-15T08:00:00.123456789Z"


def line(**more: Any) -> dict[str, Any]:
    return {"direction": "inbound", "source": "10.0.0.9:40000", "destination": "10.0.0.1:8080", **more}


def told(**more: Any) -> Fact:
    found = proxy_logs.fact(line(**more))
    assert found is not None
    return found


def test_a_log_reaches_back_to_its_first_line() -> None:
    text = f"{STAMP} {json.dumps(line())}\n2027-01-15T07:59:00Z [warning] something of Envoy's\nno moment at all\n"
    log = proxy_logs.read(text, 1000)
    assert (log.since, log.cut) == (NOW - 60, False)
    assert log.lines == ((NOW + 0.123456, line()),)


def test_of_an_empty_log_it_is_known_since_when() -> None:
    assert proxy_logs.read("", 10, NOW - 100).since == NOW - 100
    assert proxy_logs.read("", 10).since is None


def test_a_log_that_was_cut_says_so() -> None:
    assert proxy_logs.read(f"{STAMP} x\n{STAMP} y\n", 2).cut


def test_broken_lines_are_no_facts() -> None:
    log = proxy_logs.read(f"{STAMP} {{broken\n{STAMP} [1]\n{STAMP} {json.dumps({'direction': 'inbound'})}\n", 10)
    assert [proxy_logs.fact(each) for _, each in log.lines] == [None]


def test_plaintext_is_what_shows_neither_tls_nor_a_peer() -> None:
    assert told(answer="allowed", rule="shop/p#all").plaintext
    assert not told(tls="TLSv1.3", peer="spiffe://cluster.local/ns/shop/sa/web").plaintext
    assert not told(failure="TLS_error:CERTIFICATE_VERIFY_FAILED").plaintext
    assert not told(direction="outbound").plaintext


def test_both_families_of_addresses() -> None:
    found = told(source="[fd00::9]:40000", destination="[fd00::1]:8080")
    assert (found.address, found.to, found.port) == ("fd00::9", "fd00::1", 8080)


@pytest.mark.parametrize(
    ("more", "denied", "rule"),
    [
        ({"answer": "allowed", "rule": "shop/p#all"}, False, "shop/p#all"),
        ({"answer": "denied", "rule": "shop/p#no"}, True, "shop/p#no"),
        ({"answer": "denied"}, True, ""),
        ({"details": "rbac_access_denied_matched_policy[none]"}, True, ""),
        ({"details": "rbac_access_denied_matched_policy[shop/p#no]"}, True, "shop/p#no"),
        (
            {"policy": {"allow.enforced_effective_policy_id": "shop/p#web"}, "details": "via_upstream"},
            False,
            "shop/p#web",
        ),
        ({"failure": "TLS_error:x"}, True, proxy_logs.HANDSHAKE),
    ],
)
def test_what_was_decided_and_by_which_rule(more: dict[str, Any], denied: bool, rule: str) -> None:
    assert (told(**more).denied, told(**more).rule) == (denied, rule)


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"answer": "allowed", "audit": "denied", "auditRule": "shop/q#no"}, "shop/q#no"),
        ({"answer": "allowed", "audit": "denied"}, ""),
        (
            {
                "policy": {
                    "audit_deny.shadow_engine_result": "denied",
                    "audit_deny.shadow_effective_policy_id": "shop/q#no",
                }
            },
            "shop/q#no",
        ),
        ({"policy": {"audit_allow.shadow_engine_result": "denied"}}, ""),
    ],
)
def test_whom_audit_would_deny(more: dict[str, Any], rule: str) -> None:
    found = told(**more)
    assert (found.audit_denied, found.audit_rule) == (True, rule)
    # Who is denied already needs no audit.
    assert not told(**{**more, "answer": "denied"}).audit_denied


def test_what_audit_lets_pass_is_not_told() -> None:
    allowed = {"audit_deny.shadow_engine_result": "allowed", "audit_allow.shadow_engine_result": "allowed"}
    assert not told(policy=allowed).audit_denied
    assert not told(answer="denied", audit="allowed", auditRule="shop/q#yes").audit_denied


def tally(*lines: dict[str, Any], at: float = NOW, since: float = NOW - 60) -> Tally:
    found = Tally(since, lambda address: f"pod of {address}")
    found.add("db-1", Log(tuple((at, each) for each in lines), since))
    return found


def test_a_connection_that_is_written_down_again_counts_once() -> None:
    again = line(answer="allowed", rule="shop/p#all")
    found = tally(again, again, line(answer="allowed", rule="shop/p#all", source="10.0.0.9:40001"))
    assert list(proxy_logs.rows(found.plaintext)) == [
        {
            "direction": "inbound",
            "peer": "pod of 10.0.0.9",
            "port": 8080,
            "connections": 2,
            "last": "2027-01-15T08:00:00Z",
            "rule": "shop/p#all",
        }
    ]
    assert not found.denied
    assert not found.audit


def test_the_same_port_at_another_proxy_is_another_connection() -> None:
    found = tally(line(answer="allowed"))
    found.add("db-2", Log(((NOW, line(answer="allowed")),), NOW - 60))
    assert [each["connections"] for each in proxy_logs.rows(found.plaintext)] == [2]


def test_what_is_too_old_is_left_out() -> None:
    assert not tally(line(answer="allowed"), at=NOW - 61).plaintext


def test_callers_are_named_by_what_they_have_shown_and_calls_out_by_where_they_go() -> None:
    web = {"tls": "TLSv1.3", "peer": "spiffe://cluster.local/ns/shop/sa/web"}
    found = tally(
        line(**web, details="rbac_access_denied_matched_policy[none]"),
        line(tls="TLSv1.3", peer="spiffe://partner.io/x", details="rbac_access_denied_matched_policy[none]"),
        line(direction="outbound", destination="192.0.2.1:443", answer="denied"),
        line(answer="denied"),
    )
    assert [(each["direction"], each["peer"], each["port"]) for each in proxy_logs.rows(found.denied)] == [
        ("inbound", "pod of 10.0.0.9", 8080),
        ("inbound", "shop/web", 8080),
        ("inbound", "spiffe://partner.io/x", 8080),
        ("outbound", "pod of 192.0.2.1", 443),
    ]
    assert not found.plaintext


def test_all_logs_together_tell_of_the_shortest_time() -> None:
    logs = [Log((), NOW - 600), Log((), NOW - 300)]
    assert proxy_logs.reach_back(logs, NOW - 3600, NOW) == NOW - 300
    assert proxy_logs.reach_back(logs, NOW - 60, NOW) == NOW - 60
    assert proxy_logs.reach_back([*logs, Log((), None)], NOW - 60, NOW) == NOW

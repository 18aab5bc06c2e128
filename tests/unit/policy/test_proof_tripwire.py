"""Proofs know every part of a rule. A part that they do not know could make a Deny hold where it does not."""

from dataclasses import fields

from ringfence.model.effective import EffectiveRule


def test_proofs_know_every_field_of_a_rule() -> None:
    """A new field that narrows what a rule matches (requests, times) must be read in policy.proof.tables.Half.

    There an Allow with such a condition counts as open, and a Deny with one as nothing that can be relied upon; for
    what must always pass it is the other way round.
    """
    known = {"ref", "direction", "action", "mode", "subject", "peers", "ports", "requests", "denied_by", "suspended_by"}
    assert {each.name for each in fields(EffectiveRule)} == known | {
        "suspended_in_audit",
        "builtin",
        "tunnels",
        "_hash",
    }

"""Each line of the list in e2e/judge/README.md: what cyclonus says by itself, and what the judge says."""

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.goprogram.lines import JudgeError
from e2e.judge.client import Judge, Pod, Port, Protocol, Traffic

NAMESPACES = {"x": {"zone": "a"}}
CALLER = Pod("x", "caller", {"app": "caller"}, "10.0.0.1")
TARGET = Pod("x", "target", {}, "10.0.0.2", (Port(80, Protocol.TCP, "web"), Port(80, Protocol.TCP, "www")))
CALL = Traffic(CALLER.key, TARGET.key, 80)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "x", "name": "p"}, "spec": {"podSelector": {}, **spec}}


def ingress(rule: dict[str, Any]) -> dict[str, Any]:
    return policy(policyTypes=["Ingress"], ingress=[rule])


def selected(**selector: Any) -> dict[str, Any]:
    return ingress({"from": [{"podSelector": selector}]})


@pytest.mark.parametrize(
    ("rule", "raw", "corrected"),
    [
        (selected(matchExpressions=[{"key": "none", "operator": "NotIn", "values": ["a"]}]), False, True),
        (selected(matchLabels={"none": ""}), True, False),
        (
            ingress({"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}]}),
            False,
            True,
        ),
    ],
    ids=["NotIn where the label is missing", "an empty value where the label is missing", "a namespace's name label"],
)
def test_corrected(judge: Judge, rule: dict[str, Any], raw: bool, corrected: bool) -> None:
    said = [judge.verdicts(NAMESPACES, [CALLER, TARGET], [rule], [CALL], raw=each)[0].ingress for each in (True, False)]
    assert said == [raw, corrected]


def test_directions_may_be_left_out(judge: Judge) -> None:
    given = policy(egress=[{}])
    with pytest.raises(JudgeError, match="need at least 1 type"):
        judge.verdicts(NAMESPACES, [CALLER, TARGET], [given], [CALL], raw=True)
    (verdict,) = judge.verdicts(NAMESPACES, [CALLER, TARGET], [given], [CALL])
    assert (verdict.ingress, verdict.egress) == (False, True)


@pytest.mark.parametrize(("name", "opened"), [("web", True), ("www", True), ("none", False)])
def test_every_name_of_a_port_counts(judge: Judge, name: str, opened: bool) -> None:
    (verdict,) = judge.verdicts(NAMESPACES, [CALLER, TARGET], [ingress({"ports": [{"port": name}]})], [CALL])
    assert verdict.allowed is opened


def test_a_pod_in_the_hosts_network_is_its_node(judge: Judge) -> None:
    on_host = Pod("x", "caller", {"app": "caller"}, "192.0.2.1", host_network=True)
    rules = [selected(), policy(policyTypes=["Egress"])]
    (verdict,) = judge.verdicts(NAMESPACES, [on_host, TARGET], rules, [CALL])
    assert (verdict.ingress, verdict.egress) == (False, True)

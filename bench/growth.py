"""How answers about policies grow with identities and rules: reading, resolving, can-i, diff and proofs.

Estates are those of the compiler's measurement, with fewer namespaces or fewer policies in each. Each is measured in a
process of its own, so that nothing of another is kept, as processor time; the best of several where a step is short.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from ringfence import memory
from ringfence.cli import compared, documents, main
from ringfence.cli import world as files
from ringfence.cli.world import Loaded
from ringfence.model.labels import LabelBox
from ringfence.model.resources import (
    AnonymousPeer,
    CidrPeer,
    ClusterSecurityPolicy,
    IdentityPeer,
    Invariant,
    NamespacePeer,
    Peer,
    PolicySpec,
    PortSpec,
    Promise,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ZonePeer,
)
from ringfence.model.world import World
from ringfence.policy.decide import Effective
from ringfence.policy.proof import prove
from ringfence.policy.reasoning.difference import difference
from ringfence.policy.resolve import resolve

from bench import compile as estate
from bench import growth_picture, reasoning, table

#: (namespaces, policies in each): both grow, then rules alone.
BOTH: Final = ((6, 20), (12, 20), (25, 20), (50, 20))
RULES: Final = ((25, 5), (25, 10), (25, 20), (25, 40))
#: How much more than n log n a step may grow from the smallest estate to the largest; figures are not that exact.
SLACK: Final = 1.3
QUESTIONS: Final = 10
INVARIANTS: Final = 20
API: Final = "ringfence.dev/v1alpha1"

STEPS: Final = (
    "reading",
    "resolving",
    "can-i of two identities",
    "can-i of a namespace",
    "can-i of a zone",
    "can-i of anyone",
    "diff of one policy",
    "20 proofs",
)


@dataclass(frozen=True, slots=True)
class Estate:
    """What was measured of an estate: seconds of processor time, by step."""

    identities: int
    rules: int
    seconds: dict[str, float]

    @property
    def size(self) -> float:
        """Identities and rules together."""
        return self.identities + self.rules


def rows() -> list[table.Row]:
    """How much each step takes, and by how much more it grows than n log n."""
    return [
        *_rows("identities and rules", [_measured(*each) for each in BOTH]),
        *_rows("rules alone", [_measured(*each) for each in RULES]),
    ]


def _rows(what: str, estates: list[Estate]) -> Iterator[table.Row]:
    shown = " / ".join(f"{each.identities:,}+{each.rules:,}" for each in estates)
    yield table.Row(f"{what}: number of identities + rules", shown)
    for step in STEPS:
        times = " / ".join(f"{each.seconds[step] * 1000:,.1f}" for each in estates)
        more = excess(estates, step)
        yield table.Row(f"{step}, ms; how much more than n log n", f"{times}; {more:.2f}", f"{SLACK}", more <= SLACK)


def excess(estates: list[Estate], step: str) -> float:
    """The growth of a step from the first estate to the last, beside that of n log n: 1 is as much."""
    first, last = estates[0], estates[-1]
    # n is what grows: where rules alone do, identities that stay would make n grow less than the rules.
    alone = first.identities == last.identities
    before, after = (each.rules if alone else each.size for each in (first, last))
    return (last.seconds[step] / first.seconds[step]) / (_n_log_n(after) / _n_log_n(before))


def _n_log_n(size: float) -> float:
    return size * math.log(size)


def _measured(namespaces: int, policies: int) -> Estate:
    command = [sys.executable, "-m", "bench.growth", "--one", str(namespaces), str(policies)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"measured {said['identities']:,} identities and {said['rules']:,} rules", file=sys.stderr)
    return Estate(**said)


# --- one estate -------------------------------------------------------------------------------------------------------


def measure(namespaces: int, policies: int) -> Estate:
    """All steps over one estate, in the order in which a person would take them."""
    memory.collect_seldom()  # as every process of Ringfence does at its start
    known = estate.world(namespaces=namespaces, policies=policies)
    text = "---\n".join(yaml.dump(each, Dumper=yaml.CSafeDumper, sort_keys=False) for each in written(known)).encode()
    seconds: dict[str, float] = {}

    def read() -> Loaded:
        return files.load(documents.parsed([[("estate.yaml", text, False)]], "estate.yaml"), known.installation)

    seconds["reading"], _ = _timed(read)
    effective: Effective = cache(lambda name: resolve(known, name))
    seconds["resolving"], _ = _timed(lambda: [effective(name) for name in known.namespaces])
    seconds |= _questions(known, effective)
    changed, _ = next(estate.changes(known))
    old, new = Loaded(known), Loaded(changed)

    def diff() -> None:
        both = compared.sides(old, new, audit=False)
        difference(both.old, both.new)

    seconds["diff of one policy"], _ = _timed(diff)
    promised = replace(known, cluster_policies=(*known.cluster_policies, _promises(sorted(known.namespaces))))

    def proofs() -> None:
        prover = prove.prover(promised, effective)
        for each in prove.invariants(promised):
            prover.prove(each)

    seconds["20 proofs"], _ = _timed(proofs)
    identities = sum(len(each) for each in known.identities.values())
    return Estate(identities, namespaces * policies * estate.RULES, seconds)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def _questions(known: World, effective: Effective) -> Iterator[tuple[str, float]]:
    dice = random.Random(3)  # noqa: S311 - a bench wants the same numbers again
    names = sorted(known.namespaces)
    asker = reasoning.Asker(Loaded(known), effective, main.parser("ringfence"))
    targets = [f"{dice.choice(names)}/service-{dice.randrange(estate.IDENTITIES):02}" for _ in range(QUESTIONS)]
    sources = {
        "can-i of two identities": [*targets[1:], targets[0]],
        "can-i of a namespace": [f"namespace:{dice.choice(names)}" for _ in targets],
        "can-i of a zone": [f"zone:zone-{dice.randrange(min(estate.ZONES, len(names)))}" for _ in targets],
        "can-i of anyone": ["anyone"] * QUESTIONS,
    }
    for step, several in sources.items():
        times = sorted(asker.ask((source, target)) for source, target in zip(several, targets, strict=True))
        yield step, times[len(times) // 2]


def _promises(names: list[str]) -> ClusterSecurityPolicy:
    """Invariants of which some hold and some do not, directly and through others."""
    dice = random.Random(4)  # noqa: S311 - as above

    def promise(number: int) -> Invariant:
        target = IdentityPeer(dice.choice(names), f"service-{dice.randrange(estate.IDENTITIES):02}")
        source: Peer = ZonePeer(f"zone-{dice.randrange(min(estate.ZONES, len(names)))}")
        if number % 4 == 3:
            return Invariant(Promise.NEVER, f"n-{number}", (AnonymousPeer(),), (target,), policy="promises")
        return Invariant(
            Promise.NEVER,
            f"n-{number}",
            (source,),
            (target,),
            (PortSpec(22 if number % 2 else 443),),
            direct=number % 4 != 2,
            policy="promises",
        )

    found = tuple(promise(number) for number in range(INVARIANTS))
    return ClusterSecurityPolicy(ResourceMeta("promises"), LabelBox(), PolicySpec(), invariants=found)


# --- as people write it -----------------------------------------------------------------------------------------------


def written(known: World) -> Iterator[dict[str, Any]]:
    """The estate as manifests."""
    for name, namespace in known.namespaces.items():
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(namespace.labels)}}
        for pod in known.workloads[name]:
            own = {"name": pod.name, "namespace": name, "labels": dict(pod.labels)}
            spec = {"serviceAccountName": pod.service_account, "containers": [{"name": "main", "image": "main"}]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": spec}
        for identity in known.identities[name]:
            yield {"apiVersion": API, "kind": "ServiceIdentity", "metadata": {"name": identity, "namespace": name}}
        for policy in known.policies[name]:
            yield _policy(policy)


def _policy(policy: SecurityPolicy) -> dict[str, Any]:
    sections = {"ingress": ("from", policy.spec.ingress), "egress": ("to", policy.spec.egress)}
    spec: dict[str, Any] = {"appliesTo": {"identities": list(policy.applies_to.identities or ())}}
    spec |= {name: [_rule(rule, key) for rule in rules] for name, (key, rules) in sections.items() if rules is not None}
    own = {"name": policy.meta.name, "namespace": policy.meta.namespace}
    return {"apiVersion": API, "kind": "SecurityPolicy", "metadata": own, "spec": spec}


def _rule(rule: Rule, key: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": rule.name,
        "action": str(rule.action),
        key: [_peer(each) for each in rule.peers or ()],
    }
    return found if rule.ports is None else {**found, "ports": [each.port for each in rule.ports]}


def _peer(peer: Peer) -> dict[str, Any]:
    match peer:
        case IdentityPeer():
            return {"identity": {"namespace": peer.namespace, "name": peer.name}}
        case ZonePeer():
            return {"zone": peer.name}
        case NamespacePeer():
            return {"namespace": peer.name}
        case CidrPeer():
            return {"cidr": peer.cidr}
    raise AssertionError(peer)


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description="measure growth, for a page or a picture"
    )
    parser.add_argument("--one", nargs=2, type=int, metavar=("NAMESPACES", "POLICIES"), help="one estate, as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the growth with identities and rules (SVG)")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(asdict(measure(*asked.one))))
        return
    estates = [_measured(*each) for each in BOTH]
    table.show("growth", _rows("identities and rules", estates))
    if asked.picture is not None:
        lines = {step: [each.seconds[step] * 1000 for each in estates] for step in STEPS}
        asked.picture.write_text(growth_picture.svg([each.size for each in estates], lines))


if __name__ == "__main__":
    _main()

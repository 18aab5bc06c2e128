"""`ringfence prove`: do the invariants of the cluster's policies hold, and if not, by which calls are they broken."""

import argparse
from typing import Any, Final

from ringfence.cli import inputs, options, words
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.world import Loaded
from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.resources import Kind, Mode
from ringfence.model.verdict import Half, Reason
from ringfence.policy.decide import Effective
from ringfence.policy.proof import prove, tell
from ringfence.policy.proof.prove import Outcome, Proof, Step

PROVEN: Final = 0
VIOLATED: Final = 1
CANNOT: Final = 2

_DESCRIPTION = """
Prove the invariants (neverAllow and alwaysAllow) of every ClusterSecurityPolicy over all policies, for every pod that
admission could let in, or show the calls that break them: who calls whom, and by which rules of which policies. What
cannot be known, such as the address that a pod will have, counts against the proof.
"""
_EXAMPLES = """
  {prog} prove -f examples/shop                  # in CI, before anything is applied
  {prog} prove -f examples/shop -f change.yaml   # with a change
  {prog} prove                                   # over the cluster as it is
  {prog} prove -f policies -o json

exit status: 0 all are proven, 1 at least one does not hold, 2 cannot tell (or there is nothing to prove)
"""
_STYLES: Final = {Outcome.PROVEN: Style.GOOD, Outcome.VIOLATED: Style.BAD, Outcome.UNKNOWN: Style.CAUTION}


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "prove", "prove what policies can never and always allow", _DESCRIPTION, _EXAMPLES
    )
    options.files(parser, "policies, identities and namespaces; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prove and answer."""
    loaded, _ = inputs.load(arguments, console)
    inputs.must_be_readable(loaded, loaded.world.namespaces)
    invariants = prove.invariants(loaded.world, Mode)
    if not invariants:
        raise CannotTell("no ClusterSecurityPolicy has neverAllow or alwaysAllow, so there is nothing to prove")
    effective = inputs.effective(loaded.world)
    prover = prove.prover(loaded.world, effective)
    proofs = [prover.prove(each) for each in invariants]
    _Teller(loaded, effective, console).tell(proofs)
    outcomes = {proof.outcome for proof in proofs}
    return VIOLATED if Outcome.VIOLATED in outcomes else CANNOT if Outcome.UNKNOWN in outcomes else PROVEN


class _Teller:
    """Writes proofs for people and for programs."""

    def __init__(self, loaded: Loaded, effective: Effective, console: Console) -> None:
        self._loaded = loaded
        self._effective = effective
        self._console = console

    def tell(self, proofs: list[Proof]) -> None:
        for proof in proofs:
            for note in proof.notes:
                self._console.warn(
                    f"{_place(proof, self._loaded)}{tell.section(proof.invariant)} {proof.invariant.name}: {note}"
                )
        if self._console.output is not Output.TEXT:
            self._console.data({"invariants": [self._data(proof) for proof in proofs]})
            return
        for proof in proofs:
            self._proof(proof)

    def _proof(self, proof: Proof) -> None:
        invariant = proof.invariant
        name = f"{tell.section(invariant)} {invariant.name}"
        where = _place(proof, self._loaded).removesuffix(": ")
        origin = f" ({Kind.CLUSTER_SECURITY_POLICY} {invariant.policy}{f', {where}' if where else ''})"
        why = f": {proof.why}" if proof.why else ""
        self._console.print(Cell(str(proof.outcome), _STYLES[proof.outcome]), f": {name}{origin}{why}")
        for number, step in enumerate(proof.steps, start=1):
            self._console.print(f"  {number}. {tell.call(step)}")
            for half in self._halves(step):
                self._console.print(f"     {half.direction}: {self._why(half, step)}")

    def _halves(self, step: Step) -> list[Half]:
        found = tell.verdict(self._loaded.world, self._effective, step)
        halves = (found.egress, found.ingress) if found is not None else ()
        return [half for half in halves if half.reason is not Reason.NOT_GOVERNED]

    def _why(self, half: Half, step: Step) -> str:
        return words.because(half, step.source if half.direction is Direction.EGRESS else step.target, self._loaded)

    def _data(self, proof: Proof) -> dict[str, Any]:
        invariant = proof.invariant
        return {
            "policy": invariant.policy,
            "section": tell.section(invariant),
            "name": invariant.name,
            "source": _place(proof, self._loaded).removesuffix(": "),
            "outcome": str(proof.outcome),
            "why": proof.why,
            "notes": list(proof.notes),
            "calls": [self._step_data(step) for step in proof.steps],
        }

    def _step_data(self, step: Step) -> dict[str, Any]:
        data: dict[str, Any] = {
            "from": tell.end(step.source),
            "to": tell.end(step.target),
            "protocol": str(step.protocol),
            "port": step.port,
            "call": tell.call(step),
        }
        if step.request is not None:
            data["request"] = tell.sent(step.request).removeprefix(": ")
        for half in self._halves(step):
            governed = step.source if half.direction is Direction.EGRESS else step.target
            data[str(half.direction)] = words.half_data(half, governed, self._loaded)
        return data


def _place(proof: Proof, loaded: Loaded) -> str:
    """``file:line: `` of an invariant, "" where it comes from no file."""
    document = loaded.resources.get((Kind.CLUSTER_SECURITY_POLICY.value, "", proof.invariant.policy))
    if document is None or not document.position.line:
        return ""
    section = tell.section(proof.invariant)
    items = document.value["spec"].get(section) or []
    index = next((i for i, each in enumerate(items) if each["name"] == proof.invariant.name), 0)
    return f"{document.source}:{document.position.line_of(f'spec.{section}[{index}]')}: "

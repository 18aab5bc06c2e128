"""`ringfence ca status`: the roots, which of them signs, and how far a rotation is."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ringfence.cli import ca_cluster, ca_report, ca_words, live, options
from ringfence.cli.ca_cluster import Seen
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.pki import rotation

_ROLES: Final = {"current": Style.GOOD, "next": Style.STRONG, "previous": Style.FAINT, "trusted": Style.PLAIN}
_HEADERS: Final = ("ROOT", "FINGERPRINT", "ALGORITHM", "NOT BEFORE", "NOT AFTER", "AGE", "CERTIFICATES")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask the cluster and tell."""
    seen = asyncio.run(_see(arguments))
    for text in seen.remarks:
        console.note(text)
    now = ca_cluster.clock()
    data, status = ca_report.report(seen, now)
    if console.output is not Output.TEXT:
        console.data(data)
    else:
        _show(data, now, console)
    return status


async def _see(arguments: argparse.Namespace) -> Seen:
    async with ca_cluster.connected(options.target(arguments)) as cluster:
        seen = await cluster.see(arguments.namespace)
    if not (seen.denied or seen.secret or seen.marker or seen.settings):
        raise live.NoCluster(
            f"Ringfence is not installed in namespace {cluster.namespace}: name another with --ringfence-namespace"
        )
    return seen


def _show(data: Mapping[str, Any], now: float, console: Console) -> None:
    console.print(*_headline(data, now))
    for sentence in data["attention"]:
        console.print("  ", Cell("needs attention", Style.BAD), f": {sentence}")
    if step := data["rotation"]:
        console.print(f"  {_step(step)}")
    if data["roots"]:
        console.print()
        console.table(_HEADERS, [_row(root) for root in data["roots"]])
    for root in data["roots"]:
        short = root["fingerprint"][: ca_words.SHORT]
        if "replacedFrom" in root and data["usable"] and not data["rotation"]:
            console.print(f"\nthe current root {short} is replaced by age from {root['replacedFrom']}")
        if "leavesUntil" in root:
            console.print(f"\nno certificate of the previous root {short} is valid after {root['leavesUntil']}")
    if data["usable"] is None and data["roots"]:
        console.print("\nwhich of them signs, only those can see who may read the CA's Secret")


def _headline(data: Mapping[str, Any], now: float) -> Sequence[str | Cell]:
    domain = f"CA of trust domain {data['trustDomain'] or '(not known)'}: "
    if data["usable"] is False:
        return domain, Cell("cannot be used", Style.BAD)
    if data["usable"] is None:
        return domain, Cell("cannot be told", Style.CAUTION)
    since = ca_words.seconds_of(data["since"]) or now
    why = f", reason {data['reason']}" if data["reason"] else ""
    phase = Cell(data["phase"], Style.GOOD if data["phase"] == "Idle" else Style.CAUTION)
    return domain, phase, f" since {data['since']} ({ca_words.span(now - since)}{why})"


def _step(step: Mapping[str, Any]) -> str:
    """What happens next, or what is waited for, in a line."""
    said = rotation.Step(rotation.Action(step["action"]), step["why"], tuple(step["waitingFor"]))
    again = f" (looked at again in {ca_words.span(step['againInSeconds'])})" if step["againInSeconds"] else ""
    waits = said.action in {rotation.Action.WAIT, rotation.Action.REISSUE}
    lead = "waiting" if waits else f"the controller's next step is {said.action}"
    return f"{lead}: {rotation.describe(said)}{again}"


def _row(root: Mapping[str, Any]) -> Sequence[str | Cell]:
    return (
        Cell(root["role"], _ROLES[root["role"]]),
        root["fingerprint"][: ca_words.SHORT],
        root["algorithm"],
        root["notBefore"],
        root["notAfter"],
        ca_words.span(root["ageSeconds"]),
        "?" if root["certificates"] is None else str(root["certificates"]),
    )

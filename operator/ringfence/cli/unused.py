"""Which rules recorded calls have used: what `explain` says of a policy beside what it means."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ringfence.cli import flow_files, simulate
from ringfence.cli.console import Console
from ringfence.cli.world import Loaded
from ringfence.flows.replay import Replay
from ringfence.flows.site import Used
from ringfence.model.resources import Action
from ringfence.policy.reasoning.standing import Standing


@dataclass(frozen=True, slots=True)
class Records:
    """The Allows that recorded calls have used; None where no records are given."""

    used: frozenset[Used] | None = None

    @staticmethod
    def add(parser: argparse.ArgumentParser) -> None:
        """The option that names the records."""
        flow_files.add(parser, required=False)

    @classmethod
    def read(cls, loaded: Loaded, arguments: argparse.Namespace, console: Console, *, audit: bool) -> Self:
        """Replay the records that the command line names; ``audit``: as if all in audit were enforced."""
        if not arguments.flows:
            return cls()
        asked = argparse.Namespace(**{**vars(arguments), "audit": audit})
        files = flow_files.opened(asked, console)
        try:
            replayed = Replay(simulate.judge(loaded, files.learn(), asked))
            for flow in files.flows():
                replayed.add(flow)
        finally:
            files.close()
        flow_files.remark(files.tally, console)
        unknown = sum(group.seen.count for group in replayed.unknown.values())
        if unknown:
            console.note(f"of {simulate.counted(unknown)} it is not sure what they use (`ringfence simulate` says why)")
        return cls(frozenset(replayed.used))

    def unused(self, standing: Standing) -> bool:
        """Whether there are records and a rule lets none of their calls pass."""
        allows = standing.action is Action.ALLOW
        return allows and self.used is not None and (standing.direction, standing.ref) not in self.used

    def marked(self, data: dict[str, Any], rules: Sequence[Standing]) -> dict[str, Any]:
        """What is told to programs of these rules, with ``unused`` where there are records."""
        if self.used is None:
            return data
        marked = [{**each, "unused": self.unused(rule)} for each, rule in zip(data["rules"], rules, strict=True)]
        return {**data, "rules": marked}

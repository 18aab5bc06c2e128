"""kubectl, driven as a person would."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import command


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One kubectl for one cluster."""

    program: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output. Raises ClusterError when kubectl fails."""
        return command.run(self.program, f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin)

    def succeeds(self, *arguments: str) -> bool:
        """Whether kubectl ends well."""
        return command.attempt(self.program, f"--kubeconfig={self.kubeconfig}", *arguments).returncode == 0

    def apply(self, objects: Sequence[dict[str, Any]]) -> None:
        """Server-side apply, in order."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        manager = "--field-manager=cluster"
        self.run("apply", "--server-side", "--force-conflicts", manager, "--filename=-", stdin=json.dumps(listed))

    def merge(self, target: str, change: dict[str, Any]) -> None:
        """A merge patch of one object, written kind/name."""
        self.run("patch", target, "--type=merge", f"--patch={json.dumps(change)}")

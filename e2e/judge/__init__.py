"""An independent opinion on NetworkPolicies: cyclonus' simulator and generated cases, as a program of our own.

What Ringfence compiles and what the test-only enforcer enforces are both compared with a judge that shares no line with
either. ``build`` makes the program, ``e2e.judge.client.Judge`` talks to it; README.md lists
where the judge departs from Kubernetes.
"""

from pathlib import Path

from e2e.goprogram.build import Module

MODULE = Module("judge", Path(__file__).resolve().parent)


def build() -> Path:
    """Return the judge's program. Raises BuildError, or ClusterError when there is no Go to be had."""
    return MODULE.build("judge")

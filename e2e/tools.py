"""Builds the programs that unit and component tests drive, before a test with a time limit would have to.

`python -m e2e.tools`, or `make tools`. Nothing happens when they are there; `make cluster` builds what the node needs
beside them.
"""

import sys

from e2e import envoy, judge, podsecurity
from e2e.cluster import debian, tools, versions
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import say, step
from e2e.goprogram.build import BuildError


def main() -> int:
    """Builds what is missing; 0 when all is there."""
    try:
        with step("programs that tests drive"):
            debian.ensure(versions.UNIT_TESTS)
            tools.ensure(tools.HELM, tools.CONTROL)
            envoy.binary()
            with step("the judges of NetworkPolicies and of Pod Security"):
                judge.build()
                podsecurity.judge()
                podsecurity.live()
    except (ClusterError, BuildError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

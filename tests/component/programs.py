"""Go programs that component tests drive: a few lines of our own around other people's libraries.

`python -m tests.component.programs`, or `make tools`, builds them before a test with a time limit would have to.
"""

import sys
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import say, step
from e2e.goprogram.build import BuildError, Module

_HERE = Path(__file__).parent
_REFERENCES = Module("references", _HERE / "references")
_SIGNER = Module("signer", _HERE / "signer")
_OPENID = Module("openid", _HERE / "openid")


def references() -> Path:
    """Reads image references with the runtimes' own library."""
    return _REFERENCES.build("references")


def signer() -> Path:
    """Signs as cosign does, with its libraries."""
    return _SIGNER.build("signer")


def openid() -> Path:
    """Logs users in and signs their tokens, by OpenID Connect."""
    return _OPENID.build("openid")


def main() -> int:
    """Builds what is missing; 0 when all is there."""
    try:
        with step("the reader of image references, the signer of images, the OpenID provider"):
            references()
            signer()
            openid()
    except (ClusterError, BuildError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

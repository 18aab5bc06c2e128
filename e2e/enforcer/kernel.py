"""Load rules into the kernel by the nft program."""

import subprocess

from e2e.enforcer.netns import Namespace

SECONDS = 30


class KernelError(Exception):
    """nft refused the rules, or there is no nft; what was in force before stays in force."""


def load(text: str, namespace: Namespace | None = None) -> None:
    """Load ``text`` as one transaction, in ``namespace`` (default: the caller's). Raises KernelError."""
    try:
        if namespace is None:
            done = _nft(text)
        else:
            with namespace.entered():
                done = _nft(text)
    except FileNotFoundError as error:
        raise KernelError("there is no nft program: install Debian's package nftables") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"nft took more than {SECONDS} s") from error
    if done.returncode != 0:
        raise KernelError(f"nft refused the rules: {done.stderr.strip()[:2000]}")


def _nft(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=False, timeout=SECONDS)

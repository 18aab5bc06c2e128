"""The commands `ringfence ca …`: their options and help. Their code is loaded when one is run."""

import argparse
from pathlib import Path
from typing import Final

from ringfence.cli import options
from ringfence.cli.commands import lazily

_DESCRIPTION: Final = """
Look after the certificate authority of the identities: see how it stands, replace its root, keep a copy of it in a safe
place, and bring it back when the cluster is lost.
"""
_STATUS: Final = """
Show the roots of the CA, which of them signs, how many certificates each has issued, how far a rotation is and what it
waits for.

Whoever may not read the CA's Secret gets what is public: the trusted roots, and what the identities say.
"""
_STATUS_EXAMPLES: Final = """
  {prog} status
  {prog} status -n shop                       # with the rights of a namespace's viewer: the bundle of shop
  {prog} status -o json | jq '.roots[] | {role, fingerprint, notAfter}'

exit status: 0 healthy, 1 needs attention (cannot be used, or ends within 30 days), 2 cannot tell
"""
_ROTATE: Final = """
Replace the root: a new one is made and brought to every trust bundle, then it signs, every certificate is issued anew,
and the old root is trusted until nothing that it signed is valid. The controller does it; no handshake fails.

With --compromised (the old key may be in strange hands) the old root stops being trusted at once: programs that have
not read their new files by then are refused by their peers. What that breaks is said first.
"""
_ROTATE_EXAMPLES: Final = """
  {prog} rotate                               # says what it will do and asks
  {prog} rotate --yes --wait                  # without asking; return when the old root is gone
  {prog} rotate --compromised --yes           # the key has leaked

exit status: 0 requested (with --wait: done), 1 something stands in the way or the time is up, 2 the cluster cannot be
asked or says no
"""
_BACKUP: Final = """
Write the CA, its private keys included, to a file that is encrypted with a passphrase (scrypt, AES-256-GCM), and read
it back. Without a backup a lost CA means that every certificate is worth nothing. Make one after every rotation.

The passphrase (12 characters or more) is asked for on the terminal or read from a file; keep it elsewhere.
"""
_BACKUP_EXAMPLES: Final = """
  {prog} backup ringfence-ca.backup
  {prog} backup --passphrase-file /run/secrets/passphrase --force ringfence-ca.backup

exit status: 0 written and read back, 1 something stands in the way, 2 it cannot be done
"""
_RESTORE: Final = """
Bring the CA back from a backup: into a new cluster, or into one whose CA's Secret is lost or cannot be used. Running
controllers pick it up by themselves, and the certificates that it had signed are good again.

A CA that can be used is replaced with --replace only. A backup of another trust domain is never taken.
"""
_RESTORE_EXAMPLES: Final = """
  {prog} restore ringfence-ca.backup
  {prog} restore --passphrase-file /run/secrets/passphrase ringfence-ca.backup
  {prog} restore ringfence-ca.backup --replace --yes     # although the cluster has a CA that can be used

exit status: 0 restored (or it was there already), 1 something stands in the way, 2 it cannot be done
"""
_INIT: Final = """
Give up a CA that is lost and for which there is no backup: write a new root. Every certificate of the old one stops
being good, and calls fail until both sides have their new files. Prefer `ca restore` if there is any backup, and
`ca rotate --compromised` if the CA works.
"""
_INIT_EXAMPLES: Final = """
  {prog} init --new-root                      # says what it costs and asks
  {prog} init --new-root --yes

exit status: 0 there is a new root, 1 something stands in the way, 2 it cannot be done
"""
#: Longest waiting for a rotation, in seconds: certificates of the old root may live for a day.
_MAX_WAIT: Final = 7 * 86400


def add(subparsers: options.Subparsers) -> None:
    """Define the commands."""
    parser = subparsers.add_parser(
        "ca",
        help="look after the certificate authority of the identities",
        description=_DESCRIPTION.strip(),
        formatter_class=options.Formatter,
        allow_abbrev=False,
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", dest="ca_command", required=True)
    for define in (_status, _rotate, _backup, _restore, _init):
        define(inner)


def _command(inner: options.Subparsers, name: str, summary: str, texts: tuple[str, str]) -> argparse.ArgumentParser:
    made = options.command(inner, name, summary, *texts)
    made.set_defaults(run=lazily(f"ringfence.cli.ca_{name}"))
    return made


def _status(inner: options.Subparsers) -> None:
    parser = _command(inner, "status", "show its roots and how far a rotation is", (_STATUS, _STATUS_EXAMPLES))
    parser.add_argument(
        "-n",
        "--namespace",
        default="",
        help="where to read the trust bundle if you may not read Ringfence's own",
    )
    options.cluster(parser)
    options.output(parser)


def _rotate(inner: options.Subparsers) -> None:
    parser = _command(inner, "rotate", "replace the root", (_ROTATE, _ROTATE_EXAMPLES))
    parser.add_argument("--compromised", action="store_true", help="the key may be in strange hands: do not wait")
    parser.add_argument("--wait", action="store_true", help="wait until the old root is gone, and tell how far it is")
    parser.add_argument(
        "--timeout", type=_seconds, default=172800.0, metavar="SECONDS", help="of --wait (default: two days)"
    )
    _agreeing(parser)
    options.cluster(parser)
    options.verbosity(parser)


def _backup(inner: options.Subparsers) -> None:
    parser = _command(inner, "backup", "write it to an encrypted file", (_BACKUP, _BACKUP_EXAMPLES))
    parser.add_argument("file", type=Path, metavar="FILE", help="is made with mode 0600")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    _passphrase(parser)
    options.cluster(parser)
    options.verbosity(parser)


def _restore(inner: options.Subparsers) -> None:
    parser = _command(inner, "restore", "bring it back from such a file", (_RESTORE, _RESTORE_EXAMPLES))
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--replace", action="store_true", help="although the cluster has a CA that can be used")
    _passphrase(parser)
    _agreeing(parser)
    options.cluster(parser)
    options.verbosity(parser)


def _init(inner: options.Subparsers) -> None:
    parser = _command(inner, "init", "write a new root in place of a lost CA", (_INIT, _INIT_EXAMPLES))
    parser.add_argument("--new-root", action="store_true", required=True, help="say that this is what you want")
    _agreeing(parser)
    options.cluster(parser)
    options.verbosity(parser)


def _passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="its first line is the passphrase (default: ask on the terminal)",
    )


def _agreeing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="go on without asking")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from error
    if not 0 < value <= _MAX_WAIT:
        raise argparse.ArgumentTypeError(f"more than 0 and at most {_MAX_WAIT} seconds")
    return value

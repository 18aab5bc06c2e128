"""`ringfence ca restore`: the CA comes back from a backup. What works is not replaced by accident."""

import argparse
import asyncio
from collections.abc import Iterable
from typing import Final

from ringfence.cli import ca_cluster, ca_files, ca_report, ca_words, options
from ringfence.cli.ca_cluster import Cluster, Seen
from ringfence.cli.ca_report import Health
from ringfence.cli.console import Cell, Console, Style
from ringfence.model.ca import CaState
from ringfence.model.errors import RingfenceError
from ringfence.pki import backup, store
from ringfence.pki.backup import Backup

DONE: Final = 0
IN_THE_WAY: Final = 1


class WrongBackup(RingfenceError):
    """A backup that this cluster cannot use; the message says why."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Open the file, compare it with the cluster, and write it there."""
    content = ca_files.read(arguments.file)
    phrase = ca_files.passphrase(arguments.passphrase_file, console, twice=False)
    opened = backup.unseal(content, phrase)
    state = store.read(opened.data)
    root = state.current.root
    console.print(
        f"backup of {opened.created or '(not said)'}, trust domain {opened.trust_domain}, phase {state.phase}"
    )
    console.print(f"  root {root.fingerprint}, until {ca_words.moment(root.not_after)}")
    return asyncio.run(_restore(arguments, opened, state, console))


async def _restore(arguments: argparse.Namespace, opened: Backup, state: CaState, console: Console) -> int:
    async with ca_cluster.connected(options.target(arguments)) as cluster:
        seen = Seen(await cluster.secret(), await cluster.marker(), await cluster.settings())
        now = ca_cluster.clock()
        _check(opened, state, seen, now)
        if seen.secret is not None and seen.secret.get("data") == dict(opened.data):
            await cluster.mark(store.marker(state))
            console.print(Cell("done", Style.GOOD), ": the cluster has exactly this CA already")
            return DONE
        found = ca_report.health(seen, now)
        console.print(f"the cluster: {_cluster(found)}")
        if found.state and not arguments.replace:
            console.error("nothing was changed: the cluster's CA can be used. If it shall be replaced, say --replace")
            return IN_THE_WAY
        losses = list(_losses(found, state, seen))
        for sentence in losses:
            console.warn(sentence)
        if losses and not ca_words.agreed(arguments, console):
            return IN_THE_WAY
        await _write(cluster, seen, opened)
    console.print(Cell("done", Style.GOOD), f": root {state.current.root.fingerprint[: ca_words.SHORT]} is back;")
    console.print("  running controllers pick it up by themselves: `ringfence ca status` shows how it stands")
    return DONE


def _check(opened: Backup, state: CaState, seen: Seen, now: float) -> None:
    """Raise WrongBackup for a CA that could not be used here."""
    if seen.secret is not None and seen.secret.get("type") != store.SECRET_TYPE:
        raise WrongBackup(
            f"the Secret {store.SECRET_NAME} has type {seen.secret.get('type')!r}, not {store.SECRET_TYPE}: it is not"
            " Ringfence's, and a type cannot be changed; delete it if nobody needs it, then try again"
        )
    marked = ((seen.marker or {}).get("data") or {}).get(store.TRUST_DOMAIN_KEY)
    configured = seen.settings.installation.trust_domain if seen.settings else None
    for said, where in ((configured, "the settings"), (marked, f"the ConfigMap {store.MARKER_NAME}")):
        if said and said != opened.trust_domain:
            raise WrongBackup(
                f"the backup is of the trust domain {opened.trust_domain}, and {where} of this cluster say {said}:"
                " it is the backup of another installation"
            )
    root = state.current.root
    if now >= root.not_after:
        raise WrongBackup(
            f"the root of the backup ended on {ca_words.moment(root.not_after)}: it is of no use any more"
            " (`ringfence ca init --new-root`)"
        )
    if now < root.not_before:
        raise WrongBackup(
            f"the root of the backup is not valid before {ca_words.moment(root.not_before)}: set this machine's clock"
        )


def _cluster(found: Health) -> str:
    if found.state:
        root = found.state.current.root
        return f"its CA can be used, phase {found.state.phase}, root {root.fingerprint}"
    return f"{found.trouble.reason}: {found.trouble.message}" if found.trouble else "nothing is known of its CA"


def _losses(found: Health, state: CaState, seen: Seen) -> Iterable[str]:
    """What is lost by restoring, each a sentence; nothing when only what was lost comes back."""
    ours = {root.fingerprint for root in state.roots}
    known = ((seen.marker or {}).get("data") or {}).get(store.FINGERPRINTS_KEY, "").split()
    gone = sorted(set(known) - ours)
    if found.state:
        yield "a CA that can be used is replaced; make a backup of it first (`ringfence ca backup`)"
        gone = sorted({root.fingerprint for root in found.state.roots} - ours | set(gone))
    if gone:
        shown = ", ".join(each[: ca_words.SHORT] for each in gone)
        yield (
            f"the backup does not hold {shown}, which this cluster trusts: certificates of it are refused until both"
            " sides of a call have their new files; programs that do not read them again must be restarted"
        )


async def _write(cluster: Cluster, seen: Seen, opened: Backup) -> None:
    if seen.settings is None and seen.marker is None:
        # Nothing tells that this is the namespace of an installation, so at least it must be there.
        await cluster.exists()
    await cluster.write(seen, opened.data)

"""`ringfence ca init --new-root`: a new root in place of a CA that is lost for good.

It writes the whole state itself rather than deleting what is left: so there is no moment in which a controller finds
nothing and takes the cluster for a first install, and it can be done while no controller runs.
"""

import argparse
import asyncio
import secrets
from typing import Final

from ringfence.cli import ca_cluster, ca_report, ca_words, live, options
from ringfence.cli.ca_cluster import Seen
from ringfence.cli.console import Cell, Console, Style
from ringfence.model.ca import CaState
from ringfence.pki import slots, store
from ringfence.pki.root import make_root
from ringfence.settings import Settings

DONE: Final = 0
IN_THE_WAY: Final = 1


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Say what it costs, then do it."""
    return asyncio.run(_init(arguments, console))


async def _init(arguments: argparse.Namespace, console: Console) -> int:
    async with ca_cluster.connected(options.target(arguments)) as cluster:
        seen = await cluster.see()
        for text in seen.remarks:
            console.note(text)
        settings = _settings(seen, cluster.namespace)
        now = ca_cluster.clock()
        found = ca_report.health(seen, now)
        if found.state:
            short = found.state.current.root.fingerprint[: ca_words.SHORT]
            console.error(
                f"nothing was changed: the CA can be used (root {short}). Replace it by `ringfence ca rotate`,"
            )
            console.error("with --compromised if its key may be in strange hands")
            return IN_THE_WAY
        if found.trouble:
            console.print(f"the CA now: {found.trouble.reason}: {found.trouble.message}")
        _cost(seen, console)
        if not ca_words.agreed(arguments, console):
            return IN_THE_WAY
        state = _new(settings, now)
        await cluster.write(seen, store.encode(state))
    root = state.current.root
    console.print(Cell("done", Style.GOOD), f": new root {root.fingerprint}, until {ca_words.moment(root.not_after)}")
    console.print("  running controllers issue every certificate anew; make a backup now: `ringfence ca backup FILE`")
    return DONE


def _settings(seen: Seen, namespace: str) -> Settings:
    """Those of the installation; raises NoCluster when the trust domain is not known for sure."""
    if "CA's Secret" in seen.denied:
        raise live.NoCluster("a CA that may not be read is not replaced: you need all rights on the CA's Secret")
    if seen.settings is None:
        raise live.NoCluster(
            f"the settings (ConfigMap {namespace}/{live.CONFIG_MAP}) are not there or may not be read, and a new root "
            "needs their trust domain: install Ringfence first, or name its namespace with --ringfence-namespace"
        )
    if seen.secret is not None and seen.secret.get("type") != store.SECRET_TYPE:
        raise live.NoCluster(
            f"the Secret {store.SECRET_NAME} has type {seen.secret.get('type')!r}, not {store.SECRET_TYPE}: it is not "
            "Ringfence's, and a type cannot be changed; delete it if nobody needs it, then try again"
        )
    return seen.settings


def _cost(seen: Seen, console: Console) -> None:
    """What it means for those who have certificates."""
    holders = [ca_report.named(each) for each in seen.identities or () if ca_report.certificate_of(each)]
    if seen.identities is None:
        console.warn("how many identities have certificates cannot be told")
    if holders:
        console.warn(f"certificates ({len(holders)}) of the lost root stop being good: {ca_words.listed(holders)}")
    console.warn(
        "calls fail from when one side has its new files until the other has: a minute or two for programs that read"
        " them again, until a restart for others. If there is a backup, `ringfence ca restore` costs nothing of this"
    )


def _new(settings: Settings, now: float) -> CaState:
    """The state of a new CA, as the controller makes it on a first install."""
    domain = settings.installation.trust_domain
    serial = secrets.randbits(127) | 1 << 126
    algorithm, life = settings.ca.key_algorithm, settings.ca.ttl
    return slots.first(domain, make_root(domain, now, serial, key_algorithm=algorithm, life=life), now)

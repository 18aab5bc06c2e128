"""`ringfence ca backup`: the CA in an encrypted file, read back before it counts."""

import argparse
import asyncio
import secrets
from pathlib import Path
from typing import Final

from ringfence.cli import ca_cluster, ca_files, ca_report, ca_words, live, options
from ringfence.cli.ca_cluster import Seen
from ringfence.cli.console import Cell, Console, Style
from ringfence.model.ca import Phase
from ringfence.pki import backup, store

DONE: Final = 0
IN_THE_WAY: Final = 1


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read the CA, seal it, write it, and open what was written."""
    path: Path = arguments.file
    try:
        ca_files.check_free(path, force=arguments.force)
        data = _data(asyncio.run(_see(arguments)), console)
        phrase = ca_files.passphrase(arguments.passphrase_file, console, twice=True)
        ca_files.write(path, _sealed(data, phrase), force=arguments.force)
    except ca_files.Exists as error:
        console.error(str(error))
        return IN_THE_WAY
    opened = backup.unseal(ca_files.read(path), phrase)
    if dict(opened.data) != data:
        raise ca_files.BadFile(f"{path} does not hold what was written to it: do not rely on it")
    console.print(Cell("done", Style.GOOD), f": {path} holds the CA of trust domain {opened.trust_domain},")
    console.print(f"  root {opened.fingerprint[: ca_words.SHORT]}, and was opened again with the passphrase")
    return DONE


async def _see(arguments: argparse.Namespace) -> Seen:
    async with ca_cluster.connected(options.target(arguments)) as cluster:
        return Seen(await cluster.secret(), await cluster.marker(), await cluster.settings())


def _data(seen: Seen, console: Console) -> dict[str, str]:
    """The Secret's data; raises NoCluster when there is none, CaUnusable when it is no whole CA."""
    if seen.secret is None:
        raise live.NoCluster(f"there is no Secret {store.SECRET_NAME}, so there is nothing to write to a file")
    data: dict[str, str] = seen.secret.get("data") or {}
    state = store.read(data)
    found = ca_report.health(seen, ca_cluster.clock())
    if found.trouble:
        console.warn(f"the cluster cannot use this CA: {found.trouble.message}")
    if state.phase is not Phase.IDLE:
        console.warn(f"a rotation is under way ({state.phase}): make another backup when it is over")
    return data


def _sealed(data: dict[str, str], phrase: str) -> bytes:
    salt, nonce = secrets.token_bytes(backup.SALT_BYTES), secrets.token_bytes(backup.NONCE_BYTES)
    return backup.seal(data, phrase, salt=salt, nonce=nonce, now=ca_cluster.clock())

"""`ringfence ca rotate`: says what replacing the root costs, asks the controller for it, and follows it."""

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Final

from ringfence.cli import ca_cluster, ca_report, ca_words, live, options
from ringfence.cli.ca_cluster import Cluster, Object, Seen
from ringfence.cli.console import Cell, Console, Style
from ringfence.kube import errors
from ringfence.model.ca import CaState, Phase, RotationReason
from ringfence.pki import rotation, store
from ringfence.pki.rotation import Request
from ringfence.settings import CaSettings

DONE: Final = 0
IN_THE_WAY: Final = 1
#: Seconds between looks at the CA's Secret, and between looks at everything.
PAUSE: Final = 2.0
LOOK_AROUND: Final = 15.0


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask for it."""
    return asyncio.run(_rotate(arguments, console))


async def _rotate(arguments: argparse.Namespace, console: Console) -> int:
    async with ca_cluster.connected(options.target(arguments)) as cluster:
        seen = await cluster.see()
        if "CA's Secret" in seen.denied or seen.secret is None:
            raise live.NoCluster(_no_secret(seen))
        for text in seen.remarks:
            console.note(text)
        found = ca_report.health(seen, ca_cluster.clock())
        if found.state is None:
            trouble = found.trouble
            console.error(f"the CA cannot be used: {trouble.message} ({trouble.fix})" if trouble else "there is no CA")
            return IN_THE_WAY
        if refusal := _refusal(found.state, seen, compromised=arguments.compromised):
            console.error(f"nothing was changed: {refusal}")
            return IN_THE_WAY
        _say(found.state, seen, console, compromised=arguments.compromised)
        if not ca_words.agreed(arguments, console):
            return IN_THE_WAY
        await cluster.ask(seen.secret, Request.COMPROMISED if arguments.compromised else Request.REQUESTED)
        console.print(Cell("requested", Style.GOOD), ": the controller replaces the root")
        if not arguments.wait:
            console.print("`ringfence ca status` shows how far it is; make a new backup when it is over")
            return DONE
        return await _wait(cluster, found.state, arguments, console)


def _no_secret(seen: Seen) -> str:
    if "CA's Secret" in seen.denied:
        return f"{seen.remarks[0]}: to rotate takes the right to get and patch it"
    return f"there is no Secret {store.SECRET_NAME}: `ringfence ca status` says what to do"


def _refusal(state: CaState, seen: Seen, *, compromised: bool) -> str:
    """Why it cannot be asked for now, "" when it can: only a compromise may come on top of a rotation."""
    hint = "`ringfence ca status` shows how far it is"
    if state.reason is RotationReason.COMPROMISED or seen.request == Request.COMPROMISED:
        if not compromised or seen.request == Request.COMPROMISED or state.phase is Phase.PREPARED:
            return f"a rotation after a compromise is under way or requested; {hint}"
        return ""
    if not compromised and (state.phase is not Phase.IDLE or seen.request):
        return f"a rotation is under way or requested ({state.phase}); {hint}. To hurry it, say --compromised"
    return ""


# --- what it costs ----------------------------------------------------------------------------------------------------


def _say(state: CaState, seen: Seen, console: Console, *, compromised: bool) -> None:
    ca = seen.settings.ca if seen.settings else CaSettings()
    holders = [each for each in seen.identities or () if ca_report.certificate_of(each)]
    old = state.current.root.fingerprint[: ca_words.SHORT]
    issued = "certificates (how many cannot be told)"
    if seen.identities is not None:
        issued = f"certificates ({len(holders)})"
    steps = _forced(state, old, issued) if compromised else _planned(seen, ca, old, issued)
    for number, sentence in enumerate(steps, 1):
        console.print(f"  {number}. {sentence}")
    if compromised:
        _breaks(holders, console)


def _planned(seen: Seen, ca: CaSettings, old: str, issued: str) -> Sequence[str]:
    """A rotation that nobody notices."""
    everywhere = "every enrolled namespace"
    if seen.bundles is not None:
        everywhere = ca_words.count(len(seen.bundles), "enrolled namespace")
    pause = ca_words.span(ca.propagation)
    return (
        f"a new root is made, trusted beside {old}, and brought to {everywhere}; programs get {pause} to read it",
        f"it signs: {issued} are issued anew, spread over {ca_words.span(ca.reissue_within)}",
        f"{old} stays trusted until its last certificate has ended, at most {ca_words.span(ca.max_ttl)}; then it goes",
    )


def _forced(state: CaState, old: str, issued: str) -> Sequence[str]:
    """A rotation that ends the trust in a key that others may have."""
    patience = ca_words.span(rotation.Timing().forced_patience)
    ahead = "" if state.phase is Phase.IDLE else " (the rotation under way is taken over)"
    return (
        f"a new root is made and brought to every enrolled namespace{ahead}",
        f"as soon as its bundle is everywhere, at the latest after {patience}, it signs",
        f"{issued} are issued anew; that is waited for {patience} at most",
        f"{old} stops being trusted although certificates of it have not ended",
    )


def _breaks(holders: Sequence[Object], console: Console) -> None:
    """Whom the forced way hits."""
    console.warn(
        "every program that has not read its new files when the old root goes is refused by its peers, and refuses"
        " them, until it reads them again. Secrets that are mounted as volumes are new within a minute or so; by"
        " subPath or as environment variables they never change, and such programs must be restarted"
    )
    if holders:
        console.warn(f"it concerns the programs of {ca_words.listed([_with_pods(each) for each in holders])}")


def _with_pods(identity: Object) -> str:
    workloads = (identity.get("status") or {}).get("workloads") or {}
    pods = int(workloads.get("enrolled") or 0) + int(workloads.get("unenrolled") or 0)
    return f"{ca_report.named(identity)} ({ca_words.count(pods, 'pod')})"


# --- following it -----------------------------------------------------------------------------------------------------


async def _wait(cluster: Cluster, before: CaState, arguments: argparse.Namespace, console: Console) -> int:
    """Until the controller is back in phase Idle with another root, telling what it waits for when that changes."""
    started = time.monotonic()
    looked, told, phase = -LOOK_AROUND, "", before.phase
    seen = Seen()
    while True:
        try:
            secret = await cluster.secret()
            state = store.read((secret or {}).get("data") or {})
            if secret and _over(state, before, ca_cluster.Seen(secret).request):
                _finish(state, console)
                return DONE
            if state.phase is not phase or time.monotonic() - looked >= LOOK_AROUND:
                looked, phase = time.monotonic(), state.phase
                seen = await cluster.see()
            reason = f"{state.phase}: {_reason(state, seen)}"
        except errors.KubeError as error:
            if not error.retriable:
                raise
            reason = str(error)
        if reason != told:
            console.progress(reason)
            told = reason
        if time.monotonic() - started > arguments.timeout:
            console.error(f"after {ca_words.span(arguments.timeout)} still {reason}; the controller goes on with it")
            return IN_THE_WAY
        await asyncio.sleep(PAUSE)


def _over(state: CaState, before: CaState, request: str) -> bool:
    """Whether it is Idle again, the request is answered, and another root signs."""
    return state.phase is Phase.IDLE and not request and state.current.root != before.current.root


def _reason(state: CaState, seen: Seen) -> str:
    """The step without its countdown, so that the same waiting is told once."""
    if state.phase is Phase.IDLE:
        return "the controller has not begun yet (does it run?)"
    return rotation.describe(ca_report.step_of(state, seen, ca_cluster.clock()))


def _finish(state: CaState, console: Console) -> None:
    root = state.current.root
    console.print(
        Cell("done", Style.GOOD), f": root {root.fingerprint[: ca_words.SHORT]} signs and the old one is gone"
    )
    console.print("  make a new backup now: `ringfence ca backup FILE`")

"""Every certificate of a big cluster at once: what a rotation of the CA costs when nothing spreads it over time.

The settings spread it over ten minutes; here they spread it over none, so that the controller works as fast as it can.
First all identities are created, then a rotation is asked for: the new root goes into every Secret, signs, and every
certificate is issued anew. A renewal of all at the same moment is the second half of that.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.kube import client, resources
from ringfence.model.ca import CaState
from ringfence.pki import store
from ringfence.reconcile.ca_sight import ANNOTATION_ROTATE

from bench import following, identities, rig, table

NAMESPACES = 50
IDENTITIES = 100
"""In each namespace."""
_SETTINGS = {"ca": {"propagation": "0s", "reissueWithin": "0s"}}
_WITHIN = 1800.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of it took and cost; ``memory`` is the controller's highest until its end, in bytes."""

    seconds: float
    cpu: float
    plane_cpu: float
    requests: Counter[str]
    memory: int


def rows() -> list[table.Row]:
    """The figures of the three parts."""
    created, spread, reissued = asyncio.run(_measure())
    count = NAMESPACES * IDENTITIES
    return [
        *_rows(f"{count:,} identities created in {NAMESPACES} namespaces: until all are Ready", created),
        *_rows("rotation: until the new root signs, and so is in every Secret and trust bundle", spread),
        *_rows("storm: from then until every certificate is issued anew", reissued),
        table.Row("highest memory of the controller", f"{reissued.memory / 2**20:.0f} MiB"),
    ]


def _rows(what: str, part: Part) -> Iterator[table.Row]:
    count = NAMESPACES * IDENTITIES
    total = sum(part.requests.values())
    yield table.Row(
        what,
        f"{part.seconds:.0f} s, {count / part.seconds:.0f}/s (processor time of the controller {part.cpu:.0f} s,"
        f" of API server and etcd {part.plane_cpu:.0f} s)",
    )
    yield table.Row("    API requests an identity", f"{total / count:.2f} ({rig.shares(part.requests, count)})")
    yield table.Row("    highest memory of the controller until then", f"{part.memory / 2**20:.0f} MiB")


async def _measure() -> tuple[Part, Part, Part]:
    namespaces = [f"team-{number}" for number in range(NAMESPACES)]
    async with identities.plane_of(rig.USER) as ground:
        await identities.prepare(ground.api, namespaces)
        with rig.controller(ground.config, ground.place, _SETTINGS) as running:
            await identities.at_rest(ground.api, namespaces)
            pid = running.process.pid
            taken = _Stretch(ground, pid)
            await _create(ground.api, namespaces)
            created = await taken.end()
            rig.say(f"storm: created in {created.seconds:.0f} s, highest memory {created.memory / 2**20:.0f} MiB")
            old = (await _ca(ground.api)).current.root.fingerprint
            watching = asyncio.create_task(_all_anew(ground.api, old))
            await asyncio.sleep(1)
            taken = _Stretch(ground, pid)
            await _rotate(ground.api)
            await _activated(ground.api, old)
            spread = await taken.end(pause=0)
            rig.say(f"storm: the new root signs after {spread.seconds:.0f} s")
            taken = _Stretch(ground, pid)
            await watching
            reissued = await taken.end()
            rig.say(f"storm: all issued anew in {reissued.seconds:.0f} s")
            return created, spread, reissued


class _Stretch:
    """Counts from its making to its end."""

    def __init__(self, ground: identities.Ground, pid: int) -> None:
        self._ground, self._pid = ground, pid
        ground.audit.mark()
        self._cpu, self._plane_cpu = rig.cpu_seconds(pid), rig.plane_cpu_seconds(ground.plane)
        self._started = time.monotonic()

    async def end(self, pause: float = 3.0) -> Part:
        """What it came to; what is asked for in a ``pause`` afterwards belongs to it, the pause does not."""
        seconds = time.monotonic() - self._started
        ground, pid = self._ground, self._pid
        cpu = rig.cpu_seconds(pid) - self._cpu
        plane_cpu = rig.plane_cpu_seconds(ground.plane) - self._plane_cpu
        await asyncio.sleep(pause)
        requests = Counter(identities.purpose(each) for each in ground.audit.requests(rig.USER))
        return Part(seconds, cpu, plane_cpu, requests, rig.peak_memory(pid))


async def _create(api: client.Client, namespaces: list[str]) -> None:
    objects = [identities.identity(each, f"service-{number}") for number in range(IDENTITIES) for each in namespaces]
    watching = asyncio.create_task(
        following.until(api, resources.SERVICE_IDENTITIES, "0", len(objects), identities.OURS.there, _WITHIN)
    )
    await rig.all_of(lambda obj: rig.create(api, obj), objects)
    await watching


async def _ca(api: client.Client) -> CaState:
    held = await api.request("GET", resources.SECRETS.path(rig.OWN, store.SECRET_NAME))
    return store.read(held["data"])


async def _rotate(api: client.Client) -> None:
    body = {"metadata": {"annotations": {ANNOTATION_ROTATE: "requested"}}}
    path = resources.SECRETS.path(rig.OWN, store.SECRET_NAME)
    await api.request("PATCH", path, body=body, content_type=client.MERGE)


async def _activated(api: client.Client, old: str) -> None:
    """Return once another root signs."""
    deadline = time.monotonic() + _WITHIN
    while (await _ca(api)).current.root.fingerprint == old:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the old root still signs after {_WITHIN:.0f} s")
        await asyncio.sleep(0.1)


async def _all_anew(api: client.Client, old: str) -> None:
    """Return once every status tells of a certificate that another root has signed."""

    def anew(status: following.Status) -> bool:
        return status.ready and status.certificate is not None and status.certificate.get("issuer") not in {"", old}

    resource = resources.SERVICE_IDENTITIES
    since = await following.version(api, resource)
    await following.until(api, resource, since, NAMESPACES * IDENTITIES, anew, _WITHIN)


if __name__ == "__main__":
    table.show("storm", rows())

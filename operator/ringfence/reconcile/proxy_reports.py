"""The replicas' reports of their proxies: as ConfigMaps, and what they come to together.

A proxy is told by its pod's uid, and the newest word about it counts, whichever replica it is from. What a replica has
said holds as long as it goes on saying it; of one that has fallen silent only this is certain: its proxies'
certificates may be in use until they end.
"""

import base64
import binascii
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from ringfence.model.acknowledgements import MAX_REFUSALS, NAME_PREFIX, PURPOSE, PolicyState, ProxyState, Report
from ringfence.model.ca import CaState
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Object
from ringfence.pki import bundle

SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_PURPOSE}={PURPOSE}"
#: Most bytes of a report, packed; etcd takes 1.5 MiB, a ConfigMap 1 MiB.
MAX_BYTES: Final = 700_000
#: Most bytes that are unpacked of one.
MAX_UNPACKED: Final = 32 << 20
_KEY: Final = "report.json.gz"
_VERSION: Final = 1
_FIELDS: Final = tuple(each.name for each in fields(ProxyState))

#: Whether the pod of (namespace, name, uid) is still there.
Alive = Callable[[str, str, str], bool]


class Unreadable(ValueError):
    """A ConfigMap that is no report, or one of another version."""


def encode(report: Report, namespace: str) -> Object:
    """The ConfigMap that holds a report. What does not fit is left out and counted: first proxies that are away."""
    proxies = sorted(report.proxies, key=lambda each: (not each.connected, each.namespace, each.pod, each.uid))
    dropped = report.dropped
    packed = _pack(report, proxies, dropped)
    while len(packed) > MAX_BYTES:
        keep = len(proxies) * MAX_BYTES // len(packed) * 9 // 10
        dropped += len(proxies) - keep
        proxies = proxies[:keep]
        packed = _pack(report, proxies, dropped)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{NAME_PREFIX}{report.replica}",
            "namespace": namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE},
        },
        "binaryData": {_KEY: base64.b64encode(packed).decode()},
    }


def decode(obj: Object) -> Report:
    """The report in a ConfigMap. Raises Unreadable."""
    try:
        data = base64.b64decode((obj.get("binaryData") or {})[_KEY], validate=True)
        document = json.loads(_unpack(data))
        if document["version"] != _VERSION:
            raise Unreadable(f"version {document['version']} of a report is not known")
        policies = _policies(document)
        proxies = tuple(ProxyState(**dict(zip(_FIELDS, row, strict=True))) for row in document["proxies"])
        return Report(str(document["replica"]), float(document["written"]), proxies, policies, int(document["dropped"]))
    except (LookupError, TypeError, ValueError, AttributeError, OSError, EOFError, binascii.Error) as error:
        raise Unreadable(f"the ConfigMap {obj['metadata']['name']} holds no report: {error}") from error


def readable(objects: Iterable[Object]) -> tuple[tuple[Report, ...], tuple[str, ...]]:
    """The reports among these ConfigMaps, and the names of those that cannot be read."""
    reports, bad = [], []
    for each in objects:
        try:
            reports.append(decode(each))
        except Unreadable:
            bad.append(str(each["metadata"]["name"]))
    return tuple(reports), tuple(bad)


@dataclass(frozen=True, slots=True)
class Known:
    """The last that is known of a proxy: by which replica, and whether that one lives."""

    proxy: ProxyState
    replica: str
    live: bool

    @property
    def connected(self) -> bool:
        """Whether it is connected to a replica that lives."""
        return self.live and self.proxy.connected


def known(reports: Iterable[Report], now: float) -> dict[str, Known]:
    """By uid of the pod, the last that is known of each proxy."""
    found: dict[str, Known] = {}
    for report in reports:
        live = report.is_live(now)
        for each in report.proxies:
            entry = Known(each, report.replica, live)
            held = found.get(each.uid)
            if held is None or _rank(entry) > _rank(held):
                found[each.uid] = entry
    return found


def newest(reports: Iterable[Report], now: float) -> dict[str, tuple[ProxyState, bool]]:
    """The same without the replicas: the proxy, and whether it is connected to a replica that lives."""
    return {uid: (each.proxy, each.connected) for uid, each in known(reports, now).items()}


def policies(reports: Iterable[Report], now: float) -> dict[str, PolicyState]:
    """By owner, how far each policy has come at all replicas that live: of the newest generation that each knows."""
    found: dict[str, PolicyState] = {}
    for report in reports:
        if report.is_live(now):
            for owner, each in report.policies.items():
                held = found.get(owner)
                if held is None:
                    found[owner] = each
                    continue
                found[owner] = PolicyState(
                    min(held.generation, each.generation),
                    held.ready + each.ready,
                    held.total + each.total,
                    held.refused + each.refused,
                    tuple(sorted({*held.refusals, *each.refusals})[:MAX_REFUSALS]),
                )
    return found


def unacknowledged(objects: Iterable[Object], state: CaState, now: float, alive: Alive) -> tuple[str, ...]:
    """Proxies that have not said to trust the whole bundle, as people know them; sorted.

    A proxy that nobody serves now counts until its certificate has ended or its pod is gone.
    """
    reports, bad = readable(objects)
    wanted = bundle.digest(state.bundle)
    found = [f"ConfigMap {name}, which holds no report" for name in bad]
    for proxy, connected in newest(reports, now).values():
        name = f"proxy {proxy.namespace}/{proxy.pod}"
        if connected:
            found += [name] if proxy.bundle != wanted else []
        elif _lives(proxy, now, alive):
            found.append(f"{name} (not connected)")
    found += [
        f"{each.dropped} proxies of {each.replica}, which did not fit into its report"
        for each in reports
        if each.dropped and each.is_live(now)
    ]
    return tuple(sorted(found))


def old_leaves(objects: Iterable[Object], state: CaState, now: float, alive: Alive) -> tuple[str, ...]:
    """Proxies whose certificate is valid and not of the root that signs; sorted."""
    current = state.current.root.fingerprint
    reports, _ = readable(objects)
    return tuple(
        sorted(
            f"proxy {each.namespace}/{each.pod}"
            for each, _ in newest(reports, now).values()
            if each.root and each.root != current and _lives(each, now, alive)
        )
    )


def is_over(report: Report, now: float) -> bool:
    """Whether nothing that a report speaks of can be in use any more: its replica is gone, and every certificate."""
    return not report.is_live(now) and all(each.not_after <= now for each in report.proxies)


def _lives(proxy: ProxyState, now: float, alive: Alive) -> bool:
    return proxy.not_after > now and alive(proxy.namespace, proxy.pod, proxy.uid)


def _rank(entry: Known) -> tuple[bool, int, int]:
    return entry.connected, entry.proxy.since, entry.proxy.not_after


def _policies(document: Mapping[str, Any]) -> dict[str, PolicyState]:
    """The states of policies; ``refused`` stands apart and may be missing, so that older versions can be read too."""
    words, refused = document.get("refusals", ()), document.get("refused", {})
    found = {}
    for owner, numbers in document["policies"].items():
        generation, ready, total = map(int, numbers)
        count, places = refused.get(owner, (0, ()))
        told = tuple(str(words[place]) for place in places)
        found[owner] = PolicyState(generation, ready, total, int(count), told)
    return found


def _pack(report: Report, proxies: Iterable[ProxyState], dropped: int) -> bytes:
    # The same words are told of many policies.
    words = sorted({text for each in report.policies.values() for text in each.refusals})
    places = {text: place for place, text in enumerate(words)}
    document: Mapping[str, Any] = {
        "version": _VERSION,
        "replica": report.replica,
        "written": report.written,
        "dropped": dropped,
        "policies": {owner: [each.generation, each.ready, each.total] for owner, each in report.policies.items()},
        "refusals": words,
        "refused": {
            owner: [each.refused, [places[text] for text in each.refusals]]
            for owner, each in report.policies.items()
            if each.refused
        },
        "proxies": [[getattr(each, name) for name in _FIELDS] for each in proxies],
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), compresslevel=4, mtime=0)


def _unpack(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        found = stream.read(MAX_UNPACKED + 1)
    if len(found) > MAX_UNPACKED:
        raise Unreadable("it is too long")
    return found

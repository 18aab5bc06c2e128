"""`ringfence proxy list`: each proxy, from what the replicas of proxyd publish and from the pods that have one."""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ringfence.cli import ca_words, live, options
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.kube import client, errors, resources
from ringfence.model import proxy
from ringfence.model.acknowledgements import ProxyState
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import bundle, store
from ringfence.reconcile import proxy_reports
from ringfence.reconcile.proxy_reports import Known
from ringfence.settings import Settings

HEALTHY: Final = 0
ATTENTION: Final = 1

#: Digits of a serial number and of a revision in a table; -o json has all of them.
DIGITS: Final = 12
#: Longest refusal in a table.
REFUSAL: Final = 80
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_HEADERS: Final = (
    "NAMESPACE",
    "POD",
    "STATE",
    "IDENTITY",
    "CERTIFICATE",
    "ENDS IN",
    "CONFIGURATION",
    "IMAGE",
    "REFUSED",
)

Object = Mapping[str, Any]
#: Seconds since the epoch; tests bring their own.
clock: Callable[[], float] = time.time


class State(StrEnum):
    """Where a proxy is, as the help of the command says."""

    CONNECTED = "connected"
    AWAY = "away"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    ENDED = "ended"


_STYLES: Final = {
    State.CONNECTED: Style.GOOD,
    State.AWAY: Style.BAD,
    State.UNKNOWN: Style.CAUTION,
    State.ABSENT: Style.CAUTION,
    State.ENDED: Style.FAINT,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read: reports as ConfigMaps, and the pods, None where they may not be read.

    ``bundle`` is the digest of the roots that all shall trust, "" where that is not known.
    """

    reports: tuple[Object, ...]
    pods: tuple[Object, ...] | None
    settings: Settings
    bundle: str = ""
    remarks: tuple[str, ...] = ()
    #: Seconds that the API server's clock is ahead.
    ahead: float = 0.0


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask the cluster and tell."""
    seen = asyncio.run(see(options.target(arguments), arguments.namespace))
    for text in seen.remarks:
        console.note(text)
    now = clock() + seen.ahead
    data, status = report(seen, now, arguments.namespace, everything=arguments.all)
    if console.output is not Output.TEXT:
        console.data(data)
    else:
        _show(data, now, console)
    return status


async def see(target: options.Target, namespace: str) -> Seen:
    """What the cluster knows of proxies (pods of one namespace, "" for all); raises NoCluster."""
    api = await live.connect(target)
    remarks: list[str] = []
    try:
        if namespace:
            await live.one_namespace(api, namespace)
        try:
            reports = await live.pages(
                api, resources.CONFIG_MAPS, namespace=target.namespace, labels=proxy_reports.SELECTOR
            )
        except errors.Forbidden as error:
            place = f"namespace {target.namespace}, where proxyd says who its proxies are"
            raise live.NoCluster(f"{error} (you need the right to list configmaps in {place})") from error
        pods: tuple[Object, ...] | None = None
        try:
            pods = tuple(await live.pages(api, resources.PODS, namespace=namespace))
        except errors.Forbidden as error:
            remarks.append(f"only what proxyd says is shown, pods that are gone among it: {error}")
        installed, wanted = await live.installed(api, target, remarks), await _wanted(api, target.namespace)
        return Seen(tuple(reports), pods, installed, wanted, tuple(remarks), api.ahead)
    except errors.KubeError as error:
        raise live.NoCluster(str(error)) from error
    finally:
        await api.close()


async def _wanted(api: client.Client, namespace: str) -> str:
    """The digest of the bundle that all shall trust; "" when it may not be read, or there is none."""
    try:
        marker = await api.request("GET", resources.CONFIG_MAPS.path(namespace, store.MARKER_NAME))
    except (errors.Forbidden, errors.NotFound):
        return ""
    return bundle.digest(str((marker.get("data") or {}).get(store.BUNDLE_KEY, "")).encode())


# --- the answer -------------------------------------------------------------------------------------------------------


def report(seen: Seen, now: float, namespace: str = "", *, everything: bool = False) -> tuple[dict[str, Any], int]:
    """The answer for programs, and the exit status. ``everything``: also proxies whose pods are gone or finished."""
    reports, unreadable = proxy_reports.readable(seen.reports)
    known = proxy_reports.known(reports, now)
    pods = None if seen.pods is None else {each["metadata"]["uid"]: each for each in seen.pods if _sidecar(each)}
    rows = [
        _row(entry, pods.get(uid) if pods is not None else None, told=pods is not None, seen=seen)
        for uid, entry in known.items()
        if namespace in {"", entry.proxy.namespace}
    ]
    rows += [_unheard(pod, seen) for uid, pod in (pods or {}).items() if uid not in known]
    shown = [each for each in rows if everything or each["state"] != State.ENDED]
    attention = list(_attention(rows, now))
    attention += [f"the ConfigMap {name} holds no report that this version understands" for name in unreadable]
    attention += [
        f"{each.dropped} proxies of {each.replica} did not fit into its report"
        for each in reports
        if each.dropped and each.is_live(now)
    ]
    # Replicas that were replaced leave silent reports behind, which is how it should be as long as there are others.
    if rows and not any(each.is_live(now) for each in reports):
        attention.append("no replica of proxyd says anything: look whether it runs, and at its log")
    data = {
        "proxies": sorted(shown, key=lambda each: (each["namespace"], each["pod"], each["uid"])),
        "replicas": [
            {
                "name": each.replica,
                "live": each.is_live(now),
                "written": ca_words.moment(each.written),
                "proxies": sum(1 for one in known.values() if one.replica == each.replica and one.connected),
                "dropped": each.dropped,
            }
            for each in sorted(reports, key=lambda each: each.replica)
        ],
        "attention": attention,
    }
    return data, ATTENTION if attention else HEALTHY


def _row(entry: Known, pod: Object | None, *, told: bool, seen: Seen) -> dict[str, Any]:
    """A proxy of which a replica has told; ``told`` says that the pods are known."""
    state = _state(entry)
    if told and (pod is None or _finished(pod)):
        state = State.ENDED
    # What a silent replica has said may long be otherwise.
    sure = state is State.CONNECTED
    each = entry.proxy
    return {
        **_named(each, seen),
        "state": str(state),
        "replica": entry.replica,
        "since": ca_words.moment(each.since) if each.since else None,
        "certificate": {"serial": each.serial, "issuer": each.root, "notAfter": ca_words.moment(each.not_after)}
        if each.serial
        else None,
        "revision": each.revision,
        "newest": bool(each.revision) if sure else None,
        "bundle": _bundle(each, seen) if sure else None,
        "refused": each.nack,
        **_image(pod, seen),
    }


def _bundle(each: ProxyState, seen: Seen) -> str:
    """``current``, ``old`` or ``none``: of the roots that it trusts."""
    if not each.bundle:
        return "none"
    return "current" if each.bundle == seen.bundle or not seen.bundle else "old"


def _state(entry: Known) -> State:
    if entry.connected:
        return State.CONNECTED
    return State.AWAY if entry.live else State.UNKNOWN


def _unheard(pod: Object, seen: Seen) -> dict[str, Any]:
    """A pod with a proxy that no replica knows."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    account = spec.get("serviceAccountName") or "default"
    each = ProxyState(
        metadata["namespace"], metadata["name"], metadata["uid"], account, node=spec.get("nodeName") or ""
    )
    return {
        **_named(each, seen),
        "state": str(State.ENDED if _finished(pod) else State.ABSENT),
        "replica": "",
        "since": None,
        "certificate": None,
        "revision": "",
        "newest": None,
        "bundle": None,
        "refused": "",
        **_image(pod, seen),
    }


def _named(each: ProxyState, seen: Seen) -> dict[str, Any]:
    domain = seen.settings.installation.trust_domain
    try:
        identity = str(SpiffeId.of_service_account(domain, each.namespace, each.service_account))
    except ValueError:
        identity = ""
    return {
        "namespace": each.namespace,
        "pod": each.pod,
        "uid": each.uid,
        "node": each.node,
        "identity": identity,
    }


def _image(pod: Object | None, seen: Seen) -> dict[str, Any]:
    """The proxy's image and whether it is the present one; None where that is not known."""
    found = _sidecar(pod) if pod is not None else None
    if found is None:
        return {"image": None, "imageCurrent": None}
    image = found.get("image") or ""
    return {"image": image, "imageCurrent": image == seen.settings.proxy.image}


def _sidecar(pod: Object) -> Object | None:
    containers = (pod.get("spec") or {}).get("initContainers") or ()
    return next((each for each in containers if each.get("name") == proxy.CONTAINER), None)


def _finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in _FINISHED


def _attention(rows: Iterable[Mapping[str, Any]], now: float) -> Iterable[str]:
    """What a person must look at: a sentence for each kind of trouble, with the first few names."""
    troubles: dict[str, list[str]] = {}
    for each in rows:
        if (trouble := _trouble(each, now)) is not None:
            troubles.setdefault(trouble, []).append(f"{each['namespace']}/{each['pod']}")
    for trouble, names in sorted(troubles.items()):
        yield f"{ca_words.count(len(names), 'proxy', 'proxies')} {trouble}: {ca_words.listed(sorted(names))}"


def _trouble(row: Mapping[str, Any], now: float) -> str | None:
    if row["state"] == State.ENDED:
        return None
    if row["state"] != State.CONNECTED:
        return {
            State.AWAY: "not connected to any replica",
            State.UNKNOWN: "of which only a silent replica knows",
            State.ABSENT: "of which no replica has heard (a pod that has just started needs a moment)",
        }[State(row["state"])]
    if row["refused"]:
        return "refusing a part of the configuration"
    certificate = row["certificate"]
    if certificate is None or (ca_words.seconds_of(certificate["notAfter"]) or 0.0) <= now:
        return "without a valid certificate"
    if row["bundle"] != "current":
        return "not trusting the present roots yet"
    return None if row["newest"] else "not using the newest configuration yet"


# --- for people -------------------------------------------------------------------------------------------------------


def _show(data: Mapping[str, Any], now: float, console: Console) -> None:
    if not data["proxies"]:
        console.print("no proxies")
    else:
        console.table(_HEADERS, [_cells(each, now) for each in data["proxies"]])
    if data["attention"]:
        console.print()
    for sentence in data["attention"]:
        console.print(Cell("needs attention", Style.BAD), f": {sentence}")


def _cells(row: Mapping[str, Any], now: float) -> Sequence[str | Cell]:
    certificate = row["certificate"]
    ends = (ca_words.seconds_of(certificate["notAfter"]) or 0.0) - now if certificate else 0.0
    refused = row["refused"]
    return (
        row["namespace"],
        row["pod"],
        Cell(row["state"], _STYLES[State(row["state"])]),
        row["identity"],
        certificate["serial"][:DIGITS] if certificate else "-",
        "-" if not certificate else ca_words.span(ends) if ends > 0 else Cell("ended", Style.BAD),
        _configuration(row),
        "?" if row["imageCurrent"] is None else "current" if row["imageCurrent"] else Cell("old", Style.CAUTION),
        Cell(refused if len(refused) <= REFUSAL else refused[: REFUSAL - 1] + "…", Style.BAD) if refused else "",
    )


def _configuration(row: Mapping[str, Any]) -> str | Cell:
    if row["newest"] is None:
        return "?"
    return row["revision"][:DIGITS] if row["newest"] else Cell("behind", Style.CAUTION)

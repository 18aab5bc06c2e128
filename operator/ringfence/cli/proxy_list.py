"""`ringfence proxy list` and `ringfence proxy show`: what proxyd's replicas have reported."""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ringfence.cli import ca_words, live, options
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.kube import errors, resources
from ringfence.model.acknowledgements import ProxyState
from ringfence.pki import bundle, store
from ringfence.reconcile import proxy_reports

CURRENT: Final = 0
NOT_CURRENT: Final = 1

_STYLES: Final = {"current": Style.GOOD, "behind": Style.CAUTION, "refused": Style.BAD, "away": Style.FAINT}
_HEADERS: Final = ("NAMESPACE", "POD", "IDENTITY", "CONFIGURATION", "BUNDLE", "CERTIFICATE ENDS", "REFUSED")

#: Seconds since the epoch; tests bring their own.
clock: Callable[[], float] = time.time


def run(arguments: argparse.Namespace, console: Console) -> int:
    """The list."""
    found = [each for each in _ask(arguments, console) if arguments.namespace in {"", each["namespace"]}]
    if console.output is not Output.TEXT:
        console.data({"proxies": found})
    elif found:
        console.table(_HEADERS, [_row(each) for each in found])
    else:
        console.print("no proxies are known" + (f" in namespace {arguments.namespace}" if arguments.namespace else ""))
    return _status(found)


def show(arguments: argparse.Namespace, console: Console) -> int:
    """One of them."""
    place = (arguments.namespace, arguments.pod)
    found = [each for each in _ask(arguments, console) if (each["namespace"], each["pod"]) == place]
    if not found:
        raise live.NoCluster(
            f"no proxy of pod {'/'.join(place)} is known: it has none, or has not been connected since proxyd started"
        )
    if console.output is not Output.TEXT:
        console.data({"proxies": found})
    else:
        for each in found:
            for key, value in each.items():
                console.print(f"{key + ':':<16}", _cell(key, value))
    return _status(found)


def _ask(arguments: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    return asyncio.run(_read(options.target(arguments), console))


async def _read(target: options.Target, console: Console) -> list[dict[str, Any]]:
    api = await live.connect(target)
    try:
        objects = await live.pages(
            api, resources.CONFIG_MAPS, namespace=target.namespace, labels=proxy_reports.SELECTOR
        )
        wanted = await _wanted(api, target.namespace)
    except errors.KubeError as error:
        raise live.NoCluster(
            f"{error} (it takes the right to list ConfigMaps in namespace {target.namespace})"
        ) from error
    finally:
        await api.close()
    now = clock()
    reports, bad = proxy_reports.readable(objects)
    for name in bad:
        console.warn(f"the ConfigMap {name} holds no report of proxies")
    for each in reports:
        if not each.is_live(now):
            console.note(f"{each.replica} has said nothing for {ca_words.span(now - each.written)}")
        if each.dropped:
            console.warn(f"{each.replica} has {each.dropped} proxies more than fit into its report")
    newest = proxy_reports.newest(reports, now).values()
    shown = [_told(proxy, connected, wanted) for proxy, connected in newest]
    return sorted(shown, key=lambda each: (each["namespace"], each["pod"]))


async def _wanted(api: Any, namespace: str) -> str:
    """The digest of the bundle that all shall trust; "" when it may not be read."""
    try:
        marker = await api.request("GET", resources.CONFIG_MAPS.path(namespace, store.MARKER_NAME))
    except errors.KubeError:
        return ""
    return bundle.digest(str((marker.get("data") or {}).get(store.BUNDLE_KEY, "")).encode())


def _told(proxy: ProxyState, connected: bool, wanted: str) -> dict[str, Any]:
    """What there is to say of a proxy, for programs."""
    configuration = "current" if proxy.revision else "refused" if proxy.nack else "behind"
    trusted = "none" if not proxy.bundle else "current" if proxy.bundle == wanted or not wanted else "old"
    return {
        "namespace": proxy.namespace,
        "pod": proxy.pod,
        "identity": f"ns/{proxy.namespace}/sa/{proxy.service_account}",
        "node": proxy.node,
        "configuration": configuration if connected else "away",
        "revision": proxy.revision,
        "bundle": trusted,
        "serial": proxy.serial,
        "issuer": proxy.root[: ca_words.SHORT],
        "certificateEnds": ca_words.moment(proxy.not_after) if proxy.not_after else "",
        "connectedSince": ca_words.moment(proxy.since) if connected else "",
        "refused": proxy.nack,
    }


def _row(proxy: dict[str, Any]) -> Sequence[str | Cell]:
    return (
        proxy["namespace"],
        proxy["pod"],
        proxy["identity"],
        _cell("configuration", proxy["configuration"]),
        _cell("bundle", proxy["bundle"]),
        proxy["certificateEnds"],
        proxy["refused"],
    )


def _cell(key: str, value: str) -> str | Cell:
    if key == "configuration":
        return Cell(value, _STYLES[value])
    if key == "bundle":
        return Cell(value, Style.GOOD if value == "current" else Style.CAUTION)
    return value


def _status(found: Sequence[dict[str, Any]]) -> int:
    return CURRENT if all(each["configuration"] in {"current", "away"} for each in found) else NOT_CURRENT

"""`ringfence proxy peers`: who comes to a workload in plaintext, and whom policies deny or would deny, by its logs."""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence import api as resources_api
from ringfence.cli import ca_words, live, options, proxy_listen, proxy_logs, proxy_words
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.live import NoCluster
from ringfence.cli.proxy_logs import Log, Tally
from ringfence.kube import client, errors, resources
from ringfence.model.effective import Direction
from ringfence.model.errors import InvalidResource
from ringfence.model.proxy import CONTAINER
from ringfence.model.resources import (
    AnonymousPeer,
    ApiServerPeer,
    CidrPeer,
    ClusterSecurityPolicy,
    NamespacePeer,
    SecurityPolicy,
)
from ringfence.model.world import Installation, World
from ringfence.policy.builtins import BUILTIN
from ringfence.translate.envoy import names

SAFE, UNSAFE, UNKNOWN = 0, 1, 2

#: Less than this a log must reach back for anything to be said: what is open is written down each minute.
LEAST_SECONDS: Final = 120.0
#: Logs that are read at once.
_AT_ONCE: Final = 8
#: Seconds for one.
_LOG_SECONDS: Final = 60.0
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_WITHOUT_IDENTITY = (AnonymousPeer, ApiServerPeer, CidrPeer, NamespacePeer)

Object = Mapping[str, Any]
#: Seconds since the epoch; tests bring their own.
clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read. ``logs`` by pod, None for one that could not be; ``unproxied`` are running pods without a proxy.

    ``who`` names the pod or node of an address, ``world`` holds the policies.
    """

    logs: Mapping[str, Log | None]
    unproxied: tuple[str, ...]
    who: Callable[[str], str]
    world: World
    remarks: tuple[str, ...] = ()


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read and tell."""
    namespace, _, name = arguments.workload.partition("/")
    ask = Ask(namespace, name, arguments.lines, arguments.listen)
    if ask.listen:
        console.note(f"listening for {ca_words.span(ask.listen)}")
    seen = asyncio.run(_see(options.target(arguments), ask))
    for text in seen.remarks:
        console.note(text)
    now = clock()
    # All that was heard counts, whatever the clocks of the nodes say.
    data, status = report(seen, arguments.workload, now, 0.0 if ask.listen else now - arguments.since)
    if console.output is not Output.TEXT:
        console.data(data)
    else:
        _show(data, now, console)
    return status


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked: the pods, how many lines of each log at most, and for how many seconds to listen (0: not)."""

    namespace: str
    name: str
    lines: int
    listen: float = 0.0


async def _see(target: options.Target, ask: Ask) -> Seen:
    api = await live.connect(target)
    remarks: list[str] = []
    namespace = ask.namespace
    heard: dict[str, Log | None] = {}
    try:
        await live.one_namespace(api, namespace)
        pods, own = await _pods(api, ask)
        if ask.listen:
            names = [each["metadata"]["name"] for each in own if _has_proxy(each)]
            listening = proxy_listen.Listening(api, namespace, ask.listen, ask.lines, clock)
            heard = await listening.to(names, remarks)
            pods, own = await _pods(api, ask)
        # Pods that came meanwhile are not older than their logs.
        unheard = [each for each in own if _has_proxy(each) and each["metadata"]["name"] not in heard]
        logs = {**heard, **await _logs(api, namespace, unheard, ask.lines, remarks)}
        who = await _addresses(api, pods, remarks)
        world = await _policies(api, namespace, remarks)
    except errors.KubeError as error:
        raise NoCluster(str(error)) from error
    finally:
        await api.close()
    unproxied = sorted(each["metadata"]["name"] for each in own if not _has_proxy(each))
    return Seen(logs, tuple(unproxied), who, world, tuple(remarks))


async def _pods(api: client.Client, ask: Ask) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All of the namespace, and those that are asked about. Raises NoCluster when there are none."""
    pods = await live.pages(api, resources.PODS, namespace=ask.namespace)
    own = [each for each in pods if _runs(each) and (not ask.name or _is_of(each, ask.name))]
    if not own:
        raise NoCluster(_nobody(ask.namespace, ask.name, pods))
    return pods, own


def _runs(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in _FINISHED and not (pod.get("spec") or {}).get("hostNetwork")


def _is_of(pod: Object, name: str) -> bool:
    """Whether the pod has the name, or runs under the ServiceAccount of that name."""
    return name in {pod["metadata"]["name"], _account(pod)}


def _account(pod: Object) -> str:
    return str((pod.get("spec") or {}).get("serviceAccountName") or "default")


def _has_proxy(pod: Object) -> bool:
    return any(each.get("name") == CONTAINER for each in (pod.get("spec") or {}).get("initContainers") or ())


def _nobody(namespace: str, name: str, pods: Iterable[Object]) -> str:
    known = sorted({_account(each) for each in pods if _runs(each)})
    there = f"; there are pods of {ca_words.listed(known)}" if known else ""
    asked = f" is called {name} or runs under a ServiceAccount of that name" if name else " runs there"
    return f"no pod of namespace {namespace}{asked}{there}"


async def _logs(
    api: client.Client, namespace: str, pods: Iterable[Object], lines: int, remarks: list[str]
) -> dict[str, Log | None]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(obj: Object) -> tuple[str, Log | None]:
        pod = obj["metadata"]["name"]
        query = {"container": CONTAINER, "timestamps": "true", "tailLines": str(lines)}
        path = resources.PODS.path(namespace, pod, "log")
        async with gate:
            try:
                data = await api.request_bytes("GET", path, query=query, timeout=_LOG_SECONDS)
            except errors.KubeError as error:
                hint = " (you need the right to get pods/log)" if isinstance(error, errors.Forbidden) else ""
                remarks.append(f"the log of {namespace}/{pod} cannot be read: {error}{hint}")
                return pod, None
        return pod, proxy_logs.read(data.decode(errors="replace"), lines, _started(obj))

    return dict(await asyncio.gather(*(one(each) for each in pods)))


def _started(pod: Object) -> float | None:
    """When the proxy of a pod started, in epoch seconds."""
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    running = next(((each.get("state") or {}).get("running") for each in statuses if each["name"] == CONTAINER), None)
    return ca_words.seconds_of((running or {}).get("startedAt"))


async def _addresses(api: client.Client, own: list[dict[str, Any]], remarks: list[str]) -> Callable[[str], str]:
    """Who has an address: pods of all namespaces if they may be seen."""
    try:
        pods = await live.pages(api, resources.PODS)
    except errors.Forbidden as error:
        remarks.append(f"pods of other namespaces are shown by their addresses: {error}")
        pods = own
    known: dict[str, str] = {}
    for each in pods:
        status = each.get("status") or {}
        host = (each.get("spec") or {}).get("hostNetwork")
        for address in (*(status.get("podIPs") or ()), *(status.get("hostIPs") or ())):
            on_node = host or address in (status.get("hostIPs") or ())
            pod = f"{each['metadata']['namespace']}/{_account(each)} (pod {each['metadata']['name']}, {address['ip']})"
            node = f"node {(each.get('spec') or {}).get('nodeName') or '?'} ({address['ip']})"
            known[address["ip"]] = node if on_node else pod
    return lambda address: known.get(address, address)


async def _policies(api: client.Client, namespace: str, remarks: list[str]) -> World:
    """The policies that may have let somebody in."""
    objects = await live.pages(api, resources.SECURITY_POLICIES, namespace=namespace)
    try:
        objects += await live.pages(api, resources.CLUSTER_SECURITY_POLICIES)
    except errors.Forbidden as error:
        remarks.append(f"the cluster's policies are not known: {error}")
    parsed = []
    for each in objects:
        try:
            parsed.append(resources_api.parse(each))
        except InvalidResource:
            continue
    return World(
        Installation(),
        policies={namespace: tuple(each for each in parsed if isinstance(each, SecurityPolicy))},
        cluster_policies=tuple(each for each in parsed if isinstance(each, ClusterSecurityPolicy)),
    )


# --- the answer -------------------------------------------------------------------------------------------------------


def report(seen: Seen, workload: str, now: float, asked: float) -> tuple[dict[str, Any], int]:
    """The answer for programs, and the exit status."""
    logs = {pod: log for pod, log in seen.logs.items() if log is not None}
    unread = sorted(seen.logs.keys() - logs.keys())
    tally = Tally(asked, seen.who)
    for pod, log in logs.items():
        tally.add(pod, log)
    since = proxy_logs.reach_back(logs.values(), asked, now)
    plaintext = [
        {**each, "strict": _under_strict(each["rule"], seen.world)} for each in proxy_logs.rows(tally.plaintext)
    ]
    refused = [each for each in plaintext if each["strict"] == "refused"]
    why = _why_not_known(seen, unread, now - since)
    data = {
        "workload": workload,
        "proxies": len(seen.logs),
        "since": ca_words.moment(since),
        "seconds": int(now - since),
        "unread": unread,
        "unproxied": list(seen.unproxied),
        "plaintext": plaintext,
        "auditDenied": list(proxy_logs.rows(tally.audit)),
        "denied": list(proxy_logs.rows(tally.denied)),
        "safeForStrict": False if refused else None if why else True,
        "why": why,
    }
    return data, UNSAFE if refused else UNKNOWN if why else SAFE


def _why_not_known(seen: Seen, unread: Sequence[str], seconds: float) -> str:
    """What keeps one from saying that there is no plaintext; "" for nothing."""
    if not seen.logs:
        return "no pod of it has a proxy"
    if seen.unproxied:
        return f"{ca_words.count(len(seen.unproxied), 'pod')} without a proxy: {ca_words.listed(seen.unproxied)}"
    if unread:
        return f"logs that could not be read: {ca_words.listed(unread)}"
    if seconds < LEAST_SECONDS:
        return f"the logs reach back {ca_words.span(seconds)}, which is too little to say anything"
    return ""


def _under_strict(policy: str, world: World) -> str:
    """What becomes of callers in plaintext that a rule has let in, once the transport is Strict."""
    try:
        ref = names.rule_ref(policy)
    except ValueError:
        return "refused"
    if ref.kind == BUILTIN:
        return "passes"
    rule = proxy_words.written_rule(ref, Direction.INGRESS, world)
    # Of a rule that names identities too it is not known by which of its peers a caller came in.
    known = rule is not None and rule.peers and all(isinstance(each, _WITHOUT_IDENTITY) for each in rule.peers)
    return "passes" if known else "refused"


# --- for people -------------------------------------------------------------------------------------------------------


def _show(data: Mapping[str, Any], now: float, console: Console) -> None:
    proxies = ca_words.count(data["proxies"], "proxy", "proxies")
    console.print(
        Cell(data["workload"], Style.STRONG), f": {proxies}, logs of the last {ca_words.span(data['seconds'])}"
    )
    if data["plaintext"]:
        console.print("\n", Cell("Who came in plaintext", Style.STRONG))
        rows = [(*_cells(each, now), _strict(each["strict"]), _rule(each["rule"])) for each in data["plaintext"]]
        console.table(("FROM", "PORT", "CONNECTIONS", "LAST", "UNDER STRICT", "LET IN BY"), rows)
    for key, title in (
        ("auditDenied", "Who would be denied, were all policies enforced"),
        ("denied", "Who was denied"),
    ):
        if data[key]:
            console.print("\n", Cell(title, Style.STRONG))
            told: list[Sequence[str | Cell]] = [
                (_way(each), *_cells(each, now), _rule(each["rule"])) for each in data[key]
            ]
            console.table(("WAY", "PEER", "PORT", "CONNECTIONS", "LAST", "RULE"), told)
    console.print()
    console.print(*_verdict(data))


def _verdict(data: Mapping[str, Any]) -> Sequence[str | Cell]:
    over = ca_words.count(data["proxies"], "proxy", "proxies")
    window = f"in the last {ca_words.span(data['seconds'])} over {over}"
    if data["safeForStrict"] is False:
        number = sum(each["connections"] for each in data["plaintext"] if each["strict"] == "refused")
        refused = ca_words.count(number, "connection")
        return Cell("not safe", Style.BAD), f" for transport Strict: {refused} {window} would have been refused"
    if data["safeForStrict"] is None:
        return Cell("cannot tell", Style.CAUTION), f" whether it is safe for transport Strict: {data['why']}"
    what = "no plaintext connection that Strict refuses" if data["plaintext"] else "no plaintext connection"
    return Cell("safe", Style.GOOD), f" for transport Strict: {what} {window}"


def _cells(row: Mapping[str, Any], now: float) -> tuple[str, str, str, str]:
    ago = now - (ca_words.seconds_of(row["last"]) or now)
    return row["peer"], str(row["port"]), str(row["connections"]), f"{ca_words.span(ago)} ago"


def _strict(word: str) -> Cell:
    return Cell(word, Style.GOOD if word == "passes" else Style.BAD)


def _way(row: Mapping[str, Any]) -> str:
    return "in" if row["direction"] == names.INBOUND else "out"


def _rule(policy: str) -> str:
    if policy == proxy_logs.HANDSHAKE:
        return "not expected (TLS handshake)"
    try:
        return str(names.rule_ref(policy))
    except ValueError:
        return "no rule allows it" if policy == proxy_logs.NO_RULE else policy

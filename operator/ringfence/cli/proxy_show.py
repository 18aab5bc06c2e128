"""`ringfence proxy show`: what the proxy of a pod enforces, or its configuration."""

import argparse
import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ringfence.cli import inputs, live, meant, options, proxies, proxy_list, proxy_words, traffic_words
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.proxy_words import Enforced
from ringfence.cli.world import Judged, Loaded
from ringfence.model.errors import CannotTell
from ringfence.model.proxy import CONTAINER, ProxyConfig
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Enrolment
from ringfence.translate import envoy

_STYLES: Final = {
    "allowed": Style.GOOD,
    "always open": Style.GOOD,
    "denied": Style.BAD,
    "suspended": Style.CAUTION,
    "would allow": Style.FAINT,
    "would deny": Style.CAUTION,
}
_ENROLMENTS: Final = {
    Enrolment.NONE: "which is not enrolled: everything passes",
    Enrolment.AUDIT: "audited: nothing is blocked, what would be is reported",
    Enrolment.ENFORCE: "enforced",
}


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Work it out and tell."""
    namespace, _, name = arguments.proxy.rpartition("/")
    namespace = namespace or arguments.namespace
    loaded, _ = inputs.load(arguments, console)
    inputs.must_be_readable(loaded, {namespace})
    judged = _found(namespace, name, loaded)
    mesh = proxies.planned(loaded, arguments.namespace) if arguments.filename else proxies.running(loaded)
    subject = envoy.subject(proxies.pod_of(judged), mesh)
    of = Enforced(subject, mesh.effective(namespace), mesh, loaded)
    config = envoy.configure(subject, mesh)
    if arguments.raw:
        domain = loaded.world.installation.trust_domain
        console.data(proxies.bootstrap(config, domain, namespace, subject.service_account))
        console.note(
            "the certificate in it is a placeholder. Nobody gets into a proxy to read what it has, but it says which "
            f"revision it uses (`ringfence proxy list -n {namespace} -o json`), and equal revisions are equal bytes: "
            f"this is {config.revision}"
        )
        return 0
    row = None if arguments.filename else _row(arguments, judged, console)
    data = report(of, judged, config, row)
    if console.output is not Output.TEXT:
        console.data(data)
    else:
        _show(data, of, console)
    return 0


def _found(namespace: str, name: str, loaded: Loaded) -> Judged:
    """The pod, or the workload of that name; raises CannotTell."""
    alike = [each for each in loaded.judged if (each.namespace, each.name) == (namespace, name)]
    if not alike:
        known = [(each.namespace, each.name) for each in loaded.judged]
        raise CannotTell(f"there is no pod {namespace}/{name}{meant.of_namespace(namespace, name, known)}")
    judged = min(alike, key=lambda each: (each.kind != "Pod", each.kind))
    value = judged.document.value
    spec = value.get("spec") or {}
    exists = judged.kind == "Pod" and bool((value.get("metadata") or {}).get("uid"))
    if exists and not any(each.get("name") == CONTAINER for each in spec.get("initContainers") or ()):
        why = "it is in the network of its node" if spec.get("hostNetwork") else "it is from before the proxies"
        fix = "nothing governs it" if spec.get("hostNetwork") else f"`ringfence enroll {namespace}` restarts such pods"
        raise CannotTell(f"pod {namespace}/{name} has no proxy: {why} ({fix})")
    return judged


def _row(arguments: argparse.Namespace, judged: Judged, console: Console) -> Mapping[str, Any] | None:
    """What `proxy list` says of the proxy; None where that may not be known."""
    try:
        seen = asyncio.run(proxy_list.see(options.target(arguments), judged.namespace))
    except live.NoCluster as error:
        console.note(f"what the proxy itself says is not shown: {error}")
        return None
    uid = (judged.document.value.get("metadata") or {}).get("uid")
    listed, _ = proxy_list.report(seen, proxy_list.clock() + seen.ahead, judged.namespace, everything=True)
    return next((each for each in listed["proxies"] if each["uid"] == uid), None)


def report(of: Enforced, judged: Judged, config: ProxyConfig, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """The answer for programs; ``row`` is what `proxy list` says of the proxy."""
    subject = of.subject
    identity = SpiffeId.of_service_account(
        of.mesh.world.installation.trust_domain, subject.namespace, subject.service_account
    )
    return {
        "kind": judged.kind,
        "namespace": judged.namespace,
        "name": judged.name,
        "identity": str(identity),
        "enrolment": str(of.policy.enrolment.value),
        "closed": of.policy.closed,
        "revision": config.revision,
        "proxy": row,
        "policies": list(config.owners),
        "transport": str(of.transport.value),
        "inbound": [] if of.policy.enrolment is Enrolment.NONE else proxy_words.inbound(of),
        "traffic": traffic_words.report(of),
        "egressListed": proxy_words.is_listed(of),
        "outbound": [] if of.policy.enrolment is Enrolment.NONE else proxy_words.outbound(of),
    }


# --- for people -------------------------------------------------------------------------------------------------------


def _show(data: Mapping[str, Any], of: Enforced, console: Console) -> None:
    console.print(Cell(f"{data['kind']} {data['namespace']}/{data['name']}", Style.STRONG), f": {data['identity']}")
    staged = of.policy.enrolment is Enrolment.ENFORCE and not of.policy.closed
    enrolment = "enrolled, but not closed yet: nothing is blocked" if staged else _ENROLMENTS[of.policy.enrolment]
    console.print(f"  namespace {data['namespace']}, {enrolment}")
    for line in _proxy(data):
        console.print(*line)
    if of.policy.enrolment is Enrolment.NONE:
        return
    console.print("\n", Cell("Who may come in", Style.STRONG), f" (transport: {data['transport']})")
    console.table(("PORT", "WHO", "ANSWER", "HOW", "RULE"), list(_inbound(data, of)))
    if data["traffic"]:
        console.print("\n", Cell("How much may come, and in which shape", Style.STRONG))
        console.table(("PORT", "WHAT", "MOST", "ANSWER", "ENTRY"), list(_traffic(data)))
    console.print("\n", Cell("Where its program may go", Style.STRONG), f" ({_listed(data, of)})")
    console.table(("TO", "PORTS", "HOW", "RULES"), list(_outbound(data, of)))


def _proxy(data: Mapping[str, Any]) -> Iterator[Sequence[str | Cell]]:
    """The revision, and what the proxy itself has said."""
    short, row = data["revision"][: proxy_list.DIGITS], data["proxy"]
    if row is None:
        return
    if row["state"] != proxy_list.State.CONNECTED:
        yield f"  revision {short}; the proxy is ", Cell(row["state"], Style.CAUTION)
    elif row["revision"] == data["revision"]:
        yield f"  revision {short}: ", Cell("the proxy uses exactly this", Style.GOOD)
    else:
        other = row["revision"][: proxy_list.DIGITS] or "an older one, at least in part"
        yield f"  revision {short}: ", Cell(f"the proxy uses {other}", Style.CAUTION)
    if row["certificate"]:
        yield (f"  certificate {row['certificate']['serial']}, valid until {row['certificate']['notAfter']}",)
    if row["refused"]:
        yield "  ", Cell("it refuses", Style.BAD), f" {row['refused']}"


def _inbound(data: Mapping[str, Any], of: Enforced) -> Sequence[Sequence[str | Cell]]:
    rows: list[Sequence[str | Cell]] = []
    for ports in data["inbound"]:
        shown = ports["ports"].replace("TCP", ports["protocol"], 1)
        for rule in ports["rules"]:
            some = " for some requests" if rule["requests"] else ""
            cell = Cell(rule["effect"] + some, _STYLES[rule["effect"]])
            rows.append((shown, ", ".join(rule["from"]), cell, rule["transport"], _ref(rule["rule"])))
            shown = ""
        if of.policy.closed:
            others = "anyone else" if ports["rules"] else "anyone"
            if not any(rule["effect"] == "always open" for rule in ports["rules"]):
                rows.append((shown, others, Cell("denied", Style.BAD), "", "no rule allows it"))
        elif not ports["rules"]:
            rows.append((shown, "anyone", Cell("would deny", Style.CAUTION), "", "no rule allows it"))
    return rows


def _traffic(data: Mapping[str, Any]) -> Iterator[Sequence[str | Cell]]:
    for ports in data["traffic"]:
        shown = f"{ports['protocol']} {ports['port']}"
        for row in ports["bounds"]:
            style = Style.GOOD if row["effect"] == "enforced" else Style.CAUTION
            ref = _ref(row["rule"]) if row["rule"] else ""
            yield shown, row["what"], row["most"], Cell(row["effect"], style), ref.replace(" rule ", " traffic ", 1)
            shown = ""


def _outbound(data: Mapping[str, Any], of: Enforced) -> Sequence[Sequence[str | Cell]]:
    rows: list[Sequence[str | Cell]] = []
    for each in data["outbound"]:
        effect = each.get("effect", "allowed")
        default = "if a rule names its address" if each.get("byAddress") else "no policy closes it"
        rules = ", ".join(_ref(rule) for rule in each["rules"]) or default
        shown = rules if effect in {"allowed", "always open"} else f"{effect}: {rules}"
        rows.append((each["to"], each["ports"], each["transport"], shown))
    if of.policy.closed:
        rows.append(("anything else", "every port", "", Cell("refused", Style.BAD)))
    else:
        rows.append(("anything else", "every port", proxy_words.PLAIN, Cell("passes, and is counted", Style.CAUTION)))
    return rows


def _listed(data: Mapping[str, Any], of: Enforced) -> str:
    if not of.policy.closed:
        return "nothing is blocked"
    if data["egressListed"]:
        return "its egress is listed: nothing else is open"
    return "no policy lists its egress: calls inside are up to their targets, calls outside are refused"


def _ref(rule: Mapping[str, str]) -> str:
    """``SecurityPolicy shop/checkout rule frontend-orders (file:line)``."""
    place = f"{rule['namespace']}/" if rule["namespace"] else ""
    source = f" ({rule['source']})" if rule["source"] else ""
    return f"{rule['kind']} {place}{rule['policy']} rule {rule['rule']}{source}"

"""`ringfence status`: what Ringfence makes of a cluster, as the cluster itself says it."""

import argparse
import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence.cli import live, options, rollout, status_images
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.rollout import Lacks
from ringfence.inject.injection import Injection
from ringfence.kube import resources
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, LABEL_ZONE
from ringfence.model.resources import Kind
from ringfence.reconcile import conditions, staging

#: Longest message in a table; -o json has it whole.
MESSAGE: Final = 100
#: Of a digest, in a table.
DIGITS: Final = 12
_FINISHED: Final = frozenset({"Succeeded", "Failed"})

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The objects that the answer is made of, by kind."""

    objects: tuple[Object, ...]

    def of(self, kind: str, namespace: str | None = None) -> list[Object]:
        """Those of a kind, sorted; with ``namespace`` only those in it."""
        found = [
            each
            for each in self.objects
            if each["kind"] == kind and namespace in {None, each["metadata"].get("namespace", "")}
        ]
        return sorted(found, key=lambda each: (each["metadata"].get("namespace", ""), each["metadata"]["name"]))


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask the cluster and tell."""
    target, only = options.target(arguments), arguments.namespace
    answered = asyncio.run(live.ask_namespace(target, only) if only else live.ask_status(target))
    for text in answered.remarks:
        console.detail(text)
    cluster = Cluster(tuple(document.value for document in answered.documents))
    data = {
        "namespaces": namespaces(
            cluster, arguments.namespace, everything=arguments.all, how=answered.settings.injection
        ),
        "policies": policies(cluster, arguments.namespace),
        "identities": identities(cluster, arguments.namespace),
        "images": status_images.images(cluster.of(resources.IMAGE_VERDICTS.kind), time.time()),
    }
    if console.output is not Output.TEXT:
        console.data(data)
    else:
        _tables(data, console)
    return 0


def namespaces(
    cluster: Cluster, only: str | None, *, everything: bool, how: Injection | None = None
) -> list[dict[str, Any]]:
    """Enrolment and network of each namespace; of all, or of those that Ringfence has to do with.

    ``how``: how pods of enrolled ones get their proxy; None where they get none, or where that is not known.
    """
    concerned = {each["metadata"].get("namespace") for kind in Kind for each in cluster.of(kind)}
    found = []
    for each in cluster.of("Namespace"):
        name, labels = each["metadata"]["name"], each["metadata"].get("labels") or {}
        if only not in {None, name} or not (everything or LABEL_ENROLL in labels or name in concerned):
            continue
        condition = staging.recorded(each) or {}
        before, after = _pods(cluster.of("Pod", name))
        found.append(
            {
                "name": name,
                "enrolment": labels.get(LABEL_ENROLL, "none"),
                "network": _network(labels.get(LABEL_ENROLL, ""), condition),
                "zone": labels.get(LABEL_ZONE, ""),
                "pods": {"enrolled": len(after), "unenrolled": len(before)},
                "unenrolled": before,
                "proxies": _proxies(cluster.of("Pod", name), how) if how and LABEL_ENROLL in labels else None,
                "reason": condition.get("reason", ""),
                "message": condition.get("message", ""),
            }
        )
    return found


def _network(enrolment: str, condition: Object) -> str:
    """closed, staged (it will be closed), pending (nobody has looked yet) or open."""
    if enrolment != "enforce":
        return "open"
    if not condition:
        return "pending"
    return "closed" if condition.get("status") == "True" else "staged"


def _pods(pods: Iterable[Object]) -> tuple[list[str], list[str]]:
    """Names of the running pods without and with their identity."""
    before: list[str] = []
    after: list[str] = []
    for each in pods:
        spec, status = each.get("spec") or {}, each.get("status") or {}
        if status.get("phase") in _FINISHED or spec.get("hostNetwork"):
            continue
        label = (each["metadata"].get("labels") or {}).get(LABEL_IDENTITY)
        (after if label == (spec.get("serviceAccountName") or "default") else before).append(each["metadata"]["name"])
    return before, after


def _proxies(pods: Iterable[Object], how: Injection) -> dict[str, list[str]]:
    """Names of the running pods without a proxy, and of those with another than the present."""
    running = [each for each in pods if (each.get("status") or {}).get("phase") not in _FINISHED]
    found = [(rollout.proxy_lacks(each, how), each["metadata"]["name"]) for each in running]
    return {str(lack): [name for is_, name in found if is_ is lack] for lack in (Lacks.PROXY, Lacks.IMAGE)}


def policies(cluster: Cluster, only: str | None) -> list[dict[str, Any]]:
    """Every policy with what its condition says."""
    floors = cluster.of(Kind.CLUSTER_SECURITY_POLICY)
    own = cluster.of(Kind.SECURITY_POLICY, only)
    return [
        {**_named(each), "mode": (each.get("spec") or {}).get("mode", "Enforce"), **_ready(each)}
        for each in (*floors, *own)
    ]


def identities(cluster: Cluster, only: str | None) -> list[dict[str, Any]]:
    """Every identity with its SPIFFE ID and its pods."""
    found = []
    for each in cluster.of(Kind.SERVICE_IDENTITY, only):
        status, spec = each.get("status") or {}, each.get("spec") or {}
        found.append(
            {
                **_named(each),
                "serviceAccount": spec.get("serviceAccountName") or each["metadata"]["name"],
                "spiffeID": status.get("spiffeID", ""),
                "pods": status.get("workloads") or {"enrolled": 0, "unenrolled": 0},
                **_ready(each),
            }
        )
    return found


def _named(obj: Object) -> dict[str, str]:
    metadata = obj["metadata"]
    return {"kind": obj["kind"], "namespace": metadata.get("namespace", ""), "name": metadata["name"]}


def _ready(obj: Object) -> dict[str, Any]:
    """The condition Ready; ``ready`` is null when none stands for what is written now."""
    status = obj.get("status") or {}
    found = conditions.find(status.get("conditions"), "Ready") or {}
    if not found or found.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return {"ready": None, "reason": "Pending", "message": "the controller has not looked at it yet"}
    return {
        "ready": found.get("status") == "True",
        "reason": found.get("reason", ""),
        "message": found.get("message", ""),
    }


# --- for people ----------------------------------------------------------------------------------------------------

_NETWORKS: Final = {"closed": Style.GOOD, "staged": Style.CAUTION, "pending": Style.CAUTION, "open": Style.PLAIN}


def _tables(data: Mapping[str, Sequence[Mapping[str, Any]]], console: Console) -> None:
    if not any(data.values()):
        console.print("No namespace is enrolled and there are no policies. Begin with `ringfence enroll --help`.")
        return
    _section(
        ("NAMESPACE", "ENROLLED", "NETWORK", "ZONE", "PODS", "MESSAGE"), map(_namespace, data["namespaces"]), console
    )
    if any(each["proxies"] and any(each["proxies"].values()) for each in data["namespaces"]):
        console.print("`ringfence proxy roll NAMESPACE` gives pods the present proxy, by rollout\n")
    _section(("POLICY", "MODE", "READY", "REASON", "MESSAGE"), map(_policy, data["policies"]), console)
    _section(("IDENTITY", "SPIFFE ID", "PODS", "READY", "MESSAGE"), map(_identity, data["identities"]), console)
    _images(data["images"], console)


def _images(told: Sequence[Mapping[str, Any]], console: Console) -> None:
    _section(("IMAGES OF", "VERIFIED", "FAILED", "PENDING"), map(_counted, told), console)
    failures = status_images.failures(told)
    _section(
        ("FAILED IMAGE", "NAMESPACE", "SINCE", "REASON", "MESSAGE"),
        map(_failed, failures[: status_images.SHOWN]),
        console,
    )
    if len(failures) > status_images.SHOWN:
        console.print(f"and {len(failures) - status_images.SHOWN} more: -o json has them all")


def _counted(each: Mapping[str, Any]) -> Sequence[str | Cell]:
    styles = (("verified", Style.GOOD), ("failed", Style.BAD), ("pending", Style.CAUTION))
    return each["namespace"], *(Cell(str(each[key]), style if each[key] else Style.PLAIN) for key, style in styles)


def _failed(each: Mapping[str, Any]) -> Sequence[str | Cell]:
    name, at, digest = each["image"].partition("@sha256:")
    image = f"{name}{at}{digest[:DIGITS]}…"
    return image, each["namespace"], each["since"], Cell(each["reason"], Style.BAD), _short(each["message"])


def _namespace(each: Mapping[str, Any]) -> Sequence[str | Cell]:
    network = Cell(each["network"], _NETWORKS[each["network"]])
    message = "" if each["message"] == staging.CLOSED else _short(each["message"])
    pods = _counts(each["pods"], each["proxies"] or {})
    return each["name"], each["enrolment"], network, each["zone"] or "-", pods, message


def _policy(each: Mapping[str, Any]) -> Sequence[str | Cell]:
    return _shown(each), each["mode"], _answer(each["ready"]), each["reason"], _remark(each)


def _identity(each: Mapping[str, Any]) -> Sequence[str | Cell]:
    return _shown(each), each["spiffeID"] or "-", _counts(each["pods"]), _answer(each["ready"]), _remark(each)


def _section(headers: Sequence[str], rows: Iterable[Sequence[str | Cell]], console: Console) -> None:
    if lines := list(rows):
        console.table(headers, lines)
        console.print()


def _counts(pods: Mapping[str, int], proxies: Mapping[str, Sequence[str]] | None = None) -> str | Cell:
    words = {
        "without identity": pods.get("unenrolled", 0),
        "without proxy": len((proxies or {}).get(Lacks.PROXY, ())),
        "with an old proxy": len((proxies or {}).get(Lacks.IMAGE, ())),
    }
    told = ", ".join(f"{number} {what}" for what, number in words.items() if number)
    after = pods.get("enrolled", 0)
    return Cell(f"{after} ({told})", Style.CAUTION) if told else str(after)


def _shown(each: Mapping[str, Any]) -> str:
    return f"{each['namespace']}/{each['name']}" if each["namespace"] else f"{each['name']} (cluster)"


def _answer(ready: bool | None) -> Cell:
    return {
        True: Cell("yes", Style.GOOD),
        False: Cell("no", Style.BAD),
        None: Cell("pending", Style.CAUTION),
    }[ready]


def _remark(each: Mapping[str, Any]) -> str:
    """The message where something is the matter."""
    return "" if each["ready"] and "; but " not in each["message"] else _short(each["message"])


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE else line[: MESSAGE - 1] + "…"

"""What already runs, judged by the evaluator of admission, and counted so that no report grows without limit. Pure.

Ten thousand pods of one Deployment break a policy in one way: that is one result with a number, not ten thousand. The
form is that of PolicyReport (wgpolicyk8s.io/v1alpha2), which OpenReports (openreports.io/v1alpha1) has taken over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ringfence.controls import evaluate, pod, registry
from ringfence.controls.evaluate import Context
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Object
from ringfence.model.resources import PodSecurityLevel
from ringfence.model.verdict import Violation

#: Every namespace has at most one report, of this name.
NAME: Final = "ringfence"
PURPOSE: Final = "scan"
SOURCE: Final = "Ringfence"

#: Results that a report lists, pods that a result names, ways of being wrong that are told apart. Beyond, only numbers.
MAX_RESULTS: Final = 500
MAX_PODS: Final = 10
MAX_GROUPS: Final = 5000
_MAX_TEXT: Final = 1024

#: (apiVersion, kind) of reports that can be written, the preferred first.
KINDS: Final = (("wgpolicyk8s.io/v1alpha2", "PolicyReport"), ("openreports.io/v1alpha1", "Report"))

_FAIL: Final = "fail"
_WARN: Final = "warn"
_LEVELS: Final = {control.id: control.level for control in registry.CONTROLS}


class _Owner(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    uid: str = ""
    deletion_timestamp: str | None = None
    owner_references: list[_Owner] | None = None


class _Status(msgspec.Struct, frozen=True):
    phase: str | None = None


class _Running(msgspec.Struct, frozen=True):
    """What tells whether a pod counts and whose it is."""

    metadata: _Meta = _Meta()
    status: _Status = _Status()


_running: Final = msgspec.json.Decoder(_Running)
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, order=True)
class _Way:
    """One way in which pods are wrong."""

    result: str
    policy: str
    control: str
    owner: str
    field: str
    message: str
    fix: str


@dataclass(slots=True)
class _Group:
    """The pods that are wrong in one way; the first few by name."""

    pods: int = 0
    named: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """What a scan of a namespace has found so far; ``pods`` counts those that pass, fail and are warned of."""

    passed: int = 0
    failed: int = 0
    warned: int = 0
    results: dict[str, int] = field(default_factory=lambda: {_FAIL: 0, _WARN: 0})
    _groups: dict[_Way, _Group] = field(default_factory=dict)

    def add(self, encoded: bytes | msgspec.Raw, context: Context) -> None:
        """Judge one pod as the API server encodes it; finished pods and those that are ending do not count.

        Raises msgspec.MsgspecError for what is no pod.
        """
        running = _running.decode(encoded)
        if running.status.phase in _FINISHED or running.metadata.deletion_timestamp is not None:
            return
        raw = msgspec.json.decode(encoded) if context.proxy is not None else None
        outcome = evaluate.create(pod.decode(encoded), context, by_node=True, raw=raw)
        if outcome.violations:
            self.failed += 1
        elif outcome.warnings:
            self.warned += 1
        else:
            self.passed += 1
        for result, violations in ((_FAIL, outcome.violations), (_WARN, outcome.warnings)):
            for violation in violations:
                self._count(result, violation, running.metadata)

    def _count(self, result: str, violation: Violation, meta: _Meta) -> None:
        self.results[result] += 1
        way = _Way(
            result,
            violation.policy or SOURCE,
            violation.control,
            _owner(meta),
            violation.field[:_MAX_TEXT],
            violation.message[:_MAX_TEXT],
            violation.fix[:_MAX_TEXT],
        )
        group = self._groups.get(way)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                return
            group = self._groups[way] = _Group()
        group.pods += 1
        if len(group.named) < MAX_PODS:
            group.named.append((meta.name, meta.uid))

    def report(self, namespace: str, api_version: str, kind: str) -> Object:
        """The report as it is to be written; equal findings make equal reports. ``api_version``, ``kind``: of KINDS."""
        listed = sorted(self._groups.items())[:MAX_RESULTS]
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": NAME,
                "namespace": namespace,
                "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE},
            },
            "scope": {"apiVersion": "v1", "kind": "Namespace", "name": namespace},
            # In pods for what passes, in violations for what does not: a pod can break several controls.
            "summary": {"pass": self.passed, **self.results, "error": 0, "skip": 0},
            "results": [_result(namespace, way, group) for way, group in listed],
        }


def _owner(meta: _Meta) -> str:
    """The workload that made the pod, "" for none: bare pods that are wrong in one way are one group."""
    return next((f"{each.kind} {each.name}" for each in meta.owner_references or () if each.controller), "")


def _result(namespace: str, way: _Way, group: _Group) -> dict[str, Any]:
    properties = {"field": way.field, "fix": way.fix, "pods": str(group.pods)}
    if way.owner:
        properties["owner"] = way.owner
    return {
        "source": SOURCE,
        "category": "Pod admission",
        "policy": way.policy,
        "rule": way.control,
        "result": way.result,
        "scored": way.result == _FAIL,
        "severity": "medium" if _LEVELS.get(way.control) is PodSecurityLevel.RESTRICTED else "high",
        "message": f"{way.field} {way.message}",
        "properties": properties,
        "resources": _references(namespace, group.named),
    }


def _references(namespace: str, named: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid} for name, uid in named
    ]

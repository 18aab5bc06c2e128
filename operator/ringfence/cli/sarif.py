"""Judgements as SARIF 2.1.0 (OASIS), which code hosts show beside the line that is wrong."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from ringfence import __version__
from ringfence.cli.judging import Judgement
from ringfence.controls import proxy_floor, registry
from ringfence.model.verdict import Violation

VERSION: Final = "2.1.0"
_TITLES: Final = {
    **{control.id: control.title for control in registry.CONTROLS},
    **{control.id.value: control.title for control in registry.POLICY_CONTROLS.values()},
    **{control.id: control.title for control in proxy_floor.CONTROLS},
}


def log(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """One run with a result for every violation (``error``) and every warning (``warning``); rules are control ids."""
    found = [*_found(judgements)]
    ids = sorted({violation.control for _, violation, _ in found})
    driver = {"name": "Ringfence", "version": __version__, "rules": [_rule(each) for each in ids]}
    results = [_result(judgement, violation, level, ids) for judgement, violation, level in found]
    return {
        "version": VERSION,
        "runs": [{"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}],
    }


def _found(judgements: Iterable[Judgement]) -> Iterable[tuple[Judgement, Violation, str]]:
    for judgement in judgements:
        for violation in judgement.outcome.violations:
            yield judgement, violation, "error"
        for violation in judgement.outcome.warnings:
            yield judgement, violation, "warning"


def _rule(identifier: str) -> dict[str, Any]:
    return {"id": identifier, "shortDescription": {"text": _TITLES.get(identifier, identifier)}}


def _result(judgement: Judgement, violation: Violation, level: str, ids: Sequence[str]) -> dict[str, Any]:
    judged = judgement.judged
    # Lines move with every edit; what is wrong with which object does not.
    known = f"{judged}\n{violation.control}\n{violation.field}"
    return {
        "ruleId": violation.control,
        "ruleIndex": ids.index(violation.control),
        "level": level,
        "message": {"text": f"{judged}: {violation.field} {violation.message}. Fix: {violation.fix}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(judged.document.source)},
                    # A place must have a line, even in what was read from a pipe.
                    "region": {"startLine": max(judgement.line(violation), 1)},
                },
                "logicalLocations": [{"fullyQualifiedName": f"{judged} {violation.field}", "kind": "object"}],
            }
        ],
        "partialFingerprints": {"violation/v1": sha256(known.encode()).hexdigest()},
        "properties": {"policy": violation.policy, "fix": violation.fix},
    }


def _uri(source: str) -> str:
    """The file as a relative reference (RFC 3986); ``<stdin>`` is no file, but it must be called something."""
    return quote(source.strip("<>").removeprefix("./"))

"""Answers what the webhook asks about images: which of a namespace's ImageVerdicts are due, and what becomes of them.

Level-triggered like everything else: it looks at all of a namespace's verdicts and at what its policies ask now, has
what is missing found out, and writes it. Verdicts that nobody asks for any more go, and no namespace has more than it
may. What a registry failed at is tried again, later and later; a good answer is found anew before it ends.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ringfence.model import image_reference
from ringfence.model.effective import SignatureDemand
from ringfence.model.ports import Lister, Object
from ringfence.model.signatures import LIFE, MAX_HELD, Answer, Held, SignatureReason, SignatureRule, Wanted
from ringfence.reconcile import verdict_objects
from ringfence.reconcile.means import Means
from ringfence.reconcile.verdict_objects import Kept

_log: Final = logging.getLogger(__name__)

#: Seconds. Nobody asked for so long: it goes.
KEEP: Final = 7 * 24 * 3600
#: A bad answer counts so long: signatures are often pushed after their image.
BAD_LIFE: Final = 60
#: What a registry fails at is tried again after so long, doubled each time, while somebody asked within ASKED.
FIRST_RETRY: Final = 15
LONGEST_RETRY: Final = 900
ASKED: Final = 3600
#: A good answer is found anew when so much of its life is left.
REFRESH: Final = LIFE / 4
#: Images of a namespace that are looked at in one go; then others have their turn.
BATCH: Final = 8

Demands = tuple[SignatureDemand, ...]


class Inspector(Protocol):
    """Finds out. Fulfilled by verification.Inspector."""

    @property
    def trust_root(self) -> str:
        """Tells one trust root from another; "" for none."""
        ...

    async def inspect(self, wanted: Wanted, rules: Sequence[SignatureRule]) -> tuple[Answer, ...]:
        """An answer for each rule. Raises nothing but for a defect."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about one verdict: the rules to answer now, and when to look again (0: when it changes)."""

    now: tuple[SignatureRule, ...]
    at: float


class VerdictKeeper:
    """Keeps the ImageVerdicts of one namespace at a time."""

    def __init__(
        self, lister: Lister, demands: Callable[[str], Demands | None], inspector: Inspector, means: Means
    ) -> None:
        """``demands`` says what a namespace's policies ask of signatures, None where it is not enrolled."""
        self._lister = lister
        self._demands = demands
        self._inspector = inspector
        self._means = means

    async def reconcile(self, namespace: str) -> float:
        """Bring them to what they shall be; after how many seconds to look again, 0 for when something changes."""
        now = self._means.clock.now()
        demands = self._demands(namespace)
        kept = await self._kept(namespace, demands, now)
        dues = [(each, rules_of(each.wanted, demands or ())) for each in kept]
        pending = [(each, rules, due(each, rules, self._inspector.trust_root, now)) for each, rules in dues]
        waiting = [(each, rules, todo.now) for each, rules, todo in pending if todo.now]
        waiting.sort(key=lambda case: case[0].checked)
        async with asyncio.TaskGroup() as group:
            for each, rules, todo in waiting[:BATCH]:
                group.create_task(self._answer(each, rules, todo, demands or ()))
        if waiting:
            # At once for those left, soon for what the answers themselves ask.
            return 0.01 if len(waiting) > BATCH else 1.0
        times = [todo.at for _, _, todo in pending if todo.at]
        return max(min(times) - now, 1.0) if times else 0.0

    async def _kept(self, namespace: str, demands: Demands | None, now: float) -> list[Kept]:
        """The verdicts that stay; the others are deleted."""
        objects = [(obj, verdict_objects.read(obj)) for obj in self._lister.list(namespace)]
        staying: list[tuple[Object, Kept]] = []
        for obj, kept in objects:
            if kept is None or demands is None or now - kept.requested > KEEP or not rules_of(kept.wanted, demands):
                await self._delete(obj)
            else:
                staying.append((obj, kept))
        staying.sort(key=lambda case: (_good(case[1], now), case[1].requested), reverse=True)
        for obj, _ in staying[MAX_HELD:]:
            await self._delete(obj)
        return [kept for _, kept in staying[:MAX_HELD]]

    async def _delete(self, obj: Object) -> None:
        metadata = obj["metadata"]
        await self._means.applier.delete(
            obj["apiVersion"], obj["kind"], metadata["namespace"], metadata["name"], uid=metadata.get("uid", "")
        )

    async def _answer(
        self, kept: Kept, rules: Mapping[str, SignatureRule], todo: Sequence[SignatureRule], demands: Demands
    ) -> None:
        answers = await self._inspector.inspect(kept.wanted, todo)
        now = self._means.clock.now()
        found = dict(zip((rule.fingerprint for rule in todo), answers, strict=True))
        for answer in found.values():
            if not answer.verified:
                _log.warning("image %s of %s: %s", kept.wanted.image, kept.wanted.namespace, answer.message)
        told = merged(kept, rules, found, self._inspector.trust_root, now)
        names = verdict_objects.names_of(
            (demand.rule.fingerprint, str(demand.ref)) for demand in demands if demand.rule.fingerprint in rules
        )
        await self._means.applier.apply(verdict_objects.answered(told, names), subresource="status")


def rules_of(wanted: Wanted, demands: Demands) -> dict[str, SignatureRule]:
    """The rules that cover an image, by fingerprint; none for what is no image that can be checked."""
    try:
        reference = image_reference.parse(wanted.image)
    except ValueError:
        return {}
    if not reference.digest.startswith("sha256:"):
        return {}
    return {each.rule.fingerprint: each.rule for each in demands if each.rule.covers(reference.name)}


def due(kept: Kept, rules: Mapping[str, SignatureRule], trust_root: str, now: float) -> Due:
    """What is to be found out about an image now, and when next."""
    todo, times = [], []
    for fingerprint, rule in sorted(rules.items()):
        at = _when(kept, kept.answers.get(fingerprint), bool(rule.keyless) and kept.trust_root != trust_root, now)
        if at is None:
            continue
        if at <= now:
            todo.append(rule)
        else:
            times.append(at)
    return Due(tuple(todo), min(times, default=0.0))


def _when(kept: Kept, held: Held | None, other_root: bool, now: float) -> float | None:
    """When to find an answer (anew); None for not before somebody asks."""
    if held is None or other_root:
        return now
    failing = kept.checked + retry_after(kept.failures) if kept.failures else 0.0
    if held.answer.verified:
        return max(held.until - REFRESH, failing)
    if held.answer.reason is SignatureReason.REGISTRY_FAILED:
        return max(held.until, failing) if now - kept.requested < ASKED else None
    return held.until if kept.requested > kept.checked else None


def merged(
    kept: Kept, rules: Mapping[str, SignatureRule], found: Mapping[str, Answer], trust_root: str, now: float
) -> Kept:
    """The verdict with what was found. That a registry failed takes no good answer away before it ends."""
    failed = any(answer.reason is SignatureReason.REGISTRY_FAILED for answer in found.values())
    failures = kept.failures + 1 if failed else 0
    answers = {fingerprint: held for fingerprint, held in kept.answers.items() if fingerprint in rules}
    for fingerprint, answer in found.items():
        former = answers.get(fingerprint)
        if answer.reason is SignatureReason.REGISTRY_FAILED:
            if former is not None and former.answer.verified and former.until > now and kept.trust_root == trust_root:
                continue
            answers[fingerprint] = Held(answer, now + retry_after(failures))
        else:
            answers[fingerprint] = Held(answer, now + (LIFE if answer.verified else BAD_LIFE))
    return replace(kept, answers=answers, checked=now, failures=failures, trust_root=trust_root)


def retry_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return float(min(FIRST_RETRY * 2 ** min(max(failures - 1, 0), 10), LONGEST_RETRY))


def _good(kept: Kept, now: float) -> bool:
    return any(held.answer.verified and held.until > now for held in kept.answers.values())

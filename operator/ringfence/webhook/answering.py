"""From the bytes of a review to the bytes of its answer; everything that can go wrong ends in a refusal.

The one place that knows of time, reads that are still to be made, metrics, the log and what else is told.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import msgspec

from ringfence.model.errors import CannotTell, InvalidResource, RingfenceError
from ringfence.model.signatures import Wanted
from ringfence.webhook import resources, review, wire
from ringfence.webhook.live import Learner
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.proving import Proving
from ringfence.webhook.resources import Reading
from ringfence.webhook.review import Purpose
from ringfence.webhook.view import Missing, NoPolicy, Rules, Unknown, View
from ringfence.webhook.wire import Answer, AnyRequest, BadReview, Notice

_log: Final = logging.getLogger("ringfence.webhook.admission")

#: Seconds that are kept back from the API server's deadline for the way of the answer.
RESERVE: Final = 0.25
#: Seconds at most for reading what the cache does not hold.
LONGEST_READ: Final = 1.0
#: A namespace, then its network: nothing needs a third round.
_ROUNDS: Final = 3


class Answering:
    """Answers reviews over one View."""

    def __init__(
        self,
        view: View,
        rules: Rules,
        learner: Learner,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
        *,
        tell: Callable[[tuple[Notice, ...]], None] | None = None,
        want: Callable[[tuple[Wanted, ...]], None] | None = None,
    ) -> None:
        """``tell`` gets what is to be said on objects of the cluster, ``want`` the images that are to be looked at;
        neither for a dry run, and neither may wait.
        """
        self._want = want
        #: Proves the invariants over each change of a policy, if there is anything that does.
        self.proving: Proving | None = None
        self._view = view
        self._rules = rules
        self._learner = learner
        self._metrics = metrics
        self._now = now
        self._tell = tell
        #: Reads what takes long, one at a time, so that reviews of pods need not wait for it.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")

    async def answer(self, purpose: Purpose, body: bytes, deadline: float) -> bytes:
        """The AdmissionReview to send back. ``deadline`` is by time.monotonic.

        Raises BadReview for a body without a uid to answer to; every other trouble is an answer.
        """
        start = time.perf_counter()
        try:
            request = wire.decode(body)
        except BadReview as error:
            self._metrics.answered(purpose.name.lower(), "malformed", time.perf_counter() - start)
            if not error.uid:
                raise
            return wire.encode(error.uid, review.malformed(str(error)))
        answer = await self._decide(purpose, request, deadline)
        encoded = wire.encode(request.uid, answer)
        self._record(purpose, request, answer, time.perf_counter() - start)
        return encoded

    async def _decide(self, purpose: Purpose, request: AnyRequest, deadline: float) -> Answer:
        view, reading = self._view, None
        for _ in range(_ROUNDS):
            try:
                if reading is None and review.is_own(request):
                    reading = await asyncio.get_running_loop().run_in_executor(self._reader, resources.read, request)
                answer = review.judge(purpose, request, view, self._rules, self._now(), reading)
                return await self._proven(answer, reading, view, deadline)
            except Unknown as unknown:
                self._metrics.learned.inc()
                seconds = min(LONGEST_READ, deadline - time.monotonic() - RESERVE)
                try:
                    view = await self._learner.learn(view, unknown, max(seconds, 0.0))
                except CannotTell as error:
                    return cannot_tell(error)
            except (NoPolicy, CannotTell) as error:
                return cannot_tell(error)
            except (msgspec.MsgspecError, RecursionError) as error:
                return review.malformed(f"the object cannot be read: {error}")
            except Exception:  # noqa: BLE001 (a defect must not let anything in)
                _log.exception("a review could not be judged (uid %s)", request.uid)
                return FAILED
        return FAILED

    async def _proven(self, answer: Answer, reading: Reading, view: View, deadline: float) -> Answer:
        """The answer, or the refusal of what would break an invariant.

        Raises Unknown where the namespace of the resource is not in the cache yet.
        """
        if self.proving is None or not answer.allowed or reading is None or isinstance(reading, InvalidResource):
            return answer
        place = reading.meta.namespace
        namespace = view.namespace(place) if place else None
        missing = Missing("Namespace", "", place)
        if place and namespace is None and not view.asked(missing):
            raise Unknown(missing)
        proven = await self.proving.judge(reading, namespace, deadline - time.monotonic() - RESERVE)
        if not proven.allowed:
            return proven
        return replace(answer, warnings=(*answer.warnings, *proven.warnings)) if proven.warnings else answer

    def _record(self, purpose: Purpose, request: AnyRequest, answer: Answer, seconds: float) -> None:
        result = "allowed" if answer.allowed else "denied" if answer.code in {403, 422} else "failed"
        self._metrics.answered(purpose.name.lower(), result, seconds)
        if not answer.allowed:
            self._metrics.refused(answer.controls)
            _log.warning(
                "refused for %s: %s", request.user_info.username, answer.message, extra=described(request, answer)
            )
        if request.dry_run:
            return
        if answer.used is not None:
            self._metrics.excepted(answer.used)
        if answer.notices and self._tell is not None:
            self._tell(answer.notices)
        if answer.wanted and self._want is not None:
            self._want(answer.wanted)


def described(request: AnyRequest, answer: Answer) -> dict[str, str | bool]:
    """A refusal as fields for the log: who wanted what where, and why not. Never the object itself."""
    resource = request.resource.resource + (f"/{request.sub_resource}" if request.sub_resource else "")
    return {
        "uid": request.uid,
        "user": request.user_info.username,
        "operation": request.operation,
        "resource": resource,
        "namespace": request.namespace or "",
        "object": request.name or "",
        "controls": ",".join(answer.controls),
        "dryRun": bool(request.dry_run),
    }


def cannot_tell(error: RingfenceError) -> Answer:
    """Fail closed: the same request may be right in a moment."""
    message = f"Ringfence cannot judge this now and refuses it: {error}; try again"
    return Answer(False, message, 503, "ServiceUnavailable", controls=("cannot-tell",))


FAILED: Final = Answer(
    False,
    "Ringfence met an error of its own and refuses what it could not judge; its log has the details",
    500,
    "InternalError",
    controls=("error",),
)

"""Listens to the logs of proxies while they are written: where much goes through, what is kept reaches back too little.

The API server reads the newest file of a container's log only, which a kubelet begins anew at 10 MB
(`containerLogMaxSize`); a proxy with 300 requests a second fills that in less than a minute. A stream that has died
unnoticed must not pass for silence: at the end the last line of each log is compared with the last that was heard.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ringfence.cli import proxy_logs
from ringfence.cli.live import NoCluster
from ringfence.cli.proxy_logs import Log
from ringfence.kube import client, errors, resources
from ringfence.model.proxy import CONTAINER

#: Logs that can be listened to at once: each is a connection to the API server.
MOST: Final = 50
#: Seconds for the last line of a log.
_LAST_SECONDS: Final = 30.0
#: Seconds by which what was heard may lag behind what is written.
_LAG_SECONDS: Final = 3.0


class Heard:
    """What a log has said so far. Only lines that somebody asks about are kept, ``most`` of them."""

    def __init__(self, most: int) -> None:
        self._lines: deque[tuple[float, Mapping[str, Any]]] = deque()
        self._most = most
        self._cut = False
        #: From when on everything is known (epoch seconds), None before the stream is open.
        self.since: float | None = None
        #: The moment of the last line, by the node's clock, of those before the stream too; None for no line.
        self.last: float | None = None

    def take(self, line: bytes) -> None:
        """One line, led by its moment."""
        moment, entry = proxy_logs.stamped(line.decode(errors="replace"))
        if moment is None:
            return
        self.last = moment
        each = proxy_logs.fact(entry) if entry is not None else None
        if entry is None or each is None or not (each.plaintext or each.denied or each.audit_denied):
            return
        self._lines.append((moment, entry))
        if len(self._lines) > self._most:
            forgotten, _ = self._lines.popleft()
            self._cut, self.since = True, forgotten

    def log(self) -> Log:
        """For the report."""
        return Log(tuple(self._lines), self.since, self._cut)


class Listening:
    """To the proxies of a namespace, for ``seconds``, keeping ``most`` lines of each; ``clock`` in epoch seconds."""

    def __init__(
        self, api: client.Client, namespace: str, seconds: float, most: int, clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._seconds = seconds
        self._most = most
        self._clock = clock

    async def to(self, pods: Iterable[str], remarks: list[str]) -> dict[str, Log | None]:
        """What each log has said; None for one that could not be heard to the end, and ``remarks`` say why.

        Raises NoCluster for more than can be listened to.
        """
        names = sorted(pods)
        if len(names) > MOST:
            raise NoCluster(f"there are {len(names)} proxies, and {MOST} can be listened to at once: name one workload")
        return dict(await asyncio.gather(*(self._one(each, remarks) for each in names)))

    async def _one(self, pod: str, remarks: list[str]) -> tuple[str, Log | None]:
        heard = Heard(self._most)
        try:
            with contextlib.suppress(TimeoutError):
                heard.last = await self._last(pod)
                async with asyncio.timeout(self._seconds):
                    await self._follow(pod, heard)
                    # Logs end with their containers; whether this one did shows when the pod is looked at again.
                    await asyncio.sleep(self._seconds)
            await self._check(pod, heard)
        except errors.NotFound:
            return pod, heard.log()
        except errors.KubeError as error:
            hint = " (you need the right to get pods/log)" if isinstance(error, errors.Forbidden) else ""
            remarks.append(f"the log of {self._namespace}/{pod} was not heard to the end: {error}{hint}")
            return pod, None
        return pod, heard.log()

    async def _follow(self, pod: str, heard: Heard) -> None:
        def opened() -> None:
            heard.since = self._clock()

        query = {"container": CONTAINER, "timestamps": "true", "follow": "true", "tailLines": "0"}
        lines = self._api.lines(self._path(pod), query, silence=None, opened=opened)
        async with contextlib.aclosing(lines):
            async for line in lines:
                heard.take(line)

    async def _check(self, pod: str, heard: Heard) -> None:
        """Raises KubeError when the log has gone on without being heard; NotFound when the pod is gone."""
        if heard.since is None:
            raise errors.Unreachable("the API server did not begin to answer")
        written = await self._last(pod)
        if written is not None and (heard.last is None or written > heard.last + _LAG_SECONDS):
            raise errors.Unreachable("lines were written that did not come")

    async def _last(self, pod: str) -> float | None:
        """The moment of the last line that there is."""
        query = {"container": CONTAINER, "timestamps": "true", "tailLines": "1"}
        data = await self._api.request_bytes("GET", self._path(pod), query=query, timeout=_LAST_SECONDS)
        moment, _ = proxy_logs.stamped(data.decode(errors="replace").rstrip("\n"))
        return moment

    def _path(self, pod: str) -> str:
        return resources.PODS.path(self._namespace, pod, "log")

"""Who is at the other end of a stream: the pod that its token was made for, and only while that pod is what it says.

Everything follows from the token, which the API server judges (TokenReview), and from the pod as this process' own
cache has it. What the proxy says of itself decides nothing; a contradiction ends the stream.
"""

import asyncio
import hashlib
import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import unquote

from ringfence.kube.token_reviews import Token
from ringfence.model import proxy
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Clock, Lister, Object

_log = logging.getLogger(__name__)

#: Most bytes of a token. Tokens of ServiceAccounts have one to two thousand.
MAX_TOKEN_BYTES: Final = 8192
#: Seconds for which a good answer is believed without asking again, and how many are remembered.
BELIEVED_SECONDS: Final = 60.0
MAX_BELIEVED: Final = 20_000
#: Reviews under way at once, and callers that may wait for one; who comes beyond that is sent away.
REVIEWS_AT_ONCE: Final = 16
MAX_WAITING: Final = 2000
#: Seconds that a pod may be unknown here though the API server has just vouched for it.
LATE_SECONDS: Final = 3.0
_BEARER: Final = "Bearer "


class Why(StrEnum):
    """Why a stream is refused; stable, for logs, metrics and tests."""

    NO_TOKEN = "NoToken"  # noqa: S105 (a reason)
    REJECTED = "TokenRejected"
    NOT_BOUND = "TokenNotBoundToPod"
    EXPIRED = "TokenExpired"
    NO_POD = "PodUnknown"
    OTHER_POD = "PodReplaced"
    OTHER_ACCOUNT = "ServiceAccountDiffers"
    OTHER_NODE = "NodeDiffers"
    NOT_INJECTED = "PodNotInjected"
    NOT_ENROLLED = "NamespaceNotEnrolled"
    OTHER_NAME = "NodeIdDiffers"
    OTHER_ADDRESS = "AddressDiffers"
    OLD_PROXY = "ProxyTooOld"
    FINISHED = "PodFinished"
    CANNOT_TELL = "CannotTell"
    BUSY = "TooMany"


class Refused(Exception):
    """The stream is not served. ``message`` holds no secret; whether to come back later follows from ``why``."""

    def __init__(self, why: Why, message: str) -> None:
        self.why = why
        self.message = message
        super().__init__(f"{why}: {message}")


@dataclass(frozen=True, slots=True)
class Caller:
    """A proxy that has shown who it is; ``expires`` is when its token ends (epoch seconds)."""

    namespace: str
    pod: str
    uid: str
    service_account: str
    node: str
    expires: float

    @property
    def node_id(self) -> str:
        """What its bootstrap says of it, as injection writes it."""
        return proxy.node_id(self.namespace, self.pod, self.uid)


class Reviewer(Protocol):
    """The API server's judgement of tokens."""

    async def review(self, token: str, audience: str) -> Token | None:
        """None when the token is not good for this audience; RingfenceError when that cannot be found out."""
        ...


class Authenticator:
    """Tells who calls. Lives in one event loop."""

    def __init__(
        self,
        reviewer: Reviewer,
        pods: Lister,
        enrolled: Callable[[str], bool],
        clock: Clock,
        *,
        own_address_only: bool = False,
    ) -> None:
        """``enrolled`` tells it of a namespace's name; ``pods`` as trim.mesh_pod keeps them.

        ``own_address_only``: nobody is served at an address that is none of the pod's.
        """
        self._reviewer = reviewer
        self._pods = pods
        self._enrolled = enrolled
        self._clock = clock
        self._own_address_only = own_address_only
        self._believed: OrderedDict[bytes, tuple[float, Token]] = OrderedDict()
        self._room = asyncio.Semaphore(REVIEWS_AT_ONCE)
        self._waiting = 0
        self._pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def caller(self, metadata: Mapping[str, str]) -> Caller:
        """Who sends these headers (lower-case names). Raises Refused."""
        reviewed = await self._reviewed(_token(metadata))
        if not reviewed.pod or not reviewed.pod_uid or not reviewed.node:
            raise Refused(Why.NOT_BOUND, "the token is not bound to a pod on a node")
        if reviewed.expires <= self._clock.now():
            raise Refused(Why.EXPIRED, "the token has ended")
        await self._awaited(reviewed)
        self.check(reviewed)
        return Caller(
            namespace=reviewed.namespace,
            pod=reviewed.pod,
            uid=reviewed.pod_uid,
            service_account=reviewed.service_account,
            node=reviewed.node,
            expires=reviewed.expires,
        )

    def check(self, reviewed: Token, source: str = "") -> None:
        """Compare with the cluster as it is known here; ``source`` as ``address`` tells it. Raises Refused."""
        name = f"{reviewed.namespace}/{reviewed.pod}"
        if not self._enrolled(reviewed.namespace):
            raise Refused(Why.NOT_ENROLLED, f"the namespace {reviewed.namespace} is not enrolled")
        pod = self._pods.get(reviewed.namespace, reviewed.pod)
        if pod is None:
            raise Refused(Why.NO_POD, f"there is no pod {name}")
        if pod["metadata"].get("uid") != reviewed.pod_uid:
            raise Refused(Why.OTHER_POD, f"the pod {name} is another one by now")
        spec = pod.get("spec") or {}
        if (spec.get("serviceAccountName") or "default") != reviewed.service_account:
            raise Refused(Why.OTHER_ACCOUNT, f"the pod {name} does not run under {reviewed.service_account}")
        if spec.get("nodeName") != reviewed.node:
            raise Refused(Why.OTHER_NODE, f"the pod {name} is not on the node {reviewed.node}")
        if not injected(pod):
            raise Refused(Why.NOT_INJECTED, f"the pod {name} has no proxy")
        if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            raise Refused(Why.FINISHED, f"the pod {name} has finished")
        if self._own_address_only and is_foreign(pod, source):
            raise Refused(Why.OTHER_ADDRESS, f"{source} is no address of the pod {name}")

    async def _awaited(self, reviewed: Token) -> None:
        """A pod that was made just now may not have come here yet, though the API server knows it."""
        waited = 0.0
        while waited < LATE_SECONDS and self._late(reviewed):
            await self._pause(0.1)
            waited += 0.1

    def _late(self, reviewed: Token) -> bool:
        pod = self._pods.get(reviewed.namespace, reviewed.pod)
        return pod is None or pod["metadata"].get("uid") != reviewed.pod_uid or not pod["spec"].get("nodeName")

    async def _reviewed(self, token: str) -> Token:
        digest = hashlib.sha256(token.encode()).digest()
        held = self._believed.get(digest)
        if held is not None and 0 <= self._clock.monotonic() - held[0] < BELIEVED_SECONDS:
            return held[1]
        if self._waiting >= MAX_WAITING:
            raise Refused(Why.BUSY, "too many callers wait for their tokens to be reviewed")
        self._waiting += 1
        try:
            async with self._room:
                found = await self._reviewer.review(token, proxy.AUDIENCE)
        except RingfenceError as error:
            raise Refused(Why.CANNOT_TELL, f"the token cannot be reviewed now: {error}") from error
        finally:
            self._waiting -= 1
        if found is None:
            raise Refused(Why.REJECTED, f"the API server does not accept the token for {proxy.AUDIENCE}")
        self._believed[digest] = (self._clock.monotonic(), found)
        while len(self._believed) > MAX_BELIEVED:
            self._believed.popitem(last=False)
        return found


def injected(pod: Object) -> bool:
    """Whether a pod has the proxy as a native sidecar; in the network of a node nothing that is called so is one."""
    spec = pod.get("spec") or {}
    containers = () if spec.get("hostNetwork") else spec.get("initContainers") or ()
    return any(each.get("name") == proxy.CONTAINER and each.get("restartPolicy") == "Always" for each in containers)


def address(peer: str) -> str:
    """The address in what gRPC calls a peer (``ipv4:10.0.0.1:40000``, ``ipv6:%5Bfd00::1%5D:40000``), "" for others."""
    family, _, rest = peer.partition(":")
    if family not in {"ipv4", "ipv6"}:
        return ""
    try:
        found = ipaddress.ip_address(unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)


def is_foreign(pod: Object, source: str) -> bool:
    """Whether an address is none of a pod's. Where either is not known (yet), nothing can be said."""
    own = [each["ip"] for each in (pod.get("status") or {}).get("podIPs") or () if each.get("ip")]
    return bool(source and own) and all(ipaddress.ip_address(each) != ipaddress.ip_address(source) for each in own)


def _token(metadata: Mapping[str, str]) -> str:
    value = metadata.get("authorization", "")
    if not value.startswith(_BEARER):
        raise Refused(Why.NO_TOKEN, "there is no bearer token")
    token = value.removeprefix(_BEARER)
    if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2 or not token.isascii():
        raise Refused(Why.NO_TOKEN, "the bearer token is no token of a ServiceAccount")
    return token

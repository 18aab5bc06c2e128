"""The dimensions of a request in the order in which sets of requests are split, ends left out: those have numbers.

What no rule names leaves its dimension out, so sets of calls at layer 4 are split by ports only.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from ringfence.model.requests import CONNECT
from ringfence.policy.algebra.diagram import Dimension
from ringfence.policy.algebra.paths import EVERY_PATH
from ringfence.policy.algebra.ports import EVERY_PORT
from ringfence.policy.algebra.values import ANY_OR_NONE, EVERY_METHOD, MISSING, Methods

PORT: Final = Dimension(10, "port", EVERY_PORT)
#: Whether requests of HTTP are sent, or bytes in which nobody sees any.
HTTP: Final = Methods.of(("HTTP",))
BYTES: Final = Methods.of(("bytes",))
TRAFFIC: Final = Dimension(15, "traffic", HTTP | BYTES)
#: Without the port, in small letters; user information in it makes it unclear (SEVERAL).
HOST: Final = Dimension(20, "host", ANY_OR_NONE)
#: The name of a host outside, as ``name_text`` writes it.
NAME: Final = Dimension(25, "name", ANY_OR_NONE)
METHOD: Final = Dimension(30, "method", EVERY_METHOD)
#: Requests for a tunnel, which no rule means that does not say so, and all others.
TUNNEL: Final = Methods.of((CONNECT,))
NO_TUNNEL: Final = ~TUNNEL
PATH: Final = Dimension(40, "path", EVERY_PATH)
#: What an HTTP connection is asked to become; the empty text for nothing else.
UPGRADE: Final = Dimension(50, "upgrade", EVERY_METHOD)
NO_UPGRADE: Final = Methods.of(("",))

#: Whether the moment is within some windows of time.
WITHIN: Final = Methods.of(("within",))
OUTSIDE: Final = Methods.of(("outside",))

_ATTRIBUTES: Final = 60
_TIMES: Final = 70
TIME: Final = "time "
#: Begins the names of attributes that are there or missing: tokens, their claims, values of these.
OF_TOKENS: Final = "token of "

#: What a request is where nothing more is asked of it.
_PLAIN: Final = {
    PORT.name: EVERY_PORT.witness(),
    TRAFFIC.name: "HTTP",
    METHOD.name: "GET",
    PATH.name: "/",
    UPGRADE.name: "",
}


@lru_cache(maxsize=4096)
def attribute(name: str) -> Dimension:
    """A header (``header:x-env``), a parameter (``query:env``), a claim (``claim:sub``), a member of a list.

    The last is written ``claim:scope has read``.
    """
    return Dimension(_ATTRIBUTES, name, ANY_OR_NONE)


def name_text(name: str) -> str:
    """The name of a host with its first label last, so that all names with one label before a suffix begin alike."""
    label, dot, rest = name.partition(".")
    return f"{rest}/{label}" if dot else name


def name_of(text: str) -> str:
    """The name that ``name_text`` wrote."""
    rest, slash, label = text.partition("/")
    return f"{label}.{rest}" if slash else text


@lru_cache(maxsize=4096)
def time(windows: str) -> Dimension:
    """The time, as far as these windows tell it apart, in words."""
    return Dimension(_TIMES, f"{TIME}{windows}", WITHIN | OUTSIDE)


def point(witness: Mapping[str, Any]) -> Mapping[str, Any]:
    """A whole request of a witness, which has the dimensions that matter only."""
    return defaultdict(lambda: MISSING, {**_PLAIN, **witness})

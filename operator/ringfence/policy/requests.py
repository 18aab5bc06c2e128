"""Which requests a rule names, said directly.

What is missing, or can be read in two ways, counts against the request: an Allow does not match it, a Deny does
(ADR 0181). So the same words mean a little less in an Allow than in a Deny.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from ringfence.model.requests import (
    CONNECT,
    UPGRADES,
    Asks,
    HeaderCondition,
    HttpMatch,
    Request,
    Requests,
    TimeCondition,
)
from ringfence.model.resources import Action
from ringfence.policy import paths, queries, tokens

ANY_SEGMENT: Final = "{*}"
BELOW: Final = "/*"
#: What programs take off the ends of a header's value; HTTP/1.1 has none there, HTTP/2 may (RFC 9113 section 8.2.1).
SPACES: Final = " \t"
_PORT: Final = re.compile(r"(:[0-9]{1,5})?")
#: Headers by which programs of many frameworks are told another method, or another path, than the request's own.
OTHER_METHOD: Final = ("x-http-method", "x-http-method-override", "x-method-override")
OTHER_PATH: Final = ("x-original-url", "x-rewrite-url")


def refused(request: Request) -> bool:
    """Whether a proxy answers a request itself, before any rule is asked."""
    if request.tunnel:
        return bool(request.upgrade)
    return paths.normalized(request.path) is None or request.upgrade.lower() not in {"", *UPGRADES}


def unclear(request: Request, rules: Iterable[Requests]) -> bool:
    """Whether programs may read a request in another way than rules do that look at its path, headers or query."""
    asked = list(rules)
    looking = any(each.paths for each in asked) and not request.tunnel
    if looking and paths.unclear(paths.normalized(request.path) or "//"):
        return True
    if request.headers and any(name in request.headers for each in asked for name in unread(each)):
        return True
    if any(queries.unclear(condition, request.target) for each in asked for condition in each.query):
        return True
    if any("," in _joined(request.headers, name) for each in asked for name in compared(each)):
        return True
    values = (_joined(request.headers, name) for each in asked for name in of_values(each))
    return any(value != value.strip(SPACES) for value in values)


def compared(rule: Requests) -> tuple[str, ...]:
    """Names of the headers whose value matters, which so has to be one."""
    return tuple(sorted({*of_values(rule), *_of_token(rule)}))


def of_values(rule: Requests) -> tuple[str, ...]:
    """Those of them that conditions compare with values; of tokens the whole form is asked."""
    return tuple(sorted({each.header for each in rule.when if each.values}))


@lru_cache(maxsize=4096)
def unread(rule: Requests) -> tuple[str, ...]:
    """Names of headers that a request must not have for the rule to be asked: programs may obey them in its place."""
    return tuple(sorted({*twins(rule), *others(rule)}))


def others(rule: Requests) -> tuple[str, ...]:
    """Names of headers, in every spelling, that tell programs another method or path than the rule looks at.

    One that a condition of the rule is about is looked at itself (ADR 0279).
    """
    return (*other_methods(rule), *other_paths(rule))


def other_methods(rule: Requests) -> tuple[str, ...]:
    """Those of them that tell another method."""
    return _not_seen(rule, OTHER_METHOD) if rule.methods else ()


def other_paths(rule: Requests) -> tuple[str, ...]:
    """Those of them that tell another path."""
    return _not_seen(rule, OTHER_PATH) if rule.paths else ()


def _not_seen(rule: Requests, names: Iterable[str]) -> tuple[str, ...]:
    seen = set(looked_at(rule))
    return tuple(sorted({each for name in names if name not in seen for each in spellings(name)} - seen))


def twins(rule: Requests) -> tuple[str, ...]:
    """Names of headers that many programs take for one that the rule looks at: CGI knows no ``-``."""
    return tuple(sorted({twin for name in looked_at(rule) for twin in spellings(name) if twin != name}))


def looked_at(rule: Requests) -> tuple[str, ...]:
    """Names of the headers that the rule looks at, whatever it asks of them."""
    return tuple(sorted({*(condition.header for condition in rule.when), *_of_token(rule)}))


def _of_token(rule: Requests) -> Iterable[str]:
    return (rule.token.header,) if rule.token is not None and rule.token.header else ()


def spellings(name: str) -> list[str]:
    """A name with each of its dashes as ``-`` or ``_``."""
    words = name.split("-")
    found = [words[0]]
    for word in words[1:]:
        found = [f"{each}{dash}{word}" for each in found for dash in "-_"]
    return found


def matches(rule: Requests, request: Request, action: Action) -> bool:
    """Whether a rule of this action names a request."""
    if request.tunnel and action is Action.ALLOW and not rule.tunnels:
        return False
    if rule.http and not any(_http(match, request, action) for match in rule.http):
        return False
    if not all(queries.matches(condition, request.target, action) for condition in rule.query):
        return False
    if not all(_moment(condition, request.time, action) for condition in rule.times):
        return False
    if rule.token is not None and not tokens.matches(rule.token, request, action):
        return False
    return all(_condition(condition, request.headers, action) for condition in rule.when)


def _moment(condition: TimeCondition, time: int | None, action: Action) -> bool:
    if time is None:
        return action is Action.DENY
    return any(window.holds(time) for window in condition.windows) is not condition.outside


def _http(match: HttpMatch, request: Request, action: Action) -> bool:
    deny = action is Action.DENY
    method = request.method.upper() if deny else request.method
    if match.methods and method not in match.methods and not (match.grpc and deny):
        return False
    if not (_tunnel(match, action) if request.tunnel else _path(match, request, action)):
        return False
    if match.hosts and not any(_host(each, request.host, action) for each in match.hosts):
        return False
    if match.grpc and not deny and not _joined(request.headers, "content-type").startswith("application/grpc"):
        return False
    return _upgrade(match, request.upgrade.lower(), action)


def _tunnel(match: HttpMatch, action: Action) -> bool:
    """Whether a match whose methods may be CONNECT names it: what has no path has not the right one."""
    return action is Action.DENY or not (match.paths or match.grpc or CONNECT not in match.methods)


def _path(match: HttpMatch, request: Request, action: Action) -> bool:
    path = paths.normalized(request.path) or ""
    return not match.paths or any(path_matches(each, path, action) for each in match.paths)


def path_matches(pattern: str, path: str, action: Action) -> bool:
    """Whether a pattern names a normalized path; in a Deny a slash at the end makes no difference."""
    below = pattern.endswith(BELOW)
    wanted = (pattern.removesuffix(BELOW) if below else pattern).split("/")[1:]
    found = path.split("/")[1:]
    if below:
        return len(found) > len(wanted) and all(map(_segment, wanted, found))
    if action is Action.DENY:
        wanted, found = _bare(wanted), _bare(found)
    return len(found) == len(wanted) and all(map(_segment, wanted, found))


def _bare(segments: list[str]) -> list[str]:
    return segments[:-1] if len(segments) > 1 and not segments[-1] else segments


def _segment(wanted: str, found: str) -> bool:
    return bool(found) if wanted == ANY_SEGMENT else wanted == found


def _host(wanted: str, found: str, action: Action) -> bool:
    found = found.lower()
    if action is Action.ALLOW:
        return found.startswith(wanted) and _PORT.fullmatch(found.removeprefix(wanted)) is not None
    if not found or "@" in found:
        return True
    rest = found.removeprefix(wanted) if found.startswith(wanted) else "?"
    return rest in {"", "."} or rest.startswith((":", ".:"))


def _upgrade(match: HttpMatch, found: str, action: Action) -> bool:
    if match.upgrades:
        return found in match.upgrades
    return not found or action is Action.DENY


def _joined(headers: Mapping[str, tuple[str, ...]], name: str) -> str:
    return ",".join(headers.get(name, ()))


def _condition(condition: HeaderCondition, headers: Mapping[str, tuple[str, ...]], action: Action) -> bool:
    there = condition.header in headers
    if condition.test in {Asks.EXISTS, Asks.ABSENT}:
        return there is (condition.test is Asks.EXISTS)
    if not there:
        return action is Action.DENY
    value = _joined(headers, condition.header)
    match condition.test:
        case Asks.IN:
            return value in condition.values
        case Asks.NOT_IN:
            return value not in condition.values
        case _:
            return value.startswith(condition.values)

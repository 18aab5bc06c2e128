"""What rules say of tokens, as sets of requests, and the token of a request as a point of these.

Whether a token is good is one attribute, whether it has a claim another, and each value of that one more. The name of
the first holds what makes a token good, so that other keys are told as another token. Several claims together are one
attribute, about which nothing else is known: taken apart, sets of many rules would grow without bounds. So what follows
for one claim may be said to differ where it does not, never the other way round.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ringfence.model.requests import Request
from ringfence.model.resources import Action
from ringfence.model.tokens import AUTHORIZATION, Claims, TokenMatch, cluster_key, name_of
from ringfence.policy import tokens
from ringfence.policy.algebra import dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, Dimension, cube, intersect, union
from ringfence.policy.algebra.texts import EVERY_TEXT
from ringfence.policy.algebra.values import MISSING, Attribute

_THERE: Final = Attribute(EVERY_TEXT, several=True)
_MISSING: Final = Attribute(absent=True)
#: The value of an attribute that is there.
THERE: Final = "there"


@dataclass(frozen=True, slots=True)
class _Asks:
    """What an attribute of tokens asks of a good one: these claims, as in a Deny or an Allow; without values any."""

    issuer: str
    header: str
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()
    deny: bool = False

    def holds(self, found: Claims) -> bool:
        """Whether a good token with these claims has it."""
        if any(not values for _, values in self.claims):
            return all(name in found for name, _ in self.claims)
        asked = TokenMatch(self.issuer, self.claims, header=self.header)
        action = Action.DENY if self.deny else Action.ALLOW
        return tokens.matches(asked, Request(tokens={self.issuer: found}), action)


#: What each attribute asks, by its name: that says as much, in words.
_ASKS: Final[dict[str, _Asks]] = {}


@lru_cache(maxsize=4096)
def _attribute(name: str, asks: _Asks) -> Dimension:
    _ASKS[name] = asks
    return dimensions.attribute(name)


def named(token: TokenMatch, deny: bool) -> Diagram:
    """The requests that a rule names, as far as their token goes."""
    if not token.header:
        return EVERYTHING if deny else NOTHING
    name = dimensions.OF_TOKENS + _issuer(token)
    good = _attribute(f"{name} ({token.version})", _Asks(token.issuer, token.header))
    if token.absent:
        return cube([(good, _MISSING)])
    asked = _claims(f"{name}: ", token, deny)
    return union((asked, cube([(good, _MISSING)]))) if deny else intersect(asked, cube([(good, _THERE)]))


def _claims(name: str, token: TokenMatch, deny: bool) -> Diagram:
    def attribute(text: str, claims: tuple[tuple[str, tuple[str, ...]], ...]) -> Dimension:
        several = len(claims) > 1
        return _attribute(f"{name}{text}", _Asks(token.issuer, token.header, claims, deny and several))

    if len(token.claims) > 1:
        said = " and ".join(f"{claim} in {', '.join(values)}" for claim, values in token.claims)
        told = attribute(said + (", or one of these missing" if deny else ""), token.claims)
        return cube([(told, _THERE)])
    for claim, values in token.claims:
        there = attribute(claim, ((claim, ()),))
        has = union(cube([(attribute(f"{claim} {each}", ((claim, (each,)),)), _THERE)]) for each in values)
        return union((has, cube([(there, _MISSING)]))) if deny else intersect(has, cube([(there, _THERE)]))
    return EVERYTHING


def _issuer(token: TokenMatch) -> str:
    """How an issuer, and the place of its tokens, is told from all others."""
    name = name_of(token.issuer) if token.issuer == cluster_key(name_of(token.issuer)) else token.issuer
    return name if token.header == AUTHORIZATION else f"{name} in {token.header}"


# --- points -----------------------------------------------------------------------------------------------------------


def value(name: str, request: Request) -> str | None:
    """The value that a request has of an attribute of tokens (as rules have made it)."""
    asks = _ASKS[name]
    found = tokens.good(TokenMatch(asks.issuer, header=asks.header), request)
    return THERE if found is not None and asks.holds(found) else MISSING


def some(point: Mapping[str, Any]) -> dict[str, Claims | None]:
    """Tokens, by the key of the issuer, that have the attributes of a point as far as these go together."""
    asked = {name: value is not MISSING for name, value in point.items() if name.startswith(dimensions.OF_TOKENS)}
    by_issuer: dict[str, list[str]] = defaultdict(list)
    for name in asked:
        by_issuer[_ASKS[name].issuer].append(name)
    return {
        issuer: _some({name: asked[name] for name in several})
        for issuer, several in sorted(by_issuer.items())
        if all(asked[name] for name in several if not _ASKS[name].claims)
    }


def _some(asked: Mapping[str, bool]) -> Claims:
    """Claims that have these attributes, or lack them."""
    found: dict[str, tuple[str, ...]] = {}
    for name, there in sorted(asked.items(), key=lambda each: len(_ASKS[each[0]].claims)):
        if there and not _ASKS[name].holds(found):
            for claim, values in _ASKS[name].claims:
                wanted = next((each for each in (values or _others(claim, asked)) if _fits(claim, each, asked)), None)
                if wanted is not None and not (values and set(values) & set(found.get(claim, ()))):
                    found[claim] = (*found.get(claim, ()), wanted)
    return found


def _fits(claim: str, text: str, asked: Mapping[str, bool]) -> bool:
    """Whether no attribute that must be missing is that the claim has this text."""
    return not any(_ASKS[name].claims == ((claim, (text,)),) for name, there in asked.items() if not there)


def _others(claim: str, asked: Iterable[str]) -> Iterator[str]:
    """Texts that a claim may have: those of which rules speak, then one of which none does."""
    known = [text for name in asked for each, values in _ASKS[name].claims if each == claim for text in values]
    yield from known
    yield next(text for text in (f"other{number or ''}" for number in range(len(known) + 1)) if text not in known)

"""Tokens of end users: who issues them (``jwtIssuers``), and what a rule asks of one (``jwt``)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import Complaint, Field, Flag, Integer, ListOf, MapOf, Obj, Rule, Text, exactly_one_of
from ringfence.api.v1alpha1 import fetched_keys, identifiers, jwks, requests
from ringfence.model import durations
from ringfence.model.resources import Action
from ringfence.model.tokens import AUTHORIZATION, DEEPEST, SPACED, Issuer, TokenMatch, claim_at, cluster_key, own_key

MAX_ISSUERS: Final = 8
MAX_JWKS: Final = 32 * 1024
#: Seconds that a token may last.
_MIN_LIFETIME, _MAX_LIFETIME = 60, 30 * 24 * 3600

_URI: Final = Text(
    description="A name as tokens have it, mostly a URL; compared character by character.",
    pattern="^[!-~]+$",
    what="printable ASCII without spaces",
    max_length=256,
)
_AUDIENCE: Final = replace(
    _URI,
    description=(
        "An audience as tokens have it (claim aud). As proxies compare it, http:// or https:// before it and a slash"
        " at its end make no difference."
    ),
)


def _is_own(name: str) -> Complaint | None:
    if requests.is_own(name) or name == "cookie":
        return Complaint(f"is {name}, which callers or proxies on the way write as they like", "name another header")
    return None


def _life_out_of_range(text: str) -> Complaint | None:
    if _MIN_LIFETIME <= durations.parse(text) <= _MAX_LIFETIME:
        return None
    return Complaint(f'"{text}" is out of range', "give 1m to 720h")


_ISSUER: Final = Obj(
    description="Who signs tokens (JWT, RFC 7519), and which of them are good. Each must have an end (claim exp).",
    fields=(
        Field(
            name="name",
            node=replace(identifiers.DNS_LABEL, description="The name by which rules ask for it."),
            required=True,
        ),
        Field(
            name="issuer",
            node=replace(_URI, description="What its tokens say in the claim iss, character by character."),
            required=True,
        ),
        Field(
            name="audiences",
            node=ListOf(
                description="Whom tokens must be for: one of these. Tokens for others are not good here.",
                items=_AUDIENCE,
                max_items=16,
                unique=True,
            ),
            required=True,
        ),
        Field(
            name="jwks",
            node=Text(
                description=(
                    f"Its public keys, 1 to {jwks.MAX_KEYS}, as the JSON that it serves at its jwks_uri: RSA of 2048"
                    " bits or more, EC (P-256, P-384, P-521) or Ed25519. Symmetric keys, private ones and those for"
                    " encryption are refused. Give this or jwksUri."
                ),
                pattern=r"^[\x{0009}\x{000a}\x{000d} -~]*$",
                what="a JSON Web Key Set in ASCII",
                max_length=MAX_JWKS,
                rules=(Rule(test=jwks.complaint),),
            ),
        ),
        Field(name="jwksUri", node=fetched_keys.URI),
        Field(name="caBundle", node=fetched_keys.CA_BUNDLE),
        Field(
            name="header",
            node=Text(
                description=(
                    "The header, in lower case, that is a token and nothing else. Default: authorization, where the"
                    " word Bearer and a space stand before it."
                ),
                pattern="^[a-z0-9]+(-[a-z0-9]+){0,3}$",
                what="a name of lower-case letters, digits and at most three '-'",
                max_length=64,
                rules=(Rule(test=_is_own),),
            ),
            default=AUTHORIZATION,
        ),
        Field(
            name="remove",
            node=Flag(
                description=(
                    "Programs do not get the header, whatever is in it, on ports where an enforced rule asks for a"
                    " token of this issuer. If left out they get it, and can send it on with calls of their own, whose"
                    " targets check it again."
                )
            ),
        ),
        Field(
            name="clockSkewSeconds",
            node=Integer(
                description="By how many seconds the issuer's clock may differ, 1 to 300. Default: 60.",
                minimum=1,
                maximum=300,
            ),
            default=60,
        ),
        Field(
            name="maxLifetime",
            node=Text(
                description=(
                    "How long a token may last, 1m to 720h, such as 1h: from now, and from when it was issued if it"
                    " says so (claim iat). One that lasts longer is not good. Default: 24h."
                ),
                pattern=durations.PATTERN,
                what="a duration of hours, minutes and seconds, such as 1h30m",
                max_length=21,
                rules=(
                    Rule(
                        test=_life_out_of_range,
                        cel="duration(self) >= duration('1m') && duration(self) <= duration('720h')",
                        message="is not from 1m to 720h",
                    ),
                ),
            ),
            default="24h",
        ),
    ),
    rules=(exactly_one_of(("jwks", "jwksUri"), "an issuer"), fetched_keys.ROOTS_OF_SOMETHING),
    hints={
        "jwksURI": Complaint("is not a field", "write jwksUri"),
        "remoteJwks": Complaint("is not a field", "write jwksUri, the address"),
        "localJwks": Complaint("is not a field", "write jwks, the JSON itself"),
        "audience": Complaint("is not a field", "write audiences, a list"),
        "forward": Complaint("is not a field: programs get the header", "write remove: true to take it out"),
        "fromHeaders": Complaint("is not a field", "write header, the one place where its tokens are"),
        "fromParams": Complaint("is not a field: tokens in addresses end up in logs", "write header"),
    },
)

#: Of SecurityPolicy and ClusterSecurityPolicy.
ISSUERS: Final = Field(
    name="jwtIssuers",
    node=ListOf(
        description=(
            "Issuers of tokens that rules ask for by jwt. Those of a ClusterSecurityPolicy are there for the rules of"
            " all policies in the selected namespaces, those of a SecurityPolicy for its own rules only, before the"
            " others. mode says nothing of them."
        ),
        items=_ISSUER,
        max_items=MAX_ISSUERS,
        key="name",
    ),
)

CLAIM: Final = Text(
    description="The name of a claim.",
    pattern="^[!-~]+$",
    what="the name of a claim, printable ASCII without spaces",
    max_length=128,
)
_VALUE: Final = Text(
    description="A value; upper and lower case differ.",
    pattern="^[!-~]([ -~]*[!-~])?$",
    what="printable ASCII without a space at its ends",
    max_length=256,
)


#: What a rule may ask of a token.
_SAYING: Final = frozenset({"claims", "nested", "audiences"})


def _absent_alone(value: Mapping[str, Any]) -> Complaint | None:
    if "absent" not in value or not _SAYING & value.keys():
        return None
    return Complaint(
        "says that there is no token", "leave claims, nested and audiences out, or write a rule of its own", "absent"
    )


def _path_once(value: Mapping[str, Any]) -> Complaint | None:
    seen: set[tuple[str, ...]] = set()
    for number, each in enumerate(value.get("nested", ())):
        if tuple(each["path"]) in seen:
            return Complaint("is there already", "list all values in one", at=f"nested[{number}].path")
        seen.add(tuple(each["path"]))
    return None


def _audience_once(value: Mapping[str, Any]) -> Complaint | None:
    if "audiences" not in value or "aud" not in value.get("claims", ()):
        return None
    return Complaint("says the same as audiences", "leave one of them", at="claims")


def _words(value: Mapping[str, Any]) -> Complaint | None:
    for name in SPACED:
        if any(" " in each for each in value.get("claims", {}).get(name, ())):
            return Complaint(f"compares {name}, whose words are values each, with several words", "list them", "claims")
    return None


_VALUES: Final = ListOf(description="Its values: any of these.", items=_VALUE, max_items=32, unique=True)
PATH: Final = ListOf(
    description="The names that lead to it, from the outside in: [realm_access, roles]. A dot is a dot.",
    items=CLAIM,
    max_items=DEEPEST,
    min_items=2,
)
_NESTED: Final = Obj(
    description="A claim inside others.",
    fields=(
        Field(name="path", node=PATH, required=True),
        Field(name="in", node=_VALUES, required=True),
    ),
    hints={
        "name": Complaint("is not a field", "write path, a list of names"),
        "values": Complaint("is not a field", "write in"),
    },
)

_JWT: Final = Obj(
    description="A token that must come with the request.",
    fields=(
        Field(
            name="issuer",
            node=replace(identifiers.DNS_LABEL, description="The issuer, by its name in jwtIssuers."),
            required=True,
        ),
        Field(
            name="audiences",
            node=ListOf(
                description="Of the issuer's audiences those for which the token must be, one of these.",
                items=replace(_URI, description="An audience, compared character by character."),
                max_items=16,
                unique=True,
            ),
        ),
        Field(
            name="claims",
            node=MapOf(
                description=(
                    "What the token must say: of each of these claims one of its values. A claim may be a text, a"
                    " number, true or false, or a list of such; scope and scp are lists of words. Values are texts: a 3"
                    " in quotes is the number too. An object counts as missing, and a dot in a name is a dot: write"
                    " nested for claims inside others. Where a claim is missing an Allow does not match, and a Deny"
                    " does."
                ),
                keys=CLAIM,
                values=_VALUES,
                max_items=8,
            ),
        ),
        Field(
            name="nested",
            node=ListOf(
                description=(
                    "The same of claims that are inside others, such as realm_access: {roles: […]} of Keycloak. Where"
                    " one of the names on the way is missing, or is no object, the claim is missing."
                ),
                items=_NESTED,
                max_items=8,
            ),
        ),
        Field(
            name="absent",
            node=Flag(description="The rule matches requests without a good token of the issuer."),
        ),
    ),
    rules=(Rule(test=_absent_alone), Rule(test=_audience_once), Rule(test=_words), Rule(test=_path_once)),
    hints={
        "scopes": Complaint("is not a field", "write claims: {scope: […]}"),
        "claim": Complaint("is not a field", "write claims, a map of lists"),
        "nestedClaims": Complaint("is not a field", "write nested, a list of {path: [a, b], in: [c]}"),
        "required": Complaint(
            "is not a field", "a rule with jwt asks for a token; for those without write absent: true"
        ),
    },
)

FIELDS: Final = (
    Field(
        name="jwt",
        node=replace(
            _JWT,
            description=(
                "The token of an end user that the rule asks for; as http it needs ports that speak HTTP. Where there"
                " is none, or it is not good, an Allow does not match and a Deny does. A request whose header of the"
                " token comes twice or has a comma is refused."
            ),
        ),
    ),
)


def _deny_says_what(value: Mapping[str, Any]) -> Complaint | None:
    token = value.get("jwt")
    if token is None or value.get("action") != Action.DENY.value or (_SAYING | {"absent"}) & token.keys():
        return None
    return Complaint(
        "would deny every request, with a token or without", "give claims or nested, or absent: true", at="jwt"
    )


RULES: Final = (Rule(test=_deny_says_what),)


def issuers(spec: Mapping[str, Any]) -> tuple[Issuer, ...]:
    """The issuers that a policy declares, by name."""
    return tuple(sorted(_issuer(each) for each in spec.get("jwtIssuers", ())))


def _issuer(value: Mapping[str, Any]) -> Issuer:
    return Issuer(
        name=value["name"],
        issuer=value["issuer"],
        audiences=tuple(sorted(value["audiences"])),
        jwks=jwks.canonical(value["jwks"]) if "jwks" in value else "",
        header=value["header"],
        remove="remove" in value,
        skew=value["clockSkewSeconds"],
        max_lifetime=durations.parse(value["maxLifetime"]),
        jwks_uri=value.get("jwksUri", ""),
        ca_bundle=fetched_keys.roots(value["caBundle"]) if "caBundle" in value else "",
    )


def match(rule: Mapping[str, Any], own: Mapping[str, str]) -> TokenMatch | None:
    """What a rule asks of the token, None for nothing; ``own`` are keys of the issuers that its policy declares."""
    value = rule.get("jwt")
    if value is None:
        return None
    claims = {**value.get("claims", {}), **({"aud": value["audiences"]} if "audiences" in value else {})}
    claims |= {claim_at(each["path"]): each["in"] for each in value.get("nested", ())}
    name = value["issuer"]
    sorted_claims = tuple(sorted((claim, tuple(sorted(values))) for claim, values in claims.items()))
    return TokenMatch(own.get(name, cluster_key(name)), sorted_claims, "absent" in value)


def own_keys(spec: Mapping[str, Any], namespace: str, policy: str) -> dict[str, str]:
    """By name, the keys of the issuers that a SecurityPolicy declares for itself; the platform's need no others."""
    if not namespace:
        return {}
    return {each["name"]: own_key(namespace, policy, each["name"]) for each in spec.get("jwtIssuers", ())}

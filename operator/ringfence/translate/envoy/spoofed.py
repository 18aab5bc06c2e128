"""What callers say in a spelling or a place in which programs take it for what the proxy says, or rules have judged.

CGI and WSGI know no dash in the name of a header: to their programs ``x_forwarded_client_cert`` says who calls. And
some programs read what follows a body (trailers, RFC 9110 section 6.5) as headers, which no rule has seen (ADR 0240).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from ringfence.policy.requests import spellings
from ringfence.translate.envoy import messages, names
from ringfence.translate.envoy.messages import Message

#: By which the proxy tells the program who calls.
_IDENTITY: Final = "x-forwarded-client-cert"
#: What never follows a body: what proxies say, where a request goes and ends, and who sends it.
_NEVER_BEHIND: Final = (
    *("authorization", "connection", "content-encoding", "content-length", "content-range", "content-type", "cookie"),
    *("expect", "forwarded", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
)
_NEVER_BEGINS: Final = (
    "x-forwarded-",
    "x-envoy-",
    "x-ringfence-",
    "proxy-",
    "x-original-",
    "x-rewrite-",
    "x-http-method",
    "x-method-override",
)
#: Dashes of a name up to which every spelling of it is one expression that Envoy takes.
_DASHES: Final = 8
_DASH: Final = re.compile("[-_]")

_Mutation: Final = mutation_rules_pb2.HeaderMutation
_Mutations: Final = header_mutation_pb2.Mutations


def http_filter() -> Message:
    """The filter, and what it takes out whatever the rules are."""
    twins = (_Mutation(remove=each) for each in spellings(_IDENTITY) if each != _IDENTITY)
    behind = [_gone(prefix=each) for name in _NEVER_BEGINS for each in spellings(name)]
    behind += [_gone(exact=each) for name in _NEVER_BEHIND for each in spellings(name)]
    made = _Mutations(request_mutations=twins, request_trailers_mutations=behind)
    config = header_mutation_pb2.HeaderMutation(mutations=made)
    return messages.extension(hcm_pb2.HttpFilter, names.SPOOFED_FILTER, config)


def of_routes(looked_at: Iterable[str], changed: Iterable[str]) -> dict[str, Message]:
    """What it takes out besides: behind bodies the headers that rules look at, and anywhere those that are changed."""
    own = set(changed)
    behind = sorted({*looked_at, *own})
    if not behind:
        return {}
    made = _Mutations(
        request_mutations=[each for name in sorted(own) for each in _alike(name)],
        request_trailers_mutations=[each for name in behind for each in _alike(name)],
    )
    return {names.SPOOFED_FILTER: messages.packed(header_mutation_pb2.HeaderMutationPerRoute(mutations=made))}


def _alike(name: str) -> Iterator[Message]:
    """Takes out a header in every spelling; of a name with very many dashes, those that people write."""
    words = _DASH.split(name)
    if len(words) > _DASHES + 1:
        yield from (_gone(exact=each) for each in dict.fromkeys((name, "-".join(words), "_".join(words))))
    elif len(words) > 1:
        yield _gone(safe_regex=regex_pb2.RegexMatcher(regex="[-_]".join(words)))
    else:
        yield _gone(exact=name)


def _gone(**key: object) -> Message:
    return _Mutation(remove_on_match=_Mutation.RemoveOnMatch(key_matcher=string_pb2.StringMatcher(**key)))

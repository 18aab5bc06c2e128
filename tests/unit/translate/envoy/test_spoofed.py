"""What the proxy takes out of requests, by name; what becomes of it component tests ask a real Envoy."""

import re

from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as kinds
from ringfence.translate.envoy import names, spoofed
from ringfence.translate.envoy.messages import Message


def takes(mutation: Message, name: str) -> bool:
    if mutation.WhichOneof("action") == "remove":
        return bool(mutation.remove == name)
    key = mutation.remove_on_match.key_matcher
    match key.WhichOneof("match_pattern"):
        case "exact":
            return bool(key.exact == name)
        case "prefix":
            return name.startswith(key.prefix)
    return re.fullmatch(key.safe_regex.regex, name) is not None


def behind(made: Message, name: str) -> bool:
    """Whether a trailer is taken out."""
    return any(takes(each, name) for each in made.mutations.request_trailers_mutations)


def ahead(made: Message, name: str) -> bool:
    """Whether a header is."""
    return any(takes(each, name) for each in made.mutations.request_mutations)


def test_what_never_passes_whatever_the_rules_are() -> None:
    made = kinds.HeaderMutation.FromString(spoofed.http_filter().typed_config.value)
    identity = "x-forwarded-client-cert"
    assert not ahead(made, identity)
    assert ahead(made, identity.replace("-", "_"))
    assert ahead(made, "x-forwarded_client-cert")
    for name in (identity, "x_forwarded_client_cert", "x-envoy-a", "authorization", "content_length", "x_original-url"):
        assert behind(made, name), name
    for name in ("x-checksum", "content-digest", "content-md5", "grpc-status", "x-forward", "hostess"):
        assert not behind(made, name), name


def test_what_rules_look_at_and_policies_change() -> None:
    found = spoofed.of_routes(["x-env", "authorization"], ["x-tier-of"])
    made = kinds.HeaderMutationPerRoute()
    found[names.SPOOFED_FILTER].Unpack(made)
    assert [name for name in ("x-env", "x_env", "x-tier-of", "x_tier-of", "x-tier") if behind(made, name)] == [
        "x-env",
        "x_env",
        "x-tier-of",
        "x_tier-of",
    ]
    assert ahead(made, "x-tier_of")
    assert not ahead(made, "x-env")
    assert spoofed.of_routes([], []) == {}


def test_a_name_of_very_many_dashes_goes_as_people_write_it() -> None:
    name = "-".join("abcdefghijklm")
    made = kinds.HeaderMutationPerRoute()
    spoofed.of_routes([name], [])[names.SPOOFED_FILTER].Unpack(made)
    assert behind(made, name)
    assert behind(made, name.replace("-", "_"))

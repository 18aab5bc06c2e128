"""Callers as Envoy tells them: by the exact identity in their certificate, or by the address they come from."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from envoy.config.core.v3 import address_pb2, extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.rbac.principals.mtls_authenticated.v3 import mtls_authenticated_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2
from envoy.type.matcher.v3 import string_pb2

from ringfence.model.spans import Spans
from ringfence.model.spiffe import SpiffeId
from ringfence.policy.callers import Account, Identities
from ringfence.translate.envoy import messages
from ringfence.translate.envoy.messages import Message

_MTLS: Final = "envoy.rbac.principals.mtls_authenticated"


def of_identities(found: Identities, trust_domain: str) -> list[Message]:
    """Principals that together are these callers in mutual TLS."""
    if found.everyone:
        return [rbac_pb2.Principal(any=True)]
    authenticated = (mtls_authenticated_pb2.Config(san_matcher=san) for san in _sans(found, trust_domain))
    named = [
        rbac_pb2.Principal(custom=extension_pb2.TypedExtensionConfig(name=_MTLS, typed_config=messages.packed(each)))
        for each in authenticated
    ]
    return [*named, *of_addresses(found.addresses)]


def of_addresses(spans: Spans) -> list[Message]:
    """Principals that together are whoever comes from these addresses."""
    return [rbac_pb2.Principal(direct_remote_ip=cidr(network)) for network in spans.networks()]


def cidr(network: str) -> Message:
    """A CidrRange."""
    parsed = ipaddress.ip_network(network)
    return address_pb2.CidrRange(
        address_prefix=str(parsed.network_address), prefix_len=messages.number(parsed.prefixlen)
    )


def exact(accounts: Iterable[Account], trust_domain: str) -> list[Message]:
    """Matchers for the URI of exactly these identities, sorted."""
    return [_san(string_pb2.StringMatcher(exact=uri)) for uri in sorted(_uris(accounts, trust_domain))]


def any_of(trust_domain: str) -> Message:
    """A matcher for the URI of any identity of the trust domain."""
    return _san(string_pb2.StringMatcher(prefix=f"spiffe://{trust_domain}/"))


def sans(found: Identities, trust_domain: str) -> list[Message]:
    """Matchers that together are the identities, addresses aside."""
    return list(_sans(found, trust_domain))


def _sans(found: Identities, trust_domain: str) -> Iterator[Message]:
    # A prefix that ends before the account's name stands for the namespace: names have no slash.
    for namespace in sorted(found.namespaces):
        yield _san(string_pb2.StringMatcher(prefix=f"spiffe://{trust_domain}/ns/{namespace}/sa/"))
    yield from exact((a for a in found.accounts if a[0] not in found.namespaces), trust_domain)


def _uris(accounts: Iterable[Account], trust_domain: str) -> Iterator[str]:
    for namespace, name in accounts:
        try:
            yield str(SpiffeId.of_service_account(trust_domain, namespace, name))
        except ValueError:
            continue  # what cannot be an identity is nobody's


def _san(matcher: Message) -> Message:
    return common_pb2.SubjectAltNameMatcher(san_type=common_pb2.SubjectAltNameMatcher.URI, matcher=matcher)

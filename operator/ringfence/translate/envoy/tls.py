"""Mutual TLS between proxies: 1.3 and nothing else, no resumption, exact identities, secrets from the same stream."""

from collections.abc import Iterable
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2

from ringfence.model import proxy
from ringfence.translate.envoy import messages
from ringfence.translate.envoy.messages import Message

_TLS: Final = "envoy.transport_sockets.tls"
#: The roots that everybody trusts, as Debian and images without a distribution have them; Envoy's own image does.
SYSTEM_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
_RAW: Final = "envoy.transport_sockets.raw_buffer"
#: Key exchange, best first: hybrid with ML-KEM (draft-ietf-tls-ecdhe-mlkem), then what SP 800-52r2 asks for.
_GROUPS: Final = ("X25519MLKEM768", "X25519", "P-256")


def downstream(sans: Iterable[Message]) -> Message:
    """The socket of a port that takes mesh TLS from callers whose certificate has one of these URIs.

    The caller's offer (ALPN) leads it here, and is not answered: where a protocol has been agreed on, Envoy does not
    look at the bytes, and would take HTTP/2 for HTTP/1.
    """
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=_common(sans, offer=False),
        require_client_certificate=messages.true(),
        # A resumed session would let an expired certificate in.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return messages.extension(base_pb2.TransportSocket, _TLS, context)


def upstream(sans: Iterable[Message]) -> Message:
    """The socket of connections to proxies whose certificate has one of these URIs."""
    context = tls_pb2.UpstreamTlsContext(
        common_tls_context=_common(sans, offer=True), max_session_keys=messages.number(0)
    )
    return messages.extension(base_pb2.TransportSocket, _TLS, context)


def unverified() -> Message:
    """The socket of HTTPS probes: the kubelet does not look at the program's certificate either."""
    return messages.extension(base_pb2.TransportSocket, _TLS, tls_pb2.UpstreamTlsContext())


def to_host(host: str, roots: str) -> Message:
    """The socket of connections to a host outside, whose certificate must be for its name; ``roots`` (PEM) sign it, or
    for "" those that the proxy's image holds."""
    trusted = base_pb2.DataSource(inline_string=roots) if roots else base_pb2.DataSource(filename=SYSTEM_ROOTS)
    name = common_pb2.SubjectAltNameMatcher(
        san_type=common_pb2.SubjectAltNameMatcher.DNS, matcher=string_pb2.StringMatcher(exact=host)
    )
    version = common_pb2.TlsParameters
    context = tls_pb2.UpstreamTlsContext(
        sni=host,
        max_session_keys=messages.number(0),
        common_tls_context=tls_pb2.CommonTlsContext(
            tls_params=version(
                tls_minimum_protocol_version=version.TLSv1_2, tls_maximum_protocol_version=version.TLSv1_3
            ),
            alpn_protocols=["http/1.1"],
            validation_context=common_pb2.CertificateValidationContext(
                trusted_ca=trusted, match_typed_subject_alt_names=[name]
            ),
        ),
    )
    return messages.extension(base_pb2.TransportSocket, _TLS, context)


def plaintext() -> Message:
    """The socket that carries bytes as they are."""
    return messages.extension(base_pb2.TransportSocket, _RAW, raw_buffer_pb2.RawBuffer())


def _common(sans: Iterable[Message], *, offer: bool) -> Message:
    matchers = list(sans)
    if not matchers:
        raise ValueError("no identities to expect: without them any certificate of the mesh would do")
    version = common_pb2.TlsParameters
    combined = tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(match_typed_subject_alt_names=matchers),
        validation_context_sds_secret_config=_secret(proxy.SDS_BUNDLE),
    )
    return tls_pb2.CommonTlsContext(
        tls_params=version(
            tls_minimum_protocol_version=version.TLSv1_3,
            tls_maximum_protocol_version=version.TLSv1_3,
            ecdh_curves=_GROUPS,
        ),
        alpn_protocols=[proxy.ALPN] if offer else [],
        tls_certificate_sds_secret_configs=[_secret(proxy.SDS_IDENTITY)],
        combined_validation_context=combined,
    )


def _secret(name: str) -> Message:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=messages.ads())

"""A class's configuration as one bootstrap that Envoy can judge alone: nothing in it comes over a stream.

The certificate is a placeholder that stands for no one: its private key is the number one, known to everybody.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, extension_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2, tls_spiffe_validator_config_pb2
from google.protobuf import json_format

from ringfence.model import proxy
from ringfence.model.proxy import ProxyConfig, Resource
from ringfence.model.spiffe import SpiffeId
from ringfence.translate.envoy import messages
from ringfence.translate.envoy.messages import Message

_SPIFFE: Final = "envoy.tls.cert_validator.spiffe"
_EPOCH: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def bootstrap(config: ProxyConfig, secrets: Iterable[Message], admin: str = proxy.ADMIN_SOCKET, **rest: Any) -> Message:
    """All resources and ``secrets`` in one bootstrap; ``admin`` is the path of the admin interface's socket."""
    # Beside it stand the other sockets of the proxy's own, wherever the configuration is tried.
    sockets = admin.rpartition("/")[0]
    routes = {each.name: messages.unpacked(each, route_pb2.RouteConfiguration) for each in config.routes}
    endpoints = {each.name: messages.unpacked(each, endpoint_pb2.ClusterLoadAssignment) for each in config.endpoints}
    static = bootstrap_pb2.Bootstrap.StaticResources(
        clusters=[_admin(admin), *(_cluster(each, endpoints, sockets) for each in config.clusters)],
        listeners=[_listener(each, routes, sockets) for each in config.listeners],
        secrets=list(secrets),
    )
    pipe = address_pb2.Address(pipe=address_pb2.Pipe(path=admin, mode=0o600))
    return bootstrap_pb2.Bootstrap(static_resources=static, admin=bootstrap_pb2.Admin(address=pipe), **rest)


def as_data(message: Message) -> dict[str, Any]:
    """The message as Envoy's own JSON."""
    found: dict[str, Any] = json.loads(
        json_format.MessageToJson(message, preserving_proto_field_name=True, sort_keys=True)
    )
    return found


def _admin(path: str) -> Message:
    pipe = address_pb2.Address(pipe=address_pb2.Pipe(path=path))
    endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=pipe))
    places = [endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[endpoint])]
    return cluster_pb2.Cluster(
        name=proxy.ADMIN_CLUSTER,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=messages.seconds(1),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(cluster_name=proxy.ADMIN_CLUSTER, endpoints=places),
    )


def _moved(address: Message, sockets: str) -> None:
    if address.HasField("pipe") and address.pipe.path.startswith(f"{proxy.RUN_MOUNT}/"):
        address.pipe.path = f"{sockets}/{address.pipe.path.rpartition('/')[2]}"


def _cluster(found: Resource, endpoints: Mapping[str, Message], sockets: str) -> Message:
    cluster = messages.unpacked(found, cluster_pb2.Cluster)
    for place in cluster.load_assignment.endpoints:
        for each in place.lb_endpoints:
            _moved(each.endpoint.address, sockets)
    if cluster.HasField("eds_cluster_config"):
        cluster.ClearField("eds_cluster_config")
        cluster.type = cluster_pb2.Cluster.STATIC
        cluster.load_assignment.CopyFrom(endpoints[cluster.name])
    for socket in (cluster.transport_socket, *(each.transport_socket for each in cluster.transport_socket_matches)):
        _secrets_inside(socket)
    return cluster


def _listener(found: Resource, routes: Mapping[str, Message], sockets: str) -> Message:
    listener = messages.unpacked(found, listener_pb2.Listener)
    _moved(listener.address, sockets)
    for chain in listener.filter_chains:
        _secrets_inside(chain.transport_socket)
        for filter_ in chain.filters:
            if filter_.typed_config.Is(hcm_pb2.HttpConnectionManager.DESCRIPTOR):
                manager = hcm_pb2.HttpConnectionManager.FromString(filter_.typed_config.value)
                if manager.HasField("rds"):
                    manager.route_config.CopyFrom(routes[manager.rds.route_config_name])
                filter_.typed_config.CopyFrom(messages.packed(manager))
    return listener


def _secrets_inside(socket: Message) -> None:
    """Secrets by name alone: those of the bootstrap."""
    for kind in (tls_pb2.DownstreamTlsContext, tls_pb2.UpstreamTlsContext):
        if socket.typed_config.Is(kind.DESCRIPTOR):
            context = kind.FromString(socket.typed_config.value)
            common = context.common_tls_context
            for each in common.tls_certificate_sds_secret_configs:
                each.ClearField("sds_config")
            if common.HasField("combined_validation_context"):
                common.combined_validation_context.validation_context_sds_secret_config.ClearField("sds_config")
            socket.typed_config.CopyFrom(messages.packed(context))


def identity_secret(chain: str, key: str) -> Message:
    """The secret of a certificate with its key, both in PEM."""
    certificate = common_pb2.TlsCertificate(
        certificate_chain=base_pb2.DataSource(inline_string=chain), private_key=base_pb2.DataSource(inline_string=key)
    )
    return secret_pb2.Secret(name=proxy.SDS_IDENTITY, tls_certificate=certificate)


def bundle_secret(trust_domain: str, roots: str) -> Message:
    """The secret of the roots (PEM) of a trust domain, in the form that lets no other domain's root speak for it."""
    domain = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig.TrustDomain(
        name=trust_domain, trust_bundle=base_pb2.DataSource(inline_string=roots)
    )
    validator = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig(trust_domains=[domain])
    context = common_pb2.CertificateValidationContext(
        custom_validator_config=messages.extension(extension_pb2.TypedExtensionConfig, _SPIFFE, validator)
    )
    return secret_pb2.Secret(name=proxy.SDS_BUNDLE, validation_context=context)


@lru_cache(maxsize=256)
def placeholders(trust_domain: str, namespace: str, account: str) -> tuple[Message, ...]:
    """Secrets that stand for nobody, the same for the same identity."""
    key = ec.derive_private_key(1, ec.SECP256R1())
    uri = str(SpiffeId.of_service_account(trust_domain, namespace, account))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "placeholder")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_EPOCH)
        .not_valid_after(_EPOCH + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return identity_secret(pem, private.decode()), bundle_secret(trust_domain, pem)

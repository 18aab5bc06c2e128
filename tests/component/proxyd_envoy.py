"""Real Envoys for tests of proxyd: bootstrapped as injection would, and the least configuration that they take."""

import asyncio
import contextlib
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Self

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2, tls_spiffe_validator_config_pb2
from google.protobuf import any_pb2, json_format
from ringfence.model import proxy
from ringfence.model.mesh import Mesh
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig, Resource

from tests.component.proxyd_rig import HOST, Server
from tests.unit.proxyd import xds

#: What the JSON below names is known to protobuf once its module is there.
_KNOWN = (router_pb2, http_connection_manager_pb2, tls_pb2)


class Envoy:
    """A real one, bootstrapped as injection would do it."""

    def __init__(self, binary: Path, directory: Path, address: dict[str, Any], name: str, prefix: list[str]) -> None:
        self.directory = directory
        self.relay: asyncio.Server | None = None
        self.admin = directory / "admin.sock"
        (directory / "sds-token.json").write_text(json.dumps(_sds("token", _generic(directory / "token"))))
        (directory / "sds-ca.json").write_text(json.dumps(_sds("ca", _trust(directory))))
        bootstrap = _bootstrap(directory, address, self.admin)
        (directory / "bootstrap.json").write_text(json.dumps(bootstrap))
        run = [
            *prefix,
            str(binary),
            "-c",
            str(directory / "bootstrap.json"),
            "--disable-hot-restart",
            "--concurrency",
            "1",
        ]
        self._log = (directory / "envoy.log").open("wb")
        self._process = subprocess.Popen(
            [*run, "--service-node", name, "--service-cluster", "test", "--log-level", "info"],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @classmethod
    def start(cls, binary: Path, server: Server, token: str, name: str) -> Self:
        """Run one for this token."""
        directory = Path(tempfile.mkdtemp(prefix="envoy-"))
        (directory / "token").write_text(token)
        (directory / "ca.crt").write_bytes(server.plane.ca.certificate)
        return cls(binary, directory, _address(server.port), name, [])

    @classmethod
    async def alone(cls, binary: Path, server: Server, token: str, name: str) -> Self:
        """Run one in a network of its own, as in a pod: its ports are nobody else's. Needs root."""
        directory = Path(tempfile.mkdtemp(prefix="envoy-"))
        (directory / "token").write_text(token)
        (directory / "ca.crt").write_bytes(server.plane.ca.certificate)
        path = directory / "proxyd.sock"
        relay = await asyncio.start_unix_server(lambda *ends: _relay(server.port, *ends), path)
        own = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$0" "$@"']
        made = cls(binary, directory, {"pipe": {"path": str(path)}}, name, own)
        made.relay = relay
        return made

    async def get(self, path: str) -> str:
        """What the admin interface says."""
        reader, writer = await asyncio.open_unix_connection(str(self.admin))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = await reader.read()
        writer.close()
        return data.partition(b"\r\n\r\n")[2].decode()

    async def ready(self, within: float = 30.0) -> None:
        """Return once it says LIVE."""
        await self.says("/ready", "LIVE", within)

    async def says(self, path: str, text: str, within: float = 20.0) -> str:
        """What the admin interface says as soon as it holds the text."""
        deadline, said = time.monotonic() + within, ""
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                said = await self.get(path)
                if text in said:
                    return said
            await asyncio.sleep(0.02)
        raise AssertionError(f"{path} does not say {text!r} but {said[-2000:]}\n{self.log()[-3000:]}")

    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "envoy.log").read_text(errors="replace")

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        if self.relay is not None:
            self.relay.close()


_T = "type.googleapis.com/envoy"


def _sds(name: str, rest: dict[str, Any]) -> dict[str, Any]:
    kind = f"{_T}.extensions.transport_sockets.tls.v3.Secret"
    return {"resources": [{"@type": kind, "name": name, **rest}]}


def _generic(path: Path) -> dict[str, Any]:
    return {"generic_secret": {"secret": {"filename": str(path)}}}


def _trust(directory: Path) -> dict[str, Any]:
    watched = {"path": str(directory)}
    return {"validation_context": {"trusted_ca": {"filename": str(directory / "ca.crt")}, "watched_directory": watched}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


async def _relay(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes between a connection and a port of this machine."""
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    await asyncio.gather(carry(reader, there_writer), carry(there_reader, writer))


def _bootstrap(directory: Path, address: dict[str, Any], admin: Path) -> dict[str, Any]:
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 384}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": "ads",
                            "retry_policy": {"retry_back_off": {"base_interval": "0.2s", "max_interval": "2s"}},
                        }
                    }
                ],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [_ads_cluster(directory, address)]},
    }


def _ads_cluster(directory: Path, address: dict[str, Any]) -> dict[str, Any]:
    def file(name: str) -> dict[str, Any]:
        source = {"path": str(directory / name), "watched_directory": {"path": str(directory)}}
        return {"resource_api_version": "V3", "path_config_source": source}

    http = f"{_T}.extensions.filters.http"
    injector = {
        "@type": f"{http}.credential_injector.v3.CredentialInjector",
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.generic",
            "typed_config": {
                "@type": f"{_T}.extensions.http.injected_credentials.generic.v3.Generic",
                "credential": {"name": "token", "sds_config": file("sds-token.json")},
                "header": "authorization",
                "header_value_prefix": "Bearer ",
            },
        },
    }
    codec = {"@type": f"{http}.upstream_codec.v3.UpstreamCodec"}
    options = f"{_T}.extensions.upstreams.http.v3.HttpProtocolOptions"
    keepalive = {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
    tls13 = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    names = {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": HOST}}]}
    return {
        "name": "ads",
        "connect_timeout": "1s",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            options.partition("/")[2]: {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": keepalive},
                "http_filters": [
                    {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
                    {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
                ],
            }
        },
        "transport_socket": {
            "name": "tls",
            "typed_config": {
                "@type": f"{_T}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": HOST,
                "common_tls_context": {
                    "tls_params": tls13,
                    "alpn_protocols": ["h2"],
                    "combined_validation_context": {
                        "default_validation_context": names,
                        "validation_context_sds_secret_config": {"name": "ca", "sds_config": file("sds-ca.json")},
                    },
                },
            },
        },
        "load_assignment": {
            "cluster_name": "ads",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


class Direct:
    """A compiler of what a real Envoy takes: mutual TLS on a port, whose route answers by itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.body = "hello"
        self.bad = False
        #: The route becomes one that no Envoy takes: the same domain twice.
        self.bad_route = False
        self.cluster_timeout = 1
        self.owners: tuple[str, ...] = ()

    def subject(self, pod: Object, mesh: Mesh) -> Hashable:
        """All are alike."""
        del mesh
        return pod["metadata"]["namespace"]

    def footing(self, subject: Hashable, mesh: Mesh) -> object:
        """As the port says: it cannot tell, so all is computed."""
        del subject, mesh
        return None

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """One of each, and a listener that no Envoy takes when ``bad``."""
        del subject, mesh
        listeners = [_listener(self.port)]
        if self.bad:
            listeners.append(listener_pb2.Listener(name="bad"))
        parts = [[_cluster(self.cluster_timeout)], [_endpoints()], listeners, [_route(self.body, twice=self.bad_route)]]
        made = [tuple(_resource(each) for each in part) for part in parts]
        revision = hashlib.sha256(repr([[each.version for each in part] for part in made]).encode()).hexdigest()[:16]
        return ProxyConfig(made[0], made[1], made[2], made[3], self.owners, revision)


def _resource(message: Any) -> Resource:
    body = any_pb2.Any()
    body.Pack(message, deterministic=True)
    data = body.SerializeToString(deterministic=True)
    name = message.name if hasattr(message, "name") else message.cluster_name
    return Resource(name, hashlib.sha256(data).hexdigest()[:16], data)


_ADS = {"ads": {}, "resource_api_version": "V3"}


def _cluster(timeout: int) -> Any:
    document = {
        "name": "backend",
        "type": "EDS",
        "connect_timeout": f"{timeout}s",
        "eds_cluster_config": {"eds_config": _ADS},
        "transport_socket": _tls("UpstreamTlsContext", {}),
    }
    return json_format.ParseDict(document, cluster_pb2.Cluster())


def _endpoints() -> Any:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 9}}
    document = {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    return json_format.ParseDict(document, endpoint_pb2.ClusterLoadAssignment())


def _route(body: str, *, twice: bool = False) -> Any:
    answer = {"status": 200, "body": {"inline_string": body}}
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": answer}]}
    hosts = [host, {**host, "name": "again"}] if twice else [host]
    return json_format.ParseDict({"name": "route", "virtual_hosts": hosts}, route_pb2.RouteConfiguration())


def _listener(port: int) -> Any:
    kind = f"{_T}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {"@type": f"{_T}.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": kind,
        "stat_prefix": "in",
        "rds": {"config_source": _ADS, "route_config_name": "route"},
        "http_filters": [{"name": "router", "typed_config": router}],
    }
    chain = {
        "transport_socket": _tls("DownstreamTlsContext", {"require_client_certificate": True}),
        "filters": [{"name": "hcm", "typed_config": manager}],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    document = {"name": "inbound", "address": address, "filter_chains": [chain]}
    return json_format.ParseDict(document, listener_pb2.Listener())


def _tls(kind: str, more: dict[str, Any]) -> dict[str, Any]:
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [{"name": proxy.SDS_IDENTITY, "sds_config": _ADS}],
        "validation_context_sds_secret_config": {"name": proxy.SDS_BUNDLE, "sds_config": _ADS},
    }
    config = {"@type": f"{_T}.extensions.transport_sockets.tls.v3.{kind}", "common_tls_context": common, **more}
    return {"name": "tls", "typed_config": config}


def handed(response: xds.Response) -> tuple[bytes, bytes, dict[str, bytes]]:
    """Of secrets as they are sent: certificates and key of the identity, and roots by trust domain, all in PEM."""
    identity, bundle = secret_pb2.Secret(), secret_pb2.Secret()
    assert response.bodies[proxy.SDS_IDENTITY].Unpack(identity)
    assert response.bodies[proxy.SDS_BUNDLE].Unpack(bundle)
    validator = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig()
    assert bundle.validation_context.custom_validator_config.typed_config.Unpack(validator)
    certificate = identity.tls_certificate
    roots = {each.name: each.trust_bundle.inline_bytes for each in validator.trust_domains}
    return certificate.certificate_chain.inline_bytes, certificate.private_key.inline_bytes, roots

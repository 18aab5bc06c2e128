"""proxyd on a real API server, with real tokens, and proxies that are fakes or real Envoys."""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf import any_pb2, json_format
from ringfence.kube import client, errors, resources
from ringfence.model import proxy
from ringfence.model.mesh import Mesh
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig, Resource
from ringfence.model.world import Installation
from ringfence.pki import serving, slots, store
from ringfence.pki.root import make_root
from ringfence.proxyd import main, server, wire
from ringfence.proxyd.assembly import Compiler, Parts
from ringfence.proxyd.wire import Kind
from ringfence.settings import Settings

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.unit.proxyd import xds

# After ringfence.proxyd, which tells gRPC how to speak TLS.
# isort: split
import grpc
import grpc.aio

OWN = "ringfence-system"
NODE = "node-1"
HOST = f"{proxy.PROXYD_SERVICE}.{OWN}.svc"
SETTINGS = Settings(installation=Installation(namespace=OWN), http_host="127.0.0.1", http_port=0, pod_name="proxyd-a")

#: What the JSON below names is known to protobuf once its module is there.
_KNOWN = (router_pb2, http_connection_manager_pb2, tls_pb2)


class Plane:
    """A cluster with a CA and a serving certificate, but nothing else of Ringfence's."""

    def __init__(self, api: client.Client, control_plane: ControlPlane) -> None:
        self.api = api
        self.control_plane = control_plane
        self.ca = serving.make_ca(time.time(), secrets.randbits(158) + 1)
        self.state = slots.first(
            SETTINGS.installation.trust_domain,
            make_root(SETTINGS.installation.trust_domain, time.time(), secrets.randbits(126) | 1 << 126),
            time.time(),
        )

    async def prepare(self, *, secrets_too: bool = True) -> None:
        """Make what proxyd reads in its own namespace; ``secrets_too`` False leaves those to a controller."""
        await cluster.apply(self.api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}})
        with contextlib.suppress(errors.AlreadyExists):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
            await self.api.request("POST", "/api/v1/nodes", body=node)
        if secrets_too:
            await self.serve_as(serving.names(OWN, proxy.PROXYD_SERVICE))
            await self.write_ca()

    def trust(self, secret: dict[str, Any]) -> None:
        """Let proxies know proxyd by the CA in this Secret."""
        certificate, key = (base64.b64decode(secret["data"][name]) for name in ("tls.crt", "tls.key"))
        self.ca = serving.Pair(certificate, key)

    async def serve_as(self, names: tuple[str, ...]) -> None:
        """Give proxyd a new serving certificate."""
        leaf = serving.issue(self.ca, names, time.time(), secrets.randbits(158) + 1)
        data = {"tls.crt": leaf.certificate, "tls.key": leaf.key}
        await self._secret("ringfence-proxyd-tls", "kubernetes.io/tls", data)

    async def write_ca(self) -> None:
        """Store the state of the identities' CA and its public half."""
        await cluster.apply(
            self.api,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": store.SECRET_NAME, "namespace": OWN},
                "type": store.SECRET_TYPE,
                "data": store.encode(self.state),
            },
        )
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": store.MARKER_NAME, "namespace": OWN}}
        await cluster.apply(self.api, {**marker, "data": store.marker(self.state)})

    async def enrol(self, namespace: str, *accounts: str) -> None:
        """A namespace in audit, with these ServiceAccounts."""
        await cluster.apply(self.api, cluster.namespace(namespace, "audit"))
        for each in accounts:
            metadata = {"name": each, "namespace": namespace}
            await cluster.apply(self.api, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    async def pod(
        self,
        namespace: str,
        name: str,
        account: str,
        *,
        inject: bool = True,
        ports: list[dict[str, Any]] | None = None,
        address: str = "",
    ) -> dict[str, Any]:
        """A pod on a node, with the proxy in it, running where an address is given."""
        pod = cluster.pod(namespace, name, account)
        pod["spec"]["nodeName"] = NODE
        pod["spec"]["containers"][0]["ports"] = ports or []
        if inject:
            pod["spec"]["initContainers"] = [
                {"name": proxy.CONTAINER, "image": "localhost/proxy:1", "restartPolicy": "Always"}
            ]
        made = await cluster.apply(self.api, pod)
        if address:
            path = resources.PODS.path(namespace, name, "status")
            status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
            made = await self.api.request("PATCH", path, body={"status": status}, content_type=client.MERGE)
        return made

    async def token(
        self,
        pod: dict[str, Any],
        *,
        audience: str = proxy.AUDIENCE,
        seconds: int = proxy.TOKEN_SECONDS,
        bound: bool = True,
    ) -> str:
        """What the kubelet would put into the pod."""
        metadata = pod["metadata"]
        spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": seconds}
        if bound:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
            spec["boundObjectRef"] = reference
        path = resources.SERVICE_ACCOUNTS.path(metadata["namespace"], pod["spec"]["serviceAccountName"], "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str((await self.api.request("POST", path, body=body))["status"]["token"])

    @contextlib.asynccontextmanager
    async def proxyd(
        self,
        compiler: Compiler | None = None,
        *,
        limits: server.Limits = server.USUAL,
        settings: Settings = SETTINGS,
        port: int = 0,
        kubeconfig: Path | None = None,
    ) -> AsyncIterator["Server"]:
        """The process' parts in this one, serving."""
        options = main.Options(f"127.0.0.1:{port}", kubeconfig or self.control_plane.kubeconfig, grace=0.2)
        async with main.serving(settings, options, compiler=compiler or Tiny(), limits=limits) as (parts, bound):
            yield Server(parts, bound, self)

    async def _secret(self, name: str, type_: str, data: dict[str, bytes]) -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        metadata = {"name": name, "namespace": OWN}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": encoded}
        await cluster.apply(self.api, secret)


def running(control_plane: ControlPlane, test: Callable[[Plane], Awaitable[None]], *, secrets_too: bool = True) -> None:
    """Run a test with a prepared cluster."""

    async def main_() -> None:
        api = await client.Client.connect(control_plane.kubeconfig, component="test")
        try:
            plane = Plane(api, control_plane)
            await plane.prepare()
            await test(plane)
        finally:
            await api.close()

    asyncio.run(main_())


def named(pod: dict[str, Any]) -> str:
    """What the proxy of a pod calls itself."""
    metadata = pod["metadata"]
    return proxy.node_id(metadata["namespace"], metadata["name"], metadata["uid"])


class Tiny:
    """A compiler that knows one listener and one route; ``version`` is what a test changes."""

    def __init__(self) -> None:
        self.version = "1"
        self.configured = 0
        self.broken = False
        self.padding = ""

    def subject(self, pod: Object, mesh: Mesh) -> Hashable:
        """Namespace, account and the label ``tier``."""
        del mesh
        labels = pod["metadata"].get("labels") or {}
        return (pod["metadata"]["namespace"], labels.get(LABEL_IDENTITY), labels.get("tier"))

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """One of each."""
        self.configured += 1
        if self.broken:
            raise RuntimeError("this compiler is broken")
        policies = [each.meta.name for each in mesh.world.policies.get(subject[0], ())]  # type: ignore[index]
        told = [f"{each.meta.name}@{each.meta.generation}" for each in mesh.world.policies.get(subject[0], ())]  # type: ignore[index]
        made = f"{self.version}-{'-'.join(told)}-{subject}"
        one = (xds.resource("one", made, f"{made}{self.padding}"),)
        owners = tuple(f"SecurityPolicy {subject[0]}/{each}" for each in policies)  # type: ignore[index]
        return ProxyConfig(one, one, one, one, owners, made)


class Server:
    """A running proxyd and ways to it."""

    def __init__(self, parts: Parts, port: int, plane: Plane) -> None:
        self.parts = parts
        self.port = port
        self.plane = plane

    @contextlib.asynccontextmanager
    async def proxy(
        self, pod: dict[str, Any] | None, token: str | None, *, node: str | None = None
    ) -> AsyncIterator["Fake"]:
        """A stream, not yet used."""
        credentials = grpc.ssl_channel_credentials(self.plane.ca.certificate)
        options = [("grpc.ssl_target_name_override", HOST), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            call = channel.stream_stream(
                f"/{wire.SERVICE}/{wire.METHOD}",
                request_serializer=wire.Request.SerializeToString,
                response_deserializer=None,
            )
            metadata = [("authorization", f"Bearer {token}")] if token is not None else []
            stream = call(metadata=metadata)
            if node is None and pod is not None:
                node = named(pod)
            yield Fake(stream, node or "")
            stream.cancel()


class Fake:
    """A proxy that talks delta xDS."""

    def __init__(self, stream: Any, node: str) -> None:
        self.stream = stream
        self._node = node

    async def ask(self, kind: Kind, *names: str, known: dict[str, str] | None = None) -> None:
        """Ask for resources."""
        await self.stream.write(xds.ask(kind, *names, known=known, node=self._node))

    async def next(self, within: float = 5.0, *, error: str = "", acknowledge: bool = True) -> xds.Response:
        """The next response, acknowledged or refused; raises AssertionError when the stream ends instead."""
        async with asyncio.timeout(within):
            data = await self.stream.read()
        if data is grpc.aio.EOF:
            raise AssertionError(f"the stream has ended: {await self.ended()}")
        response = xds.Response(data)
        if acknowledge:
            await self.stream.write(xds.answer(response, error))
        return response

    async def start(self) -> dict[Kind, xds.Response]:
        """Ask for everything as Envoy does, and take it."""
        for kind in (Kind.CLUSTERS, Kind.LISTENERS):
            await self.ask(kind)
        await self.ask(Kind.ENDPOINTS, "one")
        await self.ask(Kind.ROUTES, "one")
        await self.ask(Kind.SECRETS, proxy.SDS_IDENTITY, proxy.SDS_BUNDLE)
        found: dict[Kind, xds.Response] = {}
        while len(found) < len(Kind):
            response = await self.next()
            found[response.kind] = response
        return found

    async def ended(self, within: float = 10.0) -> str:
        """Code and message with which the server ended the stream; what it still said is dropped."""
        async with asyncio.timeout(within):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.stream.read() is not grpc.aio.EOF:
                    pass
            code = await self.stream.code()
            return f"{code.name}: {await self.stream.details()}"


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


def with_name(name: str) -> Settings:
    """Settings of another replica."""
    return replace(SETTINGS, pod_name=name)


class Direct:
    """A compiler of what a real Envoy takes: mutual TLS on a port, whose route answers by itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.body = "hello"
        self.bad = False
        self.cluster_timeout = 1

    def subject(self, pod: Object, mesh: Mesh) -> Hashable:
        """All are alike."""
        del mesh
        return pod["metadata"]["namespace"]

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """One of each, and a listener that no Envoy takes when ``bad``."""
        del subject, mesh
        listeners = [_listener(self.port)]
        if self.bad:
            listeners.append(listener_pb2.Listener(name="bad"))
        parts = [[_cluster(self.cluster_timeout)], [_endpoints()], listeners, [_route(self.body)]]
        made = [tuple(_resource(each) for each in part) for part in parts]
        revision = hashlib.sha256(repr([[each.version for each in part] for part in made]).encode()).hexdigest()[:16]
        return ProxyConfig(made[0], made[1], made[2], made[3], (), revision)


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


def _route(body: str) -> Any:
    answer = {"status": 200, "body": {"inline_string": body}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": answer}]}]
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

"""proxyd on a real API server, with real tokens, and proxies that are fakes or real Envoys."""

import asyncio
import base64
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

from ringfence.kube import client, errors, resources
from ringfence.model import proxy
from ringfence.model.mesh import Mesh
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.model.world import Installation
from ringfence.pki import serving, slots, store
from ringfence.pki.root import make_root
from ringfence.proxyd import main, server, wire
from ringfence.proxyd.assembly import Compiler, Parts
from ringfence.proxyd.wire import Kind
from ringfence.settings import Settings

from e2e.cluster import kubeconfig
from e2e.cluster.certificates import Authority
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
        await self.deploy()
        if secrets_too:
            await self.serve_as(serving.names(OWN, proxy.PROXYD_SERVICE))
            await self.write_ca()

    async def deploy(self) -> None:
        """Make proxyd's Deployment, with which its reports go; nobody here makes pods of it."""
        labels = {"app": proxy.PROXYD_SERVICE}
        container = {"name": "proxyd", "image": "localhost/ringfence:1"}
        await cluster.apply(
            self.api,
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": proxy.PROXYD_SERVICE, "namespace": OWN},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
            },
        )

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

    async def proxied(self, namespace: str) -> tuple[dict[str, Any], str]:
        """The pod `web-1` of `web` in a namespace of its own, and its token."""
        await self.enrol(namespace, "web")
        pod = await self.pod(namespace, "web-1", "web")
        return pod, await self.token(pod)

    async def token(
        self,
        pod: dict[str, Any],
        *,
        audience: str = proxy.AUDIENCE,
        seconds: int = proxy.TOKEN_SECONDS,
    ) -> str:
        """What the kubelet would put into the pod."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"audiences": [audience], "expirationSeconds": seconds, "boundObjectRef": bound}
        path = resources.SERVICE_ACCOUNTS.path(metadata["namespace"], pod["spec"]["serviceAccountName"], "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        api = await client.Client.connect(self._kubelet, component="test")
        try:
            return str((await api.request("POST", path, body=body))["status"]["token"])
        finally:
            await api.close()

    @cached_property
    def _kubelet(self) -> Path:
        """As whom tokens are asked for: nobody else gets them where Ringfence's own policies hold."""
        authority = Authority(self.control_plane.directory / "pki", "ca")
        return kubeconfig.write(
            self.control_plane.directory / "kubelet.kubeconfig",
            server=self.control_plane.server,
            authority=authority.pair.certificate,
            user=authority.issue("kubelet", user=f"system:node:{NODE}", groups=["system:nodes", "system:masters"]),
            name="kubelet",
        )

    @contextlib.asynccontextmanager
    async def proxyd(
        self,
        compiler: Compiler | None = None,
        *,
        limits: server.Limits = server.USUAL,
        settings: Settings = SETTINGS,
        port: int = 0,
        address: str = "127.0.0.1",
        kubeconfig: Path | None = None,
    ) -> AsyncIterator["Server"]:
        """The process' parts in this one, serving."""
        options = main.Options(f"{address}:{port}", kubeconfig or self.control_plane.kubeconfig, grace=0.2)
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

    def footing(self, subject: Hashable, mesh: Mesh) -> object:
        """As the port says: it cannot tell, so all is computed."""
        del subject, mesh
        return None

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
        self,
        pod: dict[str, Any] | None,
        token: str | None,
        *,
        node: str | None = None,
        version: tuple[int, int, int] = OLDEST_ENVOY,
    ) -> AsyncIterator["Fake"]:
        """A stream, not yet used; ``node`` and ``version`` are what the proxy says of itself."""
        credentials = grpc.ssl_channel_credentials(self.plane.ca.certificate)
        options = [
            ("grpc.ssl_target_name_override", HOST),
            ("grpc.use_local_subchannel_pool", 1),
            # Else a client that reads nothing takes in megabytes, the more the slower the machine answers.
            ("grpc.http2.bdp_probe", 0),
        ]
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            call = channel.stream_stream(
                f"/{wire.SERVICE}/{wire.METHOD}",
                request_serializer=wire.Request.SerializeToString,
                response_deserializer=None,
            )
            metadata = [("authorization", f"Bearer {token}")] if token is not None else []
            if node is None and pod is not None:
                node = named(pod)
            fake = Fake(lambda: call(metadata=metadata), node or "", version)
            yield fake
            fake.stream.cancel()


class Fake:
    """A proxy that talks delta xDS."""

    def __init__(self, opening: Callable[[], Any], node: str, version: tuple[int, int, int]) -> None:
        self._opening = opening
        self.stream = opening()
        self._told: dict[str, Any] = {"node": node, "version": version}

    async def ask(self, kind: Kind, *names: str, known: dict[str, str] | None = None) -> None:
        """Ask for resources."""
        await self.stream.write(xds.ask(kind, *names, known=known, **self._told))

    async def next(self, within: float = 20.0, *, error: str = "", acknowledge: bool = True) -> xds.Response:
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

    async def refused(self) -> str:
        """With what a stream is refused that asks for something."""
        for _ in range(20):
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await self.ask(Kind.CLUSTERS)
            said = await self.ended()
            # What gRPC's client says when the answer comes while it still writes.
            if "Internal error from Core" not in said:
                return said
            self.stream = self._opening()
        raise AssertionError(said)

    async def ended(self, within: float = 10.0) -> str:
        """Code and message with which the server ended the stream; what it still said is dropped."""
        async with asyncio.timeout(within):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.stream.read() is not grpc.aio.EOF:
                    pass
            code = await self.stream.code()
            return f"{code.name}: {await self.stream.details()}"

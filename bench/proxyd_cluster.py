"""The cluster that proxyd is measured in: an API server with everything that proxyd reads, and proxyd beside it.

A closed namespace with an identity for every fifty pods, each with a Service of those pods that five others may call.
One policy governs them all beside that; it is what changes.
"""

import asyncio
import base64
import os
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import yaml
from ringfence.kube import client, resources
from ringfence.model import proxy
from ringfence.model.names import API_VERSION, LABEL_ENROLL, LABEL_IDENTITY
from ringfence.pki import serving, slots, store
from ringfence.pki.root import make_root

from bench import rig
from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane

#: Pods of one identity; so many classes of proxies there are as identities.
PODS_OF_IDENTITY: Final = 50
CALLERS: Final = 5
NAMESPACE: Final = "bench"
NODE: Final = "node-1"
HOST: Final = f"{proxy.PROXYD_SERVICE}.{rig.OWN}.svc"
PORT: Final = 8080
_WITHIN: Final = 300.0
_PROGRAM: Final = """
import sys
from pathlib import Path
from ringfence import memory, settings
from ringfence.proxyd import main
memory.collect_seldom()
sys.exit(main.run(settings.load(Path(sys.argv[1])), main.Options(sys.argv[2], Path(sys.argv[3]))))
"""


class Bench:
    """A cluster with so many pods, and proxyd beside it."""

    def __init__(self, plane: ControlPlane, api: client.Client, place: Path, count: int) -> None:
        self._plane = plane
        self._api = api
        self._place = place
        self._ca = serving.make_ca(time.time(), secrets.randbits(158) + 1)
        self._tokens: dict[str, str] = {}
        self._uids: dict[str, str] = {}
        self._endpoints: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._ports = ports.free(2)
        self._child: subprocess.Popen[bytes] | None = None
        self.accounts = [f"svc-{number}" for number in range(max(1, count // PODS_OF_IDENTITY))]
        self.pods = [f"pod-{number}" for number in range(count)]

    @property
    def roots(self) -> bytes:
        """What proxyd's own certificate is believed by, in PEM."""
        return self._ca.certificate

    @property
    def address(self) -> str:
        """Where proxyd serves proxies."""
        return f"127.0.0.1:{self._ports[0]}"

    def token(self, pod: str) -> str:
        """The token of a pod's proxy."""
        return self._tokens[pod]

    def node_id(self, pod: str) -> str:
        """What a pod's proxy calls itself."""
        return proxy.node_id(NAMESPACE, pod, self._uids[pod])

    def owner(self, pod: str) -> str:
        """The identity of a pod."""
        return self.accounts[self.pods.index(pod) % len(self.accounts)]

    async def populate(self) -> None:
        """Everything that proxyd reads, and a token for every pod."""
        await rig.install(self._api)
        metadata = {"name": NAMESPACE, "labels": {LABEL_ENROLL: "enforce"}}
        await rig.create(self._api, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await self._api.request("POST", "/api/v1/nodes", body=node)
        await self._secrets()
        for make in (account, identity, service):
            await rig.all_of(lambda obj: rig.create(self._api, obj), [make(each) for each in self.accounts])
        await rig.all_of(self._one_pod, [pod(name, self.owner(name)) for name in self.pods])
        for name in self.accounts:
            await rig.create(self._api, endpoint_slice(name, self._endpoints[name]))
            await self.write_policy(name, 0)
        await self.write_common(0)

    async def write_policy(self, name: str, number: int) -> None:
        """The policy of one identity, which lets five others call it: another one for every ``number``."""
        place = self.accounts.index(name)
        callers = [self.accounts[(place + 1 + each) % len(self.accounts)] for each in range(CALLERS)]
        await self._write(name, {"appliesTo": {"identities": [name]}, "ingress": [_rule(number, callers)]})

    async def write_common(self, number: int) -> None:
        """The policy of every pod of the namespace, which lets one identity call: another one for every ``number``."""
        await self._write("common", {"ingress": [_rule(number, self.accounts[:1])]})

    def start(self) -> None:
        """Run proxyd."""
        file = self._place / "proxyd.yaml"
        http = {"httpHost": "127.0.0.1", "httpPort": self._ports[1]}
        file.write_text(yaml.safe_dump({**http, "logLevel": "warning", "proxy": {"enabled": True}}))
        command = [sys.executable, "-c", _PROGRAM, str(file), self.address, str(self._plane.kubeconfig)]
        environment = {**os.environ, "POD_NAMESPACE": rig.OWN, "POD_NAME": "bench"}
        environment.pop("KUBERNETES_SERVICE_HOST", None)
        self._child = subprocess.Popen(command, env=environment, stdout=sys.stderr)

    def kill(self) -> None:
        """End it without a word."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    @property
    def pid(self) -> int:
        """proxyd's."""
        if self._child is None:
            raise RuntimeError("proxyd does not run")
        return self._child.pid

    async def listening(self) -> None:
        """Return once proxyd takes connections."""
        deadline = time.monotonic() + _WITHIN
        while time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._ports[0])
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise TimeoutError("proxyd does not listen")

    async def _write(self, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": NAMESPACE}
        policy = {"apiVersion": API_VERSION, "kind": "SecurityPolicy", "metadata": metadata, "spec": spec}
        path = resources.SECURITY_POLICIES.path(NAMESPACE, name)
        query = {"fieldManager": "bench", "force": "true"}
        await self._api.request("PATCH", path, query=query, body=policy, content_type=client.APPLY)

    async def _secrets(self) -> None:
        leaf = serving.issue(self._ca, serving.names(rig.OWN, proxy.PROXYD_SERVICE), time.time(), 7)
        trust_domain = "cluster.local"
        root = make_root(trust_domain, time.time(), secrets.randbits(126) | 1 << 126)
        state = slots.first(trust_domain, root, time.time())
        encoded = {
            key: base64.b64encode(value).decode()
            for key, value in {"tls.crt": leaf.certificate, "tls.key": leaf.key}.items()
        }
        await rig.create(self._api, _secret("ringfence-proxyd-tls", "kubernetes.io/tls", encoded))
        await rig.create(self._api, _secret(store.SECRET_NAME, store.SECRET_TYPE, store.encode(state)))
        metadata = {"name": store.MARKER_NAME, "namespace": rig.OWN}
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": store.marker(state)}
        await rig.create(self._api, marker)

    async def _one_pod(self, pod: dict[str, Any]) -> None:
        await self._make_pod(pod)

    async def _make_pod(self, pod: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = await self._api.request("POST", resources.PODS.path(NAMESPACE), body=pod)
        name, uid = made["metadata"]["name"], made["metadata"]["uid"]
        number, owner = int(name.rpartition("-")[2]), made["spec"]["serviceAccountName"]
        self._uids[name] = uid
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        path = resources.PODS.path(NAMESPACE, name, "status")
        await self._api.request("PATCH", path, body={"status": status}, content_type=client.MERGE)
        target = {"kind": "Pod", "name": name, "namespace": NAMESPACE, "uid": uid}
        self._endpoints[owner].append(
            {"addresses": [address], "conditions": {"ready": True}, "nodeName": NODE, "targetRef": target}
        )
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        spec = {
            "audiences": [proxy.AUDIENCE],
            "expirationSeconds": proxy.TOKEN_SECONDS,
            "boundObjectRef": reference,
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = resources.SERVICE_ACCOUNTS.path(NAMESPACE, owner, "token")
        self._tokens[name] = (await self._api.request("POST", path, body=body))["status"]["token"]
        return made


def account(name: str) -> dict[str, Any]:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}


def identity(name: str) -> dict[str, Any]:
    """A ServiceIdentity on the ServiceAccount of its name."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": {}}


def service(name: str) -> dict[str, Any]:
    """A Service of an identity."""
    spec = {"selector": {LABEL_IDENTITY: name}, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def endpoint_slice(name: str, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """What Kubernetes says of the pods behind a Service."""
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": NAMESPACE, "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
    }


def pod(name: str, account: str) -> dict[str, Any]:
    """A Pod with the proxy in it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL_IDENTITY: account}},
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "nodeName": NODE,
            "initContainers": [{"name": proxy.CONTAINER, "image": "localhost/proxy:1", "restartPolicy": "Always"}],
            "containers": [{"name": "main", "image": "localhost/none:1", "ports": [{"containerPort": PORT}]}],
        },
    }


def _rule(number: int, callers: list[str]) -> dict[str, Any]:
    peers = [{"identity": {"namespace": NAMESPACE, "name": each}} for each in callers]
    return {"name": f"rule-{number}", "from": peers, "ports": [PORT]}


def _secret(name: str, type_: str, data: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": rig.OWN}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": data}

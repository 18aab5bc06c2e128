"""An API server that holds a few objects, for the `ca` commands: reads, conditional writes, rights that it denies."""

import json
from collections.abc import Iterable
from typing import Any

import yaml
from ringfence.kube import client, errors
from ringfence.model.ca import CaState
from ringfence.model.names import LABEL_ENROLL
from ringfence.pki import store

from tests.unit.pki.material import HOUR, NOW, TRUST_DOMAIN

SYSTEM = "ringfence-system"
SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/{store.SECRET_NAME}"
MARKER = f"/api/v1/namespaces/{SYSTEM}/configmaps/{store.MARKER_NAME}"
SETTINGS = f"/api/v1/namespaces/{SYSTEM}/configmaps/ringfence-config"
IDENTITIES = "/apis/ringfence.dev/v1alpha1/serviceidentities"
NAMESPACES = "/api/v1/namespaces"
BUNDLES = "/api/v1/configmaps"
CLUSTER_BUNDLES = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles"


class FakeCluster(client.Client):
    """``objects`` by path. ``denied`` are beginnings of paths that are Forbidden; ``writes`` remembers who wrote what.

    ``hurry`` is called once before the next write: what somebody else does at the same moment.
    """

    ahead = 0.0

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.denied: tuple[str, ...] = ()
        self.writes: list[tuple[str, str]] = []
        self.hurry: Any = None
        #: Lists that there are only on newer API servers.
        self.served: set[str] = set()
        self._version = 0

    def put(self, path: str, obj: dict[str, Any]) -> None:
        """Store an object as somebody else."""
        self._version += 1
        namespace, name = path.partition("/namespaces/")[2].partition("/")[0], path.rpartition("/")[2]
        metadata = {**(obj.get("metadata") or {}), "name": name, "resourceVersion": str(self._version)}
        if namespace and name != namespace:
            metadata["namespace"] = namespace
        self.objects[path] = {**obj, "metadata": metadata}

    def ca(self, state: CaState, *, marker: CaState | None = None, annotations: dict[str, str] | None = None) -> None:
        """A CA with its marker (that of another state if asked for)."""
        secret = {
            "type": store.SECRET_TYPE,
            "data": store.encode(state),
            "metadata": {"annotations": annotations or {}},
        }
        self.put(SECRET, secret)
        self.put(MARKER, {"data": store.marker(marker or state)})

    def installed(self, trust_domain: str = TRUST_DOMAIN, **ca: Any) -> None:
        """The settings."""
        text = yaml.safe_dump({"trustDomain": trust_domain, **({"ca": ca} if ca else {})})
        self.put(SETTINGS, {"data": {"config.yaml": text}})

    def enrolled(self, name: str, bundle: CaState | None) -> None:
        """A namespace and its trust bundle."""
        self.put(f"{NAMESPACES}/{name}", {"metadata": {"labels": {LABEL_ENROLL: "enforce"}}})
        if bundle:
            path = f"/api/v1/namespaces/{name}/configmaps/{store.MARKER_NAME}"
            self.put(path, {"data": {store.BUNDLE_KEY: bundle.bundle.decode()}})

    def cluster_bundle(self, bundle: CaState | None) -> None:
        """A kind ClusterTrustBundle, and one of it."""
        self.served.add(CLUSTER_BUNDLES)
        if bundle:
            spec = {"signerName": "ringfence.dev/identity", "trustBundle": bundle.bundle.decode()}
            self.put(f"{CLUSTER_BUNDLES}/ringfence.dev:identity:root", {"spec": spec})

    def identity(self, namespace: str, name: str, issuer: str | None, *, pods: int = 1, **condition: str) -> None:
        """A ServiceIdentity; ``issuer`` None has no certificate."""
        status: dict[str, Any] = {"workloads": {"enrolled": pods, "unenrolled": 0}}
        if issuer is not None:
            status["certificate"] = {"issuer": issuer, "notAfter": "2027-01-15T12:00:00Z", "serial": "1"}
            assert NOW + 4 * HOUR == 1_800_014_400  # what notAfter says
        if condition:
            status["conditions"] = [{"type": "Ready", **condition}]
        self.put(f"/apis/ringfence.dev/v1alpha1/namespaces/{namespace}/serviceidentities/{name}", {"status": status})

    async def request_bytes(self, method: str, path: str, **rest: Any) -> bytes:
        if any(path.startswith(each) for each in self.denied):
            raise errors.of_status(f"{method} {path}", 403, {"message": "you may not"})
        if method == "GET":
            return json.dumps(self._read(path, rest.get("query") or {})).encode()
        if self.hurry:
            hurried, self.hurry = self.hurry, None
            hurried()
        self.writes.append((method, path.rpartition("/")[2]))
        return json.dumps(self._write(method, path, rest["body"])).encode()

    def _read(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        if path in {IDENTITIES, NAMESPACES, BUNDLES, *self.served} or path.endswith("/serviceidentities"):
            return {"items": list(self._listed(path, query))}
        if path not in self.objects:
            raise errors.of_status(f"GET {path}", 404, {"message": "not found"})
        return self.objects[path]

    def _listed(self, path: str, query: dict[str, str]) -> Iterable[dict[str, Any]]:
        namespaced = path.rpartition("/")[0] + "/" if path.endswith("/serviceidentities") and path != IDENTITIES else ""
        plural = path.rpartition("/")[2]
        for place, obj in sorted(self.objects.items()):
            if place.split("/")[-2] != plural or not place.startswith(namespaced):
                continue
            if query.get("fieldSelector", "") in {"", f"metadata.name={obj['metadata']['name']}"}:
                yield obj

    def _write(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        place = f"{path}/{body['metadata']['name']}" if method == "POST" else path
        old = self.objects.get(place)
        if method == "POST" and old:
            raise errors.of_status(f"POST {path}", 409, {"message": "exists", "reason": "AlreadyExists"})
        if method != "POST":
            if old is None:
                raise errors.of_status(f"{method} {path}", 404, {"message": "not found"})
            if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
                raise errors.of_status(f"{method} {path}", 409, {"message": "has been modified", "reason": "Conflict"})
        if method == "PATCH" and old:
            annotations = {**old["metadata"].get("annotations", {}), **body["metadata"]["annotations"]}
            body = {**old, "metadata": {**old["metadata"], "annotations": annotations}}
        self.put(place, body)
        return self.objects[place]

    async def close(self) -> None:
        return None

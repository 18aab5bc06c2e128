"""The shop of examples/shop on a test cluster: the same files, with the cluster's own image in place of the other."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from e2e.cluster import paths
from e2e.demo.client import Client, Object

DIRECTORY = paths.REPOSITORY / "examples" / "shop"
PUBLISHED_IMAGE = "registry.k8s.io/e2e-test-images/agnhost"


@dataclass(frozen=True, slots=True)
class Service:
    """One program of the shop, which is a Deployment, a Service, a ServiceAccount and an identity of this name."""

    namespace: str
    name: str
    port: int

    @property
    def identity(self) -> str:
        """As the command line writes it."""
        return f"{self.namespace}/{self.name}"

    @property
    def address(self) -> str:
        """Where others find it."""
        return f"{self.name}.{self.namespace}:{self.port}"


FRONTEND = Service("shop", "frontend", 8080)
CHECKOUT = Service("shop", "checkout", 8080)
CHECKOUT_ADMIN = Service("shop", "checkout", 9090)
PAYMENTS = Service("shop-data", "payments", 8443)
LEDGER = Service("shop-data", "ledger", 5432)
INTRUDER = Service("intruder", "intruder", 8080)

MEMBERS = (FRONTEND, CHECKOUT, PAYMENTS, LEDGER)
EVERYBODY = (*MEMBERS, INTRUDER)
CLOSED = ("shop", "shop-data")
"""The enrolled namespaces."""
NAMESPACES = (*CLOSED, "intruder")


def objects(image: str) -> list[Object]:
    """Everything in examples/shop, in the order of the files, running `image`."""
    return [_with_image(each, image) for each in _read()]


def pod(service: Service, image: str, name: str) -> Object:
    """A pod as the Deployment of a service makes it, under another name, so that something can be changed in it."""
    template = next(
        each["spec"]["template"]
        for each in objects(image)
        if each["kind"] == "Deployment" and each["metadata"] == {"name": service.name, "namespace": service.namespace}
    )
    metadata = {"name": name, "namespace": service.namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template["spec"])}


def wait_ready(client: Client, within: float = 120) -> None:
    """Returns when every program of the shop answers. Raises ClusterError."""
    for each in EVERYBODY:
        target = f"deployment/{each.name}"
        client.run(
            "rollout",
            "status",
            f"--namespace={each.namespace}",
            target,
            f"--timeout={within:.0f}s",
            timeout=within + 10,
        )


def _read() -> Iterator[Object]:
    for file in sorted(DIRECTORY.glob("*.yaml")):
        yield from (each for each in yaml.safe_load_all(file.read_text()) if each)


def _with_image(value: Any, image: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_image(each, image) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_image(each, image) for each in value]
    if isinstance(value, str) and value.partition(":")[0] == PUBLISHED_IMAGE:
        return image
    return value

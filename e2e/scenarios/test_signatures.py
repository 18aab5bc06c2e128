"""Images must be signed: what is signed as a policy asks rolls out; nothing else gets a pod, and the reason is told."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ringfence.signatures.found import SimpleSigning

from e2e.cluster import backend
from e2e.cluster.command import run
from e2e.demo import client, install
from e2e.demo.client import Client, Object, until
from e2e.scenarios.conftest import Sandboxes
from e2e.scenarios.support import Sandbox
from tests.component import oci, programs

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

#: Seconds until an image's signatures are known, and the ReplicaSet has tried again.
KNOWN_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature of a digest, and the public key (PEM) of whoever made it."""

    signature: SimpleSigning
    key: str


def sign(image: str) -> Signed:
    """Signs ``name@digest`` with a key pair made for it, by the libraries that cosign uses."""
    done = subprocess.run([programs.signer(), image, "{}"], capture_output=True, text=True, check=True)
    made = json.loads(done.stdout)
    simple = SimpleSigning(base64.b64decode(made["payload"]), base64.b64decode(made["signature"]))
    return Signed(simple, made["key"])


@pytest.fixture(scope="module")
def looking(cluster: backend.Cluster, image: str, ringfence: None) -> Iterator[None]:
    """Ringfence may look into the cluster's own registry, which is inside and has no TLS."""
    named = [{"host": cluster.registry_inside, "private": True, "plainHTTP": True}]
    try:
        install.install(cluster, image, {"signatures.registries": named})
        install.wait_ready(cluster)
        yield
    finally:
        install.install(cluster, image)
        install.wait_ready(cluster)


def copied(cluster: backend.Cluster, repository: str) -> str:
    """The tests' image under another name of the registry; its digest."""
    crane = cluster.programs / "crane"
    name = f"{cluster.registry}/{repository}:dev"
    run(crane, "copy", "--insecure", install.agnhost(cluster), name)
    return run(crane, "digest", "--insecure", name).strip()


def deployment(space: Sandbox, name: str, image: str) -> list[Object]:
    """A program of that image, with all that belongs to it."""
    return Sandbox(space.admin, space.name, image).program(name)


def failures(admin: Client, space: Sandbox, name: str) -> list[str]:
    """What was said of pods of a program that could not be made. A ReplicaSet's condition has the first reason only."""
    events = admin.get("events", f"--namespace={space.name}", "--field-selector=reason=FailedCreate")["items"]
    return [each["message"] for each in events if each["involvedObject"]["name"].startswith(f"{name}-")]


def wait_failure(admin: Client, space: Sandbox, name: str, why: str) -> str:
    """The one that says why, once there is one. Raises ClusterError."""
    until(lambda: any(why in each for each in failures(admin, space, name)), f"{name}: {why}", KNOWN_WITHIN)
    return next(each for each in failures(admin, space, name) if why in each)


def test_only_what_is_signed_as_asked_rolls_out(
    cluster: backend.Cluster, admin: Client, sandbox: Sandboxes, looking: None
) -> None:
    space = sandbox("signed", enroll="enforce")
    space.wait_closed()
    registry = oci.Pushing(int(cluster.registry.rpartition(":")[2]))
    images = {}
    for name in ("good", "unsigned", "foreign"):
        digest = copied(cluster, f"signatures/{name}")
        images[name] = f"{cluster.registry_inside}/signatures/{name}@{digest}"
    by_us, by_others = sign(images["good"]), sign(images["foreign"])
    for name, made in (("good", by_us), ("foreign", by_others)):
        registry.sign(f"signatures/{name}", images[name].partition("@")[2], made.signature)
    rule = {"name": "release", "images": [f"{cluster.registry_inside}/signatures/*"], "keys": [by_us.key]}
    admin.apply([space.policy("signed", {"admission": {"images": {"signatures": [rule]}}})])
    probe = Sandbox(admin, space.name, images["unsigned"]).pod("probe", "default")
    asked = "is not signed as it must be"
    until(lambda: "signature" in admin.create(probe, "--dry-run=server").message, "the policy is in force", 20)

    for name in ("unsigned", "foreign", "good"):
        admin.apply(deployment(space, name, images[name]))
    space.wait_running("good", KNOWN_WITHIN)
    for name, why in (("unsigned", "holds no signature"), ("foreign", "not by this key")):
        told = wait_failure(admin, space, name, why)
        assert "spec.containers[0].image" in told
        assert asked in told
        assert f"SecurityPolicy {space.name}/signed" in told
        assert space.pod_names(name) == []

    # And everybody can see so.
    command = [sys.executable, "-m", "ringfence", "status", "--namespace", space.name, "--output", "json"]
    done = client.call(command, admin.environment, None, 60)
    assert done.ok, done.message
    (told_of,) = json.loads(done.out)["images"]
    assert (told_of["verified"], told_of["failed"], told_of["pending"]) == (1, 2, 0)
    assert {each["reason"] for each in told_of["failures"]} == {"NotSigned", "NotTrusted"}

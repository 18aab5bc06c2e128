"""What there is of proxyd on the cluster while programs run: its certificate and CA, and the proxies that it serves."""

import base64
import json

from ringfence.pki import serving
from ringfence.reconcile.serving import CA_SECRET, PROXYD_SECRET

from e2e.cluster.errors import ClusterError
from e2e.demo import attempts, crash, install
from e2e.demo.client import Object, until
from e2e.scenarios.steady import SPACE, Loaded


def new_streams(loaded: Loaded) -> None:
    """All proxies connect again, and so see the serving certificate that there is now."""
    pods = loaded.admin.get("pods", f"--namespace={install.NAMESPACE}", f"--selector={labels(loaded)}")["items"]
    # Of what the disturbance before has replaced some may still be on its way out, with nothing left to kill.
    here = [each for each in pods if "deletionTimestamp" not in each["metadata"]]
    assert here
    assert all(crash.kill(loaded.cluster, loaded.admin, each) for each in here)
    install.wait_proxies_ready(loaded.cluster)
    all_connected(loaded)


def labels(loaded: Loaded) -> str:
    """A selector for its pods."""
    found = loaded.admin.get("deployment", install.PROXYD, f"--namespace={install.NAMESPACE}")
    return ",".join(f"{key}={value}" for key, value in found["spec"]["selector"]["matchLabels"].items())


def secret(loaded: Loaded, name: str) -> dict[str, bytes]:
    """What is in it; nothing while it is away."""
    done = loaded.admin.attempt("get", "secret", name, f"--namespace={install.NAMESPACE}", "--output=json")
    if not done.ok:
        return {}
    return {key: base64.b64decode(value) for key, value in json.loads(done.out).get("data", {}).items()}


def is_signed(loaded: Loaded) -> bool:
    """Whether proxyd's certificate is of the root that there is now."""
    leaf, root = secret(loaded, PROXYD_SECRET), secret(loaded, CA_SECRET)
    names = serving.names(install.NAMESPACE, install.PROXYD)
    return bool(leaf) and bool(root) and serving.is_for(leaf["tls.crt"], root["tls.crt"], names)


def is_told(loaded: Loaded) -> bool:
    """Whether the pods are told to know proxyd by the root that there is now."""
    maps = loaded.admin.get("configmaps", f"--namespace={SPACE}")["items"]
    texts = [each["data"]["proxyd-ca.crt"] for each in maps if "proxyd-ca.crt" in each.get("data", {})]
    root = secret(loaded, CA_SECRET)["tls.crt"].decode().strip()
    return bool(texts) and all(root in each for each in texts)


def proxies(loaded: Loaded) -> list[Object]:
    """What `ringfence proxy list` says of each. Raises ClusterError."""
    done = attempts.ringfence(loaded.admin, "proxy", "list", f"--namespace={SPACE}", "--output=json")
    if done.code not in (0, 1):
        raise ClusterError(f"ringfence proxy list: {done.message}")
    found: list[Object] = json.loads(done.out)["proxies"]
    return found


def all_connected(loaded: Loaded, within: float = 120) -> None:
    """Each proxy is served again, and uses what it is told."""

    def connected() -> bool:
        found = proxies(loaded)
        return bool(found) and all(
            (each["state"], each["newest"], each["bundle"]) == ("connected", True, "current") for each in found
        )

    until(connected, "every proxy is connected and up to date", within, every=1)

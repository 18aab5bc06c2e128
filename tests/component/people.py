"""People who use the command against a real API server: with all rights, or with those of a ServiceAccount."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from ringfence.kube import client, errors, resources

from tests.component import cluster

ROOT = Path(__file__).parents[2]
#: A controller's rights, but for writing webhook configurations: no webhook runs beside it, and those fail closed.
CONTROLLER_RULES = [
    {
        "apiGroups": [
            "",
            "apps",
            "certificates.k8s.io",
            "coordination.k8s.io",
            "discovery.k8s.io",
            "events.k8s.io",
            "networking.k8s.io",
            "rbac.authorization.k8s.io",
            "ringfence.dev",
        ],
        "resources": ["*"],
        "verbs": ["*"],
    },
    {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
]


async def ringfence(config: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(config)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ringfence",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def service_account(api: client.Client, namespace: str, name: str) -> None:
    """Make a ServiceAccount."""
    await cluster.apply(
        api, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    )


async def bind(api: client.Client, namespace: str, name: str, rules: list[dict[str, Any]]) -> None:
    """Give a ServiceAccount these rights; doing it again changes nothing."""
    meta = {"name": f"{namespace}-{name}"}
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": meta["name"]},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    }
    for plural, obj in (("clusterroles", role), ("clusterrolebindings", binding)):
        with contextlib.suppress(errors.AlreadyExists):
            await api.request("POST", f"/apis/{group}/v1/{plural}", body=obj)

    async def known() -> bool:
        """The API server learns of rights by a watch of its own."""
        asked = {"group": rules[0]["apiGroups"][0], "resource": rules[0]["resources"][0], "verb": rules[0]["verbs"][0]}
        user = f"system:serviceaccount:{namespace}:{name}"
        spec = {"user": user, "resourceAttributes": {**asked, "namespace": namespace}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return bool((await api.request("POST", path, body=body))["status"]["allowed"])

    await cluster.eventually(known, f"{namespace}/{name} has its rights")


async def token(api: client.Client, namespace: str, name: str) -> str:
    """A token of a ServiceAccount."""
    path = resources.SERVICE_ACCOUNTS.path(namespace, name, "token")
    made: str = (await api.request("POST", path, body={"spec": {}}))["status"]["token"]
    return made


def kubeconfig(admin: Path, token: str) -> str:
    """The administrator's kubeconfig with somebody else's token."""
    config = yaml.safe_load(admin.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    text: str = yaml.safe_dump(config)
    return text

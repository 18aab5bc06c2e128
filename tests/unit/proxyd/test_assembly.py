"""What proxyd reports goes with its Deployment, whenever that goes."""

import asyncio
from typing import Any

import ringfence.proxyd  # noqa: F401 (before grpc)
from ringfence.kube import client, errors
from ringfence.proxyd.assembly import writer

REPORT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ringfence-proxyd-a", "namespace": "own"}}


class Server(client.Client):
    """Has a Deployment or not, and keeps what is written."""

    def __init__(self, uid: str = "") -> None:
        self.uid = uid
        self.written: list[dict[str, Any]] = []

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Any:
        if method == "GET":
            assert path.endswith("/deployments/ringfence-proxyd")
            if not self.uid:
                raise errors.NotFound("no Deployment")
            return {"metadata": {"uid": self.uid}}
        self.written.append(body["metadata"])
        return body


def owners(server: Server) -> list[list[str]]:
    """The owners of each report that was written."""
    return [[each["uid"] for each in metadata.get("ownerReferences", [])] for metadata in server.written]


def test_a_report_is_its_deployments_and_none_comes_after_it() -> None:
    server = Server("first")
    write = writer(server, "own")
    asyncio.run(write(REPORT))
    server.uid = ""
    asyncio.run(write(REPORT))
    assert owners(server) == [["first"]], "without its owner a report would stay for ever"
    server.uid = "second"
    asyncio.run(write(REPORT))
    assert owners(server) == [["first"], ["second"]]
    assert server.written[-1]["name"] == "ringfence-proxyd-a"

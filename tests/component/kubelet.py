"""As much of a kubelet as hands out logs: files as containerd writes them, answered as a kubelet answers.

containerd writes ``TIME stdout F line``, with the node's own offset from UTC, and cuts lines at 16 KiB (tag P, for a
part). A kubelet joins the parts again, and leads each line by its moment where it is asked to.
"""

import datetime
import json
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ringfence.kube import client, errors, resources

from e2e.cluster.certificates import Authority
from e2e.cluster.controlplane import ControlPlane

#: Bytes at which containerd cuts a line.
CUT = 16 * 1024
OFFSET = datetime.timezone(datetime.timedelta(hours=2))


def written(lines: Iterable[tuple[float, str]]) -> str:
    """Lines with their moments (epoch seconds), as containerd has them in its file."""
    found = []
    for moment, line in lines:
        stamp = datetime.datetime.fromtimestamp(moment, OFFSET)
        # RFC 3339 with nanoseconds, of which Go writes no zeros at the end.
        text = f"{stamp:%Y-%m-%dT%H:%M:%S.%f}123".rstrip("0") + "+02:00"
        parts = [line[at : at + CUT] for at in range(0, len(line), CUT)] or [""]
        found += [f"{text} stdout {'F' if part is parts[-1] else 'P'} {part}\n" for part in parts]
    return "".join(found)


def answered(file: str, *, tail: int, timestamps: bool) -> str:
    """What a kubelet makes of such a file; ``tail`` counts the file's lines."""
    found, fresh = [], True
    for record in file.splitlines()[-tail:]:
        stamp, _, tag, content = record.split(" ", 3)
        moment = datetime.datetime.fromisoformat(stamp[:26] + stamp[-6:])
        if fresh and timestamps:
            found.append(f"{moment:%Y-%m-%dT%H:%M:%S.%f}123{stamp[-6:]} ")
        fresh = tag == "F"
        found.append(content + ("\n" if fresh else ""))
    return "".join(found)


class _Handler(BaseHTTPRequestHandler):
    logs: dict[str, str]

    def do_GET(self) -> None:
        """/containerLogs/NAMESPACE/POD/CONTAINER."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        file = self.logs.get(url.path.removeprefix("/containerLogs/"))
        if file is None:
            self.send_error(404)
            return
        said = answered(file, tail=int(query.get("tailLines", 10**9)), timestamps=query.get("timestamps") == "true")
        body = said.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving(control_plane: ControlPlane, logs: dict[str, str]) -> Iterator[int]:
    """Hand out logs by NAMESPACE/POD/CONTAINER to the API server; yields the port."""
    authority = Authority(control_plane.directory / "pki", "ca")
    pair = authority.issue("kubelet", user="system:node:node-1", groups=["system:nodes"], hosts=["IP:127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"logs": logs}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


async def register(api: client.Client, node: str, port: int) -> None:
    """The Node, reached at this port of 127.0.0.1."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
    with suppress(errors.AlreadyExists):
        await api.request("POST", "/api/v1/nodes", body=body)
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await api.request("PATCH", f"/api/v1/nodes/{node}/status", body={"status": status}, content_type=client.MERGE)


async def running(api: client.Client, pod: tuple[str, str], address: str, container: str, since: float) -> None:
    """Say that a pod runs, and since when (epoch seconds) its init container does, as its kubelet would."""
    started = datetime.datetime.fromtimestamp(since, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "initContainerStatuses": [
            {
                "name": container,
                "image": "x",
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": started}},
            }
        ],
    }
    path = resources.PODS.path(*pod, "status")
    await api.request("PATCH", path, body={"status": status}, content_type=client.MERGE)


def lines(path: Path) -> list[str]:
    """All lines of a proxy's output, its own complaints too."""
    return path.read_text().splitlines()


def is_access(line: str) -> bool:
    """Whether a line is of the access log."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False

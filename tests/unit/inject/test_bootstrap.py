"""The bootstrap, as Envoy itself sees it."""

import http.client
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from ringfence.inject import bootstrap, sidecar
from ringfence.inject.injection import Injection
from ringfence.model import proxy
from ringfence.model.proxy_settings import ProxySettings

from e2e import envoy
from tests.unit.inject.making import HOW


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What the kubelet would have put into the volume."""
    from ringfence.pki import serving  # (only for a certificate that is one)

    (tmp_path / "run").mkdir()
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "ca.crt").write_bytes(serving.make_ca(time.time(), 7).certificate)
    for name, text in bootstrap.sds_files().items():
        (tmp_path / name).write_text(text.replace(proxy.MOUNT, str(tmp_path)))
    return tmp_path


def arguments(files: Path, how: Injection = HOW) -> list[str]:
    """The container's arguments as the kubelet and the volumes make them."""
    made = sidecar.container(how, 2_000_000_000)["args"]
    values = {"$(POD_NAME)": "p-1", "$(POD_NAMESPACE)": "shop", "$(POD_UID)": "7d3a"}
    for name, value in values.items():
        made = [each.replace(name, value) for each in made]
    return [each.replace(proxy.RUN_MOUNT, f"{files}/run").replace(proxy.MOUNT, str(files)) for each in made]


@pytest.mark.parametrize(
    "settings",
    [
        ProxySettings(),
        ProxySettings(limits=(), requests=()),
        ProxySettings(limits=(("memory", "0.5Gi"),), concurrency=64, drain_seconds=600, log_level="critical"),
    ],
)
def test_envoy_takes_it(files: Path, settings: ProxySettings) -> None:
    command = [str(envoy.binary()), "--mode", "validate", *arguments(files, Injection(settings, "other"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in ("deprecated", "envoy bug"):
        assert line not in done.stderr


def test_envoy_runs_by_it(files: Path) -> None:
    """It waits for proxyd without being ready, shows its admin interface on the socket alone, and ends when told."""
    process = subprocess.Popen(
        [str(envoy.binary()), *arguments(files)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    path = f"{files}/run/admin"
    try:
        end = time.monotonic() + 60
        while not Path(path).exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert ask(path, "/ready")[0] == 503
        node = json.loads(ask(path, "/config_dump?mask=bootstrap.node")[1])["configs"][0]["bootstrap"]["node"]
        assert node["id"] == "shop/p-1/7d3a"
        names = {line.partition(":")[0] for line in ask(path, "/stats")[1].decode().splitlines()}
        assert "control_plane.connected_state" in names
        assert not [name for name in names if name.startswith(("runtime.", "filesystem.", "dns."))]
        assert listening(process.pid) == []
    finally:
        process.terminate()
        assert process.wait(10) == 0


def ask(path: str, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("admin")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("GET", target)
    answer = connection.getresponse()
    return answer.status, answer.read()


def listening(pid: int) -> list[str]:
    """The TCP sockets on which a process listens."""
    own = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                found.append(fields[1])
    return found


def test_the_same_settings_make_the_same_bytes() -> None:
    assert bootstrap.text(HOW) == bootstrap.text(Injection(HOW.settings, HOW.namespace))
    assert json.loads(bootstrap.text(HOW)) == bootstrap.bootstrap(HOW)


def test_the_kubelet_finds_its_variables_and_no_others() -> None:
    text = bootstrap.text(HOW)
    assert text.count("$(") == 3
    assert {each["name"] for each in sidecar.container(HOW, 1)["env"]} == {"POD_NAME", "POD_NAMESPACE", "POD_UID"}


def test_tls_is_1_3_and_proxyd_is_checked_by_name() -> None:
    (proxyd,) = (
        each for each in bootstrap.bootstrap(HOW)["static_resources"]["clusters"] if each["name"] == "ringfence-proxyd"
    )
    context = proxyd["transport_socket"]["typed_config"]["common_tls_context"]
    assert set(context["tls_params"].values()) == {"TLSv1_3"}
    (name,) = context["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "DNS", "matcher": {"exact": "ringfence-proxyd.ringfence-system.svc"}}


def test_work_is_refused_before_the_limit_of_memory() -> None:
    manager = bootstrap.bootstrap(Injection(ProxySettings(limits=(("memory", "100Mi"),))))["overload_manager"]
    (heap,) = (each for each in manager["resource_monitors"] if each["name"].endswith("fixed_heap"))
    assert heap["typed_config"]["max_heap_size_bytes"] == 85 * 1024 * 1024
    without = bootstrap.bootstrap(Injection(ProxySettings(limits=())))["overload_manager"]
    assert "actions" not in without

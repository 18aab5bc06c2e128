"""Steady load through proxies while parts of Ringfence, and the programs themselves, go away and come back.

Nothing that the policy allows may fail, and nothing that it denies may pass. Connections that end because they are old,
and those of TCP that a tightened policy ends, are counted apart. The long forms run in `make soak`.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.cluster import backend
from e2e.demo import install, mesh
from e2e.demo.client import Client, until
from e2e.scenarios import disturbances, steady
from e2e.scenarios.disturbances import Disturbance
from e2e.scenarios.steady import BEFORE, LONG, RATE, SPACE, Counts, Loaded

pytestmark = [pytest.mark.node]


@pytest.fixture(scope="module")
def older(cluster: backend.Cluster, admin: Client, image: str, ringfence: None) -> Iterator[None]:
    """A program that is older than the proxies: they are turned on after it was made."""
    del ringfence
    admin.run("delete", "namespace", BEFORE, "--ignore-not-found", timeout=180)
    install.install(cluster, image, {"proxy.enabled": False})
    install.wait_ready(cluster, proxies=False)
    admin.apply([*steady.namespace(BEFORE), *steady.asking(BEFORE, "legacy", image, RATE / 10)])
    mesh.wait_running(admin, BEFORE, "legacy")
    install.install(cluster, image)
    install.wait_ready(cluster)
    yield
    admin.run("delete", "namespace", BEFORE, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def loaded(
    request: pytest.FixtureRequest, cluster: backend.Cluster, admin: Client, older: None, proxies: str
) -> Iterator[Loaded]:
    """The programs, asking since before the first test. At the end, the table."""
    del older
    if LONG:
        lives = {**install.with_proxies(cluster), "ca.maxTTL": f"{steady.LIFE}m"}
        install.install(cluster, proxies, lives)
        install.wait_ready(cluster)
        install.wait_proxies_ready(cluster)
    admin.run("delete", "namespace", SPACE, "--ignore-not-found", timeout=180)
    admin.apply(
        [
            *steady.namespace(SPACE),
            steady.who_may(),
            *mesh.service(SPACE, "store", proxies, replicas=2),
            *mesh.service(SPACE, "late", proxies, replicas=0),
            *steady.asking(SPACE, "load", proxies, RATE),
            *steady.asking(SPACE, "thief", proxies, RATE / 10, f"--knock={mesh.GREETING}"),
            *steady.holding(proxies),
            *(steady.identity(name) for name in ("store", "load", "hold", "thief")),
        ]
    )
    mesh.wait_running(admin, SPACE, "store", "load", "hold", "thief")
    made = Loaded(cluster, admin, proxies)

    def runs() -> bool:
        with suppress(ValueError):
            return made.counts("load").good > RATE and made.counts("hold").good > steady.HELD
        return False

    until(runs, "the load runs", 90, every=1)
    # What could not be asked for before everything was there is nobody's failure; from here on all counts.
    time.sleep(5)
    yield made
    _show(request.config, made)
    admin.run("delete", "namespace", SPACE, "--ignore-not-found", "--wait=false")


def _show(config: pytest.Config, made: Loaded) -> None:
    table = steady.markdown(made.rows)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line("")
        terminal.write_line(f"{RATE} requests a second, {steady.HELD} held connections")
        terminal.write(table)
    if steady.TABLE:
        Path(steady.TABLE).write_text(table)


def _counted(loaded: Loaded) -> dict[str, Counts]:
    names = {"load": SPACE, "hold": SPACE, "thief": SPACE, "legacy": BEFORE}
    return {name: loaded.counts(name, space) for name, space in names.items()}


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("disturbance", disturbances.ALL, ids=lambda each: each.act.__name__)
def test_nothing_allowed_fails_and_nothing_denied_passes(loaded: Loaded, disturbance: Disturbance) -> None:
    before = _counted(loaded)
    begin = time.monotonic()
    try:
        disturbance.act(loaded)
    finally:
        # What it came to is in the table also where it did not come to its end.
        time.sleep(3)
        seen = {name: counts.since(before[name]) for name, counts in _counted(loaded).items()}
        denied = ("thief",) if disturbance.act is disturbances.made_strict else ("thief", "legacy")
        passed = sum(seen[name].good for name in denied)
        seconds = time.monotonic() - begin
        row = steady.Row(disturbance.name, seconds, seen["load"], seen["hold"], passed, disturbance.ends)
        loaded.rows.append(row)
    last = {name: seen[name].last for name in ("load", "hold")}
    said = mesh.proxy_log(loaded.admin, SPACE, "load", '"code":503')[-5:] if row.failed else []
    assert row.failed == {}, f"{last} {said}"
    assert seen["load"].good > RATE
    assert seen["hold"].good > steady.HELD
    assert passed == 0
    assert sum(seen["thief"].failed.values()) > 10, "the thief was not even tried"

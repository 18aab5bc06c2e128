"""What replicas say of their proxies: nothing is lost, and nobody is taken to have said what they did not."""

import base64
import gzip
from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.acknowledgements import LIVE_SECONDS, PolicyState, ProxyState, Report
from ringfence.pki import bundle, slots
from ringfence.reconcile import proxy_reports
from ringfence.reconcile.proxy_reports import Unreadable

from tests.unit.pki import test_identity_secret as secrets
from tests.unit.pki.material import DAY, NOW

IDLE = secrets.IDLE
WHOLE = bundle.digest(IDLE.bundle)
CURRENT = IDLE.current.root.fingerprint
PROXY = ProxyState(
    "shop", "web-1", "uid-1", "web", "node-1", True, NOW - 50, "ab", CURRENT, NOW + 3600, WHOLE, "r1", "routes r: no"
)


def report(*proxies: ProxyState, replica: str = "a", written: float = NOW, **more: Any) -> Report:
    return Report(replica, written, proxies, **more)


def config_maps(*reports: Report) -> list[Any]:
    return [proxy_reports.encode(each, "ringfence-system") for each in reports]


def always(*_: str) -> bool:
    return True


def untold(*reports: Report, now: float = NOW, alive: Any = always) -> tuple[str, ...]:
    return proxy_reports.unacknowledged(config_maps(*reports), IDLE, now, alive)


def test_a_report_comes_back_as_it_was() -> None:
    policies = {"SecurityPolicy shop/web": PolicyState(3, 1, 2)}
    given = report(PROXY, replace(PROXY, uid="uid-2", pod="web-2", connected=False), policies=policies, dropped=0)
    (obj,) = config_maps(given)
    assert proxy_reports.decode(obj) == given
    assert obj["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "ringfence",
        "ringfence.dev/purpose": "proxies",
    }


def test_refusals_come_back_too_and_the_same_words_are_written_once() -> None:
    words = "routes inbound-8080: no such filter " + "x" * 200
    policies = {
        f"SecurityPolicy shop/p{number}": PolicyState(1, 1, 4, 3, ("listeners in: no", words)) for number in range(500)
    }
    given = report(policies={**policies, "SecurityPolicy shop/good": PolicyState(1, 4, 4)})
    (obj,) = config_maps(given)
    assert proxy_reports.decode(obj) == given
    text = gzip.decompress(base64.b64decode(obj["binaryData"]["report.json.gz"])).decode()
    assert text.count(words) == 1


def test_a_report_of_a_former_version_says_nothing_of_refusals() -> None:
    policies = '{"SecurityPolicy shop/web":[3,1,2]}'
    text = f'{{"version":1,"replica":"a","written":1,"dropped":0,"policies":{policies},"proxies":[]}}'
    data = {"report.json.gz": base64.b64encode(gzip.compress(text.encode())).decode()}
    found = proxy_reports.decode({"metadata": {"name": "x"}, "binaryData": data})
    assert found.policies == {"SecurityPolicy shop/web": PolicyState(3, 1, 2)}


def test_what_all_replicas_say_of_a_policy_is_added_up() -> None:
    owner = "SecurityPolicy shop/web"
    one = report(policies={owner: PolicyState(3, 1, 4, 3, ("a", "b"))}, replica="a")
    two = report(policies={owner: PolicyState(2, 2, 4, 1, ("b", "c", "d"))}, replica="b")
    silent = report(policies={owner: PolicyState(3, 0, 9, 9, ("z",))}, replica="c", written=NOW - 2 * LIVE_SECONDS)
    found = proxy_reports.policies((one, two, silent), NOW)
    assert found == {owner: PolicyState(2, 3, 8, 4, ("a", "b", "c"))}


def test_three_thousand_proxies_fit_and_what_does_not_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [
        replace(PROXY, pod=f"web-{number}", uid=f"{number:032x}", serial=f"{number * 7919:032x}", connected=number > 99)
        for number in range(3000)
    ]
    (obj,) = config_maps(report(*many))
    assert len(proxy_reports.decode(obj).proxies) == 3000
    assert len(obj["binaryData"]["report.json.gz"]) < 400_000
    monkeypatch.setattr(proxy_reports, "MAX_BYTES", 20_000)
    (obj,) = config_maps(report(*many))
    found = proxy_reports.decode(obj)
    assert len(base64.b64decode(obj["binaryData"]["report.json.gz"])) <= 20_000
    assert found.dropped + len(found.proxies) == 3000
    assert all(each.connected for each in found.proxies)
    assert untold(found) == (f"{found.dropped} proxies of a, which did not fit into its report",)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"report.json.gz": "%%%"},
        {"report.json.gz": base64.b64encode(b"no gzip").decode()},
        {"report.json.gz": base64.b64encode(gzip.compress(b"[]")).decode()},
        {"report.json.gz": base64.b64encode(gzip.compress(b'{"version": 2}')).decode()},
        {"report.json.gz": base64.b64encode(gzip.compress(b'{"version":1,"proxies":[["x"]],"policies":{}}')).decode()},
        {
            "report.json.gz": base64.b64encode(
                gzip.compress(b'{"version":1,"proxies":[],"policies":{"a":[1,1,1]},"refused":{"a":[1,[0]]}}')
            ).decode()
        },
    ],
)
def test_what_is_no_report_is_named_and_nobody_is_taken_to_have_acknowledged(data: dict[str, str]) -> None:
    obj = {"metadata": {"name": "ringfence-proxyd-x", "namespace": "ringfence-system"}, "binaryData": data}
    with pytest.raises(Unreadable):
        proxy_reports.decode(obj)
    assert proxy_reports.unacknowledged([obj], IDLE, NOW, always) == (
        "ConfigMap ringfence-proxyd-x, which holds no report",
    )


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_reports, "MAX_UNPACKED", 10_000)
    data = base64.b64encode(gzip.compress(b" " * 1_000_000)).decode()
    with pytest.raises(Unreadable):
        proxy_reports.decode({"metadata": {"name": "x"}, "binaryData": {"report.json.gz": data}})


def test_whoever_is_connected_must_have_the_whole_bundle() -> None:
    assert untold(report(PROXY)) == ()
    assert untold(report(replace(PROXY, bundle=""))) == ("proxy shop/web-1",)
    assert untold(report(replace(PROXY, bundle="other"))) == ("proxy shop/web-1",)


def test_a_proxy_that_is_away_counts_until_its_certificate_ends_or_its_pod_is_gone() -> None:
    away = report(replace(PROXY, connected=False))
    assert untold(away) == ("proxy shop/web-1 (not connected)",)
    assert untold(away, now=NOW + 3600.0) == ()
    assert untold(away, alive=lambda *_: False) == ()


def test_the_proxies_of_a_replica_that_says_nothing_have_acknowledged_nothing() -> None:
    silent = report(PROXY, written=NOW - LIVE_SECONDS)
    assert untold(silent) == ("proxy shop/web-1 (not connected)",)


def test_the_newest_word_counts_whichever_replica_it_is_from() -> None:
    left = report(replace(PROXY, connected=False, bundle="old"))
    here = report(PROXY, replica="b")
    assert untold(left, here) == untold(here, left) == ()
    dead = report(replace(PROXY, bundle="old", since=NOW + 5), replica="c", written=NOW - LIVE_SECONDS)
    assert untold(dead, here) == ()
    newer = report(replace(PROXY, bundle="old", since=NOW + 5), replica="c")
    assert untold(newer, here) == ("proxy shop/web-1",)


def test_certificates_of_another_root_are_named_while_they_are_valid() -> None:
    old = config_maps(report(replace(PROXY, root="ff" * 32), replace(PROXY, uid="uid-2", pod="web-2")))
    assert proxy_reports.old_leaves(old, IDLE, NOW, always) == ("proxy shop/web-1",)
    assert proxy_reports.old_leaves(old, IDLE, NOW + DAY, always) == ()
    assert proxy_reports.old_leaves(old, IDLE, NOW, lambda *_: False) == ()


def test_policies_add_up_over_live_replicas_by_the_oldest_generation() -> None:
    one = report(
        policies={"SecurityPolicy shop/web": PolicyState(3, 2, 2), "ClusterSecurityPolicy x": PolicyState(1, 1, 1)}
    )
    two = report(policies={"SecurityPolicy shop/web": PolicyState(2, 1, 4)}, replica="b")
    gone = report(policies={"SecurityPolicy shop/web": PolicyState(3, 9, 9)}, replica="c", written=NOW - DAY)
    assert proxy_reports.policies((one, two, gone), NOW) == {
        "SecurityPolicy shop/web": PolicyState(2, 3, 6),
        "ClusterSecurityPolicy x": PolicyState(1, 1, 1),
    }


def test_a_report_is_over_when_its_replica_is_gone_and_every_certificate() -> None:
    old = report(PROXY, written=NOW - DAY)
    assert not proxy_reports.is_over(old, NOW)
    assert proxy_reports.is_over(old, NOW + 3600.0)
    assert not proxy_reports.is_over(report(), NOW)


def test_a_rotation_waits_for_the_bundle_that_is_wanted_now() -> None:
    prepared = slots.prepare(IDLE, secrets.root(2), NOW, slots.RotationReason.REQUESTED)
    held = config_maps(report(PROXY))
    assert proxy_reports.unacknowledged(held, prepared, NOW, always) == ("proxy shop/web-1",)
    told = config_maps(report(replace(PROXY, bundle=bundle.digest(prepared.bundle))))
    assert proxy_reports.unacknowledged(told, prepared, NOW, always) == ()

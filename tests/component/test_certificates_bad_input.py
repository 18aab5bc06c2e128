"""What nobody should ask for, and machines that are wrong about the time: on a real API server, each with its words."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from ringfence.controller import alarms, core
from ringfence.kube import client, errors, resources
from ringfence.pki import store

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.certificates import bare, ca_state, dns_names, identity, issued, leaf, reason, secret, told
from tests.component.controller_rig import OWN, SETTINGS, Plane

pytestmark = pytest.mark.component

DAY = 86400.0


class WrongClock:
    """The wall clock of a machine that is wrong about the day; how much time passes it knows."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("bad-input") as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]], seconds: float = 60) -> None:
    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(seconds):
            await scenario(api)

    asyncio.run(main())


# --- clocks


@pytest.mark.parametrize(
    ("days", "message", "fix"),
    [(400.0, "ended on", "ringfence ca restore"), (-400.0, "is not valid before", "set this machine's clock right")],
    ids=["years ahead", "years behind"],
)
def test_by_a_clock_that_is_far_off_the_root_is_not_valid_and_is_not_replaced(
    plane: Plane, days: float, message: str, fix: str
) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("far-off", "enforce"))
        await cluster.apply(api, identity("far-off", "payments"))
        async with plane.controller():
            before = await issued(api, "far-off", "payments")
        held = await secret(api, OWN, store.SECRET_NAME)
        clock = WrongClock()
        clock.ahead = days * DAY
        async with plane.controller(SETTINGS, clock):
            said = await reason(api, "far-off", "payments", "CAExpired")
            assert message in said["message"]
            assert fix in said["message"]
            assert said["message"].endswith("nothing is issued or renewed meanwhile")
            events = await api.request("GET", resources.EVENTS.path(OWN))
            assert [each for each in events["items"] if each["reason"] == "CAExpired" and message in each["note"]]
        assert await secret(api, OWN, store.SECRET_NAME) == held
        assert await secret(api, "far-off", "payments-identity") == before
        # Its clock right again, it goes on as if nothing had been.
        async with plane.controller():
            await reason(api, "far-off", "payments", "Issued")
        assert await secret(api, OWN, store.SECRET_NAME) == held
        assert await secret(api, "far-off", "payments-identity") == before

    drive(plane, scenario)


def test_a_clock_that_is_set_by_days_while_it_runs_is_noticed_and_costs_new_certificates_only(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ahead, and back again: a certificate of a day to come is worth nothing either."""
    monkeypatch.setattr(alarms, "LOOK_SECONDS", 0.3)

    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("set", "enforce"))
        await cluster.apply(api, identity("set", "payments", ttl="10m"))
        clock = WrongClock()

        async def valid() -> dict[str, Any] | None:
            """The Secret once its certificate is one of now, by the machine's own clock."""
            held = await secret(api, "set", "payments-identity")
            if held is None:
                return None
            made = leaf(held)
            now = clock.now()
            return held if made.not_valid_before_utc.timestamp() <= now < made.not_valid_after_utc.timestamp() else None

        async with plane.controller(SETTINGS, clock):
            await issued(api, "set", "payments")
            root = (await ca_state(api)).current.root
            for ahead in (3 * DAY, 0.0):
                clock.ahead = ahead
                await cluster.eventually(valid, f"a certificate for a clock that is {ahead} s off")
                await reason(api, "set", "payments", "Issued")
            assert (await ca_state(api)).current.root == root

    drive(plane, scenario)


# --- names


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"serviceAccountName": "payments\n"}, "spec.serviceAccountName"),
        ({"serviceAccountName": "Payments"}, "spec.serviceAccountName"),
        ({"serviceAccountName": "a/../b"}, "spec.serviceAccountName"),
        ({"serviceAccountName": "payments%2f"}, "spec.serviceAccountName"),
        ({"certificate": {"dnsNames": ["*.example.com"]}}, "spec.certificate.dnsNames[0]"),
        ({"certificate": {"dnsNames": ["pay.example.com\n"]}}, "spec.certificate.dnsNames[0]"),
        ({"certificate": {"dnsNames": ["pay.example.com\u0000"]}}, "spec.certificate.dnsNames[0]"),
        ({"certificate": {"dnsNames": ["PAY.example.com"]}}, "spec.certificate.dnsNames[0]"),
        ({"certificate": {"dnsNames": [f"n{n}.example.com" for n in range(33)]}}, "spec.certificate.dnsNames"),
        ({"certificate": {"secretName": "Payments"}}, "spec.certificate.secretName"),
        ({"certificate": {"secretName": "payments\n"}}, "spec.certificate.secretName"),
    ],
)
def test_names_that_no_certificate_may_have_are_refused_with_their_place(
    plane: Plane, spec: dict[str, Any], where: str
) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("names"))
        with pytest.raises(errors.Rejected) as refused:
            await cluster.apply(api, {**identity("names", "payments"), "spec": spec})
        assert where in str(refused.value)

    drive(plane, scenario)


def test_more_names_than_a_certificate_may_have_are_told_with_their_number(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        # The webhook that would label the pod runs nowhere here: the pod comes before the enrolment.
        await cluster.apply(api, cluster.namespace("crowd"))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "payments", "namespace": "crowd"}}
        await cluster.apply(api, account)
        pod = cluster.pod("crowd", "payments-0", "payments", labelled=False)
        pod["metadata"]["labels"] = {"app": "pay"}
        await cluster.apply(api, pod)

        def service(number: int) -> dict[str, Any]:
            metadata = {"name": f"pay-{number}", "namespace": "crowd"}
            spec = {"selector": {"app": "pay"}, "ports": [{"port": 443}], "clusterIP": "None"}
            return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

        await asyncio.gather(*(cluster.apply(api, service(number)) for number in range(51)))
        await cluster.apply(api, cluster.namespace("crowd", "audit"))
        await cluster.apply(api, identity("crowd", "payments"))
        async with plane.controller() as heart:
            said = await reason(api, "crowd", "payments", "CertificateRefused")
            assert "102 names, at most 100" in said["message"]
            assert cluster.ready({"status": await told(api, "crowd", "payments")})["reason"] == "CertificateRefused"
            assert await secret(api, "crowd", "payments-identity") is None
            await _quiet(heart)
            await cluster.delete(api, resources.SERVICES, "crowd", "pay-0")
            assert len(dns_names(await issued(api, "crowd", "payments"))) == 100

    drive(plane, scenario)


async def _quiet(heart: core.Core) -> None:
    """What cannot be is not tried again and again."""
    await core.settled(heart, quiet=1.0)


# --- Secrets of others


def test_two_identities_that_want_one_secret_do_not_fight_over_it(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("shared", "audit"))
        async with plane.controller() as heart:
            await cluster.apply(api, identity("shared", "first", secretName="first-identity"))
            await reason(api, "shared", "first", "Issued")
            twin = identity("shared", "second", secretName="first-identity")
            await cluster.apply(api, {**twin, "spec": {**twin["spec"], "serviceAccountName": "first"}})
            said = await reason(api, "shared", "second", "SecretNotOurs")
            assert "is that of the ServiceIdentity first: delete it" in said["message"]
            before = await secret(api, "shared", "first-identity")
            await _quiet(heart)
            assert await secret(api, "shared", "first-identity") == before

    drive(plane, scenario)


def test_a_secret_of_somebody_else_in_the_place_of_the_ca_is_left_alone(plane: Plane) -> None:
    """Whether there has been a CA before or not."""

    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("squatted", "audit"))
        await cluster.apply(api, identity("squatted", "payments"))
        async with plane.controller():
            await issued(api, "squatted", "payments")
        good = await secret(api, OWN, store.SECRET_NAME)
        assert good is not None
        path = resources.SECRETS.path(OWN, store.SECRET_NAME)
        theirs = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": store.SECRET_NAME, "namespace": OWN},
            "stringData": {"current.key": "theirs"},
        }
        for marked in (True, False):
            await api.request("DELETE", path)
            if not marked:
                await cluster.delete(api, resources.CONFIG_MAPS, OWN, store.MARKER_NAME)
            stored = await api.request("POST", resources.SECRETS.path(OWN), body=theirs)
            async with plane.controller():
                said = await reason(api, "squatted", "payments", "CAForeign")
                assert "has type 'Opaque', not ringfence.dev/ca: it is not ours" in said["message"]
                assert await secret(api, OWN, store.SECRET_NAME) == stored
        await api.request("DELETE", path)
        await api.request("POST", resources.SECRETS.path(OWN), body=bare(good))
        async with plane.controller():
            await reason(api, "squatted", "payments", "Issued")

    drive(plane, scenario)

"""Who is not served by proxyd, and what it does with proxies that misbehave."""

import asyncio
import contextlib
import ssl
import time
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from ringfence.kube import resources
from ringfence.model import proxy
from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.proxyd import fleet, server
from ringfence.proxyd.wire import Kind

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.proxyd_rig import OWN, SETTINGS, Plane, Server, Tiny, named, running
from tests.component.proxyd_tokens import unbound

pytestmark = pytest.mark.component


def test_tokens_that_are_not_this_pods_for_this_audience_are_refused(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("shop", "web", "other")
        pod = await plane.pod("shop", "web-1", "web")
        victim = await plane.pod("shop", "victim-1", "other")
        bare = await plane.pod("shop", "bare", "web", inject=False)
        token = await plane.token(pod)
        head, payload, signature = token.split(".")
        async with plane.proxyd() as serving:
            cases = {
                "NoToken": None,
                "NoToken: no JWT": "x" * 100,
                "TokenRejected: forged": f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
                "TokenRejected: audience": await plane.token(pod, audience="sts.example"),
                "TokenNotBoundToPod": unbound(control_plane, token),
                "PodNotInjected": await plane.token(bare),
            }
            for why, given in cases.items():
                async with serving.proxy(pod, given) as fake:
                    said = await fake.refused()
                    assert why.partition(":")[0] in said, (why, said)
                    assert (given or "xxx") not in said
            # A good token, in the name of another pod.
            async with serving.proxy(victim, token) as fake:
                assert "NodeIdDiffers" in await fake.refused()
            assert len(serving.parts.fleet) == 0

    running(control_plane, test)


def test_an_envoy_with_known_holes_is_not_served(control_plane: ControlPlane, caplog: pytest.LogCaptureFixture) -> None:
    """An image that is named by its digest alone says nothing of its version to admission."""
    last = (OLDEST_ENVOY[0], OLDEST_ENVOY[1] - 1, 99)

    def refusals() -> float:
        return REGISTRY.get_sample_value("ringfence_proxyd_refused_streams_total", {"reason": "ProxyTooOld"}) or 0.0

    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("holes")
        async with plane.proxyd() as serving:
            for version in (last, (0, 0, 0)):
                before = refusals()
                async with serving.proxy(pod, token, version=version) as fake:
                    said = await fake.refused()
                assert f"FAILED_PRECONDITION: ProxyTooOld: the proxy of {named(pod)} is Envoy " in said
                assert ".".join(map(str, version)) in said
                assert refusals() == before + 1
                assert said.partition(": ")[2] in caplog.text
            assert len(serving.parts.fleet) == 0
            for version in (OLDEST_ENVOY, (OLDEST_ENVOY[0] + 1, 0, 0)):
                async with serving.proxy(pod, token, version=version) as fake:
                    assert set(await fake.start()) == set(Kind)

    running(control_plane, test)


def test_a_stolen_token_is_worth_nothing_elsewhere_where_the_platform_says_so(control_plane: ControlPlane) -> None:
    """Everybody calls from 127.0.0.1 here, so that is the pod's address, or it is not."""

    def foreign() -> float:
        return REGISTRY.get_sample_value("ringfence_proxyd_foreign_sources_total") or 0.0

    async def test(plane: Plane) -> None:
        await plane.enrol("stolen", "web")
        mine = await plane.pod("stolen", "mine", "web", address="127.0.0.1")
        theirs = await plane.pod("stolen", "theirs", "web", address="10.9.9.9")
        early = await plane.pod("stolen", "early", "web")
        tokens = [await plane.token(each) for each in (mine, theirs, early)]
        async with plane.proxyd() as serving:
            for pod, token, counted in zip((mine, theirs, early), tokens, (0, 1, 0), strict=True):
                before = foreign()
                async with serving.proxy(pod, token) as fake:
                    assert set(await fake.start()) == set(Kind)
                assert foreign() == before + counted
        strict = replace(SETTINGS, proxy=replace(SETTINGS.proxy, own_address_only=True))
        async with plane.proxyd(settings=strict) as serving:
            async with serving.proxy(mine, tokens[0]) as fake:
                assert set(await fake.start()) == set(Kind)
            async with serving.proxy(theirs, tokens[1]) as fake:
                assert "PERMISSION_DENIED: AddressDiffers: 127.0.0.1 is no address" in await fake.refused()
            # A pod whose address is not known yet is served, and looked at again as soon as it is.
            async with serving.proxy(early, tokens[2]) as fake:
                await fake.start()
                await plane.pod("stolen", "early", "web", address="10.9.9.8")
                assert "AddressDiffers" in await fake.ended()

    running(control_plane, test)


def test_a_pod_in_a_namespace_that_is_not_enrolled_gets_nothing(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("leaving")
        async with plane.proxyd() as serving:
            async with serving.proxy(pod, token) as fake:
                await fake.start()
                name = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leaving"}}
                await cluster.apply(plane.api, name)
                assert "NamespaceNotEnrolled" in await fake.ended()
            async with serving.proxy(pod, token) as fake:
                assert "NamespaceNotEnrolled" in await fake.refused()

    running(control_plane, test)


def test_the_stream_of_a_deleted_pod_ends_and_its_token_is_worth_nothing(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("gone")
        async with plane.proxyd() as serving:
            async with serving.proxy(pod, token) as fake:
                await fake.start()
                path = resources.PODS.path("gone", "web-1")
                await plane.api.request("DELETE", path, query={"gracePeriodSeconds": "0"})
                assert "PodUnknown" in await fake.ended()
            # The answer about the token is still remembered; the pod is looked at all the same.
            async with serving.proxy(pod, token) as fake:
                assert "PodUnknown" in await fake.refused()
            # Another pod of that name is another pod.
            await plane.pod("gone", "web-1", "web")
            async with serving.proxy(pod, token) as fake:
                said = await fake.refused()
                assert "PodReplaced" in said or "TokenRejected" in said

    running(control_plane, test)


def test_a_stream_ends_with_its_token(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("ends")
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            await fake.start()
            (member,) = serving.parts.fleet
            assert 3000 < member.caller.expires - time.time() <= 3600
            member.caller = replace(member.caller, expires=time.time() + 1)
            member.wake()
            assert "UNAVAILABLE: the token has ended" in await fake.ended()

    running(control_plane, test)


def test_a_stream_ends_after_a_while_so_that_tokens_are_looked_at_again(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("old")
        limits = server.Limits(stream=4.0)
        async with plane.proxyd(limits=limits) as serving, serving.proxy(pod, token) as fake:
            await fake.start()
            assert "the stream is old" in await fake.ended()

    running(control_plane, test)


def test_good_streams_stay_and_come_back_while_the_api_server_is_away(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("away")
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            await fake.start()
            await asyncio.to_thread(control_plane.stop_apiserver)
            try:
                (member,) = serving.parts.fleet
                member.svid = None
                renewed = await fake.next(10.0)
                assert set(renewed.versions) == {proxy.SDS_IDENTITY}
                async with serving.proxy(pod, token) as again:
                    assert set(await again.start()) == set(Kind)
            finally:
                await asyncio.to_thread(control_plane.start_apiserver)

    running(control_plane, test)


def test_more_streams_of_a_pod_than_it_needs_push_out_the_oldest(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("many")
        async with plane.proxyd() as serving, contextlib.AsyncExitStack() as stack:
            fakes = []
            for _ in range(fleet.MAX_STREAMS_OF_POD + 3):
                fakes.append(await stack.enter_async_context(serving.proxy(pod, token)))
                await fakes[-1].start()
            for each in fakes[:3]:
                assert "newer streams" in await each.ended()
            assert len(serving.parts.fleet) == fleet.MAX_STREAMS_OF_POD

    running(control_plane, test)


def test_many_proxies_that_come_at_once_are_all_served(control_plane: ControlPlane) -> None:
    """Handshakes side by side: what gRPC is handed in them must not be the same thing twice."""

    async def test(plane: Plane) -> None:
        await plane.enrol("crowd", "web")
        pods = [await plane.pod("crowd", f"web-{number}", "web") for number in range(60)]
        tokens = [await plane.token(pod) for pod in pods]

        async def one(serving: Server, number: int) -> None:
            async with serving.proxy(pods[number], tokens[number]) as fake:
                assert set(await fake.start()) == set(Kind)

        async with plane.proxyd() as serving:
            await asyncio.gather(*(one(serving, number) for number in range(len(pods))))
            await plane.serve_as((f"ringfence-proxyd.{OWN}.svc",))
            await asyncio.gather(*(one(serving, number) for number in range(len(pods))))

    running(control_plane, test)


def test_more_streams_than_a_replica_takes_are_refused(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "MAX_STREAMS", 3)

    async def test(plane: Plane) -> None:
        await plane.enrol("full", "web")
        pods = [await plane.pod("full", f"web-{number}", "web") for number in range(4)]
        async with plane.proxyd() as serving, contextlib.AsyncExitStack() as stack:
            for pod in pods[:3]:
                fake = await stack.enter_async_context(serving.proxy(pod, await plane.token(pod)))
                await fake.start()
            async with serving.proxy(pods[3], await plane.token(pods[3])) as late:
                assert "RESOURCE_EXHAUSTED" in await late.refused()
            assert len(serving.parts.fleet) == 3

    running(control_plane, test)


def test_who_says_nothing_or_nonsense_is_sent_away(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("silent")
        hasty = server.Limits(first_request=0.5)
        async with plane.proxyd(limits=hasty) as serving, serving.proxy(pod, token) as fake:
            assert "no request came in time" in await fake.ended()
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            await fake.start()
            await fake.ask(Kind.ROUTES, *[f"name-{number}" for number in range(20_001)])
            assert "INVALID_ARGUMENT" in await fake.ended()

    running(control_plane, test)


def test_a_proxy_that_refuses_everything_costs_nothing_but_itself(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("nack", "bad", "good")
        bad, good = await plane.pod("nack", "bad-1", "bad"), await plane.pod("nack", "good-1", "good")
        async with plane.proxyd() as serving, serving.proxy(bad, await plane.token(bad)) as fake:
            for kind in (Kind.CLUSTERS, Kind.LISTENERS):
                await fake.ask(kind)
            for _ in range(2):
                await fake.next(error="no\x00no")
            async with serving.proxy(good, await plane.token(good)) as other:
                assert set(await other.start()) == set(Kind)
                members = {each.caller.pod: each for each in serving.parts.fleet}
                await cluster.eventually(lambda: _true(members["good-1"].acknowledged), "the good one is served")
                assert members["bad-1"].acknowledged == ""
                assert {each.kind for each in members["bad-1"].talk.refused} == {Kind.CLUSTERS, Kind.LISTENERS}

    running(control_plane, test)


def test_a_proxy_that_does_not_read_is_sent_away_and_holds_nobody_up(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("slow", "slow", "quick")
        slow, quick = await plane.pod("slow", "slow-1", "slow"), await plane.pod("slow", "quick-1", "quick")
        compiler = Tiny()
        compiler.padding = "x" * (3 << 20)
        async with (
            plane.proxyd(compiler, limits=server.Limits(write=4.0)) as serving,
            serving.proxy(slow, await plane.token(slow)) as fake,
        ):
            await fake.ask(Kind.CLUSTERS)
            await fake.ask(Kind.LISTENERS)
            await fake.ask(Kind.ENDPOINTS, "one")
            await fake.ask(Kind.ROUTES, "one")
            async with serving.proxy(quick, await plane.token(quick)) as other:
                assert set(await other.start()) == set(Kind)
            await cluster.eventually(
                lambda: _true("slow-1" not in {each.caller.pod for each in serving.parts.fleet}), "it is sent away"
            )

    running(control_plane, test)


def test_one_class_that_cannot_be_computed_stops_no_other(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("broken")
        compiler = Tiny()
        async with plane.proxyd(compiler) as serving, serving.proxy(pod, token) as fake:
            await fake.start()
            compiler.broken = True
            serving.parts.classes.changed("")
            await asyncio.sleep(0.3)
            compiler.broken, compiler.version = False, "2"
            serving.parts.classes.changed("")
            assert (await fake.next()).kind is Kind.CLUSTERS

    running(control_plane, test)


def test_only_tls_1_3_is_spoken_and_a_new_certificate_is_used_at_once(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        async with plane.proxyd() as serving:
            old = ssl.create_default_context(cadata=plane.ca.certificate.decode())
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(
                    "127.0.0.1", serving.port, ssl=old, server_hostname=f"ringfence-proxyd.{OWN}.svc"
                )
            new = ssl.create_default_context(cadata=plane.ca.certificate.decode())
            new.set_alpn_protocols(["h2"])

            async def certificate() -> bytes:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", serving.port, ssl=new, server_hostname=f"ringfence-proxyd.{OWN}.svc"
                )
                tls = writer.get_extra_info("ssl_object")
                assert tls.version() == "TLSv1.3"
                writer.close()
                return bytes(tls.getpeercert(binary_form=True))

            before = await certificate()
            await plane.serve_as((f"ringfence-proxyd.{OWN}.svc",))

            async def changed() -> bool:
                return await certificate() != before

            await cluster.eventually(changed, "the new certificate is used")

    running(control_plane, test)


async def _true(value: object) -> object:
    return value

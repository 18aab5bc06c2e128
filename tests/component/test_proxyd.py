"""proxyd on a real API server: who is served, with what, and for how long."""

import asyncio
import secrets
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from ringfence.kube import resources
from ringfence.model import proxy
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import keys, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root
from ringfence.proxyd.wire import Kind
from ringfence.reconcile import proxy_reports
from spiffe import X509Bundle, X509Svid
from spiffe.errors import PySpiffeError

from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane
from e2e.envoy import binary
from tests.component import cluster
from tests.component.proxyd_envoy import Direct, Envoy, handed
from tests.component.proxyd_rig import OWN, SETTINGS, Plane, Server, named, running
from tests.unit.pki.material import openssl_verify

pytestmark = pytest.mark.component


def test_a_proxy_gets_its_configuration_its_certificate_and_the_bundle(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("first")
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            found = await fake.start()
            assert set(found[Kind.SECRETS].versions) == {proxy.SDS_IDENTITY, proxy.SDS_BUNDLE}
            assert set(found[Kind.LISTENERS].versions) == {"one"}
            (member,) = serving.parts.fleet
            assert member.svid is not None
            assert member.svid.spiffe_id == "spiffe://cluster.local/ns/first/sa/web"
            await cluster.eventually(lambda: _true(member.acknowledged and member.certified), "acknowledged")
            before = member.acknowledged
            await cluster.apply(plane.api, cluster.policy("first", "web", "other"))
            changed = await fake.next()
            assert changed.kind is Kind.CLUSTERS
            for _ in range(3):
                await fake.next()
            await cluster.eventually(lambda: _true(member.acknowledged not in {before, ""}), "acknowledged again")

    running(control_plane, test)


def test_reports_go_with_the_deployment_of_proxyd_and_do_not_come_back(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        name = f"{proxy_reports.NAME_PREFIX}{SETTINGS.pod_name}"
        pod, token = await plane.proxied("gone")
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            await fake.start()
            tell = serving.parts.reporter._tell
            await tell()
            assert await _owners(plane, name) == [await _deployment(plane)]
            # What Kubernetes' garbage collector does while proxyd drains.
            await cluster.delete(plane.api, resources.DEPLOYMENTS, OWN, proxy.PROXYD_SERVICE)
            await asyncio.sleep(1)  # a report on its way still names the Deployment, and would be collected
            await cluster.delete(plane.api, resources.CONFIG_MAPS, OWN, name)
            await tell()
            assert await cluster.get(plane.api, resources.CONFIG_MAPS, OWN, name) is None
            await plane.deploy()
            await tell()
            assert await _owners(plane, name) == [await _deployment(plane)]

    running(control_plane, test)


async def _owners(plane: Plane, name: str) -> list[str]:
    held = await cluster.get(plane.api, resources.CONFIG_MAPS, OWN, name)
    assert held is not None
    return [each["uid"] for each in held["metadata"].get("ownerReferences") or ()]


async def _deployment(plane: Plane) -> str:
    held = await cluster.get(plane.api, resources.DEPLOYMENTS, OWN, proxy.PROXYD_SERVICE)
    assert held is not None
    uid: str = held["metadata"]["uid"]
    return uid


async def _true(value: object) -> object:
    return value


def test_py_spiffe_takes_what_a_proxy_is_handed(control_plane: ControlPlane) -> None:
    """An outside judge of the SVID, its key and the bundle as they are sent; OpenSSL judges the chain."""

    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("judged")
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            found = await fake.start()
        chain, key, roots = handed(found[Kind.SECRETS])
        svid = X509Svid.parse(chain, key)
        assert str(svid.spiffe_id) == "spiffe://cluster.local/ns/judged/sa/web"
        assert list(roots) == [svid.spiffe_id.trust_domain.name]
        bundle = X509Bundle.parse(svid.spiffe_id.trust_domain, roots["cluster.local"])
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in bundle.x509_authorities)
        now = int(time.time())
        for purpose in ("sslclient", "sslserver"):
            assert openssl_verify(chain, pem, at=now, purpose=purpose) == ""
        other = make_root("cluster.local", time.time(), secrets.randbits(126) | 1 << 126)
        assert openssl_verify(chain, other.root.certificate, at=now) != ""
        assert svid.leaf.public_key() == load_pem_private_key(key, None).public_key()
        # And this judge can say no: the root itself, which signs, is nobody's SVID.
        with pytest.raises(PySpiffeError):
            X509Svid.parse(plane.state.current.root.certificate, plane.state.current.key)

    running(control_plane, test)


def test_a_real_envoy_is_served_and_follows_every_change(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("real", "web")
        pod = await plane.pod("real", "web-1", "web")
        (port,) = ports.free(1)
        compiler = Direct(port)
        async with plane.proxyd(compiler) as serving:
            envoy = Envoy.start(binary(), serving, await plane.token(pod), named(pod))
            try:
                await envoy.ready()
                (member,) = serving.parts.fleet
                await cluster.eventually(lambda: _true(member.acknowledged and member.certified), "acknowledged")
                caller = await tls_of_a_caller(plane, serving)
                assert await call(port, caller) == "hello"

                # A route in force within milliseconds, on the connections that are there.
                compiler.body = "other"
                serving.parts.classes.changed("")
                await cluster.eventually(lambda: _says(port, caller, "other"), "the new route is in force")

                # A changed cluster must not stall for want of its endpoints.
                started = time.monotonic()
                compiler.cluster_timeout = 2
                revision = member.acknowledged
                serving.parts.classes.changed("")
                await cluster.eventually(
                    lambda: _true(member.acknowledged not in {"", revision}), "the new cluster is warm"
                )
                # Envoy would wait for fifteen seconds.
                assert time.monotonic() - started < 10

                # A bad listener: the others stay in force, and it is named.
                compiler.bad = True
                compiler.body = "third"
                serving.parts.classes.changed("")
                await cluster.eventually(lambda: _says(port, caller, "third"), "the rest is in force")
                await cluster.eventually(lambda: _true(member.talk.refused), "the refusal is known")
                assert [each.name for each in member.talk.refused] == ["bad"]
                assert "address" in member.talk.refused[0].error.lower()

                # A new certificate on the next connection.
                serial = member.svid.serial if member.svid else ""
                member.svid = None
                await cluster.eventually(lambda: _true(member.certified and member.svid), "a new certificate")
                assert member.svid is not None
                assert member.svid.serial != serial
                # It has acknowledged it before its workers use it.
                shown = int(member.svid.serial, 16)
                await cluster.eventually(lambda: _shows(port, caller, shown), "the new certificate is shown")
            finally:
                envoy.stop()

    running(control_plane, test)


async def tls_of_a_caller(plane: Plane, serving: Server) -> ssl.SSLContext:
    """TLS as another workload of the mesh."""
    svid = leaf(plane, "spiffe://cluster.local/ns/real/sa/caller")
    context = ssl.create_default_context(cadata=plane.state.bundle.decode())
    context.check_hostname = False
    path = serving.plane.control_plane.directory / "caller.pem"
    path.write_bytes(svid)
    context.load_cert_chain(path)
    return context


def leaf(plane: Plane, identity: str) -> bytes:
    """An SVID with its key, both in PEM."""
    key = keys.generate(KeyAlgorithm.ECDSA_P256)
    wish = template.leaf(
        SpiffeId.parse(identity),
        (),
        ttl=3600,
        now=time.time(),
        serial=secrets.randbits(126) | 1 << 126,
        issuer_ends=plane.state.current.root.not_after,
    )
    return LocalSigner(plane.state.current).sign_now(wish, key.public_der) + key.pem


async def call(port: int, context: ssl.SSLContext) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="x")
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = await reader.read()
    writer.close()
    return data.partition(b"\r\n\r\n")[2].decode()


async def _says(port: int, context: ssl.SSLContext, text: str) -> bool:
    return await call(port, context) == text


async def _shows(port: int, context: ssl.SSLContext, serial: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="x")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number == serial

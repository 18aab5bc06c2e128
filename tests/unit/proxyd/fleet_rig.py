"""The parts of proxyd that hold connected proxies, over fakes of what lies outside."""

import asyncio
import itertools
from collections.abc import Callable, Hashable
from typing import Any

from ringfence.kube.token_reviews import Token
from ringfence.model import proxy
from ringfence.model.ca import CaState
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.model.resources import Certificate
from ringfence.pki import store
from ringfence.proxyd import metrics
from ringfence.proxyd.authentication import Authenticator
from ringfence.proxyd.classes import Classes
from ringfence.proxyd.fleet import Fleet, Member, Sources
from ringfence.proxyd.identities import Authority, Issuer
from ringfence.proxyd.wire import Kind

from tests.unit.pki import test_identity_secret as secrets
from tests.unit.pki.material import NOW, TRUST_DOMAIN
from tests.unit.proxyd.xds import Response, answer, ask, config
from tests.unit.reconcile import fakes

OWN = "ringfence-system"


async def until(check: Callable[[], bool]) -> None:
    """Return when it holds, however busy the machine is."""
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 (what changes is plain state)
            await asyncio.sleep(0.005)


class Translator:
    """Classes by namespace and the label ``tier``."""

    def __init__(self) -> None:
        self.revision = "r1"
        self.broken: set[Hashable] = set()
        self.computed: list[Hashable] = []

    def subject(self, pod: Object) -> Hashable:
        return pod["metadata"]["namespace"], (pod["metadata"].get("labels") or {}).get("tier")

    def snapshot(self) -> object:
        return self.revision

    def footing(self, subject: Hashable, mesh: object) -> object:
        """As the port says: it cannot tell, so all is computed."""
        del subject, mesh
        return None

    def configure(self, subject: Hashable, mesh: object) -> ProxyConfig:
        self.computed.append(subject)
        if subject in self.broken:
            raise RuntimeError("broken")
        return config(f"{mesh} {subject}", clusters=["c"], listeners=[f"in@{mesh}{subject}"])


class Reviewer:
    """Every token is of the pod that it names."""

    async def review(self, token: str, audience: str) -> Token | None:
        name = token.partition(".")[0]
        return Token("shop", "web", name, f"uid-{name}", "node-1", NOW + 3600.0)


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        self.clock.seconds = float(NOW)
        self.enrolled = True
        self.wishes = Certificate(ttl=3600, renew_at=0.5)
        self.ca(secrets.IDLE)
        lister = self.cluster.lister
        self.authority = Authority(lister("Secret"), lister("ConfigMap"), OWN, TRUST_DOMAIN, self.clock)
        self.authority.refresh()
        self.hurry = False
        # When a certificate is renewed is drawn from its serial: the same whatever was tested before.
        serials = itertools.count(1 << 100)
        self.fleet = Fleet(
            Authenticator(Reviewer(), lister("Pod"), lambda _: self.enrolled, self.clock),
            self.authority,
            Issuer(self.authority, self.clock, lambda: next(serials), 86400),
            Sources(
                pods=lister("Pod"),
                wishes=lambda *_: self.wishes,
                stale=lambda: 0.0,
                hurry=lambda: self.hurry,
                trust_domain=TRUST_DOMAIN,
                reissue_within=1000.0,
            ),
            self.clock,
        )
        self.translator = Translator()
        self.classes = Classes(self.translator, self.fleet.deliver, metrics.PassMeter(), self.fleet.regroup)
        self.fleet.classes = self.classes

    def ca(self, state: CaState) -> None:
        secret = {"type": store.SECRET_TYPE, "data": store.encode(state)}
        metadata = {"name": store.SECRET_NAME, "namespace": OWN}
        self.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **secret})
        metadata = {"name": store.MARKER_NAME, "namespace": OWN}
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": store.marker(state)}
        self.cluster.put(marker)

    def rotate(self, state: CaState) -> None:
        self.ca(state)
        self.authority.refresh()
        self.fleet.authority_changed()

    def pod(self, name: str, **labels: str) -> None:
        metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": labels}
        sidecar = {"name": proxy.CONTAINER, "restartPolicy": "Always"}
        spec: dict[str, Any] = {"serviceAccountName": "web", "nodeName": "node-1", "initContainers": [sidecar]}
        self.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def connect(self, name: str, **labels: str) -> Member:
        self.pod(name, **labels)
        stream = await self.fleet.admit({"authorization": f"Bearer {name}.x.y"})
        assert isinstance(stream, Member)
        self.fleet.opened(stream)
        for kind in (Kind.CLUSTERS, Kind.LISTENERS):
            self.fleet.heard(stream, ask(kind))
        self.fleet.heard(stream, ask(Kind.SECRETS, proxy.SDS_IDENTITY, proxy.SDS_BUNDLE))
        return stream

    def talk(self, member: Member) -> list[Response]:
        """Take and acknowledge everything there is."""
        found = []
        while (data := member.talk.next()) is not None:
            found.append(Response(data))
            self.fleet.heard(member, answer(found[-1]))
        return found

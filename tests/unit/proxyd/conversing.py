"""The other end of a conversation: a proxy, and what it says."""

from ringfence.proxyd import wire
from ringfence.proxyd.conversation import Conversation
from ringfence.proxyd.wire import Kind

from tests.unit.proxyd.xds import Response, answer, ask, config


class Proxy:
    """A conversation with a clock of its own."""

    def __init__(self) -> None:
        self.time = 100.0
        self.talk = Conversation(lambda: self.time)

    def give(self, *args: object, **parts: object) -> None:
        before = self.talk.offer
        self.talk.give(wire.offer(config(*args, **parts), before))  # type: ignore[arg-type]

    def next(self) -> Response | None:
        data = self.talk.next()
        return Response(data) if data is not None else None

    def all(self, *, acknowledge: bool = True) -> list[Response]:
        """Everything there is to say, each acknowledged."""
        found = []
        while (response := self.next()) is not None:
            found.append(response)
            if acknowledge:
                self.talk.hear(answer(response))
        return found

    def start(self) -> None:
        """Ask as Envoy does, and take everything."""
        self.talk.hear(ask(Kind.CLUSTERS))
        self.talk.hear(ask(Kind.LISTENERS))
        self.all()


FULL = {"clusters": ["c1", "c2"], "endpoints": ["c1", "c2"], "listeners": ["in"], "routes": ["r"]}


def full(proxy: Proxy) -> None:
    """A proxy that has everything of FULL."""
    proxy.give(**FULL)
    proxy.start()
    proxy.talk.hear(ask(Kind.ENDPOINTS, "c1", "c2"))
    proxy.talk.hear(ask(Kind.ROUTES, "r"))
    proxy.all()
    assert proxy.talk.acknowledged


def kinds(responses: list[Response]) -> list[Kind]:
    return [each.kind for each in responses]

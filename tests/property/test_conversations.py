"""Whatever proxies ask, refuse and leave unanswered meanwhile: in the end each has exactly what it shall have.

Two proxies of one class talk at once, because what they have alike is held once.
"""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.proxyd import wire
from ringfence.proxyd.conversation import UNANSWERED_SECONDS, Conversation
from ringfence.proxyd.wire import Kind

from tests.unit.proxyd.xds import Response, answer, ask, config

NAMES = ("a", "b", "c")
#: No proxy takes the last.
VERSIONS = ("1", "2", "bad")
NAMED = (Kind.ENDPOINTS, Kind.ROUTES)
PARTS = ("clusters", "endpoints", "listeners", "routes")

versions = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VERSIONS))
good = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VERSIONS[:-1]))
which = st.integers(0, 1)
names = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
steps = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from(PARTS), versions),
    st.tuples(st.just("subscribe"), which, st.tuples(st.sampled_from(NAMED), names)),
    st.tuples(st.just("unsubscribe"), which, st.tuples(st.sampled_from(NAMED), names)),
    st.tuples(st.just("take"), which, st.none()),
    st.tuples(st.just("answer"), which, st.integers(0, 3)),
    st.tuples(st.just("wait"), which, st.none()),
)


class Proxy:
    """What a proxy has, by its own account."""

    def __init__(self) -> None:
        self.time = 0.0
        self.talk = Conversation(lambda: self.time)
        self.has: defaultdict[Kind, dict[str, str]] = defaultdict(dict)
        self.wants: defaultdict[Kind, set[str]] = defaultdict(set)
        self.pending: list[Response] = []
        for kind in (Kind.CLUSTERS, Kind.LISTENERS):
            self.talk.hear(ask(kind))

    def take(self) -> bool:
        data = self.talk.next()
        if data is not None:
            self.pending.append(Response(data))
        return data is not None

    def answer(self, place: int) -> None:
        if not self.pending:
            return
        response = self.pending.pop(place % len(self.pending))
        has = self.has[response.kind]
        if "bad" in response.versions.values():
            for name in response.removed:
                has.pop(name, None)
            self.talk.hear(answer(response, "bad"))
            return
        # What came after it was asked for no more is not looked at.
        wanted = self.wants[response.kind] if response.kind in NAMED else response.versions
        has.update({name: each for name, each in response.versions.items() if name in wanted})
        for name in response.removed:
            has.pop(name, None)
        self.talk.hear(answer(response))

    def subscribe(self, kind: Kind, names: list[str]) -> None:
        self.wants[kind].update(names)
        self.talk.hear(ask(kind, *names))

    def unsubscribe(self, kind: Kind, names: list[str]) -> None:
        if not self.wants[kind]:
            return  # the first request of a type always asks for something
        self.wants[kind].difference_update(names)
        for name in names:
            self.has[kind].pop(name, None)
        self.talk.hear(ask(kind, drop=names))

    def finish(self) -> None:
        """Take and answer all there is, in the order in which it comes."""
        for _ in range(100):
            while self.pending:
                self.answer(0)
            if not self.take():
                self.time += UNANSWERED_SECONDS
                if not self.take():
                    return
        raise AssertionError("it never ends")


def spelled(parts: dict[str, dict[str, str]], number: int) -> wire.ProxyConfig:
    lists = {part: sorted(f"{name}@{version}" for name, version in parts[part].items()) for part in PARTS}
    return config(f"r{number}", **lists)  # type: ignore[arg-type]


def play(proxy: Proxy, what: str, how: object) -> None:
    if what in {"subscribe", "unsubscribe"}:
        getattr(proxy, what)(*how)  # type: ignore[misc]
    elif what == "answer":
        proxy.answer(how)  # type: ignore[arg-type]
    elif what == "take":
        proxy.take()
    else:
        proxy.time += 1.0


@settings(max_examples=300)
@given(st.lists(steps, max_size=40), st.fixed_dictionaries(dict.fromkeys(PARTS, good)))
def test_in_the_end_each_has_what_it_shall_have(
    course: list[tuple[str, object, object]], last: dict[str, dict[str, str]]
) -> None:
    proxies = (Proxy(), Proxy())
    parts = {part: dict.fromkeys(NAMES, "1") for part in PARTS}
    offers: list[wire.Offer] = []

    def offer() -> None:
        offers.append(wire.offer(spelled(parts, len(offers)), offers[-1] if offers else None))
        for proxy in proxies:
            proxy.talk.give(offers[-1])

    # From here on there is something to be changed, removed and refused.
    offer()
    for proxy in proxies:
        for kind in NAMED:
            proxy.subscribe(kind, list(NAMES))
        proxy.finish()
    for what, first, second in course:
        if what == "offer":
            parts[first] = second  # type: ignore[index, assignment]
            offer()
        else:
            play(proxies[first], what, second)  # type: ignore[index]
    parts = last
    offer()
    for proxy in proxies:
        proxy.finish()
        for kind, part in zip((Kind.CLUSTERS, Kind.ENDPOINTS, Kind.LISTENERS, Kind.ROUTES), PARTS, strict=True):
            wanted = proxy.wants[kind] if kind in NAMED else set(NAMES)
            assert proxy.has[kind] == {name: each for name, each in last[part].items() if name in wanted}, kind
        assert proxy.talk.refused == ()
        full = all(
            last[part].keys() <= proxy.wants[kind] for kind, part in zip(NAMED, ("endpoints", "routes"), strict=True)
        )
        assert proxy.talk.acknowledged == full
    for each in offers:
        assert each.versions == {
            kind: {name: item.version for name, item in of.items()} for kind, of in each.items.items()
        }

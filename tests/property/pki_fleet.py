"""A cluster in small, on a virtual clock: a controller that rotates, and programs that talk to each other all the time.

The controller does what the real one does with the pure layer, one API write at a time, and can be killed before or
after any of them; what it knew is gone then. Programs read their Secret with a lag of their own, as mounted Secrets
arrive, and each verifies every other with what it has in memory.
"""

import asyncio
import base64
import functools
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.model.ca import CaState, Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import bundle, identity_secret, keys, path, rotation, slots, store
from ringfence.pki.encoding import fingerprint
from ringfence.pki.identity_secret import Action as SecretAction
from ringfence.pki.identity_secret import Wish
from ringfence.pki.issue import issue
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root
from ringfence.pki.rotation import Action, Observations, Request, Timing

TRUST_DOMAIN = "mesh.example"
START = 1_800_000_000


class Killed(Exception):
    """The controller ended here."""


@functools.cache
def _root(serial: int, now: int) -> Slot:
    return make_root(TRUST_DOMAIN, now, serial)


@dataclass
class Api:
    """What the API server holds. ``kills`` are numbers of writes; a kill comes after the write when it is negative."""

    kills: frozenset[int] = frozenset()
    ca: Mapping[str, str] | None = None
    request: Request = Request.NONE
    maps: dict[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    writes: int = 0

    def write(self, change: Any) -> None:
        self.writes += 1
        if self.writes in self.kills:
            raise Killed
        change()
        if -self.writes in self.kills:
            raise Killed


@dataclass
class Controller:
    """One process. Everything but its arguments is lost with it."""

    api: Api
    wishes: list[Wish]
    timing: Timing
    serials: Any
    carried: tuple[int, float] | None = None

    def reconcile(self, now: int) -> CaState:
        state = self._rotate(self._state(now), now)
        marker = store.marker(state)
        for name in ("ringfence-system", *sorted({wish.namespace for wish in self.wishes})):
            if self.api.maps.get(name) != marker:
                self.api.write(functools.partial(self.api.maps.__setitem__, name, marker))
        for wish in self.wishes:
            self._secret(wish, state, now)
        return state

    def _state(self, now: int) -> CaState:
        state = store.decode(self.api.ca, self.api.maps.get("ringfence-system"), TRUST_DOMAIN, now)
        if state is None:
            state = slots.first(TRUST_DOMAIN, _root(next(self.serials), now), now)
            self._put(state, Request.NONE)
        return state

    def _put(self, state: CaState, request: Request) -> None:
        def change() -> None:
            self.api.ca, self.api.request = store.encode(state), request

        self.api.write(change)

    def _rotate(self, state: CaState, now: int) -> CaState:
        seen = self._look(state, now)
        step = rotation.next_step(state, seen, now, self.timing)
        match step.action:
            case Action.PREPARE:
                assert step.reason is not None
                new = slots.prepare(state, _root(next(self.serials), now), now, step.reason)
            case Action.ACTIVATE:
                ends = [identity_secret.ends(secret) for secret in self.api.secrets.values()]
                new = slots.activate(state, now, self.timing.leaves_until(now, ends))
            case Action.FORCE:
                new = slots.force(state, now)
            case Action.RETIRE:
                new = slots.retire(state, now, seen.old_leaves)
            case Action.WAIT | Action.REISSUE:
                return state
        self._put(new, rotation.remaining_request(self.api.request, step.action))
        return new

    def _look(self, state: CaState, now: int) -> Observations:
        missing = [
            f"ConfigMap {name}/ringfence-trust-bundle"
            for name, data in self.api.maps.items()
            if not bundle.same(data["ca.crt"].encode(), state.bundle)
        ]
        missing += [
            f"Secret {name}"
            for name, secret in self.api.secrets.items()
            if not identity_secret.carries_bundle(secret, state)
        ]
        if missing or "ringfence-system" not in self.api.maps:
            self.carried = None
        elif self.carried is None or self.carried[0] != state.since:
            self.carried = (state.since, now)
        old = [
            f"Secret {name}"
            for name, secret in self.api.secrets.items()
            if identity_secret.uses_old_root(secret, state, now)
        ]
        return Observations(
            request=self.api.request,
            bundle_missing=tuple(sorted(missing)),
            carried_since=self.carried[1] if self.carried else None,
            old_leaves=tuple(sorted(old)),
        )

    def _secret(self, wish: Wish, state: CaState, now: int) -> None:
        name = f"{wish.namespace}/{wish.secret_name}"
        held = self.api.secrets.get(name)
        found = identity_secret.decide(held, wish, state, now, self.timing.reissue_within)
        if found.action is SecretAction.KEEP:
            return
        if found.action is SecretAction.REWRITE:
            new = identity_secret.rewritten(held, wish, state.bundle)
        else:
            assert found.action is SecretAction.ISSUE, found
            template = identity_secret.leaf_template(wish, state, now, next(self.serials))
            made = keys.generate(KeyAlgorithm.ECDSA_P256)
            pair = asyncio.run(issue(template, made, LocalSigner(state.current), state.bundle, now))
            new = identity_secret.desired(wish, pair, state.bundle)
        self.api.write(functools.partial(self.api.secrets.__setitem__, name, new))


@dataclass
class Program:
    """Uses its Secret as it was ``lag`` seconds ago at most."""

    secret: str
    lag: int
    read: list[tuple[int, Any]] = field(default_factory=list)

    def look(self, api: Api, now: int) -> None:
        if self.secret in api.secrets and (not self.read or self.read[-1][1] is not api.secrets[self.secret]):
            self.read.append((now, api.secrets[self.secret]))
        # What is older than the lag has arrived; what it replaced is forgotten.
        while len(self.read) > 1 and self.read[1][0] + self.lag <= now:
            del self.read[0]

    def has(self, key: str) -> bytes:
        """A value of the Secret as the program knows it."""
        return base64.b64decode(self.read[0][1]["data"][key])


@functools.lru_cache(maxsize=4096)
def _accepted(chain: bytes, roots: bytes) -> tuple[float, float]:
    """From when until when a verifier with these roots accepts the chain; never when the path is bad."""
    leaves = path.read(chain)
    root = path.anchor(leaves, path.read_roots(roots))
    begin = leaves[0].not_valid_before_utc.timestamp()
    if root is None or list(path.problems(leaves, root, begin + 1)):
        return (0.0, 0.0)
    return begin, min(leaves[0].not_valid_after_utc, root.not_valid_after_utc).timestamp()


def refused(programs: list[Program], now: int) -> list[str]:
    """Which program would not accept which, with what both have in memory."""
    found = []
    for one, other in itertools.permutations([program for program in programs if program.read], 2):
        begin, end = _accepted(one.has("tls.crt"), other.has("ca.crt"))
        if not begin <= now < end:
            found.append(f"{other.secret} refuses {one.secret} at {now - START}")
    return found


@dataclass
class Fleet:
    """The whole, moved forward by ``run``."""

    timing: Timing = field(default_factory=lambda: Timing(longest_life=3600))
    size: int = 4
    lags: tuple[int, ...] = (0, 30, 90, 100)
    kills: frozenset[int] = frozenset()
    seed: int = 0
    now: int = START
    failures: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.serials = itertools.count((self.seed << 80) + (1 << 70))
        self.api = Api(self.kills)
        self.random = random.Random(self.seed)  # noqa: S311 (a course of events, no secret)
        self.wishes = [
            Wish(
                namespace=f"ns{number % 2}",
                name=f"app{number}",
                uid=f"uid-{number}",
                secret_name=f"app{number}-identity",
                spiffe_id=SpiffeId.of_service_account(TRUST_DOMAIN, f"ns{number % 2}", f"app{number}"),
                dns_names=(f"app{number}.ns{number % 2}.svc",),
                ttl=(600, 3600)[number % 2],
            )
            for number in range(self.size)
        ]
        self.programs = [
            Program(f"{wish.namespace}/{wish.secret_name}", self.lags[number % len(self.lags)])
            for number, wish in enumerate(self.wishes)
        ]
        self.controller = self._controller()

    def _controller(self) -> Controller:
        return Controller(self.api, self.wishes, self.timing, self.serials)

    @property
    def state(self) -> CaState:
        assert self.api.ca is not None
        return store.read(self.api.ca)

    @property
    def trusted(self) -> set[str]:
        """Fingerprints of every root that any program trusts."""
        return {fingerprint(root) for program in self.programs for root in path.read_roots(program.has("ca.crt"))}

    def tick(self, seconds: int) -> None:
        """One reconcile, then time passes; every program verifies every other before and after it reads anew."""
        try:
            self.controller.reconcile(self.now)
        except Killed:
            self.controller = self._controller()
        if self.api.ca is not None:
            phase = str(self.state.phase)
            if self.phases[-1:] != [phase]:
                self.phases.append(phase)
        for program in self.programs:
            program.look(self.api, self.now)
        self.failures += refused(self.programs, self.now)
        self.now += seconds

    def run(self, seconds: int, step: int = 30) -> "Fleet":
        """Pass some time in steps of up to ``step`` seconds."""
        end = self.now + seconds
        while self.now < end:
            self.tick(self.random.randint(max(1, step // 2), step))
        return self

    def until_idle(self, at_most: int = 3 * 3600) -> "Fleet":
        """Pass time until a rotation is over; fails when it does not end."""
        end = self.now + at_most
        while self.now < end:
            self.run(30)
            if self.phases[-1] == "Idle" and self.api.request is Request.NONE:
                return self
        raise AssertionError(f"the rotation has not ended: {self.phases}")

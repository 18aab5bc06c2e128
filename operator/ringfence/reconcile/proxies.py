"""What the controller does for proxyd: its serving certificate, and no reports that nobody needs any more."""

from collections.abc import Mapping

from ringfence.model.acknowledgements import PolicyState
from ringfence.model.ports import Clock, Lister
from ringfence.reconcile import proxy_reports
from ringfence.reconcile.means import Means
from ringfence.reconcile.proxyd_serving import ProxydServing


class ProxyKeeper:
    """``reconcile`` never runs twice at once."""

    def __init__(self, serving: ProxydServing, reports: Lister, means: Means, programmed: "Programmed") -> None:
        #: How far policies have come at the proxies.
        self.programmed = programmed
        self._serving = serving
        self._reports = reports
        self._means = means

    async def reconcile(self) -> float:
        """Do what is due; seconds until this wants to be called again (0: no wish). Raises RingfenceError."""
        again_in = await self._serving.ensure()
        now = self._means.api_clock.now()
        for each in self._reports.list():
            try:
                over = proxy_reports.is_over(proxy_reports.decode(each), now)
            except proxy_reports.Unreadable:
                continue
            if over:
                metadata = each["metadata"]
                place = (metadata["namespace"], metadata["name"])
                await self._means.applier.delete("v1", "ConfigMap", *place, uid=metadata["uid"])
        return again_in


class Programmed:
    """How far policies have come at the proxies, worked out again only when a report has changed."""

    def __init__(self, reports: Lister, clock: Clock) -> None:
        """``clock`` is the API server's."""
        self._reports = reports
        self._clock = clock
        self._known: Mapping[str, PolicyState] = {}
        self._versions: tuple[tuple[str, str], ...] = ()
        self._at = 0.0

    def __call__(self) -> Mapping[str, PolicyState]:
        """By owner, as RuleRef.owner writes it."""
        objects = self._reports.list()
        versions = tuple((each["metadata"]["name"], each["metadata"].get("resourceVersion", "")) for each in objects)
        now = self._clock.now()
        if versions != self._versions or now - self._at > 10.0:
            reports, _ = proxy_reports.readable(objects)
            self._known, self._versions, self._at = proxy_reports.policies(reports, now), versions, now
        return self._known

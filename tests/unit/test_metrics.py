"""What a scrape shows."""

from collections.abc import Iterator

import pytest
from ringfence import metrics


def resource(status: str, reason: str) -> dict[str, object]:
    return {"status": {"conditions": [{"type": "Ready", "status": status, "reason": reason}]}}


@pytest.fixture
def text() -> Iterator[str]:
    collector = metrics.CacheCollector(
        lambda: [metrics.Cache("pods", objects=7, stale=1.5, relists=2)],
        lambda: {
            "SecurityPolicy": [
                resource("True", "InForce"),
                resource("True", "InForce"),
                resource("False", "Staged"),
                {},
            ]
        },
    )
    metrics.register(collector)
    try:
        yield metrics.render().decode()
    finally:
        metrics.unregister(collector)


@pytest.mark.parametrize(
    "line",
    [
        'ringfence_cache_stale_seconds{of="pods"} 1.5',
        'ringfence_cache_objects{of="pods"} 7.0',
        'ringfence_cache_lists{of="pods"} 2.0',
        'ringfence_resources{kind="SecurityPolicy",ready="True",reason="InForce"} 2.0',
        'ringfence_resources{kind="SecurityPolicy",ready="False",reason="Staged"} 1.0',
        'ringfence_resources{kind="SecurityPolicy",ready="Unknown",reason=""} 1.0',
    ],
)
def test_caches_and_conditions(text: str, line: str) -> None:
    assert line in text.splitlines()


def test_requests_and_writes_are_counted() -> None:
    metrics.observe_request("PATCH", 200, 0.01)
    metrics.observe_request("GET", 0, 5.0)
    metrics.count_write("apply", "NetworkPolicy")
    text = metrics.render().decode()
    assert 'ringfence_api_request_seconds_count{method="PATCH",status="2xx"}' in text
    assert 'ringfence_api_request_seconds_count{method="GET",status="none"}' in text
    assert 'ringfence_writes_total{kind="NetworkPolicy",verb="apply"}' in text

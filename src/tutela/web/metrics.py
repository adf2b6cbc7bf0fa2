"""What Prometheus sees. Labels are outcomes and routes: no list, rule, key or account."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tutela.policy.brakes import PULLED

if TYPE_CHECKING:
    from tutela.core import Decision

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
STEPS = ("receive", "examine", "decide", "act")


class Metrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decisions = Counter(
            "tutela_decisions",
            "Decisions made, by entrance, outcome and whether deferred.",
            ["entrance", "outcome", "deferred"],
            registry=self.registry,
        )
        self._steps = Histogram(
            "tutela_step_seconds",
            "Time of each step of the road.",
            ["step"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            "tutela_http_requests",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self._bytes = Counter(
            "tutela_upload_bytes", "Bytes of uploads examined.", registry=self.registry
        )
        self.in_flight = Gauge(
            "tutela_uploads_in_flight", "Uploads held at this moment.", registry=self.registry
        )

        self.registry.register(PULLED)

    def decided(self, decision: Decision, entrance: str, size: int = 0) -> None:
        """Count one decision and the time of its steps."""
        deferred = "true" if decision.deferred else "false"
        self._decisions.labels(entrance, decision.outcome.value, deferred).inc()
        for step, milliseconds in decision.milliseconds.items():
            if step in STEPS:
                self._steps.labels(step).observe(milliseconds / 1000)
        if size:
            self._bytes.inc(size)

    def answered(self, route: str, status: int) -> None:
        """Count one answer."""
        self._requests.labels(route, str(status)).inc()

    def watch(self, read: Callable[[], Iterable[tuple[str, str, float]]]) -> None:
        """Add gauges read at scrape time: ``read`` gives (name, help, value)."""
        self.registry.register(_Read(read))

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Read(Collector):
    def __init__(self, read: Callable[[], Iterable[tuple[str, str, float]]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        for name, help_text, value in self._read():
            gauge = GaugeMetricFamily(name, help_text)
            gauge.add_metric([], value)
            yield gauge

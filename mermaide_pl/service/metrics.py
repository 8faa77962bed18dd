"""What the service counts, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from mermaide_pl.service.store import Store

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client adds up the counts of several processes."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """Counts of a process, or of all workers where `SHARED_FOLDER` is set.

    Args:
        store: tells the number of learners.
    """

    def __init__(self, store: Store) -> None:
        registry = CollectorRegistry()
        self.requests = Counter(
            "mermaide_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "mermaide_request_seconds",
            "Seconds from a request to its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "mermaide_batch_size",
            "Requests answered in one transaction",
            buckets=_SIZES,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "mermaide_batch_seconds",
            "Seconds that a batch takes, its transaction included",
            buckets=_SECONDS,
            registry=registry,
        )
        self.steps = Counter(
            "mermaide_steps", "Observed steps", ["intervention"], registry=registry
        )
        self._registry = registry
        if os.environ.get(SHARED_FOLDER):
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        self._registry.register(_Learners(store))

    def page(self) -> bytes:
        """All counts in the text format of Prometheus."""
        return generate_latest(self._registry)


class _Learners(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Counts that the database knows."""
        with self._store.reading() as log:
            number, paused = log.counts()
        yield GaugeMetricFamily("mermaide_learners", "Learners", number)
        yield GaugeMetricFamily("mermaide_paused_learners", "Learners that are paused", paused)

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that the database is not asked at the start."""
        return iter(())

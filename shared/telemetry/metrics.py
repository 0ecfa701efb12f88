"""Metrics named ``carry_<service>_<thing>_<base unit>``, with bounded labels that start at zero."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UNITS: Final = ("seconds", "bytes", "ratio", "usdt", "count", "info")
ID_LABELS: Final = frozenset({"id", "order_id", "client_order_id", "plan_id", "correlation_id"})
SERIES_MAX: Final = 1_000
LATENCY_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip

Labels = Mapping[str, Sequence[str]]


class Metrics:
    """The metrics of one service, in a registry of their own.

    ``labels`` maps each label name to all its values: every combination is there, at zero, before
    the first event, so that a rate over "nothing yet" is 0 and not missing.
    """

    def __init__(self, service: str) -> None:
        _require(NAME.fullmatch(service) is not None, f"{service!r} is no metric name part")
        self.service = service
        self.registry = CollectorRegistry(auto_describe=False)

    def counter(self, thing: str, documentation: str, labels: Labels | None = None) -> Counter:
        """Return the counter ``carry_<service>_<thing>_total``."""
        _require(not thing.endswith("_total"), f"{thing}: the ending _total is added here")
        metric = Counter(
            self._name(thing), documentation, list(labels or ()), registry=self.registry
        )
        self._start_at_zero(metric, labels)
        return metric

    def gauge(self, thing: str, documentation: str, labels: Labels | None = None) -> Gauge:
        """Return the gauge ``carry_<service>_<thing>``, whose name ends in its unit.

        "Last done" is a gauge that ends in ``_timestamp_seconds``; its age is the query's job.
        """
        self._require_unit(thing)
        metric = Gauge(self._name(thing), documentation, list(labels or ()), registry=self.registry)
        self._start_at_zero(metric, labels)
        return metric

    def histogram(
        self,
        thing: str,
        documentation: str,
        labels: Labels | None = None,
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> Histogram:
        """Return the histogram ``carry_<service>_<thing>``, whose name ends in its unit."""
        self._require_unit(thing)
        metric = Histogram(
            self._name(thing),
            documentation,
            list(labels or ()),
            registry=self.registry,
            buckets=tuple(buckets),
        )
        self._start_at_zero(metric, labels)
        return metric

    def render(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        return generate_latest(self.registry)

    def _name(self, thing: str) -> str:
        name = f"carry_{self.service}_{thing}"
        _require(NAME.fullmatch(name) is not None, f"{name!r} is not lower_snake_case")
        return name

    def _require_unit(self, thing: str) -> None:
        fits = thing.rpartition("_")[2] in UNITS
        _require(fits, f"{thing}: must end in one of {', '.join(UNITS)}")

    def _start_at_zero(self, metric: Counter | Gauge | Histogram, labels: Labels | None) -> None:
        if not labels:
            return
        ids = ID_LABELS.intersection(labels)
        _require(not ids, f"ids are never labels: {', '.join(sorted(ids))}")
        for values in _combinations(labels):
            metric.labels(*values)


def _combinations(labels: Labels) -> Iterator[tuple[str, ...]]:
    combinations = list(product(*labels.values()))
    _require(len(combinations) <= SERIES_MAX, f"{len(combinations)} series for one metric")
    return iter(combinations)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)

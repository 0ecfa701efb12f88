"""What the collector counts, and its state as probes and the heartbeat see it."""

from datetime import datetime

from services.collector.collector import Collector
from shared.telemetry.metrics import Metrics


class Meters:
    """The collector's metrics; ``update`` carries over what others count."""

    def __init__(self, metrics: Metrics) -> None:
        self._published = metrics.counter("quotes_published", "Quotes put on the stream")
        self._dropped = metrics.counter("quotes_dropped", "Quotes the store could not keep up with")
        self._malformed = metrics.counter("messages_malformed", "Public messages set aside")
        self._missing = metrics.counter("funding_missing", "Settlements the venue showed too late")
        self._venue_at = metrics.gauge(
            "venue_timestamp_seconds", "Newest stamp of the public feed, venue time"
        )
        self._pools_lost = metrics.gauge(
            "pools_lost_count", "One while the insurance pools are not known: nothing is entered"
        )
        self._delay = metrics.histogram(
            "funding_delay_seconds", "Wall time from a settlement's announcement to its row"
        )
        self._seen = {"published": 0, "dropped": 0, "malformed": 0}

    def funding_missing(self, symbol: str) -> None:
        """Count a settlement that is not shown in time."""
        del symbol  # named in the log; a metric's labels are bounded
        self._missing.inc()

    def funding_stored(self, seconds: float) -> None:
        """Note how long a settlement took to its row."""
        self._delay.observe(seconds)

    def update(self, collector: Collector, malformed: int, venue_at: datetime | None) -> None:
        """Carry the counts over to the metrics."""
        for name, metric, total in (
            ("published", self._published, collector.published),
            ("dropped", self._dropped, collector.dropped),
            ("malformed", self._malformed, malformed),
        ):
            metric.inc(total - self._seen[name])
            self._seen[name] = total
        self._pools_lost.set(collector.pools_are_lost)
        if venue_at is not None:
            self._venue_at.set(venue_at.timestamp())

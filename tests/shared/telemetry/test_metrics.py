"""Names follow STYLE, labels are bounded, and everything starts at zero."""

import pytest

from shared.telemetry.metrics import Metrics


def test_a_counter_is_there_at_zero_for_every_label_value() -> None:
    metrics = Metrics("executor")
    metrics.counter("orders", "Orders by outcome.", {"outcome": ("filled", "rejected")})
    text = metrics.render().decode()
    assert 'carry_executor_orders_total{outcome="filled"} 0.0' in text
    assert 'carry_executor_orders_total{outcome="rejected"} 0.0' in text
    assert "_created" not in text


def test_a_histogram_counts_under_its_unit() -> None:
    metrics = Metrics("strategy")
    metrics.histogram("decision_seconds", "Time of one pass.", buckets=(0.1, 1)).observe(0.5)
    text = metrics.render().decode()
    assert 'carry_strategy_decision_seconds_bucket{le="0.1"} 0.0' in text
    assert 'carry_strategy_decision_seconds_bucket{le="1.0"} 1.0' in text


def test_two_services_in_one_process_do_not_share_metrics() -> None:
    for service in ("strategy", "executor"):
        metrics = Metrics(service)
        metrics.gauge("venue_timestamp_seconds", "Newest venue stamp.").set(5)
        assert metrics.render().decode().count("_timestamp_seconds 5.0") == 1


def test_a_name_without_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="lag: must end in one of seconds"):
        Metrics("collector").gauge("lag", "No unit.")


def test_an_id_is_no_label() -> None:
    with pytest.raises(ValueError, match="ids are never labels: order_id"):
        Metrics("executor").counter("orders", "By order.", {"order_id": ("1",)})


def test_too_many_series_are_refused() -> None:
    with pytest.raises(ValueError, match="1001 series"):
        Metrics("executor").counter("orders", ".", {"symbol": [str(n) for n in range(1001)]})

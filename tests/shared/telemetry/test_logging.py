"""Log lines are JSON, say their service, and hold no secret."""

import io
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import structlog

from shared.telemetry.logging import configure_logging


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_service_level_and_bound_keys(out: io.StringIO) -> None:
    configure_logging("executor", stream=out)
    with structlog.contextvars.bound_contextvars(correlation_id="c-1"):
        structlog.get_logger().info("order_filled", quantity=Decimal("0.250"))
    (line,) = lines(out)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "order_filled",
        "service": "executor",
        "level": "info",
        "correlation_id": "c-1",
        "quantity": "0.250",
    }


def test_secrets_are_hidden_by_key_by_value_and_inside_addresses(out: io.StringIO) -> None:
    configure_logging("executor", stream=out, secrets=["s3cr3t-value"])
    structlog.get_logger().warning(
        "connected",
        api_key="abc",
        request={"headers": {"X": 1}, "text": "signed with s3cr3t-value"},
        to="postgresql://carry_executor:hunter22@db/carrydesk",
    )
    text = out.getvalue()
    for secret in ("abc", "s3cr3t-value", "hunter22"):
        assert secret not in text
    (line,) = lines(out)
    assert line["request"] == {"headers": "[hidden]", "text": "signed with [hidden]"}
    assert line["to"] == "postgresql://carry_executor:[hidden]@db/carrydesk"


def test_secrets_in_a_traceback_are_hidden(out: io.StringIO) -> None:
    configure_logging("executor", stream=out, secrets=["s3cr3t-value"])
    try:
        raise ValueError("bad s3cr3t-value")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError: bad [hidden]" in lines(out)[0]["exception"]
    assert "s3cr3t-value" not in out.getvalue()


def test_libraries_log_through_the_same_filter(out: io.StringIO) -> None:
    configure_logging("collector", stream=out, secrets=["s3cr3t-value"])
    logging.getLogger("pybit").warning("key is %s", "s3cr3t-value")
    logging.getLogger("pybit").info("progress")
    (line,) = lines(out)
    assert (line["event"], line["service"], line["logger"]) == (
        "key is [hidden]",
        "collector",
        "pybit",
    )


def test_lines_below_the_level_are_left_out(out: io.StringIO) -> None:
    configure_logging("collector", level="WARNING", stream=out)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]

"""Every example the venue prints, and what becomes of it when somebody tampers with it."""

import copy
import dataclasses
import json
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shared.domain.errors import Malformed
from shared.exchange.bybit.frames import as_frame, decoded
from shared.exchange.bybit.values import envelope_values
from tests.support.payloads import BESIDE, FOLDER, SETS, Payload, payloads, reader_of

ALL = list(payloads())
READ = [p for p in ALL if not p.sent]
INDEX = json.loads((FOLDER / "bybit-docs/index.json").read_text())
OURS = {f"bybit-docs/{entry['file']}" for entry in INDEX["files"]}

REFUSED = {
    "bybit-docs/pre-upgrade/transaction-log.response.json": "id is None",
    "bybit-nautilus/market/http_get_instruments_option.json": "fundingInterval is None",
    "bybit-nautilus/ws-public/ws_orderbook_delta.json": "set aside by the board",
}
"""A log without ids, an option without funding, a level-1 book as a delta: nothing to guess."""
KNOWN = [p for p in READ if p.name in OURS or p.name in REFUSED or "nautilus" in p.name]
"""Payloads of which we know that they are read; a set beside the repository may bring others."""


def name_of(payload: Payload) -> str:
    return payload.name


def walk(value: Any) -> Iterator[Any]:
    """Yield ``value`` and all that it holds."""
    yield value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from walk(getattr(value, field.name))
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from walk(key)
            yield from walk(held)
    elif isinstance(value, list | tuple):
        for held in value:
            yield from walk(held)


def read(payload: Payload, body: Any) -> Any:
    return reader_of(payload)(body)


def test_every_file_is_in_its_index() -> None:
    files = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in SETS.items()
        for path in folder.glob("**/*.json")
        if path.name != "index.json"
    }
    assert files == {payload.name for payload in ALL}


def test_the_payloads_beside_the_repository_are_read_too() -> None:
    if not BESIDE.is_dir():
        pytest.skip(f"{BESIDE} is not there: only the venue's own examples are read")
    assert {"bybit-docs", "bybit-nautilus"} <= set(SETS)


@pytest.mark.parametrize("payload", READ, ids=name_of)
def test_a_payload_becomes_typed_values_or_a_typed_refusal(payload: Payload) -> None:
    value = with_refusal(payload, payload.read())
    assert not any(isinstance(held, float) for held in walk(value))
    if reader_of(payload) is envelope_values:
        assert "" not in list(walk(value))


@pytest.mark.parametrize("payload", KNOWN, ids=name_of)
def test_only_what_leaves_something_to_guess_is_refused(payload: Payload) -> None:
    if payload.name in REFUSED:
        with pytest.raises(Malformed, match=REFUSED[payload.name]):
            read(payload, payload.read())
    else:
        read(payload, payload.read())


@pytest.mark.parametrize("payload", READ, ids=name_of)
def test_unknown_keys_change_nothing(payload: Payload) -> None:
    plain, wide = (
        with_refusal(payload, body) for body in (payload.read(), widened(payload.read()))
    )
    assert without_new(wide) == without_new(plain)


@pytest.mark.parametrize("payload", READ, ids=name_of)
def test_a_payload_that_lists_nothing_is_no_failure_of_ours(payload: Payload) -> None:
    cases: tuple[Any, ...] = (None, [], {}, "", 0, {"result": None}, {"data": None}, {"topic": 1})
    for broken in cases:
        body = broken if isinstance(broken, dict) else {"result": broken, "data": broken}
        with_refusal(payload, body)


def widened(value: Any) -> Any:
    """Return a copy whose every object holds a key that we have never seen."""
    if isinstance(value, dict):
        return {key: widened(held) for key, held in value.items()} | {"newKeyOfMonth": [{"a": 1}]}
    return [widened(held) for held in value] if isinstance(value, list) else value


def without_new(value: Any) -> Any:
    """Return ``value`` without the key that we have never seen."""
    if isinstance(value, dict):
        return {k: without_new(held) for k, held in value.items() if k != "newKeyOfMonth"}
    return [without_new(held) for held in value] if isinstance(value, list) else value


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["", "NaN", "-Infinity", "1e999999999", "0x1", "1_0", "٣", "-0", " 1", "9" * 400, "Buy"]
    ),
    st.recursive(
        st.none() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=5,
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything that a payload holds."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, held in items:
        yield (*path, key)
        yield from places(held, (*path, key))


@st.composite
def tampered(draw: st.DrawFn) -> tuple[Payload, Any]:
    """A real payload with one to four of its values dropped, replaced, doubled or nested."""
    payload = draw(st.sampled_from(READ))
    body = payload.read()
    for _ in range(draw(st.integers(1, 4))):
        paths = list(places(body))
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        holder = body
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(["drop", "replace", "nest", "list", "number"])):
            case "drop":
                del holder[last]
            case "replace":
                holder[last] = draw(JUNK)
            case "nest":
                holder[last] = {"value": holder[last]}
            case "list":
                holder[last] = [copy.deepcopy(holder[last])] * draw(st.integers(0, 3))
            case _:
                holder[last] = draw(st.integers() | st.floats())
    return payload, body


def with_refusal(payload: Payload, body: Any) -> Any:
    """Read; a refusal is None."""
    try:
        return read(payload, body)
    except Malformed:
        return None


@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tampered())
def test_a_tampered_payload_is_a_typed_value_or_malformed_within_50_ms(
    case: tuple[Payload, Any],
) -> None:
    payload, body = case
    began = time.thread_time()
    value = with_refusal(payload, body)
    assert time.thread_time() - began < 0.05
    for held in walk(value):
        assert not isinstance(held, float)
        if isinstance(held, Decimal):
            assert held.is_finite()
        if isinstance(held, datetime):
            assert held.tzinfo is not None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tampered())
def test_bytes_and_what_another_library_decoded_are_read_alike(case: tuple[Payload, Any]) -> None:
    """picows' frames are decoded by us, those of pybit and ccxt by json."""
    _, body = case
    assume(not any(isinstance(held, float) for held in walk(body)))
    payload = json.dumps(body).encode()
    assert decoded(payload) == as_frame(json.loads(payload))


def test_any_payload_has_decimals_blanks_and_ids_as_they_are_meant() -> None:
    said = envelope_values(
        {
            "retCode": 0,
            "result": {
                "orderId": "0012", "price": "1.50", "blank": "", "pr": -0.3, "list": [["1", True]],
                "symbol": "BTCUSDT", "updatedTime": "1757733960000",
            },
        }
    )  # fmt: skip
    assert said == {
        "retCode": 0,
        "result": {
            "orderId": "0012", "price": Decimal("1.50"), "blank": None, "pr": Decimal("-0.3"),
            "list": [[Decimal(1), True]], "symbol": "BTCUSDT",
            "updatedTime": Decimal(1757733960000),
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "odd", [float("nan"), float("inf"), 1e300, "9" * 400, json.loads("[" * 99 + "]" * 99)]
)
def test_what_is_no_value_of_anything_is_malformed(odd: Any) -> None:
    with pytest.raises(Malformed):
        envelope_values({"result": {"price": odd}})
    with pytest.raises(Malformed):
        envelope_values([odd])

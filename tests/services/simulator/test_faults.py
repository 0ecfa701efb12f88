"""What goes wrong, by script: each fault as a client meets it, and the same for the same seed."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.simulator.script import HAPPENINGS, KINDS, read_script
from shared.domain.errors import Misconfigured
from tests.services.simulator.builders import Client, serving, settings, signed, state
from tests.services.simulator.driven import Driven, driven

D = Decimal


def code(answer: Any) -> int:
    return int(answer.json()["retCode"])


def executions(venue: Driven) -> int:
    return venue.simulator.desk.counts()["executions"]


async def test_without_a_script_nothing_is_asked_and_nothing_changes(tmp_path: Path) -> None:
    async with driven(tmp_path) as venue:
        assert venue.simulator.faults is None
        assert code(await venue.order("a")) == 0


@pytest.mark.fact("RELIABILITY 1.3: a time-out says nothing of what happened")
async def test_a_lost_request_never_reaches_the_venue_and_a_lost_reply_has(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: lost_request
          where: order/create
          nth: 1
          seconds: 2
        - kind: lost_reply
          where: order/create
          nth: 1
          seconds: 2
    """
    async with driven(tmp_path, script) as venue:
        assert (await venue.order("a")).status_code == 504
        assert executions(venue) == 0
        assert (await venue.order("a")).status_code == 504
        assert executions(venue) == 1
        # the third reaches it, and proves that the second did (bybit-v5.md 13: 170141)
        assert code(await venue.order("a")) == 170141


@pytest.mark.fact("RELIABILITY 1.3: the receive window is a fence on the venue's side")
async def test_a_late_request_is_judged_by_the_wall_clock_when_it_arrives(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: late_request
          where: order/create
          seconds: %s
    """
    async with driven(tmp_path, script % "4.5") as venue:
        assert code(await venue.order("a")) == 0
    async with driven(tmp_path, script % "5.5") as venue:
        assert code(await venue.order("a")) == 10002  # bybit-v5.md 2.3: a window of 5,000 ms
        assert executions(venue) == 0


@pytest.mark.fact("RELIABILITY 1.3: 10016, 10000, 170007, 170146 leave the order unknown")
async def test_a_code_comes_on_the_sends_that_are_named_and_may_hide_an_order(
    tmp_path: Path,
) -> None:
    script = """
        faults:
        - kind: error
          where: order/create
          nth: [2, 3]
          code: 10006
          message: Too many visits!
        - kind: error
          where: order/create
          nth: 2
          code: 170007
          executes: true
    """
    async with driven(tmp_path, script) as venue:
        answers = [await venue.order(str(n)) for n in range(4)]
        # the first entry counts four sends, the second those the first let pass: 1 and 4
        assert [code(a) for a in answers] == [0, 10006, 10006, 170007]
        assert answers[1].headers["X-Bapi-Limit-Status"] == "0"
        assert executions(venue) == 2


@pytest.mark.parametrize("form", ["html", "cut", "types", "empty"])
async def test_a_malformed_answer_is_still_http_200(tmp_path: Path, form: str) -> None:
    script = f"""
        faults:
        - kind: malformed
          where: market/tickers
          form: {form}
    """
    async with driven(tmp_path, script) as venue:
        answer = await venue.get("market/tickers", "category=linear&symbol=BTCUSDT")
        assert answer.status_code == 200
        if form == "types":
            assert answer.json()["retCode"] == "0"
            assert isinstance(answer.json()["result"]["list"][0]["lastPrice"], int)
        else:
            with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
                answer.json()


@pytest.mark.fact("RELIABILITY 1.3: realtime, history and executions may lag, each by itself")
async def test_an_order_stays_invisible_to_the_reads_that_lag(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: invisible
          where: order/*
          seconds: 3
    """
    async with driven(tmp_path, script) as venue:
        assert code(await venue.order("a")) == 0
        reads = {
            "order/history": "category=spot&orderLinkId=a",
            "order/realtime": "category=spot&orderLinkId=a",
            "execution/list": "category=spot&orderLinkId=a",
        }
        rows = {p: (await venue.get(p, q)).json()["result"]["list"] for p, q in reads.items()}
        assert {path: len(found) for path, found in rows.items()} == {
            "order/history": 0, "order/realtime": 0, "execution/list": 1,
        }  # fmt: skip
        await venue.clock.advance(3)
        for path, query in reads.items():
            assert len((await venue.get(path, query)).json()["result"]["list"]) == 1


@pytest.mark.fact("RELIABILITY 1.3: a message may come twice, late or out of order")
async def test_events_are_dropped_doubled_swapped_and_delayed(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: %s
          where: private/execution
          nth: 1
          seconds: 5
    """
    seen: dict[str, list[str]] = {}
    for kind in ("dropped_event", "duplicated_event", "reordered_event", "delayed_event"):
        async with driven(tmp_path, script % kind) as venue:
            socket = await venue.socket("/v5/private", "execution")
            for link_id in ("a", "b"):
                await venue.order(link_id)
            soon = [m["data"][0]["orderLinkId"] for m in socket.said if "topic" in m]
            await venue.clock.advance(6)
            late = [m["data"][0]["orderLinkId"] for m in socket.said if "topic" in m]
            seen[kind] = ["".join(soon), "".join(late)]
    assert seen == {
        "dropped_event": ["b", "b"],
        "duplicated_event": ["aab", "aab"],
        "reordered_event": ["ba", "ba"],
        "delayed_event": ["b", "ba"],
    }


@pytest.mark.fact("RELIABILITY 1.3: a filled order may be reported twice when a cancel raced it")
async def test_a_fill_that_met_a_cancel_is_told_twice(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: filled_again
          where: private/order
    """
    async with driven(tmp_path, script) as venue:
        socket = await venue.socket("/v5/private", "order", "execution")
        await venue.order("a")
        await venue.clock.advance(1)
        rows = [row for m in socket.said if m.get("topic") == "order" for row in m["data"]]
        told = [(row["orderStatus"], row["rejectReason"]) for row in rows]
        assert told[-2:] == [("Filled", "EC_NoError"), ("Filled", "EC_OrigClOrdIDDoesNotExist")]
        assert [row["orderStatus"] for row in rows].count("Filled") == 2
        assert len([m for m in socket.said if m.get("topic") == "execution"]) == 1


async def test_a_silent_socket_still_answers_pings(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: silence
          where: linear/*
          from: 5
          until: 15
    """
    async with driven(tmp_path, script) as venue:
        socket = await venue.socket("/v5/public/linear", "tickers.BTCUSDT")
        await venue.clock.advance(4)
        assert len(socket.topics()) in (4, 5)  # one move a second
        await venue.clock.advance(2)
        heard = len(socket.topics())
        socket.send({"op": "ping", "req_id": "1"})
        await venue.clock.advance(8)
        assert len(socket.topics()) == heard
        assert socket.said[-1]["ret_msg"] == "pong"
        await venue.clock.advance(3)
        assert len(socket.topics()) > heard


@pytest.mark.fact("RELIABILITY 1.3: a restart is not announced; books count from u = 1")
async def test_a_restart_forgets_closed_orders_and_closes_every_socket(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: restart
          from: 5
          seconds: 2
    """
    async with driven(tmp_path, script) as venue:
        sockets = [
            await venue.socket("/v5/private", "order"),
            await venue.socket("/v5/public/linear", "orderbook.1.BTCUSDT"),
        ]
        await venue.order("a")
        open_query = "category=spot&symbol=BTCUSDT&openOnly=1"
        before = await venue.get("order/realtime", open_query)
        assert len(before.json()["result"]["list"]) == 1
        await venue.clock.advance(5)
        assert [s.closed for s in sockets] == [1001, 1001]
        assert code(await venue.get("order/realtime", open_query)) == 10016
        assert (await venue.socket("/v5/private", "order")).closed == 1013
        await venue.clock.advance(2)
        after = await venue.get("order/realtime", open_query)
        assert after.json()["result"]["list"] == []
        known = await venue.get("order/history", "category=spot&orderLinkId=a")
        assert len(known.json()["result"]["list"]) == 1  # bybit-v5.md 5.6: history remembers
        again = await venue.socket("/v5/public/linear", "orderbook.1.BTCUSDT")
        await venue.clock.advance(1.1)
        books = [m for m in again.said if "topic" in m]
        assert books[0]["data"]["u"] <= 3


@pytest.mark.fact("bybit-v5 13: a key that is no more answers 10003")
async def test_a_revoked_key_closes_private_sockets_and_leaves_the_public_alone(
    tmp_path: Path,
) -> None:
    script = """
        faults:
        - kind: key_revoked
          from: 5
    """
    async with driven(tmp_path, script) as venue:
        private = await venue.socket("/v5/private", "order")
        public = await venue.socket("/v5/public/linear", "tickers.BTCUSDT")
        await venue.clock.advance(6)
        assert (private.closed, public.closed) == (1001, None)
        assert code(await venue.order("a")) == 10003
        assert code(await venue.get("market/tickers", "category=spot")) == 0
        assert (await venue.socket("/v5/private", "order")).closed == 1013


@pytest.mark.fact("bybit-v5 11.4: maintenance is announced by system/status")
async def test_maintenance_is_announced_refuses_everything_and_passes(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: maintenance
          from: 60
          until: 120
          notice_seconds: 30
          status: 503
    """
    async with driven(tmp_path, script) as venue:
        states = []
        for wait in (20, 20, 30, 60):
            await venue.clock.advance(wait)
            rows = (await venue.get("system/status")).json()["result"]["list"]
            states.append([row["state"] for row in rows])
            status = (await venue.get("market/time")).status_code
            assert status == (503 if states[-1] == ["ongoing"] else 200)
        assert states == [[], ["scheduled"], ["ongoing"], ["completed"]]


@pytest.mark.parametrize(("skew", "said"), [("-2", 10002), ("-0.5", 0), ("2", 0), ("5.5", 10002)])
async def test_a_venue_whose_clock_is_wrong_judges_by_it(
    tmp_path: Path, skew: str, said: int
) -> None:
    script = f"""
        faults:
        - kind: clock_skew
          seconds: {skew}
    """
    # bybit-v5.md 2.3: server - window <= stamp < server + 1,000 ms, on the server's clock
    async with driven(tmp_path, script) as venue:
        assert code(await venue.order("a")) == said
        told = int((await venue.get("market/time")).json()["result"]["timeNano"]) / 10**9
        assert told - venue.clock.now().timestamp() == pytest.approx(float(skew), abs=0.05)


async def test_the_trade_socket_goes_wrong_as_rest_does(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: lost_reply
          where: order/create
          nth: 1
        - kind: error
          where: order/create
          nth: 1
          code: 10019
        - kind: malformed
          where: order/cancel
          form: cut
        - kind: key_revoked
          from: 60
    """
    async with driven(tmp_path, script) as venue:
        socket = await venue.socket("/v5/trade")
        order = {
            "category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market",
            "marketUnit": "baseCoin", "qty": "0.01",
        }  # fmt: skip
        for number in (1, 2, 3):
            stamp = str(int(venue.clock.now().timestamp() * 1000))
            header = {"X-BAPI-TIMESTAMP": stamp}
            said = {"op": "order.create", "reqId": str(number), "header": header, "args": [order]}
            socket.send(said)
            await venue.clock.advance(0.1)
        answers = [(m["reqId"], m["retCode"]) for m in socket.said if m.get("op") != "auth"]
        assert answers == [("2", 10019), ("3", 0)]
        assert executions(venue) == 2
        await venue.clock.advance(60)
        assert socket.closed == 1001


async def short(venue: Driven, qty: str, symbol: str = "BTCUSDT") -> None:
    answer = await venue.post(
        "order/create", category="linear", symbol=symbol, side="Sell", orderType="Market", qty=qty
    )
    assert code(answer) == 0


async def kinds(venue: Driven) -> list[str]:
    """Return what kinds of executions the perpetuals had, oldest first."""
    found = await venue.get("execution/list", "category=linear&limit=100")
    return [row["execType"] for row in reversed(found.json()["result"]["list"])]


async def test_a_mark_spike_liquidates_who_has_too_little_margin(tmp_path: Path) -> None:
    script = """
        events:
        - kind: mark_spike
          symbol: BTCUSDT
          from: 10
          until: 12
          move: 0.9
    """
    async with driven(tmp_path, script, deposits={"USDT": D(1_000)}) as venue:
        await short(venue, "0.03")  # about 1,100 USDT short: 90 % more loses the account
        await venue.clock.advance(13)
        assert set(await kinds(venue)) == {"Trade", "BustTrade"}
        assert D("-0.03") < venue.simulator.desk.exchange.positions["BTCUSDT"].size <= 0


async def test_a_delisting_takes_no_new_positions_then_closes_what_is_held(tmp_path: Path) -> None:
    script = """
        events:
        - kind: delisting
          symbol: XRPUSDT
          from: 10
          until: 30
    """
    async with driven(tmp_path, script) as venue:
        await short(venue, "100", "XRPUSDT")
        await venue.clock.advance(12)
        order = {"category": "linear", "symbol": "XRPUSDT", "orderType": "Market", "qty": "10"}
        assert code(await venue.post("order/create", side="Sell", **order)) == 30228
        assert code(await venue.post("order/create", side="Buy", **order)) == 0
        await venue.clock.advance(20)
        assert await kinds(venue) == ["Trade", "Trade", "Delivery"]
        assert code(await venue.post("order/create", side="Buy", **order)) == 110074
        listed = [
            (await venue.get("market/instruments-info", f"category=linear&status={status}")).json()
            for status in ("Trading", "Closed")
        ]
        names = [[row["symbol"] for row in each["result"]["list"]] for each in listed]
        assert names == [["BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT"], ["XRPUSDT"]]


async def test_deleveraging_closes_a_part_at_the_mark(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: deleveraging
          symbol: BTCUSDT
          quantity: 0.02
          from: 10
    """
    async with driven(tmp_path, script) as venue:
        await short(venue, "0.03")
        await venue.clock.advance(12)
        assert await kinds(venue) == ["Trade", "AdlTrade"]
        assert venue.simulator.desk.exchange.positions["BTCUSDT"].size == D("-0.01")


async def run_through(folder: Path, seed: int) -> str:
    """Trade under everything at once and return all that went over the wire, and what struck."""
    script = f"""
        seed: {seed}
        faults:
        - kind: lost_reply
          where: order/*
          rate: 0.2
          seconds: 1
        - kind: late_request
          rate: 0.2
          seconds: 0.3
        - kind: error
          where: order/create
          rate: 0.2
        - kind: dropped_event
          rate: 0.1
        - kind: duplicated_event
          rate: 0.1
        - kind: reordered_event
          rate: 0.1
        - kind: delayed_event
          rate: 0.1
          seconds: 2.5
        - kind: restart
          from: 20
          seconds: 1
        events:
        - kind: mark_spike
          symbol: BTCUSDT
          from: 10
          until: 15
          move: 0.1
    """
    async with driven(folder, script) as venue:
        for _ in range(2):
            await venue.socket("/v5/private", "order", "execution", "wallet")
            await venue.socket("/v5/public/linear", "tickers.BTCUSDT", "orderbook.50.ETHUSDT")
            for n in range(15):
                await venue.order(f"o{n}", "Buy" if n % 3 else "Sell")
                await venue.get("order/realtime", "category=spot&openOnly=1")
                await venue.clock.advance(0.7)
        assert venue.simulator.faults is not None
        return "\n".join([*venue.transcript, *venue.simulator.faults.fired])


async def test_the_same_seed_is_the_same_log_to_the_byte(tmp_path: Path) -> None:
    first = await run_through(tmp_path, 7)
    assert await run_through(tmp_path, 7) == first
    assert await run_through(tmp_path, 8) != first
    for kind in ("lost_reply", "late_request", "error", "dropped_event", "duplicated_event",
                 "reordered_event", "delayed_event", "restart"):  # fmt: skip
        assert f" {kind} " in first


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("faults: [{kind: lost}]", "faults 1: kind = 'lost' cannot be: write one of clock_skew, d"),
        ("faults: [{where: order/*}]", "faults 1: kind is missing"),
        ("faults: [{kind: error, rate: 2}]", "rate = '2' cannot be: write a number from 0 to 1"),
        ("faults: [{kind: error, rate: NaN}]", "rate = 'NaN' cannot be"),
        ("faults: [{kind: error, nth: 0}]", "nth = '0' cannot be: write a whole number from 1"),
        ("faults: [{kind: error, nth: []}]", "nth = .* cannot be: write a whole number"),
        ("faults: [{kind: error, executes: yes}]", "executes = 'yes' .* write one of true, false"),
        ("faults: [{kind: error, from: 2024-01-01T00:00:00}]", "whole seconds after the start, or"),
        ("faults: [{kind: error, colour: red}]", "colour is not known: state kind, form, where"),
        ("faults: {kind: error}", "faults is no list: begin each entry with '- kind: ...'"),
        ("faults: [error]", "faults is no list"),
        ("- kind: error", "is no mapping: state seed, faults, events"),
        ("seed: -1", "seed = '-1' cannot be: write a whole number from 0"),
        ("fault: []", "fault is not known: state seed, faults, events"),
        ("events: [{kind: funding}]", "events 1: symbol is missing"),
        ("events: [{kind: delisting, symbol: BTCUSDT}]", "needs until"),
        ("events: [{kind: funding, symbol: NOUSDT}]", "NOUSDT, which is not listed"),
        ("faults: [{kind: deleveraging}]", "needs symbol and quantity"),
        ("faults: [{kind: deleveraging, symbol: NOUSDT, quantity: 1}]", "NOUSDT is not listed"),
        ("faults: [{kind: lost_reply, seconds: -1}]", "write a number from 0 to 3600"),
        ("seed: 1\nfaults:\n  - kind: error\n    where: *\n", "line 4: .*; correct the script"),
        ("seed: 1\nseed: 2", "line 1: a key stands here twice; correct the script"),
        ("seed: \x00", "correct the script"),
    ],
)
async def test_a_wrong_script_is_one_sentence(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        async with driven(tmp_path, script):
            pytest.fail("it opened")


async def test_recorded_history_cannot_be_told_what_to_do(tmp_path: Path) -> None:
    script = "events: [{kind: mark_spike, symbol: BTCUSDT}]"
    with pytest.raises(Misconfigured, match="events need --synthetic"):
        async with driven(tmp_path, script, synthetic=None, symbols=("BTCUSDT",)):
            pytest.fail("it opened")


async def books_after(folder: Path) -> dict[str, Any]:
    """Trade over real sockets while requests, replies and events go astray; return the books."""
    script = folder / "faults.yaml"
    script.write_text(
        """
        seed: 3
        faults:
        - kind: lost_request
          where: order/create
          rate: 0.3
          seconds: 0.05
        - kind: lost_reply
          where: order/create
          rate: 0.3
          seconds: 0.05
        - kind: error
          where: order/create
          rate: 0.3
          executes: true
        - kind: dropped_event
          rate: 0.5
        """
    )
    given = settings(folder, database=None, synthetic=5, symbols=None, faults=script)
    async with serving(given) as simulator, Client(simulator) as client:
        codes = []
        for n in range(20):
            raw = json.dumps(
                {
                    "category": "spot", "symbol": "BTCUSDT", "side": "Buy" if n % 3 else "Sell",
                    "orderType": "Market", "marketUnit": "baseCoin", "qty": "0.01",
                    "orderLinkId": f"o{n}",
                }
            )  # fmt: skip
            answer = await client.http.post("/v5/order/create", content=raw, headers=signed(raw))
            code = answer.json()["retCode"] if answer.status_code == 200 else answer.status_code
            codes.append(code)
        assert {0, 504, 10016} <= set(codes)
        shown = await state(simulator)
        return {"codes": codes, **{k: shown[k] for k in ("wallet", "positions", "counts")}}


async def test_over_sockets_the_same_seed_leaves_the_same_books(tmp_path: Path) -> None:
    assert await books_after(tmp_path) == await books_after(tmp_path)


def test_the_script_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()
    [stated] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "script.yaml").write_text(stated)
    script = read_script(tmp_path / "script.yaml", 0)
    assert [f.kind for f in script.faults] == ["lost_reply", "duplicated_event", "restart"]
    assert [h.symbol for h in script.happenings] == ["SOLUSDT"]
    for kind in KINDS | HAPPENINGS:
        assert f"`{kind}`" in page

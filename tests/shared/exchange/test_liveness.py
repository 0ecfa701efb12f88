"""Topics that fall silent while their socket stands."""

from shared.exchange.bybit.frames import PublicFrame
from shared.exchange.bybit.liveness import Liveness

BOOK, TICKER, QUIET = "orderbook.1.BTCUSDT", "tickers.BTCUSDT", "tickers.XUSDT"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def said(stamp: int, *topics: str) -> list[PublicFrame]:
    return [PublicFrame(topic=topic, ts=stamp) for topic in topics]


def test_a_topic_is_unheard_until_it_speaks() -> None:
    liveness = Liveness([BOOK, TICKER])
    liveness.hear(said(1, TICKER), 0.0)
    assert liveness.unheard() == [BOOK]
    liveness.hear(said(1, BOOK, BOOK), 0.1)
    assert liveness.unheard() == []


def test_the_one_topic_that_stops_is_told_and_the_others_are_not() -> None:
    liveness = Liveness([BOOK, TICKER])
    for tick in range(21):
        liveness.hear(said(1_000 + tick, BOOK, TICKER), float(tick))
    for tick in range(21, 30):
        liveness.hear(said(1_000 + tick, TICKER), float(tick))
    assert liveness.stale(29.0, 1_029, DAY_MS) == []  # nine seconds: three repeats of the book
    assert liveness.stale(29.1, 1_029, DAY_MS) == [BOOK]
    liveness.hear(said(1_030, BOOK), 29.2)
    assert liveness.stale(29.3, 1_030, DAY_MS) == []


def test_a_topic_that_is_quiet_by_nature_is_left_in_peace_on_both_clocks() -> None:
    liveness = Liveness([QUIET])
    for tick in range(0, 600, 60):
        liveness.hear(said(1 + tick * 1_000, QUIET), float(tick))
    # it speaks once a minute: three minutes are its bound, not the 3.5 s of the others
    assert liveness.stale(540.0 + 180, 720_001, 3_500) == []
    assert liveness.stale(540.0 + 181, 720_001, 3_500) == [QUIET]
    assert liveness.stale(541.0, 720_002, 3_500) == [QUIET]


def test_what_falls_back_on_the_venues_clock_is_stale_though_it_speaks() -> None:
    liveness = Liveness([BOOK, TICKER])
    for hour in range(3):
        liveness.hear(said(HOUR_MS * (hour + 1), BOOK, TICKER), float(hour))
    for hour in range(3, 6):
        liveness.hear(said(3 * HOUR_MS, BOOK), float(hour))
        liveness.hear(said(HOUR_MS * (hour + 1), TICKER), float(hour))
    two_bars = 2 * HOUR_MS
    assert liveness.stale(4.0, 5 * HOUR_MS, two_bars) == []
    assert liveness.stale(5.0, 6 * HOUR_MS, two_bars) == [BOOK]


def test_where_the_venue_stands_still_nothing_falls_back() -> None:
    liveness = Liveness([BOOK, TICKER])
    liveness.hear(said(5, BOOK, TICKER), 0.0)
    assert liveness.stale(1e9, 5, 0) == []


def test_what_has_never_spoken_is_unheard_and_not_stale() -> None:
    assert Liveness([BOOK]).stale(1e9, DAY_MS, 0) == []


def test_a_message_without_a_stamp_does_not_stretch_the_bound() -> None:
    liveness = Liveness([BOOK])
    for tick, stamp in enumerate((0, 1_700_000_000_000, 1_700_000_001_000)):
        liveness.hear(said(stamp, BOOK), float(tick))
    assert liveness.stale(2.0, 1_700_000_004_501, 3_500) == [BOOK]

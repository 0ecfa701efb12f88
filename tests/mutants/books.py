"""Bugs in what is booked, and in how often a message has its effect."""

from typing import Final

from tests.mutants.planted import Mutant

CONSUMER: Final = "shared/bus/consumer.py"
TESTS: Final = "tests/services/executor/"
OF_CONSUMER: Final = "tests/shared/bus/test_consumer.py::"
TAKE: Final = (
    "        async with self._pool.acquire() as connection, connection.transaction():\n"
    "            await self._move_cursor(connection, sequence)\n"
    "            if message is None:\n"
    "                await self._bury(connection, sequence, body, error)\n"
    "            else:\n"
    "                await handle(connection, message, sequence)\n"
)
BEGIN: Final = "        async with self._pool.acquire() as connection, connection.transaction():\n"
MOVE: Final = "            await self._move_cursor(connection, sequence)\n"

MUTANTS: Final = (
    Mutant(
        "acknowledged before the effect commits",
        "S2",
        CONSUMER,
        TAKE,
        f"{BEGIN}{MOVE}{TAKE.replace(MOVE, '')}",
        f"{OF_CONSUMER}test_s2_a_handler_that_fails_leaves_neither_effect_nor_cursor",
    ),
    Mutant(
        "cursor moved outside the effect's transaction",
        "S2",
        CONSUMER,
        TAKE,
        f"{TAKE.replace(MOVE, '')}{BEGIN}{MOVE}",
        f"{OF_CONSUMER}test_s9_a_commit_whose_answer_is_lost_is_remembered_and_not_repeated",
    ),
    Mutant(
        "a gap in what Redis tells is not noticed",
        "S5",
        CONSUMER,
        "sequences == list(range(first, first + len(entries)))",
        "sequences[0] >= first",
        f"{OF_CONSUMER}test_a_gap_in_redis_is_filled_from_the_table",
    ),
    Mutant(
        "a new consumer begins at the end",
        "S1",
        CONSUMER,
        "(SELECT min(sequence) - 1 FROM ops.outbox WHERE stream = $2)",
        "(SELECT max(sequence) FROM ops.outbox WHERE stream = $2)",
        f"{OF_CONSUMER}test_a_new_consumer_begins_with_the_oldest_row_there_is",
    ),
    Mutant(
        "a consumer that moves money skips what it cannot read",
        "S4",
        CONSUMER,
        'SKIPPABLE: Final = "market."',
        'SKIPPABLE: Final = ""',
        f"{OF_CONSUMER}test_s4_an_undecodable_entry_stops_a_consumer_that_moves_money",
    ),
    Mutant(
        "a float in one fee",
        "M7",
        "shared/exchange/bybit/parse.py",
        '            fee=amount(row, "execFee"),\n',
        '            fee=Decimal(str(float(amount(row, "execFee")))),\n',
        "tests/shared/exchange/test_bybit_parse.py::test_m7_a_fee_keeps_every_digit",
    ),
    Mutant(
        "slippage with the wrong sign",
        "M9",
        "shared/domain/books.py",
        "                slippage=quantity * (reference - price),\n",
        "                slippage=quantity * (price - reference),\n",
        "tests/shared/domain/test_books.py::test_what_an_opening_costs_is_told_by_cause",
    ),
    Mutant(
        "a hash that does not hold the one before it",
        "M12",
        "shared/store/ledger.py",
        "chained_hash(head.hash, group))",
        "chained_hash(GENESIS, group))",
        f"{TESTS}test_executor.py::test_a_target_is_opened_hedged_and_closed_again",
    ),
    Mutant(
        "what a row's parts do not explain is dropped",
        "M4",
        "services/executor/ledger.py",
        '        ("suspense", coin, -row.odd),\n',
        "",
        f"{TESTS}test_ledger.py::test_what_a_rows_parts_do_not_explain_goes_to_suspense",
    ),
    Mutant(
        "books that differ pause nothing",
        "M12",
        "services/executor/audit.py",
        '            self._guard.report("books", detail)\n',
        "",
        f"{TESTS}test_audit.py::"
        "test_l3_what_differs_is_alarmed_at_the_next_start_and_pauses_entries",
    ),
    Mutant(
        "a difference of the last digit is none",
        "M3",
        "services/executor/balances.py",
        "    if rows[-1].balance != ours:\n",
        '    if abs(rows[-1].balance - ours) > Decimal("1e-6"):\n',
        f"{TESTS}test_balances.py::test_the_last_digit_counts",
    ),
)

"""Bugs in how an order is journaled, sent and proven: at most once, and never forgotten."""

from typing import Final

from tests.mutants.planted import Mutant

ORDERS: Final = "services/executor/orders.py"
STORE: Final = "shared/store/orders.py"
TESTS: Final = "tests/services/executor/"
OF_ORDERS: Final = f"{TESTS}test_orders.py::"
OF_EXECUTOR: Final = f"{TESTS}test_executor.py::"
OF_JOURNAL: Final = "tests/shared/store/test_journal.py::"

MUTANTS: Final = (
    Mutant(
        "journal written while the order is sent",
        "O2",
        "services/executor/worker.py",
        "        self._refused = await self._gate.claim(plan, self.desk, attempt, adds=opens)\n",
        "        asyncio.ensure_future(self._orders.send(self.desk, order, attempt))\n"
        "        self._refused = await self._gate.claim(plan, self.desk, attempt, adds=opens)\n",
        f"{TESTS}test_gate.py::test_a_kill_between_start_and_first_order_stops_that_order",
    ),
    Mutant(
        "order id random per restart",
        "O3",
        "shared/domain/order.py",
        "{leg.value}{_base32(attempt, 2)}",
        "{leg.value}{_base32(hash(plan_id) % 1024, 2)}",
        "tests/shared/domain/test_order.py::test_an_id_fits_the_venues_rule_and_is_a_pure_function",
    ),
    Mutant(
        "plan id made anew when an intent comes again",
        "O3",
        "services/executor/executor.py",
        "content_id(str(self._epoch), message.intent_id)",
        "content_id(str(self._epoch), message.intent_id, str(now))",
        f"{OF_EXECUTOR}test_an_intent_delivered_twice_makes_one_plan",
        equivalent="An intent's id is unique in the table of plans: a second plan of it is not "
        "stored, whatever its own id, and the stored plan is what a restart reads.",
    ),
    Mutant(
        "absent on the first not-found",
        "O5",
        ORDERS,
        "                self._is_behind_fence(order, read_at, accepted=accepted)\n",
        "                read_at >= order.signed_at\n",
        f"{OF_ORDERS}test_o5_an_order_is_absent_after_two_reads_begun_behind_the_fence",
    ),
    Mutant(
        "one proof of absence is enough",
        "O5",
        ORDERS,
        "PROOFS: Final = 2",
        "PROOFS: Final = 1",
        f"{OF_ORDERS}test_o5_an_order_is_absent_after_two_reads_begun_behind_the_fence",
    ),
    Mutant(
        "a read that began before the fence is a proof",
        "O5",
        ORDERS,
        "        return read_at >= fence\n",
        "        return self._clock.now() >= fence\n",
        f"{OF_ORDERS}test_o5_an_order_is_absent_after_two_reads_begun_behind_the_fence",
    ),
    Mutant(
        "fence without the lag of reads",
        "O5",
        ORDERS,
        "seconds=self.receive_window_seconds + self.skew_seconds + self.read_lag_seconds",
        "seconds=self.receive_window_seconds + self.skew_seconds",
        f"{OF_ORDERS}test_o5_an_order_is_absent_after_two_reads_begun_behind_the_fence",
    ),
    Mutant(
        "fence from the first send",
        "O5",
        ORDERS,
        "        order.signed_at = self._clock.now()\n"
        "        if not await self._resend(order):\n"
        "            return False  # an earlier send has ended it, or a kill stands\n"
        "        try:\n"
        "            order_id = await self._place(desk, ticket, order)\n",
        "        first, order.signed_at = order.signed_at, self._clock.now()\n"
        "        if not await self._resend(order):\n"
        "            return False  # an earlier send has ended it, or a kill stands\n"
        "        try:\n"
        "            try:\n"
        "                order_id = await self._place(desk, ticket, order)\n"
        "            finally:\n"
        "                order.signed_at = first\n",
        f"{OF_ORDERS}test_o5_the_fence_counts_from_the_latest_send",
    ),
    Mutant(
        "10016 read as refused",
        "O7",
        "shared/exchange/bybit/errors.py",
        "        10001, 10028, 10029,",
        "        10001, 10016, 10028, 10029,",
        "tests/contract/test_codes.py::test_a_code_has_the_class_that_the_table_gives_it",
    ),
    Mutant(
        "fills from the stream only",
        "D5",
        ORDERS,
        "[*executions, *([] if report is None else [report])]",
        "[] if report is None else [report]",
        f"{OF_ORDERS}test_d5_fills_that_the_stream_never_told_are_booked_from_the_read",
    ),
    Mutant(
        "fills not deduplicated",
        "M5",
        STORE,
        "            WHERE pair = $7 AND EXISTS (SELECT 1 FROM new)\n",
        "            WHERE pair = $7\n",
        f"{OF_EXECUTOR}test_everything_said_three_times_is_booked_once",
    ),
    Mutant(
        "refusal of a re-send taken as final",
        "O6",
        ORDERS,
        "                if number:  # an earlier send may stand",
        "                if number < 0:  # an earlier send may stand",
        f"{OF_EXECUTOR}test_a_refusal_of_a_second_send_proves_nothing_about_the_first",
    ),
    Mutant(
        "refusal of a re-send stored as the order's end",
        "O4",
        STORE,
        "CASE WHEN $2 = 'rejected' AND sends > 1 THEN 'cancelled' ELSE $2 END",
        "$2",
        f"{OF_JOURNAL}test_an_order_shown_as_rejected_after_a_re_send_ends_as_cancelled",
    ),
    Mutant(
        "signed again after a pause",
        "O2",
        ORDERS,
        '            raise RateLimited("not sent: too long ago since it was signed")\n',
        "            order.signed_at = self._clock.now()\n",
        f"{OF_ORDERS}test_o2_a_send_that_stalled_is_abandoned_and_journaled_anew",
    ),
    Mutant(
        "sent although it stalled on its way to the socket",
        "O2",
        "shared/exchange/bybit/rest.py",
        "signed_at is not None and clock.now() - signed_at > STALLED_SEND",
        "signed_at is not None and clock.now() < signed_at - STALLED_SEND",
        "tests/shared/exchange/test_bybit_rest.py::"
        "test_a_send_that_waited_for_a_thread_for_over_a_second_is_abandoned",
    ),
    Mutant(
        "pybit's own clock signs instead of the journal's",
        "O2",
        "shared/exchange/bybit/rest.py",
        "        if self.signed_ms is not None:\n",
        "        if self.signed_ms is None:\n            self.signed_ms = 0\n",
        "tests/shared/exchange/test_bybit_rest.py::"
        "test_an_order_is_signed_with_the_instant_it_was_journaled_at",
    ),
    Mutant(
        "an ended order is sent again",
        "O2",
        STORE,
        "            WHERE a.link_id = $1 AND a.state IN ('submitting', 'unknown') AND",
        "            WHERE a.link_id = $1 AND",
        f"{OF_JOURNAL}test_an_order_that_has_ended_is_not_sent_again",
    ),
    Mutant(
        "sent again under a kill",
        "K1",
        STORE,
        "              AND execution.forbidding($4, p.pair) IS NULL\n",
        "              AND $4::integer IS NOT NULL\n",
        f"{OF_ORDERS}test_k1_no_order_that_adds_risk_is_sent_again_under_a_kill",
    ),
    Mutant(
        "what the venue lost is waited for for ever",
        "H1",
        ORDERS,
        "            elif found:\n",
        "            elif found or accepted:\n",
        f"{OF_ORDERS}test_an_order_that_the_venue_took_and_lost_is_given_up_after_longer",
    ),
    Mutant(
        "an order forgotten by the venue is called absent",
        "O9",
        ORDERS,
        "            elif self._clock.now() - order.signed_at > FORGETS_AFTER:\n",
        "            elif self._clock.now() - order.signed_at > 2 * FORGETS_AFTER:\n",
        f"{OF_ORDERS}test_o9_an_order_that_the_venue_may_have_forgotten_is_left_to_a_person",
    ),
    Mutant(
        "claim without the lease",
        "O14",
        STORE,
        "WHERE name = 'executor' AND epoch = $1 FOR SHARE",
        "WHERE name = 'executor' AND epoch >= $1 FOR SHARE",
        f"{OF_JOURNAL}test_without_the_lease_nothing_is_journaled",
    ),
    Mutant(
        "lease not required at commit",
        "O14",
        "services/executor/journal.py",
        "            await self.lease.require(connection)\n            yield connection\n",
        "            yield connection\n",
        f"{TESTS}test_reconcile.py::test_o14_a_holder_that_was_overtaken_commits_nothing",
    ),
    Mutant(
        "settling time skipped after an unclean end",
        "O15",
        "services/executor/lease.py",
        "(0.0 if clean else self._settle_seconds)",
        "0.0",
        f"{TESTS}test_reconcile.py::"
        "test_after_an_unclean_end_nothing_is_sent_for_the_settling_time",
    ),
    Mutant(
        "a new leader does not wait for the settling time",
        "O15",
        "services/executor/reconcile.py",
        "        await self._journal.lease.settled()\n",
        "",
        "4/3",
    ),
    Mutant(
        "a late fill leaves its order dead",
        "O11",
        STORE,
        "CASE WHEN state NOT IN ('absent', 'rejected') THEN state",
        "CASE WHEN true THEN state",
        f"{OF_JOURNAL}test_o11_a_fill_of_an_order_called_dead_is_booked_and_brings_it_back",
    ),
    Mutant(
        "what breaks a rule of the database is swallowed",
        "O12",
        "services/executor/journal.py",
        "            raise InvariantViolation(str(error)) from error\n",
        '            log.error("rule_broken", detail=str(error))\n',
        f"{TESTS}test_gate.py::test_o12_an_illegal_transition_forbids_new_risk_and_halts",
    ),
)

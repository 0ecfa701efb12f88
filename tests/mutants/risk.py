"""Bugs in what may be added, how it is hedged and when the market is too old."""

from typing import Final

from tests.mutants.planted import Mutant

EXECUTION: Final = "shared/domain/execution.py"
OF_EXECUTION: Final = "tests/shared/domain/test_execution.py::"
TESTS: Final = "tests/services/executor/"
OF_GATE: Final = f"{TESTS}test_gate.py::"
OF_MARGIN: Final = f"{TESTS}test_margin.py::"

MUTANTS: Final = (
    Mutant(
        "limits checked outside the claim",
        "H6",
        "services/executor/gate.py",
        "            level = self.forbidden_at(adds=True)\n"
        "            return refused or await self._journaled("
        "connection, attempt, plan.pair, level)\n",
        "        if refused is not None:\n"
        "            return refused\n"
        "        async with self._journal.transaction() as connection:\n"
        "            return await self._journaled(connection, attempt, plan.pair, FORBIDS_RISK)\n",
        f"{OF_GATE}test_h6_orders_claimed_at_once_do_not_share_the_room_of_one",
    ),
    Mutant(
        "the gate not locked",
        "H6",
        "shared/store/gate.py",
        'WHERE "only" FOR UPDATE',
        'WHERE "only"',
        "tests/shared/store/test_gate.py::test_one_after_another_passes_the_gate",
    ),
    Mutant(
        "orders in doubt not counted",
        "O8",
        "shared/store/gate.py",
        "WHERE a.state IN ('submitting', 'live', 'unknown', 'quarantined')",
        "WHERE a.state IN ('submitting', 'live', 'quarantined')",
        "tests/shared/store/test_gate.py::"
        "test_o8_an_order_in_flight_counts_as_filled_or_not_whichever_is_worse",
    ),
    Mutant(
        "a claim does not heed the kill",
        "K1",
        "shared/store/orders.py",
        "FROM held, killed WHERE killed.said IS NULL",
        "FROM held, killed",
        "tests/shared/store/test_journal.py::test_k1_under_a_kill_nothing_is_journaled",
    ),
    Mutant(
        "kill checked by the gate only at the plan's start",
        "K1",
        "services/executor/gate.py",
        "        if (said := await read_forbidding(connection, FORBIDS_RISK, wish.pair)) is not "
        "None:\n",
        "        said = await read_forbidding(connection, FORBIDS_RISK, wish.pair)\n"
        "        if said is not None and not wish.buys and not wish.sells:\n",
        f"{OF_GATE}test_a_kill_between_start_and_first_order_stops_that_order",
        equivalent="The claim's own statement reads the kill once more in the same transaction, "
        "and refuses with the same words; the gate's look before it only spares reading the stake.",
    ),
    Mutant(
        "one kind of refusal does not disarm",
        "H7",
        "shared/domain/risk.py",
        "return self in (Refusal.THROTTLE, Refusal.FEE_RATE, Refusal.DAILY_LOSS)",
        "return self in (Refusal.FEE_RATE, Refusal.DAILY_LOSS)",
        "tests/shared/domain/test_risk.py::"
        "test_trap_14_a_runaway_and_a_loss_disarm_until_a_person_has_looked",
    ),
    Mutant(
        "hedge from the order and not from the fills",
        "H4",
        EXECUTION,
        "        goal = min(held, max(plan.target, short)).copy_negate()\n",
        "        goal = max(plan.target, short if held else ZERO).copy_negate()\n",
        f"{OF_EXECUTION}test_the_hedge_follows_what_the_first_leg_really_brought",
    ),
    Mutant(
        "fee taken in coin ignored",
        "M10",
        "shared/domain/position.py",
        "fill.fee if fill.fee_currency == base else ZERO",
        "fill.fee if fill.fee_currency != fill.fee_currency else ZERO",
        "tests/shared/domain/test_position.py::"
        "test_a_spot_buy_brings_its_quantity_less_the_fee_in_coin",
    ),
    Mutant(
        "reduce-only dropped when a short is closed",
        "O18",
        EXECUTION,
        "leg is Leg.PERP and side is Side.BUY)",
        "leg is Leg.SPOT and side is Side.BUY)",
        f"{OF_EXECUTION}test_closing_sells_what_is_owned_and_buys_the_short_back",
    ),
    Mutant(
        "more spot sold than is owned",
        "H10",
        EXECUTION,
        "    return floor_to(gap, instrument.step)\n",
        "    return ceil_to(gap, instrument.step)\n",
        f"{OF_EXECUTION}test_closing_sells_what_is_owned_and_buys_the_short_back",
    ),
    Mutant(
        "coins sold for a long that is not the pair's",
        "H10",
        EXECUTION,
        "        gap = max(gap, -max(plan.spot, ZERO))\n",
        "        pass\n",
        f"{OF_EXECUTION}"
        "test_h10_no_more_coins_are_sold_than_the_pair_owns_whatever_the_short_has_become",
    ),
    Mutant(
        "band of a sell on the wrong side",
        "H8",
        EXECUTION,
        "quote.bid * (ONE - band)",
        "quote.bid * (ONE + band)",
        f"{OF_EXECUTION}test_each_try_of_the_hedge_widens_the_band",
    ),
    Mutant(
        "a leg alone not unwound in time",
        "H1",
        EXECUTION,
        "    if plan.unhedged_seconds >= policy.unwind_after_seconds:\n",
        "    if plan.unhedged_seconds < ZERO:\n",
        f"{OF_EXECUTION}test_time_widens_the_band_of_the_hedge_and_then_takes_the_first_leg_back",
    ),
    Mutant(
        "what stands alone is left alone",
        "H5",
        "services/executor/residual.py",
        "            if not desk.is_hedged and self._executor.workers[name].is_idle:\n",
        "            if not desk.is_hedged and not self._executor.workers[name].is_idle:\n",
        f"{TESTS}test_residual.py::test_the_coin_follows_a_short_that_a_person_bought_back",
    ),
    Mutant(
        "coins sold by hand are not missed",
        "H5",
        "services/executor/desk.py",
        "        return fill.side is Side.SELL and is_ours\n",
        "        return fill.side is Side.BUY and is_ours\n",
        f"{TESTS}test_residual.py::test_r6_the_short_follows_coins_that_a_person_sold",
    ),
    Mutant(
        "new risk while the venue does not answer",
        "H2",
        "services/executor/orders.py",
        '            self._guard.report(SILENCE, f"{order.link_id} cannot be read: {error}", '
        "passes=True)\n",
        "",
        f"{TESTS}test_residual.py::test_while_the_venue_does_not_answer_nothing_is_opened_anywhere",
    ),
    Mutant(
        "opens right after a settlement",
        "H9",
        "shared/domain/risk.py",
        "now - at < limits.after_settlement",
        "now - at < timedelta(0)",
        "tests/shared/domain/test_risk.py::"
        "test_h9_nothing_opens_90_s_before_and_30_s_after_a_settlement",
    ),
    Mutant(
        "a settlement counts once its rate is published",
        "H9",
        "shared/domain/risk.py",
        "        yield market.settled_by\n",
        "        yield market.settlements[-1].settled_at\n",
        "tests/shared/domain/test_risk.py::"
        "test_h9_a_settlement_whose_rate_is_not_published_yet_is_one_as_well",
    ),
    Mutant(
        "staleness by arrival only",
        "D2",
        "services/executor/market.py",
        "        return behind <= seconds(bounds.behind) and silent",
        "        return silent",
        f"{TESTS}test_market.py::test_a_pair_is_fresh_up_to_its_bounds_in_venue_and_in_wall_time",
    ),
    Mutant(
        "the watchdog never gives the lease back",
        "K5",
        "services/executor/standby.py",
        "            if alone or not parts.executor.is_idle:\n",
        "            if alone or parts.executor.is_idle:\n",
        f"{TESTS}test_watchdog.py::test_one_leg_alone_is_removed_and_the_lease_given_back",
    ),
    Mutant(
        "the executor takes the lease under a kill of level 4",
        "K5",
        "services/executor/lease.py",
        "            if kills and kills[0].level >= SEVERS and not self._safe_mode:\n",
        "            if kills and kills[0].level > SEVERS and not self._safe_mode:\n",
        f"{TESTS}test_kill.py::test_level_4_ends_the_executor_which_does_not_come_back",
    ),
    Mutant(
        "the watchdog does not come to act beside one order that stays",
        "K5",
        "services/executor/reconcile.py",
        "    except (Transient, Malformed, OutcomeUnknown, Rejected) as error:\n"
        '        log.warning("cancel_unanswered"',
        '    except (Transient, Malformed) as error:\n        log.warning("cancel_unanswered"',
        f"{TESTS}test_watchdog.py::"
        "test_an_order_that_cannot_be_cancelled_holds_up_neither_the_others_nor_the_takeover",
    ),
    Mutant(
        "the lease given up while an order is open",
        "K5",
        "services/executor/lease.py",
        "        WHERE state NOT IN ('filled', 'cancelled', 'rejected', 'absent'))\n",
        "        WHERE state IN ('quarantined'))\n",
        f"{TESTS}test_reconcile.py::test_the_lease_is_not_given_up_while_an_order_is_open",
    ),
    Mutant(
        "hedged, and so of no margin",
        "H6",
        "services/executor/margin.py",
        "        if not self._armed.is_set() or rate < self._trim_line:\n",
        "        if not self._armed.is_set() or rate < 1:\n",
        f"{OF_MARGIN}"
        "test_trap_38_r4_on_a_rising_price_both_legs_are_trimmed_and_nothing_is_liquidated",
    ),
    Mutant(
        "what was trimmed is bought back",
        "H6",
        "services/executor/gate.py",
        "        if (said := self._headroom.forbids()) is not None:\n",
        '        if (said := self._headroom.forbids()) == "":\n',
        f"{OF_MARGIN}test_nothing_is_acquired_a_little_below_the_line_already",
    ),
    Mutant(
        "what is on its way is trimmed again",
        "H6",
        "services/executor/margin.py",
        "            maintenance=rate * balance - on_its_way,\n",
        "            maintenance=rate * balance,\n",
        f"{OF_MARGIN}test_what_binds_most_is_trimmed_first_and_no_more_than_it_takes",
    ),
    Mutant(
        "a margin that is not told counts as none bound",
        "H6",
        "services/executor/headroom.py",
        "        if self.unread_seconds > STALE_SECONDS:\n",
        "        if self.unread_seconds < 0:\n",
        f"{OF_MARGIN}test_a_margin_that_is_not_known_or_half_a_minute_old_forbids_to_acquire",
    ),
    Mutant(
        "the margin line is watched while the executor is silent alone",
        "K5",
        "services/executor/margin.py",
        "        if not await self._line.is_passed_at(rate) and is_settled:\n",
        "        if is_settled:\n",
        f"{OF_MARGIN}test_past_the_margin_line_all_is_closed_by_one_kill",
    ),
)

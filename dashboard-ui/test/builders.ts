import type { Schemas } from "@/lib/api";

/** A status of a replay at 3,600 times wall time, five minutes to a settlement. */
export function status(changes: Partial<Schemas["StatusView"]> = {}): Schemas["StatusView"] {
  return {
    venue: "replay",
    version: "0.1.0",
    venue_at: "2023-11-20T15:01:00Z",
    wall_at: "2026-01-01T00:00:00Z",
    replay_speed: "3600",
    data_age_seconds: "0",
    next_settlement_at: "2023-11-20T16:00:00Z",
    services: [],
    ...changes,
  };
}

export function overview(changes: Partial<Schemas["OverviewView"]> = {}): Schemas["OverviewView"] {
  return {
    as_of: "2023-11-20T15:01:00Z",
    hedged: {
      answer: "yes",
      net_delta_usdt: "5",
      gross_notional_usdt: "10000",
      orders_in_doubt: 0,
      unhedged_seconds_max: "1.5",
    },
    safe: {
      answer: "yes",
      exposure_usdt: "10000",
      exposure_limit_usdt: "40000",
      equity_usdt: "50000.5",
      ledger_difference_usdt: "0",
    },
    earning: {
      answer: "yes",
      net_usdt: "12.345",
      net_24h_usdt: "-3.005",
      funding_usdt: "20",
      fees_usdt: "-7",
      basis_usdt: "-0.655",
      next_due_usdt: "1.5",
      return_on_capital: "0.000247",
    },
    needs: [],
    latest: [],
    ...changes,
  };
}

export function opportunity(
  changes: Partial<Schemas["OpportunityView"]> = {},
): Schemas["OpportunityView"] {
  return {
    rank: 1,
    pair: "SOLUSDT",
    symbol: "SOLUSDT",
    base: "SOL",
    verdict: "open",
    reason: "worth_it",
    sentence: "Opens: pays its costs after 10 settlements.",
    last_rate: "0.0004",
    expected_rate: "0.00035",
    funding_interval_hours: "8",
    annualized_on_notional: "0.38325",
    expected_funding: "0.00735",
    fee_cost: "0.0031",
    slippage_cost: "0.0004",
    basis_cost: "0.0001",
    cost: "0.0036",
    value: "0.00375",
    hold_hours: "168",
    break_even_settlements: 11,
    break_even_hours: "88",
    basis_rate: "0.0002",
    basis_percentile: null,
    basis_percentile_limit: null,
    target_quantity: "12.5",
    target_notional_usdt: "2500",
    binding_limit: "depth_of_worse_leg",
    limits: [],
    capacity_quantity: null,
    capacity_is_open: false,
    funding_error: null,
    return_on_capital: null,
    return_on_capital_error: null,
    break_even_shorter_settlements: null,
    break_even_shorter_hours: null,
    loss_probability: null,
    loss_probability_limit: null,
    conviction: null,
    conviction_parts: [],
    kelly_share: null,
    reserve_rate: null,
    hold_left_settlements: null,
    liquidation_up: null,
    signals: null,
    ...changes,
  };
}

export function pair(changes: Partial<Schemas["PairView"]> = {}): Schemas["PairView"] {
  return {
    pair: "BTCUSDT",
    symbol: "BTCUSDT",
    base: "BTC",
    state: "Hedged",
    opened_at: "2023-11-12T06:01:00Z",
    spot_quantity: "0.1",
    perp_quantity: "-0.1",
    notional_usdt: "3700.4",
    net_delta_usdt: "1.1",
    last_rate: "0.0001",
    expected_rate: "0.00012",
    funding_interval_hours: "8",
    annualized_on_notional: "0.1314",
    funding_usdt: "10.111",
    fees_usdt: "-7.4",
    basis_usdt: "0.2",
    net_usdt: "2.911",
    due_usdt: "0.44",
    next_settlement_at: "2023-11-20T16:00:00Z",
    break_even_ratio: "1.36",
    correlation_id: "c-1",
    ...changes,
  };
}

/** Canned answers of the API: invented, but adding up, with the clock of a replay in 2023. */

const HOUR = 3_600_000;
const START = Date.parse("2023-11-11T00:00:00Z");
const HOURS = 24 * 26;

const iso = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");
const money = (value) => value.toFixed(6);

/** A repeatable sequence of numbers between 0 and 1. */
function* noise(seed) {
  let state = seed;
  for (;;) {
    state = (state * 48_271) % 2_147_483_647;
    yield state / 2_147_483_647;
  }
}

function equity(hours) {
  const random = noise(7);
  const points = [];
  const settlements = [];
  let funding = 0;
  let basis = 0;
  for (let hour = 0; hour <= hours; hour += 1) {
    const at = iso(START + hour * HOUR);
    if (hour >= 30 && hour % 8 === 0) {
      const received = 4 + 22 * random.next().value ** 2 - (hour % 152 === 0 ? 12 : 0);
      funding += received;
      settlements.push({ at, funding_usdt: money(received) });
    }
    basis = hour < 30 ? 0 : basis * 0.97 + (random.next().value - 0.5) * 9;
    const net = hour < 30 ? 0 : funding - 61.4 + basis;
    points.push({
      at,
      equity_usdt: money(100_000 + net),
      net_usdt: money(net),
      funding_usdt: money(funding),
    });
  }
  return { as_of: points.at(-1).at, points, settlements };
}

const pair = (base, state, notional, delta, rate, expected, funding, fees, basis, due, ratio) => ({
  pair: `${base}USDT`,
  symbol: `${base}USDT`,
  base,
  state,
  opened_at: "2023-11-12T06:01:00Z",
  spot_quantity: "1.250",
  perp_quantity: "-1.250",
  notional_usdt: notional,
  net_delta_usdt: delta,
  last_rate: rate,
  expected_rate: expected,
  funding_interval_hours: "8",
  annualized_on_notional: (Number(expected) * 3 * 365).toFixed(6),
  funding_usdt: funding,
  fees_usdt: fees,
  basis_usdt: basis,
  net_usdt: (Number(funding) + Number(fees) + Number(basis)).toFixed(6),
  due_usdt: due,
  next_settlement_at: "2023-12-07T08:00:00Z",
  break_even_ratio: ratio,
  correlation_id: `c-${base.toLowerCase()}`,
});

const PAIRS = [
  pair(
    "BTC",
    "Hedged",
    "41210.118",
    "6.20",
    "0.000131",
    "0.000152",
    "412.806112",
    "-82.420000",
    "-4.118",
    "6.26",
    "3.2",
  ),
  pair(
    "ETH",
    "Hedged",
    "38004.550",
    "-11.04",
    "0.000219",
    "0.000205",
    "355.190044",
    "-76.009000",
    "3.377",
    "7.79",
    "2.9",
  ),
  pair(
    "SOL",
    "Opening",
    "22415.007",
    "3.85",
    "0.000402",
    "0.000377",
    "31.400125",
    "-44.830000",
    "-9.020",
    "8.45",
    "0.35",
  ),
];

const opportunity = (
  rank,
  base,
  verdict,
  reason,
  sentence,
  rate,
  expected,
  funding,
  value,
  settlements,
  size,
  limit,
) => ({
  rank,
  pair: `${base}USDT`,
  symbol: `${base}USDT`,
  base,
  verdict,
  reason,
  sentence,
  last_rate: rate,
  expected_rate: expected,
  funding_interval_hours: "8",
  annualized_on_notional: (Number(expected) * 3 * 365).toFixed(6),
  expected_funding: funding,
  fee_cost: "0.0031",
  slippage_cost: "0.0004",
  basis_cost: "0.0001",
  cost: "0.0036",
  value,
  hold_hours: "168",
  break_even_settlements: settlements,
  break_even_hours: settlements === null ? null : String(settlements * 8),
  basis_rate: "0.00042",
  basis_percentile: "0.61",
  basis_percentile_limit: "0.10",
  target_quantity: size === null ? null : "12.5",
  target_notional_usdt: size,
  binding_limit: limit,
  limits:
    limit === null
      ? []
      : [
          { name: limit, quantity: "12.5" },
          { name: "perp_depth", quantity: "80" },
        ],
  capacity_quantity: "310",
  capacity_is_open: true,
  funding_error: "0.0011",
  return_on_capital: (Number(value) / 1.025).toFixed(6),
  return_on_capital_error: "0.0058",
  break_even_shorter_settlements: settlements === null ? null : settlements * 2,
  break_even_shorter_hours: settlements === null ? null : String(settlements * 8),
  loss_probability: "0.17",
  loss_probability_limit: "0.25",
  conviction: "0.72",
  conviction_parts: [
    { name: "value", value: "0.54", weight: "0.30" },
    { name: "persistence", value: "0.91", weight: "0.25" },
    { name: "safety", value: "0.83", weight: "0.20" },
    { name: "trend", value: "0.5", weight: "0.15" },
    { name: "reversion", value: "0.9", weight: "0.10" },
  ],
  kelly_share: "0.18",
  reserve_rate: "0.0125",
  hold_left_settlements: verdict === "hold" ? 4 : null,
  liquidation_up: verdict === "passed_over" ? null : "3.2",
  signals: {
    regime: "normal",
    percentile: "0.58",
    z_score: "0.4",
    slope: "0.000001",
    slope_p: "0.34",
    persistence: "0.91",
    hold_mean: expected,
    hold_error: "0.00005",
    worst_rate: "-0.0009",
    has_skill: rank % 2 === 1,
    basis_usual: "0.0003",
    hold_deviation: "0.0021",
  },
});

const ROWS = [
  opportunity(
    1,
    "SOL",
    "hold",
    "held",
    "Held: 7.9 settlements of value are left over the costs.",
    "0.000402",
    "0.000377",
    "0.007917",
    "0.004317",
    10,
    "22415.0",
    "pair_notional",
  ),
  opportunity(
    2,
    "XRP",
    "open",
    "value",
    "Opens: pays its costs after 15 settlements, limit 21.",
    "0.000255",
    "0.000243",
    "0.005103",
    "0.001503",
    15,
    "18000.0",
    "depth_of_worse_leg",
  ),
  opportunity(
    3,
    "ETH",
    "hold",
    "held",
    "Held: still worth more than leaving.",
    "0.000219",
    "0.000205",
    "0.004305",
    "0.000705",
    18,
    "38004.5",
    "pair_notional",
  ),
  opportunity(
    4,
    "BTC",
    "hold",
    "held",
    "Held: leaving costs more than staying.",
    "0.000131",
    "0.000152",
    "0.003192",
    "-0.000408",
    24,
    "41210.1",
    null,
  ),
  opportunity(
    5,
    "BNB",
    "passed_over",
    "costs_not_paid",
    "Costs paid after 257 settlements, limit 21.",
    "-0.000021",
    "0.000014",
    "0.000294",
    "-0.003306",
    257,
    null,
    null,
  ),
];

const EMPTY_OVERVIEW = {
  hedged: {
    answer: "unknown",
    net_delta_usdt: null,
    gross_notional_usdt: null,
    orders_in_doubt: 0,
    unhedged_seconds_max: "0",
  },
  safe: {
    answer: "unknown",
    exposure_usdt: null,
    exposure_limit_usdt: null,
    equity_usdt: null,
    ledger_difference_usdt: null,
  },
  earning: {
    answer: "unknown",
    net_usdt: null,
    net_24h_usdt: null,
    funding_usdt: null,
    fees_usdt: null,
    basis_usdt: null,
    next_due_usdt: null,
    return_on_capital: null,
  },
  needs: [],
  latest: [],
};

const OVERVIEW = {
  hedged: {
    answer: "yes",
    net_delta_usdt: "-0.99",
    gross_notional_usdt: "101629.675",
    orders_in_doubt: 0,
    unhedged_seconds_max: "1.4",
  },
  safe: {
    answer: "yes",
    exposure_usdt: "101629.675",
    exposure_limit_usdt: "150000",
    equity_usdt: "100586.376281",
    ledger_difference_usdt: "0.00000000",
  },
  earning: {
    answer: "yes",
    net_usdt: "586.376281",
    net_24h_usdt: "31.118204",
    funding_usdt: "799.396281",
    fees_usdt: "-203.259000",
    basis_usdt: "-9.761000",
    next_due_usdt: "22.50",
    return_on_capital: "0.00586376",
  },
  needs: [
    {
      kind: "needs_you",
      title: "The replay ends in 14 d",
      detail: "No decision follows the last recorded hour; pairs stay open and hedged.",
    },
    {
      kind: "watching",
      title: "BTC is worth less than its costs",
      detail: "Leaves by itself when staying is worth less than leaving now.",
    },
  ],
  latest: [
    {
      at: "2023-12-07T05:01:00Z",
      kind: "decision",
      sentence: "Kept BTC and ETH, opens XRP",
      amount_usdt: null,
    },
    {
      at: "2023-12-07T05:01:00Z",
      kind: "opened",
      sentence: "SOL spot and perp filled in 1.4 s",
      amount_usdt: "-44.83",
    },
    {
      at: "2023-12-07T00:00:00Z",
      kind: "funding",
      sentence: "Funding on 2 pairs",
      amount_usdt: "18.204511",
    },
    {
      at: "2023-12-06T16:00:00Z",
      kind: "funding",
      sentence: "Funding on 2 pairs",
      amount_usdt: "12.914000",
    },
    {
      at: "2023-12-05T03:12:00Z",
      kind: "alarm",
      sentence: "One topic was quiet for 41 s",
      amount_usdt: null,
    },
  ],
};

const reason = (name, skipped, running, known, earned, won) => ({
  reason: name,
  skipped,
  running,
  known,
  would_have_earned: earned,
  mean: earned === null ? null : (Number(earned) / known).toFixed(12),
  share_won: earned === null ? null : (won / known).toFixed(12),
});

const SKIPPED = [
  reason("no_room", 6, 1, 5, "0.014210000000", 5),
  reason("loss_too_likely", 9, 2, 7, "0.003870000000", 5),
  reason("below_margin", 14, 3, 11, "-0.008240000000", 4),
  reason("break_even_too_far", 21, 4, 17, "-0.037660000000", 1),
  reason("book_missing", 2, 0, 0, null, 0),
];

const service = (name, wallAt) => ({ name, alive: true, ready: true, detail: "", seen_at: wallAt });

/** Every view of one state: ok, empty, stale, alarm. Venue time starts at `ticks` hours after 05:01. */
export function views(state, ticks = 0) {
  const wallAt = new Date().toISOString();
  const venueAt = Date.parse("2023-12-07T05:01:00Z") + (state === "ok" ? (ticks % 3) * HOUR : 0);
  const empty = state === "empty";
  const overview = empty ? EMPTY_OVERVIEW : OVERVIEW;
  return {
    status: {
      venue: "replay",
      version: "0.1.0",
      venue_at: empty ? null : iso(venueAt),
      wall_at: wallAt,
      replay_speed: "3600",
      data_age_seconds: empty ? null : state === "stale" ? String(41 + ticks) : "0.3",
      next_settlement_at: empty ? null : "2023-12-07T08:00:00Z",
      services: ["collector", "strategy", "executor"].map((name) => service(name, wallAt)),
    },
    overview: {
      as_of: empty ? null : iso(venueAt),
      ...overview,
      ...(state === "alarm" && {
        hedged: {
          ...overview.hedged,
          answer: "no",
          net_delta_usdt: "22415.00",
          orders_in_doubt: 1,
        },
      }),
    },
    equity: empty ? { as_of: null, points: [], settlements: [] } : equity(HOURS),
    pairs: empty
      ? []
      : PAIRS.map((one) =>
          state === "alarm" && one.base === "SOL" ? { ...one, state: "Broken" } : one,
        ),
    skipped: {
      as_of: empty ? null : iso(venueAt),
      days: 30,
      hold_hours: empty ? null : "168",
      reasons: empty ? [] : SKIPPED,
    },
    opportunities: empty
      ? {
          decision_id: null,
          decided_at: null,
          policy_hash: null,
          break_even_limit_settlements: null,
          rows: [],
        }
      : {
          decision_id: "d-2023-12-07T05",
          decided_at: iso(venueAt),
          policy_hash: "4f1c",
          break_even_limit_settlements: 21,
          rows: ROWS,
        },
  };
}

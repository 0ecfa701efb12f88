import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { AnswerStrip } from "@/components/answer-strip";
import { OpportunitiesPanel } from "@/components/opportunities-panel";
import { PairsPanel } from "@/components/pairs-panel";
import { SkippedPanel } from "@/components/skipped-panel";
import { skippedKey } from "@/hooks/use-skipped";
import type { Schemas } from "@/lib/api";
import { keys, type Topic } from "@/lib/keys";
import { opportunity, overview, pair, status } from "./builders";

let cache: QueryClient;

beforeEach(() => {
  vi.stubGlobal("matchMedia", () => ({
    matches: true,
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
  }));
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network in tests")));
  window.history.replaceState(null, "", "/");
  cache = new QueryClient({
    defaultOptions: { queries: { staleTime: Number.POSITIVE_INFINITY, retry: false } },
  });
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show(node: ReactNode, views: Partial<Record<Topic, unknown>>): void {
  for (const [topic, view] of Object.entries(views)) cache.setQueryData(keys[topic as Topic], view);
  render(<QueryClientProvider client={cache}>{node}</QueryClientProvider>);
}

const ranking = (...rows: ReturnType<typeof opportunity>[]) => ({
  decision_id: "d-1",
  decided_at: "2023-11-20T15:01:00Z",
  policy_hash: "ab",
  break_even_limit_settlements: 21,
  rows,
});

describe("the four answers", () => {
  test("each is a word or a number with its sentence", () => {
    show(<AnswerStrip />, { overview: overview(), status: status() });
    const hedged = within(screen.getByRole("region", { name: "Hedged?" }));
    expect(hedged.getByText("Yes")).toBeTruthy();
    expect(hedged.getByText("net delta +5.00 USDT")).toBeTruthy();
    expect(hedged.getByText("+5.00 bps")).toBeTruthy();
    const safe = within(screen.getByRole("region", { name: "Safe?" }));
    expect(safe.getByText("exposure 25 % of limit")).toBeTruthy();
    const earning = within(screen.getByRole("region", { name: "Earning?" }));
    expect(earning.getByText("\u22123.01").className).toBe("text-loss");
  });

  test("what is not known is never Yes", () => {
    const hedged = {
      ...overview().hedged,
      answer: "unknown" as const,
      net_delta_usdt: null,
      gross_notional_usdt: null,
    };
    show(<AnswerStrip />, { overview: overview({ hedged }), status: status() });
    const cell = within(screen.getByRole("region", { name: "Hedged?" }));
    expect(cell.getByText("Not known")).toBeTruthy();
    expect(cell.queryByText("Yes")).toBeNull();
  });

  test("old data is marked, fresh data is not", () => {
    show(<AnswerStrip />, { overview: overview(), status: status({ data_age_seconds: "41" }) });
    expect(screen.getByRole("region", { name: "Answers" }).className).toContain("stale");
  });

  test("a failure is named and can be tried again", async () => {
    show(<AnswerStrip />, { status: status() });
    expect(await screen.findByText("The server cannot be reached.")).toBeTruthy();
    expect(screen.getByRole("button", { name: "Try again" })).toBeTruthy();
  });
});

describe("open pairs", () => {
  test("the total is exact over strings", () => {
    const rows = [
      pair(),
      pair({ pair: "ETHUSDT", symbol: "ETHUSDT", base: "ETH", net_usdt: "-0.1" }),
    ];
    show(<PairsPanel />, { pairs: rows, status: status() });
    const total = within(screen.getByRole("row", { name: /^Total/ }));
    expect(total.getByText("7,401")).toBeTruthy();
    expect(total.getByText("+20.22")).toBeTruthy();
    expect(total.getByText("+2.81").className).toContain("text-gain");
  });

  test("a total with a missing part is missing", () => {
    show(<PairsPanel />, { pairs: [pair({ net_usdt: null })], status: status() });
    expect(within(screen.getByRole("row", { name: /^Total/ })).getByText("–")).toBeTruthy();
  });

  test("without a pair it says what the best one lacks", () => {
    const best = opportunity({
      verdict: "passed_over",
      sentence: "Needs 26 settlements, limit 21.",
    });
    show(<PairsPanel />, { pairs: [], opportunities: ranking(best), status: status() });
    expect(screen.getByText("No pair is open")).toBeTruthy();
    expect(screen.getByText(/Needs 26 settlements, limit 21\./)).toBeTruthy();
  });
});

describe("opportunities", () => {
  const sol = opportunity();
  const bnb = opportunity({
    rank: 2,
    pair: "BNBUSDT",
    base: "BNB",
    verdict: "passed_over",
    reason: "costs_not_paid",
    sentence: "Costs paid after 30 settlements, limit 21.",
    value: "-0.0013",
  });
  const bodyRows = () =>
    screen
      .getAllByRole("row")
      .map((row) => row.getAttribute("data-row"))
      .filter((name) => name !== null);

  test("the count sentence says what became of all of them", () => {
    show(<OpportunitiesPanel />, { opportunities: ranking(sol, bnb), status: status() });
    expect(screen.getByText("2 scanned · 1 enters · 1 passed over")).toBeTruthy();
  });

  test("a row opens its value as a sum, and Escape closes it", () => {
    show(<OpportunitiesPanel />, { opportunities: ranking(sol, bnb), status: status() });
    const row = screen.getAllByRole("row").find((one) => one.dataset.row === "SOLUSDT");
    fireEvent.keyDown(row as HTMLElement, { key: "Enter" });
    const drawer = within(screen.getByRole("complementary", { name: "SOL in detail" }));
    for (const part of ["+73.5", "\u221231.0", "\u22124.0", "\u22121.0", "+37.5"]) {
      expect(drawer.getByText(part)).toBeTruthy();
    }
    expect(drawer.getByText("Depth of worse leg")).toBeTruthy();
    expect(window.location.search).toBe("?open=SOLUSDT");
    fireEvent.keyDown(window, { key: "Escape" });
    expect(screen.queryByRole("complementary")).toBeNull();
  });

  test("a row shows its conviction by parts, its limits and its risk", () => {
    const judged = opportunity({
      ...sol,
      conviction: "0.72",
      conviction_parts: [
        { name: "value", value: "0.54", weight: "0.30" },
        { name: "new_part", value: "0.9", weight: "0.10" },
      ],
      limits: [{ name: "cluster_notional", quantity: "7.5" }],
      loss_probability: "0.17",
      loss_probability_limit: "0.25",
      basis_percentile: "0.3725",
      basis_percentile_limit: "0.10",
      return_on_capital: "0.00366",
      return_on_capital_error: "0.008",
      break_even_shorter_settlements: 22,
      break_even_shorter_hours: "88",
    });
    show(<OpportunitiesPanel />, { opportunities: ranking(judged, bnb), status: status() });
    const row = screen.getAllByRole("row").find((one) => one.dataset.row === "SOLUSDT");
    fireEvent.keyDown(row as HTMLElement, { key: "Enter" });
    const drawer = within(screen.getByRole("complementary", { name: "SOL in detail" }));
    const conviction = within(drawer.getByRole("region", { name: "Conviction, 0 to 100 %" }));
    for (const words of ["Funding left after costs, weight 30 %", "New part, weight 10 %"]) {
      expect(conviction.getByText(words)).toBeTruthy();
    }
    expect(conviction.getByText("72 %")).toBeTruthy();
    expect(drawer.getByText("Cluster notional")).toBeTruthy();
    expect(within(drawer.getByRole("region", { name: "Risk" })).getByText("17 %")).toBeTruthy();
    expect(drawer.getByText("22 / 88")).toBeTruthy();
    expect(drawer.getByText("+0.37 % ± 0.80 %")).toBeTruthy();
    const funding = within(drawer.getByRole("region", { name: "Funding" }));
    expect(funding.getByText("Basis among the past / asked")).toBeTruthy();
    expect(funding.getByText("37 % / 10 %")).toBeTruthy();
  });

  test("rows stay where they are under the pointer, until asked", () => {
    show(<OpportunitiesPanel />, { opportunities: ranking(sol, bnb), status: status() });
    fireEvent.focus(screen.getAllByRole("row")[1] as HTMLElement);
    act(() => {
      cache.setQueryData(keys.opportunities, ranking({ ...bnb, rank: 1 }, { ...sol, rank: 2 }));
    });
    return screen.findByText("Order changed, refresh").then((button) => {
      expect(bodyRows()).toEqual(["SOLUSDT", "BNBUSDT"]);
      fireEvent.click(button);
      expect(bodyRows()).toEqual(["BNBUSDT", "SOLUSDT"]);
    });
  });

  test("an empty ranking says when it fills", () => {
    show(<OpportunitiesPanel />, { opportunities: ranking(), status: status() });
    expect(screen.getByText("No symbol is ranked yet")).toBeTruthy();
  });
});

describe("what was skipped", () => {
  const reason = (changes: Partial<Schemas["SkippedReasonView"]>) => ({
    reason: "no_room",
    skipped: 3,
    running: 1,
    known: 2,
    would_have_earned: "0.00154",
    mean: "0.00077",
    share_won: "0.5",
    ...changes,
  });
  const table = (...reasons: ReturnType<typeof reason>[]) => {
    const view = { as_of: "2023-11-20T15:01:00Z", days: 30, hold_hours: "168", reasons };
    cache.setQueryData(skippedKey(30), view);
    show(<SkippedPanel />, {});
  };
  const row = (name: string) =>
    within(screen.getAllByRole("row").find((one) => one.dataset.reason === name) as HTMLElement);

  test("each reason shows what it would have earned, in the order of the answer", () => {
    table(
      reason({}),
      reason({ reason: "below_margin", would_have_earned: "-0.0031", mean: "-0.00155" }),
    );
    expect(row("no_room").getByText("No room")).toBeTruthy();
    expect(row("no_room").getByText("+15.4").className).toContain("text-gain");
    expect(row("no_room").getByText("+7.7").className).not.toContain("text-gain");
    expect(row("no_room").getByText(/^50.%$/)).toBeTruthy();
    expect(row("below_margin").getByText("\u221231.0").className).toContain("text-loss");
    expect(screen.getByText(/last 30 days, each for a hold of 168 h/)).toBeTruthy();
    const order = screen.getAllByRole("row").map((one) => one.dataset.reason);
    expect(order).toEqual([undefined, "no_room", "below_margin"]);
  });

  test("what is not known is no zero", () => {
    table(reason({ known: 0, would_have_earned: null, mean: null, share_won: null }));
    expect(row("no_room").getAllByText("–")).toHaveLength(3);
    expect(row("no_room").queryByText("0.0")).toBeNull();
  });

  test("an empty table says who fills it", () => {
    table();
    expect(screen.getByText("Nothing is followed yet")).toBeTruthy();
    expect(screen.getByText("carry backtest serve")).toBeTruthy();
  });

  test("a failure is named and can be tried again", async () => {
    show(<SkippedPanel />, {});
    expect(await screen.findByText("The server cannot be reached.")).toBeTruthy();
    expect(screen.getByRole("button", { name: "Try again" })).toBeTruthy();
  });
});

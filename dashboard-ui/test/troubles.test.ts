import { expect, test } from "vitest";
import { type Situation, troublesOf } from "@/lib/troubles";
import { overview, status } from "./builders";

const calm: Situation = {
  overview: overview(),
  status: { view: status(), receivedAtMs: 0 },
  ageSeconds: 1,
  lostSeconds: null,
  tries: 0,
  readAtMs: 0,
  nowMs: 0,
};

const titles = (changes: Partial<Situation>) =>
  troublesOf({ ...calm, ...changes }).map(({ title }) => title);

test("nothing is said while all is well", () => {
  expect(titles({})).toEqual([]);
});

test("an order in doubt comes before a lost stream", () => {
  const doubted = overview({ hedged: { ...overview().hedged, orders_in_doubt: 1 } });
  expect(titles({ overview: doubted, lostSeconds: 41 })).toEqual([
    "One order is in doubt",
    "Live updates stopped 00:00:41 ago",
  ]);
});

test("a ledger that differs by the last digit is trouble", () => {
  const safe = { ...overview().safe, ledger_difference_usdt: "0.00000001" };
  const [trouble] = troublesOf({ ...calm, overview: overview({ safe }) });
  expect(trouble?.level).toBe("crit");
  expect(trouble?.detail).toContain("+0.00000001 USDT");
});

test("a reconnect of a second is not worth a banner", () => {
  expect(titles({ lostSeconds: 1.5 })).toEqual([]);
});

test("old data is told by its wall age and its last stamp", () => {
  const [trouble] = troublesOf({ ...calm, ageSeconds: 41 });
  expect(trouble?.title).toBe("Venue data is 41 s old");
  expect(trouble?.detail).toContain("2023-11-20 15:01:00 UTC");
});

test("a dead service is named with the time since it was heard of", () => {
  const dead = {
    name: "executor",
    alive: false,
    ready: false,
    detail: "",
    seen_at: "2025-12-31T23:59:30Z",
  };
  const [trouble] = troublesOf({
    ...calm,
    status: { view: status({ services: [dead] }), receivedAtMs: 0 },
    nowMs: 5_000,
  });
  expect(trouble?.title).toBe("The executor is not running");
  expect(trouble?.detail).toBe("Last heard of 35 s ago.");
});

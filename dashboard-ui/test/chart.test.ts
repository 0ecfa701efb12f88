import { expect, test } from "vitest";
import {
  domainWithZero,
  nearest,
  scaleOf,
  thinned,
  tickPlaces,
  ticksIn,
  timeTicks,
} from "@/lib/chart";
import { toCsv } from "@/lib/csv";

test("axis ticks are round and inside the domain", () => {
  expect(ticksIn({ low: -80, high: 760 }, 4)).toEqual([0, 250, 500, 750]);
});

test("ticks get the decimals that spell them in full", () => {
  expect(tickPlaces([0, 0.25, 0.5])).toBe(2);
  expect(tickPlaces([0, 250])).toBe(0);
});

test("days are labelled at midnight UTC", () => {
  const day = 86_400_000;
  expect(timeTicks({ low: day / 2, high: 3.5 * day }, 3)).toEqual([day, 2 * day, 3 * day]);
});

test("a domain holds zero and is never empty", () => {
  expect(domainWithZero([]).high).toBeGreaterThan(0);
  expect(domainWithZero([5, 10]).low).toBe(0);
});

test("a scale maps the ends of its domain", () => {
  const scale = scaleOf({ low: 0, high: 10 }, 200, 0);
  expect([scale(0), scale(5), scale(10)]).toEqual([200, 100, 0]);
});

test("thinning keeps the spike and both ends", () => {
  const values = Array.from({ length: 1_000 }, (_, index) => (index === 517 ? 99 : index % 3));
  const kept = thinned(values, (value) => value, 50);
  expect(kept.length).toBeLessThanOrEqual(52);
  expect(kept).toContain(99);
  expect(kept.at(-1)).toBe(values.at(-1));
});

test("the nearest point is found, none in an empty chart", () => {
  expect(nearest([0, 10, 20], 14)).toBe(1);
  expect(nearest([], 14)).toBe(-1);
});

test("CSV keeps all digits, quotes commas and never starts a formula", () => {
  const rows = [{ pair: "=SUM(A1)", net: "-1.000000001", note: 'a, "b"', gone: null }];
  expect(toCsv(rows, ["pair", "net", "note", "gone"])).toBe(
    'pair,net,note,gone\r\n\'=SUM(A1),-1.000000001,"a, ""b""",\r\n',
  );
});

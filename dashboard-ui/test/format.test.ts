import { describe, expect, test } from "vitest";
import { divide, parseDecimal, rounded, spell, sumOf } from "@/lib/decimal";
import {
  amount,
  bps,
  interval,
  paidSoFar,
  percent,
  quantity,
  signOf,
  times,
  wholeHours,
} from "@/lib/format";

describe("decimals", () => {
  test("a sum keeps every digit a float would lose", () => {
    expect(sumOf(["0.1", "0.2", "9007199254740993.000000000000000001"])).toBe(
      "9007199254740993.300000000000000001",
    );
  });

  test("a sum with a missing part is missing, not smaller", () => {
    expect(sumOf(["1", null])).toBeNull();
  });

  test.each([
    ["1.005", 2, "1.01"],
    ["-1.005", 2, "-1.01"],
    ["1.0049999", 2, "1.00"],
    ["-0.004", 2, "0.00"],
    ["7", 2, "7.00"],
  ])("%s with %i places is %s", (text, places, shown) => {
    expect(spell(rounded(parseDecimal(text), places))).toBe(shown);
  });

  test("nothing can be divided by zero", () => {
    expect(divide(parseDecimal("1"), parseDecimal("0.00"), 2)).toBeNull();
  });

  test.each(["", "1e5", "NaN", "1,000", ".5", "0x10"])("%j is no decimal", (text) => {
    expect(() => parseDecimal(text)).toThrow(RangeError);
  });
});

describe("amounts", () => {
  test("a stock value has groups and no sign", () => {
    expect(amount("1234567.891")).toBe("1,234,567.89");
  });

  test("a flow has its sign, and minus is the true one", () => {
    expect(amount("1399.845", "flow")).toBe("+1,399.85");
    expect(amount("-71.819", "flow")).toBe("\u221271.82");
  });

  test("what rounds to 0.00 has no sign and no colour", () => {
    expect(amount("-0.004", "flow")).toBe("0.00");
    expect(amount("0.0049", "flow")).toBe("0.00");
    expect(signOf("-0.004")).toBe(0);
    expect(signOf("-0.005")).toBe(-1);
  });

  test("a missing amount is a dash, not a zero", () => {
    expect(amount(null)).toBe("–");
  });

  test("a quantity keeps the decimals of its step", () => {
    expect(quantity("-180.0")).toBe("\u2212180.0");
  });
});

describe("rates and ratios", () => {
  test("a rate is in bps and always signed", () => {
    expect(bps("0.000358")).toBe("+3.58");
    expect(bps("-0.0000421")).toBe("\u22120.42");
  });

  test("an interval drops needless zeros", () => {
    expect(interval("8.0")).toBe("8 h");
  });

  test("percent has a thin space before its sign", () => {
    expect(percent("0.23749")).toBe("23.7\u2009%");
    expect(percent("0.87", 0)).toBe("87\u2009%");
  });

  test("a multiple has one decimal", () => {
    expect(times("5.351")).toBe("5.4×");
  });

  test("hours to break even are rounded up", () => {
    expect(wholeHours("48.01")).toBe("49");
  });
});

describe("costs paid so far", () => {
  test("above one it says how many times over", () => {
    expect(paidSoFar("5.4", "54", "1")?.text).toBe("paid 5.4×");
  });

  // Funding 30 is 0.6 of the costs, so they are 50; the open 20 takes 3 settlements of 8.
  test("below one it says how many settlements are left", () => {
    expect(paidSoFar("0.6", "30", "8")?.text).toBe("3 settlements left");
  });

  test("without income ahead it promises no end", () => {
    expect(paidSoFar("0.6", "30", "-1")?.text).toBe("paid 0.6×");
  });
});

/** Words for the ranking: the count sentence, reason codes and the name of a limit. */

import type { Schemas } from "@/lib/api";
import { interval, ratioOf, trimmed } from "@/lib/format";

type OpportunityView = Schemas["OpportunityView"];

/** "5 scanned · 2 held · 1 enters · 2 passed over"; what is zero is left out, except the scan. */
export function countSentence(rows: readonly OpportunityView[]): string {
  const of = (verdict: OpportunityView["verdict"]) =>
    rows.filter((row) => row.verdict === verdict).length;
  const parts: [number, string][] = [
    [of("hold"), "held"],
    [of("open"), of("open") === 1 ? "enters" : "enter"],
    [of("close"), of("close") === 1 ? "leaves" : "leave"],
    [of("passed_over"), "passed over"],
  ];
  const said = parts.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`);
  return [`${rows.length} scanned`, ...said].join(" · ");
}

/** A reason or limit code in words: "costs_not_paid" gives "Costs not paid". */
export function codeInWords(code: string): string {
  const words = code.replaceAll(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const PARTS: Record<string, string> = {
  value: "Funding left after costs",
  persistence: "Stays positive",
  trend: "Rate is rising",
  reversion: "Not above its mean",
  safety: "Loses nothing",
};

/** What a part of the conviction says; a part that is not known here by its own name. */
export function partInWords(name: string): string {
  return PARTS[name] ?? codeInWords(name);
}

/** The settlements a value is counted over, when hold time and interval are known and even. */
export function settlementsHeld(row: OpportunityView): string | null {
  const held = ratioOf(row.hold_hours, row.funding_interval_hours, 2);
  return held === null ? null : trimmed(held);
}

/** The head of the value column: settlements when all rows agree, hours otherwise. */
export function valueHead(rows: readonly OpportunityView[]): string {
  const settlements = new Set(rows.map(settlementsHeld));
  const [held] = settlements;
  if (settlements.size === 1 && held != null) return `Value over ${held}`;
  const hours = new Set(rows.map((row) => row.hold_hours));
  const [all] = hours;
  return hours.size === 1 && all != null ? `Value over ${interval(all)}` : "Value of holding";
}

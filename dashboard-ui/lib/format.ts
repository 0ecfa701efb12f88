/** The forms of UI numbers. Amounts come in as decimal strings and leave as text. */

import {
  ceiling,
  compare,
  type Decimal,
  divide,
  multiply,
  parseDecimal,
  rounded,
  shift,
  spell,
  subtract,
} from "@/lib/decimal";

export type Amount = string | null;
export type Sign = "never" | "flow";

export const MISSING = "–";
export const MINUS = "\u2212";
export const THIN_SPACE = "\u2009";

/** An amount with comma groups: "74,568.21", or as a flow "+1,399.85" and "−71.82". */
export function amount(value: Amount, sign: Sign = "never", places = 2): string {
  if (value === null) return MISSING;
  return grouped(rounded(parseDecimal(value), places), sign);
}

/** A rate in bps, always signed: "+3.58". */
export function bps(rate: Amount, places = 2): string {
  if (rate === null) return MISSING;
  return grouped(rounded(shift(parseDecimal(rate), 4), places), "flow");
}

/** The interval a rate is for: "8 h". */
export function interval(hours: Amount): string {
  return hours === null ? MISSING : `${trimmed(hours)} h`;
}

/** A fraction as percent: 0.392 gives "39.2 %". */
export function percent(fraction: Amount, places = 1, sign: Sign = "never"): string {
  if (fraction === null) return MISSING;
  return `${grouped(rounded(shift(parseDecimal(fraction), 2), places), sign)}${THIN_SPACE}%`;
}

/** A multiple: "5.4×". */
export function times(ratio: Amount): string {
  return ratio === null ? MISSING : `${grouped(rounded(parseDecimal(ratio), 1), "never")}×`;
}

/** A signed base quantity with the decimals it came with: "−180.0". */
export function quantity(value: Amount): string {
  return value === null ? MISSING : grouped(parseDecimal(value), "flow");
}

/** Part over whole as a decimal string with `places` decimals; null when it cannot be told. */
export function ratioOf(part: Amount, whole: Amount, places = 6): string | null {
  if (part === null || whole === null) return null;
  const ratio = divide(parseDecimal(part), parseDecimal(whole), places);
  return ratio === null ? null : spell(ratio);
}

/** −1, 0 or 1 of the value as shown with `places` decimals: what rounds to 0.00 has no sign. */
export function signOf(value: Amount, places = 2): -1 | 0 | 1 {
  if (value === null) return 0;
  const units = rounded(parseDecimal(value), places).units;
  if (units === 0n) return 0;
  return units < 0n ? -1 : 1;
}

/** Whether the exact value is zero, whatever its decimals. */
export function isZero(value: string): boolean {
  return parseDecimal(value).units === 0n;
}

export interface PaidSoFar {
  text: string;
  /** Share of the costs paid, 0 to 1, for a bar; never shown as a number. */
  share: number;
  paid: boolean;
}

/** How far funding has paid the costs: "paid 5.4×", or "2 settlements left" at the amount due. */
export function paidSoFar(ratio: Amount, funding: Amount, due: Amount): PaidSoFar | null {
  if (ratio === null) return null;
  const paid = parseDecimal(ratio);
  const one = parseDecimal("1");
  if (compare(paid, one) >= 0) return { text: `paid ${times(ratio)}`, share: 1, paid: true };
  const share = Math.max(0, Number(ratio));
  const left = settlementsLeft(paid, funding, due);
  if (left === null) return { text: `paid ${times(ratio)}`, share, paid: false };
  return { text: `${left} settlement${left === 1n ? "" : "s"} left`, share, paid: false };
}

/** "0 h", "48 h" rounded up to whole hours. */
export function wholeHours(value: Amount): string {
  return value === null ? MISSING : grouped({ units: ceiling(parseDecimal(value)), scale: 0 });
}

export function count(value: number | null): string {
  return value === null ? MISSING : grouped(parseDecimal(Math.round(value).toString()));
}

/** A value without needless zeros: "8.0" gives "8". */
export function trimmed(value: string): string {
  return value.includes(".") ? value.replace(/0+$/, "").replace(/\.$/, "") : value;
}

// Costs still open are funding × (1 − ratio) ÷ ratio, because ratio is funding over costs.
function settlementsLeft(paid: Decimal, funding: Amount, due: Amount): bigint | null {
  if (funding === null || due === null || paid.units <= 0n) return null;
  const dueNow = parseDecimal(due);
  if (dueNow.units <= 0n) return null;
  const open = multiply(parseDecimal(funding), subtract(parseDecimal("1"), paid));
  const left = divide(open, multiply(paid, dueNow), 6);
  return left === null || left.units <= 0n ? null : ceiling(left);
}

function grouped(value: Decimal, sign: Sign = "never"): string {
  const negative = value.units < 0n;
  const [whole = "0", fraction] = spell(value).replace("-", "").split(".");
  const body =
    whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction === undefined ? "" : `.${fraction}`);
  if (negative) return MINUS + body;
  return sign === "flow" && value.units !== 0n ? `+${body}` : body;
}

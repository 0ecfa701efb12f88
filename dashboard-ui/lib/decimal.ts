/** Exact decimal arithmetic on strings: money never becomes a JavaScript number. */

export interface Decimal {
  /** The digits as an integer; the value is `units / 10 ** scale`. */
  readonly units: bigint;
  readonly scale: number;
}

const PATTERN = /^([+-]?)(\d+)(?:\.(\d+))?$/;

/** The decimal a plain string spells. Throws a RangeError for anything else. */
export function parseDecimal(text: string): Decimal {
  const match = PATTERN.exec(text.trim());
  if (match === null) throw new RangeError(`Not a decimal: ${text}`);
  const [, sign, whole = "0", fraction = ""] = match;
  const units = BigInt(whole + fraction);
  return { units: sign === "-" ? -units : units, scale: fraction.length };
}

/** The value times a power of ten, exactly. */
export function shift(value: Decimal, powers: number): Decimal {
  const scale = value.scale - powers;
  return scale >= 0
    ? { units: value.units, scale }
    : { units: value.units * pow10(-scale), scale: 0 };
}

/** The value with exactly `places` decimals, halves away from zero. */
export function rounded(value: Decimal, places: number): Decimal {
  if (value.scale <= places) {
    return { units: value.units * pow10(places - value.scale), scale: places };
  }
  return { units: quotient(value.units, pow10(value.scale - places)), scale: places };
}

export function add(left: Decimal, right: Decimal): Decimal {
  const scale = Math.max(left.scale, right.scale);
  return { units: aligned(left, scale) + aligned(right, scale), scale };
}

export function subtract(left: Decimal, right: Decimal): Decimal {
  return add(left, { units: -right.units, scale: right.scale });
}

export function multiply(left: Decimal, right: Decimal): Decimal {
  return { units: left.units * right.units, scale: left.scale + right.scale };
}

/** `left / right` with `places` decimals, or null when `right` is zero. */
export function divide(left: Decimal, right: Decimal, places: number): Decimal | null {
  if (right.units === 0n) return null;
  const scaled = left.units * pow10(right.scale + places);
  return { units: quotient(scaled, right.units * pow10(left.scale)), scale: places };
}

export function compare(left: Decimal, right: Decimal): -1 | 0 | 1 {
  const scale = Math.max(left.scale, right.scale);
  const difference = aligned(left, scale) - aligned(right, scale);
  if (difference === 0n) return 0;
  return difference < 0n ? -1 : 1;
}

/** The smallest integer not below the value. */
export function ceiling(value: Decimal): bigint {
  const unit = pow10(value.scale);
  const whole = value.units / unit;
  return value.units > whole * unit ? whole + 1n : whole;
}

/** The plain spelling of the value, with all its decimals. */
export function spell(value: Decimal): string {
  const digits = magnitude(value.units)
    .toString()
    .padStart(value.scale + 1, "0");
  const cut = digits.length - value.scale;
  const sign = value.units < 0n ? "-" : "";
  return sign + digits.slice(0, cut) + (value.scale > 0 ? `.${digits.slice(cut)}` : "");
}

/** The exact sum of decimal strings; null when one of them is missing. */
export function sumOf(values: readonly (string | null)[]): string | null {
  let total: Decimal = { units: 0n, scale: 0 };
  for (const value of values) {
    if (value === null) return null;
    total = add(total, parseDecimal(value));
  }
  return spell(total);
}

/** For geometry only: where a value sits on a chart. Never shown, never summed. */
export function toPixelsInput(value: string): number {
  return Number(value);
}

function aligned(value: Decimal, scale: number): bigint {
  return value.units * pow10(scale - value.scale);
}

function quotient(numerator: bigint, denominator: bigint): bigint {
  const top = magnitude(numerator);
  const bottom = magnitude(denominator);
  const result = (top * 2n + bottom) / (bottom * 2n);
  return numerator < 0n !== denominator < 0n ? -result : result;
}

function magnitude(value: bigint): bigint {
  return value < 0n ? -value : value;
}

function pow10(power: number): bigint {
  return 10n ** BigInt(power);
}

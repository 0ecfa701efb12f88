/** Geometry of the charts. Numbers here are pixels and positions, never amounts to show. */

export interface Domain {
  low: number;
  high: number;
}

/** Round axis values that lie inside the domain: 3 to 5 of them where the domain allows. */
export function ticksIn({ low, high }: Domain, wanted = 4): number[] {
  const rough = (high - low) / wanted;
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((size) => size * power >= rough) ?? 10) * power;
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / step); tick * step <= high; tick += 1) ticks.push(tick * step);
  return ticks.map((tick) => Number(tick.toPrecision(12)));
}

/** The fewest decimals that spell every tick in full. */
export function tickPlaces(ticks: readonly number[]): number {
  const needed = ticks.map((tick) => (String(tick).split(".")[1] ?? "").length);
  return Math.max(0, ...needed);
}

/** Days, or hours in a short range, at which a time axis is labelled: at most `most` of them. */
export function timeTicks({ low, high }: Domain, most: number): number[] {
  const hour = 3_600_000;
  const steps = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720, 1440, 2880].map(
    (hours) => hours * hour,
  );
  const step = steps.find((size) => (high - low) / size <= most) ?? high - low;
  const ticks: number[] = [];
  if (!(step > 0)) return ticks;
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick);
  return ticks;
}

/** A domain that holds all values and zero, with a little air; never empty. */
export function domainWithZero(values: readonly number[]): Domain {
  let low = 0;
  let high = 0;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low === high) return { low: -1, high: 1 };
  const air = (high - low) * 0.06;
  return { low: low < 0 ? low - air : 0, high: high > 0 ? high + air : 0 };
}

/** A function from a domain to pixels; `from` is where the domain starts. */
export function scaleOf(domain: Domain, from: number, to: number): (value: number) => number {
  const span = domain.high - domain.low || 1;
  return (value) => from + ((value - domain.low) / span) * (to - from);
}

/** At most about `most` items, always with the lowest and highest of each bucket and both ends. */
export function thinned<T>(items: readonly T[], heightOf: (item: T) => number, most: number): T[] {
  if (items.length <= most) return [...items];
  const size = Math.ceil((items.length * 2) / most);
  const kept = new Set<number>([0, items.length - 1]);
  for (let start = 0; start < items.length; start += size) {
    let lowest = start;
    let highest = start;
    for (let index = start; index < Math.min(start + size, items.length); index += 1) {
      if (at(items, index, heightOf) < at(items, lowest, heightOf)) lowest = index;
      if (at(items, index, heightOf) > at(items, highest, heightOf)) highest = index;
    }
    kept.add(lowest).add(highest);
  }
  return [...kept].sort((left, right) => left - right).map((index) => items[index] as T);
}

/** The index of the item nearest to a place on an ascending axis; −1 when there is none. */
export function nearest(places: readonly number[], wanted: number): number {
  let best = -1;
  for (let index = 0; index < places.length; index += 1) {
    const here = Math.abs((places[index] ?? 0) - wanted);
    if (best === -1 || here <= Math.abs((places[best] ?? 0) - wanted)) best = index;
  }
  return best;
}

function at<T>(items: readonly T[], index: number, heightOf: (item: T) => number): number {
  return heightOf(items[index] as T);
}

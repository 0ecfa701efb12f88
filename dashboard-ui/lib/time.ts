/** Instants, ages and countdowns as text. Everything is UTC; durations are in seconds. */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** "7 Dec 13:14"; with the year when `now` is in another one. */
export function instant(iso: string, now: string | null): string {
  return `${day(iso, now)} ${clock(iso)}`;
}

/** "7 Dec", or "7 Dec 2023" when `now` is in another year. */
export function day(iso: string, now: string | null): string {
  const at = new Date(iso);
  const text = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  const sameYear = now !== null && new Date(now).getUTCFullYear() === at.getUTCFullYear();
  return sameYear ? text : `${text} ${at.getUTCFullYear()}`;
}

/** "13:14". */
export function clock(iso: string): string {
  return new Date(iso).toISOString().slice(11, 16);
}

/** "13:14:07" of an instant in milliseconds. */
export function clockSeconds(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 19);
}

/** The time today, the day otherwise: for short lists of what happened. */
export function clockOrDay(iso: string, now: string | null): string {
  const today = now !== null && iso.slice(0, 10) === now.slice(0, 10);
  return today ? clock(iso) : day(iso, now);
}

/** The full instant for title attributes: "2023-11-20T16:00:00.000Z". */
export function fullInstant(iso: string): string {
  return new Date(iso).toISOString();
}

/** "02:45:12"; hours run past 24. */
export function countdown(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => part.toString().padStart(2, "0")).join(":");
}

/** "0.3 s" under ten seconds, "41 s" under a hundred, then the two largest units. */
export function age(seconds: number): string {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  return duration(seconds);
}

/** The two largest units: "14 d 3 h". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const first = UNITS.findIndex(([, size]) => whole >= size);
  if (first === -1) return "0 s";
  let rest = whole;
  const parts: string[] = [];
  for (const [name, size] of UNITS.slice(first, first + 2)) {
    const part = Math.floor(rest / size);
    rest -= part * size;
    if (part > 0) parts.push(`${part} ${name}`);
  }
  return parts.join(" ");
}

import { type Amount, amount, bps, interval, signOf } from "@/lib/format";

/** The class that colours a flow by the sign it is shown with. */
export function toneOf(value: Amount, places = 2): string {
  const sign = signOf(value, places);
  if (sign === 0) return "";
  return sign > 0 ? "text-gain" : "text-loss";
}

/** A flow in USDT; only the net figure of a row is coloured. */
export function Flow({ value, coloured = false }: { value: Amount; coloured?: boolean }) {
  return <span className={coloured ? toneOf(value) : ""}>{amount(value, "flow")}</span>;
}

/** A funding rate with its interval: "+3.58 / 8 h"; paying is coloured, receiving is not. */
export function Rate({ rate, hours }: { rate: Amount; hours: Amount }) {
  const pays = signOf(rate === null ? null : rate, 6) < 0;
  return (
    <span>
      <span className={pays ? "text-loss" : ""}>{bps(rate)}</span>
      {rate !== null && <span className="text-fg-3"> / {interval(hours)}</span>}
    </span>
  );
}

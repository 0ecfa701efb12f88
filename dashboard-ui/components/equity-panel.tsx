"use client";

import { type ReactNode, useMemo, useState } from "react";
import { EquityChart } from "@/components/equity-chart";
import { Panel } from "@/components/panel";
import { Empty, Problem } from "@/components/states";
import { useEquity } from "@/hooks/use-equity";
import { useFreshness } from "@/hooks/use-freshness";
import { useUrlState } from "@/hooks/use-url-state";
import type { Schemas } from "@/lib/api";
import { amount } from "@/lib/format";
import { fullInstant, instant } from "@/lib/time";

type EquityView = Schemas["EquityView"];

const RANGES = [
  { name: "7d", words: "7 d", days: 7 },
  { name: "30d", words: "30 d", days: 30 },
  { name: "all", words: "All", days: null },
] as const;
const DEFAULT_RANGE = RANGES[1];
const DAY_MS = 86_400_000;
const TABLE_ROWS_MAX = 100;

/** Equity and funding over a range of venue time, as a chart or as a table. */
export function EquityPanel({ className = "" }: { className?: string }) {
  const [rangeName, setRange] = useUrlState("range");
  const [asTable, setAsTable] = useState(false);
  const range = RANGES.find(({ name }) => name === rangeName) ?? DEFAULT_RANGE;
  const actions = (
    <>
      <Legend />
      <button
        type="button"
        className="text-label text-fg-2 underline underline-offset-2"
        onClick={() => setAsTable(!asTable)}
      >
        {asTable ? "As chart" : "As table"}
      </button>
      <div className="flex rounded-control bg-raised p-0.5">
        {RANGES.map((one) => (
          <button
            key={one.name}
            type="button"
            aria-pressed={one === range}
            onClick={() => setRange(one === DEFAULT_RANGE ? null : one.name)}
            className={`min-h-6 rounded-tag border px-2 text-label max-tablet:min-h-11 max-tablet:px-3 ${one === range ? "border-line-strong bg-surface text-fg" : "border-transparent text-fg-2"}`}
          >
            {one.words}
          </button>
        ))}
      </div>
    </>
  );
  return (
    <Panel
      title="Equity and funding"
      note="USDT, net of all costs"
      actions={actions}
      className={className}
    >
      <Body days={range.days} asTable={asTable} />
    </Panel>
  );
}

function Body({ days, asTable }: { days: number | null; asTable: boolean }) {
  const equity = useEquity();
  const { stale, status } = useFreshness();
  const now = status?.view.venue_at ?? equity.data?.as_of ?? null;
  const shown = useMemo(() => inRange(equity.data, days), [equity.data, days]);
  if (equity.isPending) {
    return (
      <div className="px-3.5 pb-3.5" role="status" aria-label="Loading">
        <div className="bone h-[364px] opacity-40" />
      </div>
    );
  }
  if (shown === null) {
    return (
      <Problem
        title="No equity"
        detail={equity.error?.message ?? ""}
        retry={() => void equity.refetch()}
      />
    );
  }
  if (shown.points.length < 2) {
    return (
      <Empty title="No history yet">
        The line starts with the second valuation of the account, a bar after each settlement of a
        held pair.
      </Empty>
    );
  }
  return (
    <div className={stale ? "stale" : ""}>
      {asTable ? (
        <EquityTable view={shown} now={now} />
      ) : (
        <EquityChart points={shown.points} settlements={shown.settlements} now={now} />
      )}
    </div>
  );
}

function inRange(view: EquityView | undefined, days: number | null): EquityView | null {
  if (view === undefined) return null;
  const last = view.points.at(-1);
  if (days === null || last === undefined) return view;
  const since = Date.parse(last.at) - days * DAY_MS;
  const isInside = ({ at }: { at: string }) => Date.parse(at) >= since;
  return {
    ...view,
    points: view.points.filter(isInside),
    settlements: view.settlements.filter(isInside),
  };
}

function Legend() {
  return (
    <div className="hidden items-center gap-4 text-label text-fg-2 desk:flex">
      <LegendItem words="Net PnL">
        <line x1={0} x2={14} y1={5} y2={5} stroke="var(--text)" strokeWidth={2} />
      </LegendItem>
      <LegendItem words="Funding only">
        <line
          x1={0}
          x2={14}
          y1={5}
          y2={5}
          stroke="var(--gain)"
          strokeWidth={2}
          strokeDasharray="3 2"
        />
      </LegendItem>
      <LegendItem words="Per settlement">
        <rect x={2} y={0} width={9} height={10} fill="var(--gain)" />
      </LegendItem>
    </div>
  );
}

function LegendItem({ words, children }: { words: string; children: ReactNode }) {
  return (
    <span className="flex items-center gap-1.5">
      <svg width={14} height={10} aria-hidden="true">
        {children}
      </svg>
      {words}
    </span>
  );
}

/** The newest settlements in words and digits, for who cannot see the chart. */
function EquityTable({ view, now }: { view: EquityView; now: string | null }) {
  const rows = view.settlements.slice(-TABLE_ROWS_MAX).reverse();
  return (
    <section
      className="max-h-[364px] overflow-auto"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by key.
      tabIndex={0}
      aria-label="Settlements, newest first"
    >
      <table className="data-table">
        <caption className="sr-only">Funding per settlement, newest {TABLE_ROWS_MAX}</caption>
        <thead>
          <tr>
            <th scope="col">Settlement, UTC</th>
            <th scope="col">Funding USDT</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.at}>
              <th scope="row" className="font-normal" title={fullInstant(row.at)}>
                {instant(row.at, now)}
              </th>
              <td>{amount(row.funding_usdt, "flow")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

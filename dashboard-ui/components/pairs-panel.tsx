"use client";

import Link from "next/link";
import { CsvButton } from "@/components/csv-button";
import { Flow, Rate, toneOf } from "@/components/money";
import { Panel } from "@/components/panel";
import { Empty, Problem, Skeleton } from "@/components/states";
import { PairStateTag } from "@/components/tag";
import { useFreshness } from "@/hooks/use-freshness";
import { useOpportunities } from "@/hooks/use-opportunities";
import { usePairs } from "@/hooks/use-pairs";
import type { Schemas } from "@/lib/api";
import { sumOf } from "@/lib/decimal";
import { amount, paidSoFar, percent } from "@/lib/format";
import { clock, fullInstant } from "@/lib/time";

type PairView = Schemas["PairView"];

/** The pairs that are held, being opened or being closed, with their totals. */
export function PairsPanel() {
  const pairs = usePairs();
  const rows = pairs.data;
  const note =
    rows === undefined || rows.length === 0
      ? undefined
      : `${rows.length}, long spot and short perp`;
  return (
    <Panel title="Open pairs" note={note} actions={rows && <CsvButton name="pairs" rows={rows} />}>
      {pairs.isPending ? (
        <Skeleton rows={4} />
      ) : rows === undefined ? (
        <Problem
          title="No pairs"
          detail={pairs.error?.message ?? ""}
          retry={() => void pairs.refetch()}
        />
      ) : rows.length === 0 ? (
        <NoPair />
      ) : (
        <Rows rows={rows} />
      )}
    </Panel>
  );
}

function Rows({ rows }: { rows: PairView[] }) {
  const { stale } = useFreshness();
  return (
    <div className={stale ? "stale" : ""}>
      <div className="hidden overflow-x-auto tablet:block">
        <PairTable rows={rows} />
      </div>
      <ul className="divide-y divide-line border-t border-line tablet:hidden">
        {rows.map((row) => (
          <PairCard key={row.pair} row={row} />
        ))}
      </ul>
    </div>
  );
}

function NoPair() {
  const ranking = useOpportunities().data;
  const best = ranking?.rows[0];
  return (
    <Empty title="No pair is open">
      {best === undefined ? (
        "A pair stands here once the strategy has opened one."
      ) : (
        <>
          The best of {ranking?.rows.length} is {best.base}: {best.sentence}{" "}
          <Link href="/opportunities/" className="underline underline-offset-2">
            See all reasons
          </Link>
        </>
      )}
    </Empty>
  );
}

function PairTable({ rows }: { rows: PairView[] }) {
  return (
    <table className="data-table">
      <caption className="sr-only">Open pairs</caption>
      <thead>
        <tr>
          <th scope="col">Pair</th>
          <Head words="Notional" unit="USDT" />
          <Head words="Net delta" unit="USDT" />
          <Head words="Last rate" unit="bps / interval" />
          <Head words="Next, expected" unit="bps / interval" />
          <Head words="Annualised" unit="on notional" className="hidden desk:table-cell" />
          <Head words="Funding to date" unit="USDT" />
          <Head words={dueHead(rows)} unit="USDT" />
          <th scope="col" className="left">
            Break-even
          </th>
          <Head words="Net PnL" unit="USDT" />
          <th scope="col" className="left">
            State
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <PairRow key={row.pair} row={row} />
        ))}
      </tbody>
      <Totals rows={rows} />
    </table>
  );
}

function PairRow({ row }: { row: PairView }) {
  return (
    <tr className={row.state === "Broken" ? "!bg-tint-crit" : ""}>
      <th scope="row" className="font-semibold">
        <PairLink row={row} />
      </th>
      <td>{amount(row.notional_usdt, "never", 0)}</td>
      <td>{amount(row.net_delta_usdt, "flow")}</td>
      <td>
        <Rate rate={row.last_rate} hours={row.funding_interval_hours} />
      </td>
      <td>
        <Rate rate={row.expected_rate} hours={row.funding_interval_hours} />
      </td>
      <td className="hidden text-fg-3 desk:table-cell">{percent(row.annualized_on_notional)}</td>
      <td>
        <Flow value={row.funding_usdt} />
      </td>
      <td title={row.next_settlement_at === null ? undefined : fullInstant(row.next_settlement_at)}>
        <Flow value={row.due_usdt} />
      </td>
      <td className="left">
        <BreakEven row={row} withBar />
      </td>
      <td>
        <Flow value={row.net_usdt} coloured />
      </td>
      <td className="left">
        <PairStateTag state={row.state} />
      </td>
    </tr>
  );
}

function Totals({ rows }: { rows: PairView[] }) {
  const net = sumOf(rows.map((row) => row.net_usdt));
  return (
    <tfoot>
      <tr className="[&>*]:font-semibold">
        <th scope="row">Total</th>
        <td>{amount(sumOf(rows.map((row) => row.notional_usdt)), "never", 0)}</td>
        <td>{amount(sumOf(rows.map((row) => row.net_delta_usdt)), "flow")}</td>
        <td />
        <td />
        <td className="hidden desk:table-cell" />
        <td>{amount(sumOf(rows.map((row) => row.funding_usdt)), "flow")}</td>
        <td>{amount(sumOf(rows.map((row) => row.due_usdt)), "flow")}</td>
        <td />
        <td className={toneOf(net)}>{amount(net, "flow")}</td>
        <td />
      </tr>
    </tfoot>
  );
}

function PairCard({ row }: { row: PairView }) {
  return (
    <li className={`px-3.5 py-2.5 text-phone ${row.state === "Broken" ? "bg-tint-crit" : ""}`}>
      <p className="flex items-center gap-2">
        <span className="font-semibold">
          <PairLink row={row} />
        </span>
        <span className="text-fg-3">{amount(row.notional_usdt, "never", 0)} USDT</span>
        {row.state !== "Hedged" && <PairStateTag state={row.state} />}
        <span className="ml-auto font-medium">
          <Flow value={row.net_usdt} coloured />
        </span>
      </p>
      <p className="flex justify-between gap-2 pt-1 text-label">
        <span className="text-fg-3">
          Next <span className="text-fg">{amount(row.due_usdt, "flow")}</span>
        </span>
        <Rate rate={row.last_rate} hours={row.funding_interval_hours} />
        <BreakEven row={row} />
      </p>
    </li>
  );
}

function PairLink({ row }: { row: PairView }) {
  const quote = row.symbol.startsWith(row.base) ? row.symbol.slice(row.base.length) : "";
  return (
    <Link href={`/opportunities/?open=${encodeURIComponent(row.pair)}`} className="hover:underline">
      {row.base}
      <span className="font-normal text-fg-3">{quote === "" ? "" : `/${quote}`}</span>
    </Link>
  );
}

function BreakEven({ row, withBar = false }: { row: PairView; withBar?: boolean }) {
  const progress = paidSoFar(row.break_even_ratio, row.funding_usdt, row.due_usdt);
  if (progress === null) return <span className="text-fg-3">–</span>;
  return (
    <span className="inline-flex items-center gap-2 text-fg-2">
      {withBar && (
        <span className="inline-block h-1 w-12 overflow-hidden rounded-tag bg-track" aria-hidden>
          <span
            className="block h-full bg-fg-2"
            style={{ width: `${Math.round(progress.share * 100)}%` }}
          />
        </span>
      )}
      {progress.text}
    </span>
  );
}

function Head({
  words,
  unit,
  className = "",
}: {
  words: string;
  unit: string;
  className?: string;
}) {
  return (
    <th scope="col" className={className}>
      {words}
      <br />
      {unit}
    </th>
  );
}

function dueHead(rows: PairView[]): string {
  const times = new Set(rows.map((row) => row.next_settlement_at));
  const [only] = times;
  return times.size === 1 && only != null ? `Due ${clock(only)}` : "Due next";
}

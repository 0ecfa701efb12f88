"use client";

import { CsvButton } from "@/components/csv-button";
import { toneOf } from "@/components/money";
import { Panel } from "@/components/panel";
import { Empty, Problem, Skeleton } from "@/components/states";
import { useSkipped } from "@/hooks/use-skipped";
import type { Schemas } from "@/lib/api";
import { bps, count, percent, trimmed } from "@/lib/format";
import { codeInWords } from "@/lib/opportunities";

type SkippedView = Schemas["SkippedView"];
type ReasonView = Schemas["SkippedReasonView"];

const DAYS = 30;
// One bps is four decimals of a fraction; the sums show a tenth of that.
const PLACES = 5;

/** What each reason kept out and would have earned, the most expensive refusal first. */
export function SkippedPanel() {
  const skipped = useSkipped(DAYS);
  const view = skipped.data;
  const reasons = view?.reasons ?? [];
  return (
    <Panel
      title="Skipped, would have earned"
      note={view === undefined || reasons.length === 0 ? undefined : noteOf(view)}
      actions={<CsvButton name="skipped" rows={reasons} />}
    >
      {skipped.isPending ? (
        <Skeleton rows={4} />
      ) : view === undefined ? (
        <Problem
          title="Not known what was skipped"
          detail={skipped.error?.message ?? ""}
          retry={() => void skipped.refetch()}
        />
      ) : reasons.length === 0 ? (
        <Empty title="Nothing is followed yet">
          Each pair that is passed over stands here by its reason, with what it would have earned
          once its hold is over. <code>carry backtest serve</code> follows them.
        </Empty>
      ) : (
        <Reasons reasons={reasons} />
      )}
    </Panel>
  );
}

function noteOf(view: SkippedView): string {
  const hold = view.hold_hours === null ? "" : `, each for a hold of ${trimmed(view.hold_hours)} h`;
  return `last ${view.days} days${hold}; bps of notional after fees and slippage`;
}

function Reasons({ reasons }: { reasons: ReasonView[] }) {
  return (
    <>
      <div className="overflow-x-auto max-tablet:hidden">
        <table className="data-table">
          <caption className="sr-only">Skipped pairs by reason, the most expensive first</caption>
          <Head />
          <tbody>
            {reasons.map((row) => (
              <Row key={row.reason} row={row} />
            ))}
          </tbody>
        </table>
      </div>
      <ul className="divide-y divide-line border-t border-line tablet:hidden">
        {reasons.map((row) => (
          <Card key={row.reason} row={row} />
        ))}
      </ul>
    </>
  );
}

function Head() {
  return (
    <thead>
      <tr>
        <th scope="col">Reason</th>
        <th scope="col">
          Skipped
          <br />
          holds
        </th>
        <th scope="col">
          Not over
          <br />
          holds
        </th>
        <th scope="col">
          Known
          <br />
          holds
        </th>
        <th scope="col">
          Earning
          <br />
          of known
        </th>
        <th scope="col">
          A hold, mean
          <br />
          bps
        </th>
        <th scope="col" aria-sort="descending" className="!font-semibold !text-fg">
          Would have earned ↓
          <br />
          bps, all together
        </th>
      </tr>
    </thead>
  );
}

function Row({ row }: { row: ReasonView }) {
  return (
    <tr data-reason={row.reason}>
      <th scope="row" className="font-semibold">
        {codeInWords(row.reason)}
      </th>
      <td>{count(row.skipped)}</td>
      <td className="text-fg-2">{count(row.running)}</td>
      <td>{count(row.known)}</td>
      <td>{percent(row.share_won, 0)}</td>
      <td>{bps(row.mean, 1)}</td>
      <td className={`font-semibold ${toneOf(row.would_have_earned, PLACES)}`}>
        {bps(row.would_have_earned, 1)}
      </td>
    </tr>
  );
}

function Card({ row }: { row: ReasonView }) {
  return (
    <li className="px-3.5 py-2.5 text-phone" data-reason={row.reason}>
      <p className="flex items-center justify-between gap-3">
        <span className="font-semibold">{codeInWords(row.reason)}</span>
        <span className="whitespace-nowrap">
          <span className={`font-medium ${toneOf(row.would_have_earned, PLACES)}`}>
            {bps(row.would_have_earned, 1)}
          </span>
          <span className="text-fg-3"> bps</span>
        </span>
      </p>
      <p className="flex justify-between gap-3 pt-1 text-label text-fg-2">
        <span>
          {count(row.known)} of {count(row.skipped)} known, {count(row.running)} not over
        </span>
        <span className="whitespace-nowrap">
          {row.share_won === null ? "no result" : `${percent(row.share_won, 0)} earning`}
        </span>
      </p>
    </li>
  );
}

"use client";

import { useCallback, useState } from "react";
import { CsvButton } from "@/components/csv-button";
import { OpportunityDrawer } from "@/components/opportunity-drawer";
import { OpportunityTable } from "@/components/opportunity-table";
import { Empty, Problem, Skeleton } from "@/components/states";
import { useFreshness } from "@/hooks/use-freshness";
import { useOpportunities } from "@/hooks/use-opportunities";
import { useSteadyOrder } from "@/hooks/use-steady-order";
import { useUrlState } from "@/hooks/use-url-state";
import type { Schemas } from "@/lib/api";
import { countSentence } from "@/lib/opportunities";
import { fullInstant, instant } from "@/lib/time";

type OpportunitiesView = Schemas["OpportunitiesView"];
type OpportunityView = Schemas["OpportunityView"];

/** The ranking of the last decision with its reasons; a row opens the proof. */
export function OpportunitiesPanel() {
  const ranking = useOpportunities();
  if (ranking.isPending) {
    return (
      <section aria-label="Ranking" className="panel py-2">
        <Skeleton rows={8} />
      </section>
    );
  }
  if (ranking.data === undefined) {
    return (
      <section aria-label="Ranking" className="panel">
        <Problem
          title="No ranking"
          detail={ranking.error?.message ?? ""}
          retry={() => void ranking.refetch()}
        />
      </section>
    );
  }
  return <Ranking view={ranking.data} />;
}

const pairOf = (row: OpportunityView) => row.pair;

function Ranking({ view }: { view: OpportunitiesView }) {
  const { stale } = useFreshness();
  const [openPair, setOpenPair] = useUrlState("open");
  const [busy, setBusy] = useState(false);
  const order = useSteadyOrder(view.rows, pairOf, busy);
  const opened = view.rows.find((row) => row.pair === openPair);
  const close = useCallback(() => setOpenPair(null), [setOpenPair]);
  return (
    <>
      <Summary view={view}>
        {order.changed && (
          <button type="button" className="button" onClick={order.release}>
            Order changed, refresh
          </button>
        )}
      </Summary>
      {view.rows.length === 0 ? (
        <section className="panel" aria-label="Ranking">
          <Empty title="No symbol is ranked yet">
            The ranking follows the first decision, one minute after the first full hour of venue
            data.
          </Empty>
        </section>
      ) : (
        <div
          className={`grid items-start gap-3 ${stale ? "stale" : ""} ${opened === undefined ? "" : "desk:grid-cols-[minmax(0,1fr)_340px]"}`}
        >
          <OpportunityTable
            rows={order.rows}
            openPair={opened?.pair ?? null}
            onOpen={setOpenPair}
            onBusy={setBusy}
          />
          {opened !== undefined && <OpportunityDrawer row={opened} view={view} onClose={close} />}
        </div>
      )}
    </>
  );
}

function Summary({ view, children }: { view: OpportunitiesView; children: React.ReactNode }) {
  const { status } = useFreshness();
  const now = status?.view.venue_at ?? null;
  return (
    <div className="flex min-h-8 flex-wrap items-center gap-x-3 gap-y-1 text-fg-2">
      <p>{countSentence(view.rows)}</p>
      {view.decided_at !== null && (
        <p className="text-label text-fg-3" title={fullInstant(view.decided_at)}>
          Decided {instant(view.decided_at, now)} UTC
          {view.break_even_limit_settlements !== null &&
            `, break-even limit ${view.break_even_limit_settlements} settlements`}
        </p>
      )}
      <div className="ml-auto flex items-center gap-2">
        {children}
        <CsvButton name="opportunities" rows={view.rows} />
      </div>
    </div>
  );
}

"use client";

import { Check, CircleHelp, Clock, OctagonX, TrendingDown, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { DeltaGauge, LimitGauge } from "@/components/gauges";
import { toneOf } from "@/components/money";
import { Problem } from "@/components/states";
import { useFreshness } from "@/hooks/use-freshness";
import { useOverview } from "@/hooks/use-overview";
import type { Schemas } from "@/lib/api";
import { amount, bps, isZero, percent, ratioOf } from "@/lib/format";
import { age, clock, instant } from "@/lib/time";
import { sentence } from "@/lib/troubles";

type Overview = Schemas["OverviewView"];

/** The five-second answer: hedged, safe, earning, and what waits for a person. */
export function AnswerStrip() {
  const overview = useOverview();
  const { stale, status } = useFreshness();
  if (overview.isPending) return <StripSkeleton />;
  if (overview.data === undefined) {
    return (
      <section className="panel" aria-label="Answers">
        <Problem
          title="No answers"
          detail={overview.error?.message ?? ""}
          retry={() => void overview.refetch()}
        />
      </section>
    );
  }
  const view = overview.data;
  return (
    <section
      aria-label="Answers"
      className={`panel grid grid-cols-2 overflow-hidden desk:grid-cols-4 ${stale ? "stale" : ""}`}
    >
      <Hedged view={view.hedged} stale={stale} />
      <Safe view={view.safe} stale={stale} />
      <Earning
        view={view.earning}
        stale={stale}
        settlesAt={status?.view.next_settlement_at ?? null}
      />
      <WhatNeedsMe view={view} now={status?.view.venue_at ?? view.as_of} />
    </section>
  );
}

interface CellProps {
  question: string;
  icon: ReactNode;
  answer: ReactNode;
  unit?: ReactNode;
  gauge?: ReactNode;
  tint?: string;
  warn?: boolean;
  children: ReactNode;
}

function Cell({
  question,
  icon,
  answer,
  unit,
  gauge,
  tint = "",
  warn = false,
  children,
}: CellProps) {
  return (
    <section
      aria-label={question}
      data-answer={question}
      className={`min-w-0 border-line p-3 tablet:px-4 [&:nth-child(even)]:border-l [&:nth-child(n+3)]:border-t desk:[&:nth-child(n+2)]:border-l desk:[&:nth-child(n+3)]:border-t-0 ${tint}`}
    >
      <div className="flex h-5 items-center gap-2 text-label">
        <span
          className={`flex items-center gap-2 whitespace-nowrap ${warn ? "text-warn" : "text-fg-2"}`}
        >
          {icon}
          {question}
        </span>
        <span className="ml-auto hidden min-[360px]:inline">{gauge}</span>
      </div>
      <p className="mt-1 flex flex-wrap items-baseline gap-x-2.5">
        <strong className="text-[20px] leading-7 font-semibold tracking-[-0.02em] tablet:text-[19px] desk:text-answer">
          {answer}
        </strong>
        <span className="hidden text-fg-2 tablet:inline">{unit}</span>
      </p>
      <p className="mt-1 text-label text-fg-2 [&_b]:font-medium [&_b]:text-fg">{children}</p>
    </section>
  );
}

function Hedged({ view, stale }: { view: Overview["hedged"]; stale: boolean }) {
  const { net_delta_usdt: delta, gross_notional_usdt: gross } = view;
  const share = ratioOf(delta, gross);
  return (
    <Cell
      question="Hedged?"
      icon={<AnswerIcon answer={view.answer} stale={stale} />}
      answer={WORDS[view.answer]}
      unit={delta !== null && `net delta ${amount(delta, "flow")} USDT`}
      gauge={share !== null && <DeltaGauge share={share} />}
      tint={view.answer === "no" ? "bg-tint-crit" : ""}
    >
      {delta === null && "A mark price is missing. "}
      {gross !== null && isZero(gross) && "No position is open. "}
      {share !== null && (
        <span className="hidden tablet:inline">
          <b>{bps(share)} bps</b> of {amount(gross, "never", 0)} gross.{" "}
        </span>
      )}
      {doubtWords(view.orders_in_doubt)}{" "}
      <span className="hidden tablet:inline">
        {isZero(view.unhedged_seconds_max) ? (
          "No leg stood alone."
        ) : (
          <>
            Longest one leg alone <b>{age(Number(view.unhedged_seconds_max))}</b>.
          </>
        )}
      </span>
    </Cell>
  );
}

function Safe({ view, stale }: { view: Overview["safe"]; stale: boolean }) {
  const used = ratioOf(view.exposure_usdt, view.exposure_limit_usdt);
  return (
    <Cell
      question="Safe?"
      icon={<AnswerIcon answer={view.answer} stale={stale} />}
      answer={WORDS[view.answer]}
      unit={used !== null && `exposure ${percent(used, 0)} of limit`}
      gauge={used !== null && <LimitGauge share={used} />}
      tint={view.answer === "no" ? "bg-tint-crit" : ""}
    >
      {view.exposure_usdt === null ? (
        "Exposure is not known. "
      ) : (
        <>
          <b>{amount(view.exposure_usdt, "never", 0)}</b> of{" "}
          {amount(view.exposure_limit_usdt, "never", 0)} USDT at work.{" "}
        </>
      )}
      <span className="hidden tablet:inline">
        Equity {view.equity_usdt === null ? "not known" : <b>{amount(view.equity_usdt)}</b>}.{" "}
        {ledgerWords(view.ledger_difference_usdt)}
      </span>
    </Cell>
  );
}

function Earning({
  view,
  stale,
  settlesAt,
}: {
  view: Overview["earning"];
  stale: boolean;
  settlesAt: string | null;
}) {
  const recent = view.net_24h_usdt ?? view.net_usdt;
  return (
    <Cell
      question="Earning?"
      icon={<EarningIcon answer={view.answer} stale={stale} />}
      answer={
        recent === null ? (
          "Not known"
        ) : (
          <span className={toneOf(recent)}>{amount(recent, "flow")}</span>
        )
      }
      unit={recent !== null && (view.net_24h_usdt === null ? "USDT so far" : "USDT in 24 h")}
    >
      {view.next_due_usdt !== null && (
        <>
          Next <b>{amount(view.next_due_usdt, "flow")}</b>
          {settlesAt !== null && ` at ${clock(settlesAt)}`}.{" "}
        </>
      )}
      {view.net_usdt === null ? (
        "Net since the start is not known."
      ) : (
        <span className="hidden tablet:inline">
          Since the start <b>{amount(view.net_usdt, "flow")}</b>
          {view.return_on_capital !== null && (
            <>
              , <b>{percent(view.return_on_capital, 2, "flow")}</b> of all capital
            </>
          )}
          : funding {amount(view.funding_usdt, "flow")}, fees {amount(view.fees_usdt, "flow")},
          basis {amount(view.basis_usdt, "flow")}.
        </span>
      )}
    </Cell>
  );
}

function WhatNeedsMe({ view, now }: { view: Overview; now: string | null }) {
  const needs = view.needs.filter((need) => need.kind === "needs_you");
  const watched = view.needs.length - needs.length;
  const alarm = view.latest.find((event) => event.kind === "alarm");
  const [first] = needs;
  return (
    <Cell
      question="What needs me?"
      warn={first !== undefined}
      icon={
        first === undefined ? (
          <Check size={16} aria-hidden />
        ) : (
          <TriangleAlert size={16} aria-hidden />
        )
      }
      answer={
        first === undefined ? "Nothing" : `${needs.length} thing${needs.length === 1 ? "" : "s"}`
      }
      unit={watched > 0 && `${watched} watched`}
    >
      {first !== undefined && `${sentence(first.title)} `}
      {alarm === undefined ? (
        first === undefined && "No alarm among the latest events."
      ) : (
        <span className={first === undefined ? "" : "hidden tablet:inline"}>
          Last alarm {instant(alarm.at, now)}: {sentence(alarm.sentence)}
        </span>
      )}
    </Cell>
  );
}

const WORDS = { yes: "Yes", no: "No", unknown: "Not known" } as const;

function AnswerIcon({ answer, stale }: { answer: keyof typeof WORDS; stale: boolean }) {
  if (answer === "no") return <OctagonX size={16} aria-hidden className="text-crit" />;
  if (answer === "unknown") return <CircleHelp size={16} aria-hidden />;
  return stale ? <Clock size={16} aria-hidden /> : <Check size={16} aria-hidden />;
}

// Not earning is a money sign, not an alarm: it keeps the loss colour and leaves red to danger.
function EarningIcon({ answer, stale }: { answer: keyof typeof WORDS; stale: boolean }) {
  if (answer !== "no") return <AnswerIcon answer={answer} stale={stale} />;
  return <TrendingDown size={16} aria-hidden className="text-loss" />;
}

function doubtWords(orders: number): string {
  if (orders === 0) return "No order in doubt.";
  return orders === 1 ? "One order in doubt." : `${orders} orders in doubt.`;
}

function ledgerWords(difference: string | null): string {
  if (difference === null) return "Ledger not yet compared with the venue.";
  return isZero(difference)
    ? "Ledger and venue agree to 0.00000000."
    : `Ledger differs from the venue by ${amount(difference, "flow", 8)}.`;
}

function StripSkeleton() {
  return (
    <section aria-label="Answers" className="panel grid grid-cols-2 desk:grid-cols-4">
      {["Hedged?", "Safe?", "Earning?", "What needs me?"].map((question) => (
        <div key={question} className="flex h-[118px] flex-col gap-2.5 p-3 tablet:px-4">
          <span className="text-label text-fg-3">{question}</span>
          <div className="bone h-5 w-24" />
          <div className="bone h-3 w-4/5" />
        </div>
      ))}
    </section>
  );
}

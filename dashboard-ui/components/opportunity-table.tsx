"use client";

import { type KeyboardEvent, useEffect, useRef } from "react";
import { Rate, toneOf } from "@/components/money";
import { VerdictTag } from "@/components/tag";
import { isTyping } from "@/hooks/use-shortcuts";
import type { Schemas } from "@/lib/api";
import { amount, bps, count, percent, wholeHours } from "@/lib/format";
import { codeInWords, valueHead } from "@/lib/opportunities";

type OpportunityView = Schemas["OpportunityView"];

interface TableProps {
  rows: OpportunityView[];
  openPair: string | null;
  onOpen: (pair: string) => void;
  /** Whether pointer or focus is on the rows, so that they must not move. */
  onBusy: (busy: boolean) => void;
}

/** The ranking; `j` and `k` move over the rows, Enter or a click opens one. */
export function OpportunityTable(props: TableProps) {
  const area = useRef<HTMLDivElement>(null);
  useRowKeys(area);
  const { onBusy } = props;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only watches where pointer and focus are.
    <div
      ref={area}
      className="panel min-w-0 overflow-x-auto"
      onPointerEnter={() => onBusy(true)}
      onPointerLeave={() => onBusy(area.current?.contains(document.activeElement) ?? false)}
      onFocus={() => onBusy(true)}
      onBlur={() => onBusy(area.current?.matches(":hover") ?? false)}
    >
      <table className="data-table max-tablet:hidden">
        <caption className="sr-only">Ranking of the last decision, best first</caption>
        <Head rows={props.rows} />
        <tbody>
          {props.rows.map((row) => (
            <Row key={row.pair} row={row} {...props} />
          ))}
        </tbody>
      </table>
      <ul className="divide-y divide-line tablet:hidden">
        {props.rows.map((row) => (
          <Card key={row.pair} row={row} onOpen={props.onOpen} />
        ))}
      </ul>
    </div>
  );
}

function Head({ rows }: { rows: OpportunityView[] }) {
  return (
    <thead>
      <tr>
        <th scope="col">
          <span className="inline-block w-6 text-right">#</span> <span className="pl-2">Pair</span>
        </th>
        <th scope="col">
          Rate now
          <br />
          bps
        </th>
        <th scope="col">
          Expected
          <br />
          bps
        </th>
        <th scope="col" className="hidden desk:table-cell">
          Annualised
          <br />
          on notional
        </th>
        <th scope="col" aria-sort="descending" className="!font-semibold !text-fg">
          {valueHead(rows)} ↓
          <br />
          bps
        </th>
        <th scope="col">
          Break-even
          <br />
          settlem.
        </th>
        <th scope="col">
          <br />
          hours
        </th>
        <th scope="col">
          Size
          <br />
          USDT
        </th>
        <th scope="col" className="left">
          Verdict, or why
          <br />
          passed over
        </th>
      </tr>
    </thead>
  );
}

function Row({ row, openPair, onOpen }: { row: OpportunityView } & TableProps) {
  const selected = row.pair === openPair;
  return (
    <tr
      tabIndex={0}
      data-row={row.pair}
      aria-selected={selected}
      onClick={() => onOpen(row.pair)}
      onKeyDown={(event) => openOnEnter(event, row.pair, onOpen)}
      className={`cursor-pointer hover:!bg-raised ${selected ? "!bg-tint-accent" : ""}`}
    >
      <th scope="row" className="font-semibold">
        <span className="inline-block w-6 text-right font-normal text-fg-3">{row.rank}</span>{" "}
        <span className="pl-2">{row.base}</span>
      </th>
      <td>
        <Rate rate={row.last_rate} hours={row.funding_interval_hours} />
      </td>
      <td>{bps(row.expected_rate)}</td>
      <td className="hidden text-fg-3 desk:table-cell">{percent(row.annualized_on_notional)}</td>
      <td className={`font-semibold ${valueTone(row)}`}>{bps(row.value, 1)}</td>
      <td>{settlementsWords(row)}</td>
      <td className="text-fg-2">{wholeHours(row.break_even_hours)}</td>
      <td>{amount(row.target_notional_usdt, "never", 0)}</td>
      <td className="left">
        <Why row={row} short={openPair !== null} />
      </td>
    </tr>
  );
}

function Card({ row, onOpen }: { row: OpportunityView; onOpen: (pair: string) => void }) {
  return (
    <li>
      <button
        type="button"
        data-row={row.pair}
        onClick={() => onOpen(row.pair)}
        className="block w-full px-3.5 py-2.5 text-left text-phone"
      >
        <span className="flex items-center gap-2">
          <span className="w-4 text-fg-3">{row.rank}</span>
          <span className="font-semibold">{row.base}</span>
          <Rate rate={row.last_rate} hours={row.funding_interval_hours} />
          <span className="ml-auto">
            <span className={`font-medium ${valueTone(row)}`}>{bps(row.value, 1)}</span>
            <span className="text-fg-3"> bps</span>
          </span>
        </span>
        <span className="flex items-center justify-between gap-3 pt-1 pl-6 text-label">
          <Why row={row} short />
          <span className="whitespace-nowrap text-fg-2">
            {row.break_even_settlements === null
              ? "no break-even"
              : `even after ${count(row.break_even_settlements)}`}
          </span>
        </span>
      </button>
    </li>
  );
}

function Why({ row, short }: { row: OpportunityView; short: boolean }) {
  if (row.verdict !== "passed_over") return <VerdictTag verdict={row.verdict} />;
  return (
    <span
      className="inline-block max-w-[44ch] truncate align-middle text-fg-2"
      title={row.sentence}
    >
      {short ? codeInWords(row.reason) : row.sentence}
    </span>
  );
}

function settlementsWords(row: OpportunityView) {
  if (row.break_even_settlements !== null) return count(row.break_even_settlements);
  return <span className="text-fg-3">{row.value === null ? "–" : "never"}</span>;
}

// Four decimals of a fraction are one bps; the column shows a tenth of that.
const valueTone = (row: OpportunityView) => toneOf(row.value, 5);

function openOnEnter(event: KeyboardEvent, pair: string, onOpen: (pair: string) => void): void {
  if (event.key !== "Enter") return;
  event.preventDefault();
  onOpen(pair);
}

function useRowKeys(area: React.RefObject<HTMLDivElement | null>): void {
  useEffect(() => {
    const pressed = (event: globalThis.KeyboardEvent) => {
      const step = STEPS[event.key];
      if (step === undefined || isTyping(event)) return;
      const all = [...(area.current?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
      const rows = all.filter((row) => row.offsetParent !== null);
      const here = rows.indexOf(document.activeElement as HTMLElement);
      const isArrow = event.key.startsWith("Arrow");
      if (isArrow && here === -1) return;
      const next = here === -1 ? 0 : Math.max(0, Math.min(rows.length - 1, here + step));
      rows[next]?.focus();
      event.preventDefault();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [area]);
}

const STEPS: Readonly<Record<string, 1 | -1>> = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

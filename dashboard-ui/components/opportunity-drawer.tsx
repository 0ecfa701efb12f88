"use client";

import * as Dialog from "@radix-ui/react-dialog";
import { Info, Lock, X } from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { toneOf } from "@/components/money";
import { useMedia } from "@/hooks/use-media";
import { isTyping } from "@/hooks/use-shortcuts";
import type { Schemas } from "@/lib/api";
import { amount, bps, count, interval, percent, quantity, wholeHours } from "@/lib/format";
import { codeInWords, partInWords, settlementsHeld } from "@/lib/opportunities";

type OpportunityView = Schemas["OpportunityView"];

interface DrawerProps {
  row: OpportunityView;
  view: Schemas["OpportunitiesView"];
  onClose: () => void;
}

/** The proof behind one row: a side panel on a desk, a sheet over the page on less. */
export function OpportunityDrawer(props: DrawerProps) {
  const beside = useMedia("(min-width: 1181px)");
  return beside ? <SidePanel {...props} /> : <Sheet {...props} />;
}

function SidePanel({ row, view, onClose }: DrawerProps) {
  useEscape(onClose);
  return (
    <aside aria-label={`${row.base} in detail`} className="panel sticky top-14 p-3.5">
      <header className="flex items-center gap-2">
        <h2 className="text-strip">{row.base}</h2>
        <span className="text-fg-3">{subtitle(row)}</span>
        <button
          type="button"
          aria-label="Close"
          onClick={onClose}
          className="ml-auto rounded-control p-1 hover:bg-raised"
        >
          <X size={16} aria-hidden />
        </button>
      </header>
      <Content row={row} view={view} />
    </aside>
  );
}

function Sheet({ row, view, onClose }: DrawerProps) {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-30 bg-veil" />
        <Dialog.Content
          aria-describedby={undefined}
          className="fixed inset-x-0 bottom-0 z-40 max-h-[85dvh] overflow-y-auto rounded-t-sheet border border-line bg-surface p-3.5 tablet:inset-y-0 tablet:left-auto tablet:max-h-none tablet:w-[380px] tablet:rounded-none"
        >
          <header className="flex items-center gap-2">
            <Dialog.Title className="text-strip">{row.base}</Dialog.Title>
            <span className="text-fg-3">{subtitle(row)}</span>
            <Dialog.Close
              aria-label="Close"
              className="ml-auto flex size-11 items-center justify-center rounded-control hover:bg-raised"
            >
              <X size={16} aria-hidden />
            </Dialog.Close>
          </header>
          <Content row={row} view={view} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Content({ row, view }: { row: OpportunityView; view: DrawerProps["view"] }) {
  return (
    <>
      <p className="mt-2 flex gap-2.5 rounded-control border border-line-strong p-3 text-fg-2">
        <Info size={16} aria-hidden className="mt-px shrink-0 text-fg" />
        {row.sentence}
      </p>
      <ValueSum row={row} />
      <Block title="Break-even">
        <Line
          words="Settlements"
          value={row.break_even_settlements === null ? "never" : count(row.break_even_settlements)}
        />
        <Line words="Hours" value={wholeHours(row.break_even_hours)} />
        <Line words="Limit, settlements" value={count(view.break_even_limit_settlements)} />
        {row.break_even_shorter_settlements !== null && (
          <Line
            words="At the shorter interval, settlements / hours"
            value={`${count(row.break_even_shorter_settlements)} / ${wholeHours(row.break_even_shorter_hours)}`}
          />
        )}
        {row.hold_left_settlements !== null && (
          <Line words="Still to earn, settlements" value={count(row.hold_left_settlements)} />
        )}
      </Block>
      <Risk row={row} />
      <Conviction row={row} />
      <Size row={row} />
      <Block title="Funding">
        <Line
          words="Last rate, bps"
          value={`${bps(row.last_rate)} / ${interval(row.funding_interval_hours)}`}
        />
        <Line
          words="Expected, bps"
          value={`${bps(row.expected_rate)} / ${interval(row.funding_interval_hours)}`}
        />
        <Line words="Annualised on notional" value={percent(row.annualized_on_notional)} />
        <Line words="Basis, bps" value={bps(row.basis_rate, 1)} />
        {row.basis_percentile !== null && (
          <Line
            words="Basis among the past / asked"
            value={`${percent(row.basis_percentile, 0)} / ${percent(row.basis_percentile_limit, 0)}`}
          />
        )}
        {row.signals !== null && <SignalLines signals={row.signals} />}
      </Block>
      {view.decision_id !== null && (
        <p className="mt-3 break-all font-mono text-axis text-fg-3">decision {view.decision_id}</p>
      )}
    </>
  );
}

function Risk({ row }: { row: OpportunityView }) {
  if (row.loss_probability === null && row.liquidation_up === null) return null;
  return (
    <Block title="Risk">
      <Line words="Chance that the hold loses" value={percent(row.loss_probability, 0)} />
      <Line words="Limit" value={percent(row.loss_probability_limit, 0)} />
      <Line words="Cash kept, of notional" value={percent(row.reserve_rate)} />
      <Line words="Price rise that liquidates" value={percent(row.liquidation_up, 0)} />
    </Block>
  );
}

function Conviction({ row }: { row: OpportunityView }) {
  if (row.conviction === null) return null;
  return (
    <Block title="Conviction, 0 to 100 %">
      {row.conviction_parts.map((part) => (
        <Line
          key={part.name}
          words={`${partInWords(part.name)}, weight ${percent(part.weight, 0)}`}
          value={percent(part.value, 0)}
        />
      ))}
      <div className="mt-1 border-t border-line-strong pt-1">
        <Line strong words="Weighted sum" value={percent(row.conviction, 0)} />
      </div>
    </Block>
  );
}

function SignalLines({ signals }: { signals: Schemas["SignalsView"] }) {
  return (
    <>
      <Line
        words="Level among the past"
        value={
          signals.regime === null
            ? percent(signals.percentile, 0)
            : `${percent(signals.percentile, 0)}, ${codeInWords(signals.regime).toLowerCase()}`
        }
      />
      <Line words="Stays positive" value={percent(signals.persistence, 0)} />
      <Line
        words="Forecast over the hold, bps"
        value={`${bps(signals.hold_mean)} ± ${bps(signals.hold_error).replace("+", "")}`}
      />
      <Line words="Usual basis, bps" value={bps(signals.basis_usual, 1)} />
      {signals.has_skill === false && (
        <p className="py-0.5 text-fg-3">Without skill so far: shown, not used for sizing.</p>
      )}
    </>
  );
}

function ValueSum({ row }: { row: OpportunityView }) {
  const held = settlementsHeld(row);
  const over = held === null ? "holding" : `${held} settlements`;
  return (
    <Block title={`Value of ${over}, bps of notional`}>
      <Line words="Expected funding" value={bps(row.expected_funding, 1)} />
      {row.funding_error !== null && (
        <Line words="Its standard error" value={bps(row.funding_error, 1).replace("+", "± ")} />
      )}
      <Line words="Fees in and out, both legs" value={cost(row.fee_cost)} />
      <Line words="Crossing both books at size" value={cost(row.slippage_cost)} />
      <Line words="Expected basis change" value={cost(row.basis_cost)} />
      <div className="mt-1 border-t border-line-strong pt-1">
        <Line
          strong
          words="Expected value"
          value={<span className={toneOf(row.value, 5)}>{bps(row.value, 1)}</span>}
        />
        {row.return_on_capital !== null && (
          <Line words="On all capital, ± one deviation" value={onCapital(row)} />
        )}
      </div>
    </Block>
  );
}

function onCapital(row: OpportunityView): string {
  const mean = percent(row.return_on_capital, 2, "flow");
  return row.return_on_capital_error === null
    ? mean
    : `${mean} ± ${percent(row.return_on_capital_error, 2)}`;
}

function Size({ row }: { row: OpportunityView }) {
  return (
    <Block title="Size, smallest limit wins">
      <Line words="Notional, USDT" value={amount(row.target_notional_usdt, "never", 0)} />
      <Line
        words="Spot quantity"
        value={row.target_quantity === null ? "–" : `${quantity(row.target_quantity)} ${row.base}`}
      />
      {row.binding_limit !== null && (
        <p className="flex items-center gap-1.5 py-0.5">
          <Lock size={14} aria-hidden />
          {codeInWords(row.binding_limit)}
        </p>
      )}
      {row.capacity_quantity !== null && (
        <Line
          words="Breaks even in time up to"
          value={`${row.capacity_is_open ? "at least " : ""}${quantity(row.capacity_quantity)} ${row.base}`}
        />
      )}
      {row.limits.map((limit) => (
        <Line
          key={limit.name}
          words={codeInWords(limit.name)}
          value={`${quantity(limit.quantity)} ${row.base}`}
        />
      ))}
      {row.binding_limit === null && row.target_quantity !== null && (
        <p className="py-0.5 text-fg-3">No limit binds.</p>
      )}
    </Block>
  );
}

function Block({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="mt-3">
      <h3 className="pb-0.5 text-label text-fg-3">{title}</h3>
      {children}
    </section>
  );
}

function Line({
  words,
  value,
  strong = false,
}: {
  words: string;
  value: ReactNode;
  strong?: boolean;
}) {
  return (
    <p className={`flex justify-between gap-3 py-0.5 ${strong ? "font-semibold" : ""}`}>
      <span className={strong ? "" : "text-fg-2"}>{words}</span>
      <span className="whitespace-nowrap">{value}</span>
    </p>
  );
}

function subtitle(row: OpportunityView): string {
  return `rank ${row.rank}, ${VERDICTS[row.verdict]}`;
}

const VERDICTS = {
  open: "enters",
  hold: "held",
  close: "leaves",
  passed_over: "passed over",
} as const;

// Costs come as positive fractions; in a sum they are taken away.
function cost(fraction: string | null): string {
  if (fraction === null) return bps(null);
  return bps(fraction.startsWith("-") ? fraction.slice(1) : `-${fraction}`, 1);
}

function useEscape(onClose: () => void): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !isTyping(event)) onClose();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [onClose]);
}

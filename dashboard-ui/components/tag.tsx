import { ArrowDownLeft, ArrowUpRight, Layers, OctagonX } from "lucide-react";
import type { ReactNode } from "react";
import type { Schemas } from "@/lib/api";

const TONES = {
  plain: "bg-raised text-fg-2",
  mode: "border border-line-strong text-fg",
  live: "bg-crit text-bg font-semibold",
  gain: "bg-tint-gain text-gain",
  loss: "bg-tint-loss text-loss",
  warn: "bg-tint-warn text-warn",
  crit: "bg-tint-crit text-crit",
  accent: "bg-tint-accent text-accent",
} as const;

/** A word for a state; from warn upwards it also carries an icon. */
export function Tag({ tone, children }: { tone: keyof typeof TONES; children: ReactNode }) {
  return (
    <span
      className={`inline-flex items-center gap-1.5 whitespace-nowrap rounded-tag px-2 py-0.5 text-label ${TONES[tone]}`}
    >
      {children}
    </span>
  );
}

export function PairStateTag({ state }: { state: Schemas["PairView"]["state"] }) {
  if (state !== "Broken") return <Tag tone="plain">{state}</Tag>;
  return (
    <Tag tone="crit">
      <OctagonX size={14} aria-hidden />
      Broken
    </Tag>
  );
}

/** Held, entering or leaving; null for a pair that was passed over, which has a reason instead. */
export function VerdictTag({ verdict }: { verdict: Schemas["OpportunityView"]["verdict"] }) {
  if (verdict === "hold") {
    return (
      <Tag tone="accent">
        <Layers size={14} aria-hidden />
        Held
      </Tag>
    );
  }
  if (verdict === "open") {
    return (
      <Tag tone="gain">
        <ArrowUpRight size={14} aria-hidden />
        Enters
      </Tag>
    );
  }
  if (verdict === "close") {
    return (
      <Tag tone="loss">
        <ArrowDownLeft size={14} aria-hidden />
        Leaves
      </Tag>
    );
  }
  return null;
}

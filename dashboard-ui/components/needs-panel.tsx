"use client";

import {
  ArrowDownLeft,
  ArrowUpRight,
  Coins,
  Eye,
  GitBranch,
  type LucideIcon,
  TriangleAlert,
} from "lucide-react";
import { Problem, Skeleton } from "@/components/states";
import { useFreshness } from "@/hooks/use-freshness";
import { useOverview } from "@/hooks/use-overview";
import type { Schemas } from "@/lib/api";
import { amount, signOf } from "@/lib/format";
import { clockOrDay, fullInstant } from "@/lib/time";

type Need = Schemas["Need"];
type LatestEvent = Schemas["LatestEvent"];

const LATEST_MAX = 6;

/** What waits for a person, what is only watched, and what happened last. */
export function NeedsPanel({ className = "" }: { className?: string }) {
  const overview = useOverview();
  const { status, stale } = useFreshness();
  if (overview.isPending) {
    return (
      <section aria-label="Needs you" className={`panel py-2 ${className}`}>
        <Skeleton rows={9} />
      </section>
    );
  }
  if (overview.data === undefined) {
    return (
      <section aria-label="Needs you" className={`panel ${className}`}>
        <Problem
          title="No tasks and events"
          detail={overview.error?.message ?? ""}
          retry={() => void overview.refetch()}
        />
      </section>
    );
  }
  const { needs, latest, as_of: asOf } = overview.data;
  return (
    <div className={`panel flex min-w-0 flex-col divide-y divide-line ${className}`}>
      <NeedList title="Needs you" needs={needs.filter(({ kind }) => kind === "needs_you")} />
      <NeedList title="Watching" needs={needs.filter(({ kind }) => kind === "watching")} />
      <div className={stale ? "stale" : ""}>
        <Latest events={latest.slice(0, LATEST_MAX)} now={status?.view.venue_at ?? asOf} />
      </div>
    </div>
  );
}

function NeedList({ title, needs }: { title: "Needs you" | "Watching"; needs: Need[] }) {
  const asks = title === "Needs you";
  const Icon = asks ? TriangleAlert : Eye;
  return (
    <section aria-label={title} className="px-3.5 py-3">
      <h2 className="text-title">
        {title}{" "}
        <span className="font-normal text-fg-3">{asks ? needs.length || "" : "no action"}</span>
      </h2>
      {needs.length === 0 && (
        <p className="pt-1 text-fg-2">{asks ? "Nothing needs you." : "Nothing is watched."}</p>
      )}
      <ul>
        {needs.map((need) => (
          <li key={`${need.title} ${need.detail}`} className="flex gap-2.5 pt-2.5">
            <Icon
              size={16}
              aria-hidden
              className={`mt-px shrink-0 ${asks ? "text-warn" : "text-fg-3"}`}
            />
            <div className="min-w-0 break-words">
              <p className="font-medium">{need.title}</p>
              <p className="text-label text-fg-2">{need.detail}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

const EVENT_ICONS: Record<LatestEvent["kind"], LucideIcon> = {
  decision: GitBranch,
  opened: ArrowUpRight,
  closed: ArrowDownLeft,
  funding: Coins,
  alarm: TriangleAlert,
};

function Latest({ events, now }: { events: LatestEvent[]; now: string | null }) {
  return (
    <section aria-label="Latest" className="px-3.5 py-3">
      <h2 className="pb-1 text-title">Latest</h2>
      {events.length === 0 && <p className="text-fg-2">Nothing happened yet.</p>}
      <ul>
        {events.map((event) => (
          <LatestRow key={`${event.at} ${event.kind} ${event.sentence}`} event={event} now={now} />
        ))}
      </ul>
    </section>
  );
}

function LatestRow({ event, now }: { event: LatestEvent; now: string | null }) {
  const Icon = EVENT_ICONS[event.kind];
  const loss = signOf(event.amount_usdt) < 0;
  return (
    <li className="flex items-start gap-2.5 py-1">
      <time
        dateTime={event.at}
        title={fullInstant(event.at)}
        className="w-12 shrink-0 whitespace-nowrap font-mono text-label text-fg-3"
      >
        {clockOrDay(event.at, now)}
      </time>
      <Icon
        size={14}
        aria-hidden
        className={`mt-0.5 shrink-0 ${event.kind === "alarm" ? "text-warn" : "text-fg-3"}`}
      />
      <span className="min-w-0 flex-1 break-words text-fg-2">{event.sentence}</span>
      {event.amount_usdt !== null && (
        <span className={`whitespace-nowrap ${loss ? "text-loss" : ""}`}>
          {amount(event.amount_usdt, "flow")}
        </span>
      )}
    </li>
  );
}

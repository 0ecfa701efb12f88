"use client";

import { Clock, LoaderCircle, Radio, WifiOff } from "lucide-react";
import { usePathname } from "next/navigation";
import { Tag } from "@/components/tag";
import { useFreshness } from "@/hooks/use-freshness";
import { useNow } from "@/hooks/use-now";
import type { Schemas } from "@/lib/api";
import { count, trimmed } from "@/lib/format";
import { settlesInSeconds, type Timed, venueSpeed } from "@/lib/freshness";
import { pageAt } from "@/lib/pages";
import { age, clock, countdown, fullInstant, instant } from "@/lib/time";

type StatusView = Schemas["StatusView"];

/** Page title, where the money is, how old the data is and when funding settles next. */
export function TopBar() {
  const { status } = useFreshness();
  const title = pageAt(usePathname())?.title ?? "Not found";
  return (
    <header className="sticky top-0 z-10 flex h-[52px] items-center gap-2.5 border-b border-line bg-bg px-2.5 tablet:h-11 tablet:px-4">
      <h1 className="text-strip tablet:text-[15px]">{title}</h1>
      {status !== null && <ModeTag status={status.view} />}
      <div className="ml-auto flex items-center gap-2.5 whitespace-nowrap text-label tablet:gap-4">
        {status?.view.venue === "replay" && status.view.venue_at !== null && (
          <time
            dateTime={status.view.venue_at}
            title={`Venue time ${fullInstant(status.view.venue_at)}`}
            className="hidden text-fg-2 tablet:inline"
          >
            {instant(status.view.venue_at, null)} UTC
          </time>
        )}
        <DataAge />
        {status !== null && <NextSettlement status={status} />}
      </div>
    </header>
  );
}

const MODES = {
  replay: "Replay",
  paper: "Paper",
  demo: "Demo",
  testnet: "Testnet",
  live: "Live money",
} as const;

function ModeTag({ status }: { status: StatusView }) {
  if (status.venue === "live") return <Tag tone="live">{MODES.live}</Tag>;
  const speed =
    status.venue === "replay" && status.replay_speed !== null ? venueSpeed(status) : null;
  return (
    <Tag tone="mode">
      {MODES[status.venue]}
      {speed !== null && (
        <span className="hidden text-fg-3 tablet:inline" title="Venue time against wall time">
          {speed >= 1 ? count(speed) : trimmed(status.replay_speed ?? "")}×
        </span>
      )}
    </Tag>
  );
}

function DataAge() {
  const { status, ageSeconds, stale, lostSeconds } = useFreshness();
  if (status === null && lostSeconds === null) {
    return (
      <span className="flex items-center gap-1.5 text-fg-3">
        <LoaderCircle size={16} aria-hidden />
        Connecting
      </span>
    );
  }
  const live = !stale && lostSeconds === null && ageSeconds !== null;
  const Icon = live ? Radio : WifiOff;
  return (
    <span
      className="flex items-center gap-1.5"
      title={live ? "Age of the newest venue data" : "Numbers may be old"}
    >
      <Icon size={16} aria-hidden className={live ? "text-fg-2" : "text-warn"} />
      <span className={`hidden tablet:inline ${live ? "text-fg-2" : "text-warn"}`}>
        {live ? "Live" : "Not live"}
      </span>
      <span className="min-w-[2.6em] text-right font-medium">
        {ageSeconds === null ? "no data" : age(ageSeconds)}
      </span>
    </span>
  );
}

function NextSettlement({ status }: { status: Timed<StatusView> }) {
  const now = useNow(status.view.venue === "replay" ? 250 : 1_000);
  const seconds = settlesInSeconds(status, now);
  const at = status.view.next_settlement_at;
  if (seconds === null || at === null) return null;
  return (
    <span
      className="flex items-center gap-1.5 border-line tablet:border-l tablet:pl-4"
      title={fullInstant(at)}
    >
      <Clock size={16} aria-hidden className="text-fg-2" />
      <span className="hidden text-fg-2 tablet:inline">
        {seconds === 0 ? `${clock(at)} UTC` : `Settles ${clock(at)} UTC in`}
      </span>
      <span className="font-medium">{seconds === 0 ? "settling" : countdown(seconds)}</span>
    </span>
  );
}

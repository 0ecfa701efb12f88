"use client";

import { OctagonAlert, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { useStream } from "@/components/providers";
import { useFreshness } from "@/hooks/use-freshness";
import { useNow } from "@/hooks/use-now";
import { useOverview } from "@/hooks/use-overview";
import { type Trouble, troublesOf } from "@/lib/troubles";

/** The worst thing that is wrong; the others stand behind "and 2 more". Nothing when all is well. */
export function Banner() {
  const [open, setOpen] = useState(false);
  const troubles = useTroubles();
  const [worst, ...others] = troubles;
  if (worst === undefined) return null;
  return (
    <section aria-label="Trouble" className="flex flex-col gap-2">
      <TroubleRow trouble={worst}>
        {others.length > 0 && (
          <button
            type="button"
            className="text-fg-2 underline underline-offset-2"
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          >
            {open ? "show one" : `and ${others.length} more`}
          </button>
        )}
      </TroubleRow>
      {open && others.map((trouble) => <TroubleRow key={trouble.key} trouble={trouble} />)}
    </section>
  );
}

function useTroubles(): Trouble[] {
  const nowMs = useNow();
  const { status, ageSeconds, lostSeconds } = useFreshness();
  const { state } = useStream();
  const overview = useOverview();
  return troublesOf({
    overview: overview.data,
    status,
    ageSeconds,
    lostSeconds,
    tries: state.tries,
    readAtMs: overview.data === undefined ? null : overview.dataUpdatedAt,
    nowMs,
  });
}

function TroubleRow({ trouble, children }: { trouble: Trouble; children?: React.ReactNode }) {
  const { retry } = useStream();
  const critical = trouble.level === "crit";
  const Icon = critical ? OctagonAlert : TriangleAlert;
  return (
    <div
      className={`flex items-start gap-3 rounded-panel p-3 ${critical ? "banner-crit" : "banner-warn"}`}
    >
      <Icon
        size={16}
        aria-hidden
        className={`mt-px shrink-0 ${critical ? "text-crit" : "text-warn"}`}
      />
      <div className="min-w-0 flex-1">
        <p className="font-semibold" role={critical ? "alert" : undefined}>
          {trouble.title}
        </p>
        <p className="text-fg-2">
          {trouble.detail} {children}
        </p>
      </div>
      {trouble.retry && (
        <button type="button" className="button" onClick={retry}>
          Retry now
        </button>
      )}
    </div>
  );
}

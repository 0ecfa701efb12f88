"use client";

import { useStream } from "@/components/providers";
import { POLL_MS } from "@/hooks/use-live-query";
import { useNow } from "@/hooks/use-now";
import { useStatus } from "@/hooks/use-status";
import type { Schemas } from "@/lib/api";
import { allowedAgeSeconds, dataAgeSeconds, elapsedSeconds, type Timed } from "@/lib/freshness";

export interface Freshness {
  status: Timed<Schemas["StatusView"]> | null;
  /** Wall seconds since the newest venue data; null when not known. */
  ageSeconds: number | null;
  stale: boolean;
  /** Wall seconds without live updates; null while they run. */
  lostSeconds: number | null;
}

/** Whether what this page shows may still be taken for now. */
export function useFreshness(): Freshness {
  const now = useNow();
  const { state } = useStream();
  const query = useStatus();
  const lostSeconds = state.lostAtMs === null ? null : elapsedSeconds(state.lostAtMs, now);
  if (query.data === undefined)
    return { status: null, ageSeconds: null, stale: false, lostSeconds };
  const status = { view: query.data, receivedAtMs: query.dataUpdatedAt };
  const ageSeconds = dataAgeSeconds(status, now);
  const tooOld = ageSeconds !== null && ageSeconds > allowedAgeSeconds(status.view);
  const unheard = elapsedSeconds(status.receivedAtMs, now) > (2 * POLL_MS) / 1000;
  return { status, ageSeconds, stale: tooOld || unheard, lostSeconds };
}

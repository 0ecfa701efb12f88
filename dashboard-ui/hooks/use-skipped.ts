"use client";

import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "@/lib/api";

/** Outcomes come in at the pace of settlements; the stream does not tell of them. */
const EVERY_MS = 60_000;

export const skippedKey = (days: number) => ["skipped", days] as const;

/** What was passed over in the last days of venue time, by reason. */
export function useSkipped(days: number): UseQueryResult<Schemas["SkippedView"], Error> {
  return useQuery<Schemas["SkippedView"], Error>({
    queryKey: skippedKey(days),
    queryFn: () => get<Schemas["SkippedView"]>(`/v1/skipped?days=${days}`),
    refetchInterval: EVERY_MS,
  });
}

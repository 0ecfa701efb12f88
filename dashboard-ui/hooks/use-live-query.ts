"use client";

import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useStream } from "@/components/providers";
import { get } from "@/lib/api";
import { keys, type Topic } from "@/lib/keys";

export const POLL_MS = 5_000;

/** One resource: read once, kept fresh by the stream, polled while the stream is lost. */
export function useLiveQuery<T>(topic: Topic, path: string): UseQueryResult<T, Error> {
  const { state } = useStream();
  const alwaysPolled = topic === "status";
  return useQuery<T, Error>({
    queryKey: keys[topic],
    queryFn: () => get<T>(path),
    refetchInterval: (query) =>
      alwaysPolled || state.phase !== "live" || query.state.status === "error" ? POLL_MS : false,
  });
}

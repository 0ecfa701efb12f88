"use client";

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  use,
  useEffect,
  useState,
  useSyncExternalStore,
} from "react";
import { LiveStream, type StreamState } from "@/lib/stream";

interface Stream {
  state: StreamState;
  retry: () => void;
}

const StreamContext = createContext<Stream>({
  state: { phase: "connecting", lostAtMs: null, tries: 0 },
  retry: () => undefined,
});

export const useStream = (): Stream => use(StreamContext);

export function Providers({ children }: { children: ReactNode }) {
  const [cache] = useState(newCache);
  return (
    <QueryClientProvider client={cache}>
      <StreamProvider cache={cache}>{children}</StreamProvider>
    </QueryClientProvider>
  );
}

function StreamProvider({ cache, children }: { cache: QueryClient; children: ReactNode }) {
  const [stream] = useState(() => new LiveStream(cache));
  const state = useSyncExternalStore(stream.subscribe, stream.snapshot, stream.snapshot);
  useEffect(() => {
    stream.start();
    return stream.stop;
  }, [stream]);
  const retry = () => {
    stream.start();
    void cache.invalidateQueries();
  };
  return <StreamContext value={{ state, retry }}>{children}</StreamContext>;
}

// Fresh for ever: the stream, the poll or a reconnect say when to read again.
const newCache = () =>
  new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: Number.POSITIVE_INFINITY,
        gcTime: Number.POSITIVE_INFINITY,
        retry: 1,
        retryDelay: 500,
      },
    },
  });

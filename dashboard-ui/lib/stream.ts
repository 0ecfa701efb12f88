/** One server-sent event stream that writes into the query cache, and knows when it is lost. */

import type { QueryClient } from "@tanstack/react-query";
import { keys, TOPICS, type Topic } from "@/lib/keys";

/** Silence after which the connection is opened anew, in case it died without saying so. */
const SILENCE_MAX_MS = 20_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 10_000;
/** The equity event is only a hint; a replay sends one a second. */
const EQUITY_PAUSE_MS = 3_000;

export interface StreamState {
  phase: "connecting" | "live" | "lost";
  /** When live updates stopped, by this page's clock; null while they run. */
  lostAtMs: number | null;
  tries: number;
}

export type OpenSource = (url: string) => EventSource;

export class LiveStream {
  state: StreamState = { phase: "connecting", lostAtMs: null, tries: 0 };

  private source: EventSource | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private silenceTimer: ReturnType<typeof setTimeout> | undefined;
  private equityTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly cache: QueryClient,
    private readonly open: OpenSource = (url) => new EventSource(url),
  ) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): StreamState => this.state;

  /** Connects; also what "Retry now" does. */
  readonly start = (): void => {
    this.close();
    const source = this.open("/v1/events");
    this.source = source;
    source.onopen = () => this.opened();
    source.onerror = () => this.failed();
    for (const topic of TOPICS) {
      source.addEventListener(topic, (event) => this.received(topic, event as MessageEvent));
    }
    this.watchSilence();
  };

  readonly stop = (): void => {
    this.close();
    clearTimeout(this.equityTimer);
    this.equityTimer = undefined;
  };

  private opened(): void {
    const missedEvents = this.state.phase === "lost";
    this.change({ phase: "live", lostAtMs: null, tries: 0 });
    if (missedEvents) void this.cache.invalidateQueries();
  }

  // The page reconnects by its own clock: a browser gives up for good on some answers.
  private failed(): void {
    this.close();
    const tries = this.state.tries + 1;
    this.change({ phase: "lost", lostAtMs: this.state.lostAtMs ?? Date.now(), tries });
    const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(tries - 1, 4));
    this.retryTimer = setTimeout(this.start, wait);
  }

  private received(topic: Topic, event: MessageEvent): void {
    this.watchSilence();
    if (topic === "equity") {
      this.refreshEquity();
      return;
    }
    try {
      this.cache.setQueryData(keys[topic], JSON.parse(String(event.data)));
    } catch {
      void this.cache.invalidateQueries({ queryKey: keys[topic] });
    }
  }

  private refreshEquity(): void {
    if (this.equityTimer !== undefined) return;
    void this.cache.invalidateQueries({ queryKey: keys.equity });
    this.equityTimer = setTimeout(() => {
      this.equityTimer = undefined;
    }, EQUITY_PAUSE_MS);
  }

  private watchSilence(): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(this.start, SILENCE_MAX_MS);
  }

  private close(): void {
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    this.source?.close();
    this.source = null;
  }

  private change(state: StreamState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}

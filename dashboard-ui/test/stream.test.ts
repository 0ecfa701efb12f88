import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keys } from "@/lib/keys";
import { LiveStream } from "@/lib/stream";

class FakeSource extends EventTarget {
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  close() {
    this.closed = true;
  }
  send(topic: string, data: string) {
    this.dispatchEvent(new MessageEvent(topic, { data }));
  }
}

let sources: FakeSource[];
let cache: QueryClient;
let stream: LiveStream;

beforeEach(() => {
  vi.useFakeTimers();
  sources = [];
  cache = new QueryClient();
  stream = new LiveStream(cache, () => {
    const source = new FakeSource();
    sources.push(source);
    return source as unknown as EventSource;
  });
  stream.start();
});

afterEach(() => {
  stream.stop();
  vi.useRealTimers();
});

test("an event replaces the view of its topic", () => {
  sources[0]?.send("pairs", '[{"pair":"BTCUSDT"}]');
  expect(cache.getQueryData(keys.pairs)).toEqual([{ pair: "BTCUSDT" }]);
});

test("the equity hint asks for a new reading and stores nothing", () => {
  const invalidate = vi.spyOn(cache, "invalidateQueries");
  sources[0]?.send("equity", "{}");
  sources[0]?.send("equity", "{}");
  expect(cache.getQueryData(keys.equity)).toBeUndefined();
  expect(invalidate).toHaveBeenCalledTimes(1);
});

test("a lost stream says since when, and connects again with longer pauses", () => {
  vi.setSystemTime(5_000);
  sources[0]?.onerror?.();
  expect(stream.state).toEqual({ phase: "lost", lostAtMs: 5_000, tries: 1 });
  vi.advanceTimersByTime(1_000);
  expect(sources).toHaveLength(2);
  sources[1]?.onerror?.();
  vi.advanceTimersByTime(1_999);
  expect(sources).toHaveLength(2);
  vi.advanceTimersByTime(1);
  expect(sources).toHaveLength(3);
  expect(stream.state).toEqual({ phase: "lost", lostAtMs: 5_000, tries: 2 });
});

test("what was missed is read again once the stream is back", () => {
  sources[0]?.onerror?.();
  vi.advanceTimersByTime(1_000);
  const invalidate = vi.spyOn(cache, "invalidateQueries");
  sources[1]?.onopen?.();
  expect(stream.state.phase).toBe("live");
  expect(invalidate).toHaveBeenCalledTimes(1);
});

test("a silent connection is opened anew", () => {
  sources[0]?.onopen?.();
  vi.advanceTimersByTime(20_000);
  expect(sources[0]?.closed).toBe(true);
  expect(sources).toHaveLength(2);
});

test("stopping leaves no connection and no timer behind", () => {
  sources[0]?.send("equity", "{}");
  stream.stop();
  expect(sources[0]?.closed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

import { describe, expect, test } from "vitest";
import {
  allowedAgeSeconds,
  dataAgeSeconds,
  settlesInSeconds,
  type Timed,
  venueNowMs,
} from "@/lib/freshness";
import { age, clockOrDay, countdown, duration, instant } from "@/lib/time";
import { status } from "./builders";

describe("words for time", () => {
  test("the year shows only when venue time is in another one", () => {
    expect(instant("2023-12-07T13:14:07Z", "2023-12-31T00:00:00Z")).toBe("7 Dec 13:14");
    expect(instant("2023-12-07T13:14:07Z", "2024-01-01T00:00:00Z")).toBe("7 Dec 2023 13:14");
  });

  test("a short list has the time today and the day before that", () => {
    expect(clockOrDay("2023-12-07T08:00:00Z", "2023-12-07T13:14:00Z")).toBe("08:00");
    expect(clockOrDay("2023-12-06T08:00:00Z", "2023-12-07T13:14:00Z")).toBe("6 Dec");
  });

  test("a countdown has hours, minutes and seconds and never goes below zero", () => {
    expect(countdown(9912.9)).toBe("02:45:12");
    expect(countdown(-5)).toBe("00:00:00");
  });

  test("an age under a hundred seconds is in seconds", () => {
    expect(age(0.31)).toBe("0.3 s");
    expect(age(41.9)).toBe("41 s");
    expect(age(130)).toBe("2 min 10 s");
  });

  test("a duration has its two largest units", () => {
    expect(duration(14 * 86_400 + 3 * 3_600 + 59)).toBe("14 d 3 h");
  });
});

describe("freshness", () => {
  const received = (changes = {}): Timed<ReturnType<typeof status>> => ({
    view: status(changes),
    receivedAtMs: 1_000_000,
  });

  test("data ages by wall time, whatever year the venue lives in", () => {
    expect(dataAgeSeconds(received({ data_age_seconds: "0.5" }), 1_002_000)).toBe(2.5);
  });

  test("a replay counts down at its own speed", () => {
    // 59 venue minutes are left; half a wall second takes 30 of them.
    expect(settlesInSeconds(received(), 1_000_500)).toBe(29 * 60);
  });

  test("a replay that stands still is not carried past its next bar", () => {
    expect(venueNowMs(received(), 1_090_000)).toBe(Date.parse("2023-11-20T16:01:00Z"));
  });

  test("at a real venue one wall second is one second of the countdown", () => {
    const live = received({ venue: "live", replay_speed: null });
    expect(settlesInSeconds(live, 1_060_000)).toBe(58 * 60);
  });

  test("a slow replay is allowed twice its bar before it is old", () => {
    expect(allowedAgeSeconds(status({ replay_speed: "60" }))).toBe(120);
    expect(allowedAgeSeconds(status({ replay_speed: "3600" }))).toBe(10);
  });

  test("without venue data there is no age and no countdown", () => {
    const none = received({ venue_at: null, data_age_seconds: null });
    expect(dataAgeSeconds(none, 1_000_000)).toBeNull();
    expect(settlesInSeconds(none, 1_000_000)).toBeNull();
  });
});

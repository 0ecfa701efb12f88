/** How old the venue's data is, judged by wall time only: venue time may run at any speed. */

import type { Schemas } from "@/lib/api";

type StatusView = Schemas["StatusView"];

/** The age every panel allows before its numbers are called old, in wall seconds. */
const ALLOWED_AGE_MIN_SECONDS = 10;
const BAR_SECONDS = 3600;

export interface Timed<T> {
  view: T;
  /** When the view reached this page, by this page's clock in milliseconds. */
  receivedAtMs: number;
}

/** Venue seconds per wall second: 1 except in a replay. */
export function venueSpeed(status: StatusView): number {
  const speed = status.replay_speed === null ? 1 : Number(status.replay_speed);
  return status.venue === "replay" && speed > 0 ? speed : 1;
}

/** Wall seconds since the newest venue data; null when none ever came. */
export function dataAgeSeconds(status: Timed<StatusView>, nowMs: number): number | null {
  if (status.view.data_age_seconds === null) return null;
  return Number(status.view.data_age_seconds) + elapsedSeconds(status.receivedAtMs, nowMs);
}

/** Twice the gap the venue promises between data: an hourly bar in a replay. */
export function allowedAgeSeconds(status: StatusView): number {
  return Math.max(ALLOWED_AGE_MIN_SECONDS, 2 * (barGapSeconds(status) ?? 1));
}

/** Venue time now, in milliseconds: the newest stamp carried forward at the venue's speed. */
export function venueNowMs(status: Timed<StatusView>, nowMs: number): number | null {
  if (status.view.venue_at === null) return null;
  const sinceData = dataAgeSeconds(status, nowMs) ?? elapsedSeconds(status.receivedAtMs, nowMs);
  // A replay that stands still does not reach its next hour; a real venue's clock always goes on.
  const carried = Math.min(sinceData, barGapSeconds(status.view) ?? sinceData);
  return Date.parse(status.view.venue_at) + carried * venueSpeed(status.view) * 1000;
}

/** Venue seconds until the next settlement, 0 when it is due; null when it is not known. */
export function settlesInSeconds(status: Timed<StatusView>, nowMs: number): number | null {
  const venueNow = venueNowMs(status, nowMs);
  if (venueNow === null || status.view.next_settlement_at === null) return null;
  return Math.max(0, (Date.parse(status.view.next_settlement_at) - venueNow) / 1000);
}

export function elapsedSeconds(sinceMs: number, nowMs: number): number {
  return Math.max(0, (nowMs - sinceMs) / 1000);
}

// Wall seconds between two bars of a replay; null at a venue that streams.
function barGapSeconds(status: StatusView): number | null {
  return status.venue === "replay" ? BAR_SECONDS / venueSpeed(status) : null;
}

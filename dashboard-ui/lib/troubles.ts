/** What is wrong right now, worst first, in words: what happened and what happens next. */

import type { Schemas } from "@/lib/api";
import { amount, isZero } from "@/lib/format";
import { allowedAgeSeconds, elapsedSeconds, type Timed } from "@/lib/freshness";
import { age, clockSeconds, countdown, duration } from "@/lib/time";

type Overview = Schemas["OverviewView"];
type Status = Schemas["StatusView"];
type ServiceHealth = Schemas["ServiceHealth"];

export interface Trouble {
  key: string;
  level: "crit" | "warn";
  title: string;
  detail: string;
  retry: boolean;
}

export interface Situation {
  overview: Overview | undefined;
  status: Timed<Status> | null;
  ageSeconds: number | null;
  lostSeconds: number | null;
  tries: number;
  /** When the numbers on the page were read, by this page's clock; null before the first. */
  readAtMs: number | null;
  nowMs: number;
}

/** A reconnect shorter than this is not worth a word. */
const LOST_GRACE_SECONDS = 2;

export function troublesOf(situation: Situation): Trouble[] {
  const found = [
    ...orderTroubles(situation.overview),
    ...ledgerTroubles(situation.overview),
    ...streamTroubles(situation),
    ...dataTroubles(situation),
    ...serviceTroubles(situation),
  ];
  return [...found.filter(isCritical), ...found.filter((trouble) => !isCritical(trouble))];
}

const isCritical = (trouble: Trouble) => trouble.level === "crit";

function orderTroubles(overview: Overview | undefined): Trouble[] {
  if (overview === undefined) return [];
  const { answer, orders_in_doubt: doubted, net_delta_usdt: delta } = overview.hedged;
  const troubles: Trouble[] = [];
  if (answer === "no") {
    troubles.push(
      critical(
        "unhedged",
        "A pair is not hedged",
        `Net delta ${amount(delta, "flow")} USDT. The executor completes or unwinds the open leg.`,
      ),
    );
  }
  if (doubted > 0) {
    const orders = doubted === 1 ? "One order is in doubt" : `${doubted} orders are in doubt`;
    troubles.push(
      critical(
        "doubt",
        orders,
        "The venue's answer was lost. The executor asks until it is known; nothing new is sent there before.",
      ),
    );
  }
  return troubles;
}

function ledgerTroubles(overview: Overview | undefined): Trouble[] {
  const difference = overview?.safe.ledger_difference_usdt ?? null;
  const troubles: Trouble[] = [];
  if (difference !== null && !isZero(difference)) {
    troubles.push(
      critical(
        "ledger",
        "The ledger differs from the venue",
        `Difference ${amount(difference, "flow", 8)} USDT.`,
      ),
    );
  } else if (overview?.safe.answer === "no") {
    const { exposure_usdt: exposure, exposure_limit_usdt: limit } = overview.safe;
    troubles.push(
      critical(
        "limit",
        "A limit is broken",
        `Exposure ${amount(exposure, "never", 0)} USDT, limit ${amount(limit, "never", 0)}.`,
      ),
    );
  }
  return troubles;
}

function streamTroubles({ lostSeconds, tries, readAtMs }: Situation): Trouble[] {
  if (lostSeconds === null || lostSeconds < LOST_GRACE_SECONDS) return [];
  const shown =
    readAtMs === null
      ? "Nothing was read yet."
      : `Numbers below were read at ${clockSeconds(readAtMs)} UTC.`;
  return [
    {
      key: "stream",
      level: "warn",
      title: `Live updates stopped ${countdown(lostSeconds)} ago`,
      detail: `${shown} Trading goes on without this page. Reading every 5 s, connecting again, try ${tries}.`,
      retry: true,
    },
  ];
}

function dataTroubles({ ageSeconds, status }: Situation): Trouble[] {
  if (status === null) return [];
  if (ageSeconds === null) {
    return [
      warning(
        "no-data",
        "No venue data yet",
        "The collector has not published a price. Answers follow with the first one.",
      ),
    ];
  }
  if (ageSeconds <= allowedAgeSeconds(status.view)) return [];
  const last = status.view.venue_at;
  const stamp =
    last === null ? "" : ` Its last stamp is ${last.slice(0, 10)} ${last.slice(11, 19)} UTC.`;
  return [
    warning(
      "old-data",
      `Venue data is ${age(ageSeconds)} old`,
      `No new price came since.${stamp} Numbers below are those.`,
    ),
  ];
}

function serviceTroubles({ status, nowMs }: Situation): Trouble[] {
  if (status === null) return [];
  const wallNow =
    Date.parse(status.view.wall_at) + elapsedSeconds(status.receivedAtMs, nowMs) * 1000;
  return status.view.services
    .filter((service) => !service.alive || !service.ready)
    .map((service) => serviceTrouble(service, wallNow));
}

function serviceTrouble(service: ServiceHealth, wallNow: number): Trouble {
  const state = service.alive ? "is not ready" : "is not running";
  const seen =
    service.seen_at === null
      ? "Never heard of."
      : `Last heard of ${duration((wallNow - Date.parse(service.seen_at)) / 1000)} ago.`;
  const detail = service.detail === "" ? seen : `${sentence(service.detail)} ${seen}`;
  return warning(`service-${service.name}`, `The ${service.name} ${state}`, detail);
}

/** The text with a full stop, unless it ends with one. */
export const sentence = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`);

const critical = (key: string, title: string, detail: string): Trouble => ({
  key,
  level: "crit",
  title,
  detail,
  retry: false,
});

const warning = (key: string, title: string, detail: string): Trouble => ({
  key,
  level: "warn",
  title,
  detail,
  retry: false,
});

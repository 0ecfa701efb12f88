/** The query keys, named like the topics of the event stream that refresh them. */

export const TOPICS = ["status", "overview", "pairs", "opportunities", "equity"] as const;

export type Topic = (typeof TOPICS)[number];

export const keys = {
  status: ["status"],
  overview: ["overview"],
  pairs: ["pairs"],
  opportunities: ["opportunities"],
  equity: ["equity"],
} as const satisfies Record<Topic, readonly string[]>;

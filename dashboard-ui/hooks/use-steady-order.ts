"use client";

import { useState } from "react";

export interface SteadyOrder<T> {
  rows: T[];
  changed: boolean;
  release: () => void;
}

/** Rows in the order first shown while `held`, with new values; in their own order otherwise. */
export function useSteadyOrder<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  held: boolean,
): SteadyOrder<T> {
  const current = rows.map(keyOf);
  const [frozen, setFrozen] = useState<string[] | null>(null);
  if (held && frozen === null) setFrozen(current);
  if (!held && frozen !== null) setFrozen(null);
  const order = held && frozen !== null ? frozen : current;
  const shown = inOrder(rows, keyOf, order);
  const changed = shown.some((row, index) => keyOf(row) !== current[index]);
  return { rows: shown, changed, release: () => setFrozen(current) };
}

function inOrder<T>(rows: readonly T[], keyOf: (row: T) => string, order: string[]): T[] {
  const place = new Map(order.map((key, index) => [key, index]));
  const placeOf = (row: T) => place.get(keyOf(row)) ?? order.length;
  return [...rows].sort((left, right) => placeOf(left) - placeOf(right));
}

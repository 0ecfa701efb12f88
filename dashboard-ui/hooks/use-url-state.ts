"use client";

import { useCallback, useSyncExternalStore } from "react";

const CHANGED = "carrydesk:url";

/** One search parameter of the address, so that a view can be shared and comes back on reload. */
export function useUrlState(name: string): [string | null, (value: string | null) => void] {
  const value = useSyncExternalStore(
    subscribe,
    () => new URLSearchParams(window.location.search).get(name),
    () => null,
  );
  const write = useCallback(
    (next: string | null) => {
      const url = new URL(window.location.href);
      if (next === null) url.searchParams.delete(name);
      else url.searchParams.set(name, next);
      window.history.replaceState(window.history.state, "", url);
      window.dispatchEvent(new Event(CHANGED));
    },
    [name],
  );
  return [value, write];
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(CHANGED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(CHANGED, listener);
  };
}

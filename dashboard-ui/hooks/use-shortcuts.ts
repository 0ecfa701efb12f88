"use client";

import { useRouter } from "next/navigation";
import { useEffect } from "react";
import { PAGES } from "@/lib/pages";
import { toggleTheme } from "@/lib/theme";

const SEQUENCE_MS = 1_500;

/** The keys that work on every page: `t` for the theme, `g` and a letter for a page. */
export function useShortcuts(): void {
  const router = useRouter();
  useEffect(() => {
    let goingSince = 0;
    const pressed = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      if (event.timeStamp - goingSince < SEQUENCE_MS && goingSince > 0) {
        goingSince = 0;
        const page = PAGES.find(({ key }) => key === event.key);
        if (page !== undefined) router.push(page.path);
      } else if (event.key === "g") goingSince = event.timeStamp;
      else if (event.key === "t") toggleTheme();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [router]);
}

/** Whether a key press belongs to a field or a browser shortcut and is none of ours. */
export function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  return (
    target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]")
  );
}

"use client";

import { useEffect, useRef, useState } from "react";
import { useOverview } from "@/hooks/use-overview";

const PAUSE_MS = 5_000;

/** Tells a screen reader what happened last, at most every five seconds. */
export function Announcer() {
  const latest = useOverview().data?.latest[0]?.sentence ?? "";
  const [spoken, setSpoken] = useState("");
  const spokenAt = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, spokenAt.current + PAUSE_MS - Date.now());
    const timer = setTimeout(() => {
      spokenAt.current = Date.now();
      setSpoken(latest);
    }, wait);
    return () => clearTimeout(timer);
  }, [latest]);
  return (
    <p className="sr-only" role="status">
      {spoken}
    </p>
  );
}

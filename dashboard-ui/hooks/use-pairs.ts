"use client";

import { useLiveQuery } from "@/hooks/use-live-query";
import type { Schemas } from "@/lib/api";

export const usePairs = () => useLiveQuery<Schemas["PairView"][]>("pairs", "/v1/pairs");

"use client";

import { useLiveQuery } from "@/hooks/use-live-query";
import type { Schemas } from "@/lib/api";

export const useEquity = () => useLiveQuery<Schemas["EquityView"]>("equity", "/v1/equity");

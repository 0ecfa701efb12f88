"use client";

import { useLiveQuery } from "@/hooks/use-live-query";
import type { Schemas } from "@/lib/api";

export const useOverview = () => useLiveQuery<Schemas["OverviewView"]>("overview", "/v1/overview");

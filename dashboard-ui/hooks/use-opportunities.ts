"use client";

import { useLiveQuery } from "@/hooks/use-live-query";
import type { Schemas } from "@/lib/api";

export const useOpportunities = () =>
  useLiveQuery<Schemas["OpportunitiesView"]>("opportunities", "/v1/opportunities");

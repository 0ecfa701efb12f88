"use client";

import { useLiveQuery } from "@/hooks/use-live-query";
import type { Schemas } from "@/lib/api";

export const useStatus = () => useLiveQuery<Schemas["StatusView"]>("status", "/v1/status");

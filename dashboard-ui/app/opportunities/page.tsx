import type { Metadata } from "next";
import { OpportunitiesPanel } from "@/components/opportunities-panel";
import { SkippedPanel } from "@/components/skipped-panel";

export const metadata: Metadata = { title: "Opportunities · Carrydesk" };

export default function Opportunities() {
  return (
    <>
      <OpportunitiesPanel />
      <SkippedPanel />
    </>
  );
}

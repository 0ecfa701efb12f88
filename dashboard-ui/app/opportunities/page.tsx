import type { Metadata } from "next";
import { OpportunitiesPanel } from "@/components/opportunities-panel";

export const metadata: Metadata = { title: "Opportunities · Carrydesk" };

export default function Opportunities() {
  return <OpportunitiesPanel />;
}

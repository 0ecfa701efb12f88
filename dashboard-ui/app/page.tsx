import type { Metadata } from "next";
import { AnswerStrip } from "@/components/answer-strip";
import { EquityPanel } from "@/components/equity-panel";
import { NeedsPanel } from "@/components/needs-panel";
import { PairsPanel } from "@/components/pairs-panel";

export const metadata: Metadata = { title: "Home · Carrydesk" };

/** The five-second answer; on a phone the chart comes last. */
export default function Home() {
  return (
    <>
      <AnswerStrip />
      <div className="grid gap-3 tablet:grid-cols-[minmax(0,1fr)_280px] desk:grid-cols-[minmax(0,1fr)_360px]">
        <EquityPanel className="max-tablet:order-3" />
        <NeedsPanel />
        <div className="min-w-0 max-tablet:order-2 tablet:col-span-2">
          <PairsPanel />
        </div>
      </div>
    </>
  );
}

import { OctagonAlert } from "lucide-react";
import type { ReactNode } from "react";

/** Skeleton rows of the final height, only before the first answer. */
export function Skeleton({ rows, height = 34 }: { rows: number; height?: number }) {
  return (
    <div role="status" aria-label="Loading" className="flex flex-col px-3.5">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows have no identity.
        <div key={row} style={{ height }} className="flex items-center">
          <div className="bone h-3.5" style={{ width: `${64 - (row % 3) * 12}%` }} />
        </div>
      ))}
    </div>
  );
}

/** What failed and why, with the way to try again. */
export function Problem({
  title,
  detail,
  retry,
}: {
  title: string;
  detail: string;
  retry: () => void;
}) {
  return (
    <div className="px-3.5 py-3">
      <p className="flex items-center gap-1.5 font-medium text-crit">
        <OctagonAlert size={16} aria-hidden />
        {title}
      </p>
      <p className="text-fg-2">
        {detail}{" "}
        <button type="button" className="underline underline-offset-2" onClick={retry}>
          Try again
        </button>
      </p>
    </div>
  );
}

/** What would stand here, and when. */
export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="px-3.5 py-3">
      <p className="font-medium">{title}</p>
      <p className="text-fg-2">{children}</p>
    </div>
  );
}

import type { ReactNode } from "react";

interface PanelProps {
  title: string;
  note?: ReactNode;
  actions?: ReactNode;
  className?: string;
  children: ReactNode;
}

/** A titled surface; one panel is one landmark region. */
export function Panel({ title, note, actions, className = "", children }: PanelProps) {
  return (
    <section aria-label={title} className={`panel min-w-0 ${className}`}>
      <div className="flex min-h-11 flex-wrap items-center gap-x-2 gap-y-1 px-3.5 py-2">
        <h2 className="text-title">{title}</h2>
        {note !== undefined && <span className="text-label text-fg-3">{note}</span>}
        {actions !== undefined && <div className="ml-auto flex items-center gap-3">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

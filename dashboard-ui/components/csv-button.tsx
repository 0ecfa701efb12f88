"use client";

import { Download } from "lucide-react";
import { download, toCsv } from "@/lib/csv";

interface CsvButtonProps<T extends object> {
  name: string;
  rows: readonly T[];
}

/** Saves exactly the rows shown, with every field and all digits. */
export function CsvButton<T extends object>({ name, rows }: CsvButtonProps<T>) {
  const [first] = rows;
  if (first === undefined) return null;
  const columns = Object.keys(first) as (keyof T & string)[];
  return (
    <button
      type="button"
      className="button button-bare"
      onClick={() => download(`${name}.csv`, toCsv(rows, columns))}
    >
      <Download size={16} aria-hidden />
      CSV
    </button>
  );
}

/** Rows as CSV with the digits the server sent; null is an empty cell. */

type Cell = string | number | null;

export function toCsv<T extends object>(
  rows: readonly T[],
  columns: readonly (keyof T & string)[],
): string {
  const lines = rows.map((row) => columns.map((column) => escaped(row[column] as Cell)).join(","));
  return `${[columns.join(","), ...lines].join("\r\n")}\r\n`;
}

/** Hands the text to the browser as a file. */
export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

// A spreadsheet runs what starts with these signs, unless it is a number.
const FORMULA = /^[=+\-@\t\r](?!\d)/;

function escaped(cell: Cell): string {
  if (cell === null) return "";
  const text = String(cell);
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

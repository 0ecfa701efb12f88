/** Prints the script each page loads first, gzip, and fails above the budget. Runs after the build. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 200;
const OUT = fileURLToPath(new URL("../out", import.meta.url));
const sizes = new Map();

let over = false;
for (const page of ["index.html", "opportunities/index.html"]) {
  const html = readFileSync(join(OUT, page), "utf8");
  const tags = html.match(/<script[^>]+src="[^"]+"[^>]*>/g) ?? [];
  // Modern browsers skip the polyfills for old ones.
  const modern = tags.filter((tag) => !/nomodule/i.test(tag));
  const sources = new Set(modern.map((tag) => /src="([^"?]+)/.exec(tag)?.[1] ?? ""));
  const kilobytes = [...sources].reduce((sum, source) => sum + gzipBytes(source), 0) / 1000;
  over ||= kilobytes > BUDGET_KB;
  console.log(`${page}: ${kilobytes.toFixed(1)} kB of script, budget ${BUDGET_KB}`);
}
process.exitCode = over ? 1 : 0;

function gzipBytes(source) {
  const known = sizes.get(source);
  if (known !== undefined) return known;
  const bytes = gzipSync(readFileSync(join(OUT, source))).length;
  sizes.set(source, bytes);
  return bytes;
}

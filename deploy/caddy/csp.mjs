/**
 * Prints the Content-Security-Policy of a static export as a Caddy directive: scripts run when they
 * are ours (same origin) or stand in our pages word for word (by hash), and from nowhere else.
 * Usage: node csp.mjs <folder with the export>
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const pages = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));
if (pages.length === 0) throw new Error(`no pages in ${folder}`);

const hashes = new Set();
for (const page of pages) {
  const html = readFileSync(join(folder, page), "utf8");
  for (const [, attributes, body] of html.matchAll(/<script\b([^>]*)>([\s\S]*?)<\/script>/g)) {
    if (/\bsrc=/.test(attributes) || body === "") continue;
    hashes.add(`'sha256-${createHash("sha256").update(body).digest("base64")}'`);
  }
}

const policy = {
  "default-src": "'none'",
  "script-src": ["'self'", ...[...hashes].sort()].join(" "),
  // Charts and tables set sizes in style attributes; no style can send anything away.
  "style-src": "'self' 'unsafe-inline'",
  "font-src": "'self'",
  "img-src": "'self' data:",
  "connect-src": "'self'",
  "manifest-src": "'self'",
  "base-uri": "'none'",
  "form-action": "'none'",
  "frame-ancestors": "'none'",
};
const text = Object.entries(policy).map(([name, value]) => `${name} ${value}`).join("; ");
console.log(`header Content-Security-Policy "${text}"`);

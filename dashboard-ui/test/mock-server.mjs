/**
 * Serves the built pages and canned answers for development and screenshots.
 * Usage: node test/mock-server.mjs [ok|empty|error|stale|lost|alarm] [port]
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { views } from "./fixtures.mjs";

const STATES = ["ok", "empty", "error", "stale", "lost", "alarm"];
const [state = "ok", port = "8099"] = process.argv.slice(2);
if (!STATES.includes(state)) throw new RangeError(`State is one of ${STATES.join(", ")}`);
const OUT = fileURLToPath(new URL("../out", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};
let ticks = 0;
setInterval(() => {
  ticks += 1;
}, 1_000);

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://mock");
  if (pathname === "/v1/events") sendEvents(response);
  else if (pathname.startsWith("/v1/")) sendView(pathname.slice(4), response);
  else void sendFile(pathname, response);
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`Mock in state ${state} on http://127.0.0.1:${server.address().port}`);
});

function sendView(name, response) {
  if (state === "error") {
    problem(response, 503, "The database did not answer in 2 s.");
    return;
  }
  const view = views(state, ticks)[name];
  if (view === undefined) problem(response, 404, `No view ${name}.`);
  else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(view));
}

function sendEvents(response) {
  if (state === "error" || state === "lost") {
    problem(response, 503, "No stream.");
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.write(": hello\n\n");
  let id = 0;
  const timer = setInterval(() => {
    const { status, overview, pairs, opportunities } = views(state, ticks);
    for (const [topic, view] of Object.entries({
      status,
      overview,
      pairs,
      opportunities,
      equity: {},
    })) {
      id += 1;
      response.write(`id: ${id}\nevent: ${topic}\ndata: ${JSON.stringify(view)}\n\n`);
    }
  }, 1_000);
  response.on("close", () => clearInterval(timer));
}

async function sendFile(pathname, response) {
  const path = normalize(join(OUT, pathname.endsWith("/") ? `${pathname}index.html` : pathname));
  if (!path.startsWith(OUT + sep)) {
    problem(response, 404, "No such file.");
    return;
  }
  try {
    const body = await readFile(path);
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(body);
  } catch {
    problem(response, 404, "No such file.");
  }
}

function problem(response, status, detail) {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ type: "about:blank", title: "Problem", status, detail }));
}

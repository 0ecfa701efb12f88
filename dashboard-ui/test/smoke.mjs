/**
 * Opens the built dashboard in Chromium and checks what must hold on any data.
 * Usage: BASE_URL=http://127.0.0.1:8099 node test/smoke.mjs [folder for screenshots]
 * Also read: CHROMIUM_PATH, SMOKE_THEME (dark, light), SMOKE_WIDTHS ("1440,390"), SMOKE_WAIT_SECONDS.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const BASE_URL = process.env.BASE_URL ?? "http://127.0.0.1:8099";
const FOLDER = process.argv[2];
const WIDTHS = (process.env.SMOKE_WIDTHS ?? "1440,390").split(",").map(Number);
const THEME = process.env.SMOKE_THEME === "light" ? "light" : "dark";
const WAIT_MS = Number(process.env.SMOKE_WAIT_SECONDS ?? "20") * 1_000;
const PAGES = [
  { path: "/", title: "Home", name: "home" },
  { path: "/opportunities/", title: "Opportunities", name: "opportunities" },
];
const QUESTIONS = ["Hedged?", "Safe?", "Earning?", "What needs me?"];
const ARGS = [
  "--no-sandbox",
  "--headless",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let passed = 0;
let failed = 0;

function check(name, holds, detail = "") {
  if (holds) passed += 1;
  else failed += 1;
  console.log(`${holds ? "ok  " : "FAIL"} ${name}${holds || detail === "" ? "" : `: ${detail}`}`);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
  args: ARGS,
});
try {
  if (FOLDER !== undefined) await mkdir(FOLDER, { recursive: true });
  for (const width of WIDTHS) {
    for (const page of PAGES) await visit(page, width);
  }
} catch (error) {
  check("the smoke runs to its end", false, String(error));
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function visit({ path, title, name }, width) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: THEME,
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  const at = `${path} at ${width}`;
  try {
    await page.goto(BASE_URL + path, { waitUntil: "domcontentloaded" });
    const heading = (await page.locator("h1").first().textContent({ timeout: WAIT_MS })) ?? "";
    check(`${at}: the heading is ${title}`, heading.trim() === title, heading);
    if (path === "/") await checkAnswers(page, at);
    else await checkRanking(page, at);
    await page.waitForTimeout(500);
    const room = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    check(`${at}: nothing scrolls sideways`, room[0] <= room[1], room.join(" > "));
    if (FOLDER !== undefined) {
      await page.screenshot({
        path: join(FOLDER, `${name}-${width}-${THEME}.png`),
        fullPage: true,
      });
    }
    check(`${at}: the console has no error`, errors.length === 0, errors.join(" | "));
  } finally {
    await context.close();
  }
}

async function checkAnswers(page, at) {
  for (const question of QUESTIONS) {
    const answer = page.locator(`[data-answer="${question}"] strong`);
    const text = await answer.textContent({ timeout: WAIT_MS }).catch(() => null);
    check(`${at}: "${question}" is answered`, text !== null && text.trim() !== "", String(text));
  }
}

async function checkRanking(page, at) {
  const shown = page.locator("[data-row]:visible, section[aria-label='Ranking'] p").first();
  const text = await shown.textContent({ timeout: WAIT_MS }).catch(() => null);
  const failedToLoad = text?.includes("No ranking") ?? true;
  check(`${at}: the ranking, or why there is none, shows`, !failedToLoad, String(text));
  const skipped = page.locator("section[aria-label='Skipped, would have earned']");
  const told = skipped.locator("[data-reason]:visible, p").first();
  const words = await told.textContent({ timeout: WAIT_MS }).catch(() => null);
  const unread = words?.includes("Not known what") ?? true;
  check(`${at}: what was skipped, or why nothing is followed, shows`, !unread, String(words));
}

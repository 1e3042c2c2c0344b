// A browser that a test drives, and the pages that it visits: `browser.mjs CHROMIUM`.
//
// Every site is http://<name>.localhost:<port>: Chromium finds those on loopback by itself, counts them
// as trustworthy, so that `Secure` and `__Host-` cookies live there, and takes `acme.localhost` for a
// site of its own with subdomains. Each site serves the one page of page.html.
//
// Says {"port"} when it is ready, and then answers one JSON object a line with one:
//
//   {"open": URL, "language"?}      a new tab, which asks for pages in this language: {"tab"}
//   {"tab", "go": URL}              {}
//   {"run": [[tab, script, arg]]}   bodies of async functions of `arg`, started at the same time in
//                                   their tabs: {"done": [{"value"} or {"thrown"}]}
//   {"cookies": URL}                what is kept for it, also what no script may read: {"cookies"}
//   {"pictures": FOLDER}            a screenshot of each tab: {}
//
// or {"failed": why}. Ends with its standard input, and the browser with it.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const [executablePath] = process.argv.slice(2);
const page = readFileSync(join(import.meta.dirname, "page.html"));
const sites = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(page));
await new Promise((ready) => sites.listen(0, "127.0.0.1", ready));

// Chromium refuses to run as root with its sandbox, and containers often have none to give. It visits
// nothing but pages of these tests.
const browser = await chromium.launch({ executablePath, chromiumSandbox: false });
const context = await browser.newContext();
const tabs = [];

async function run([tab, script, arg = null]) {
  try {
    return { value: (await tabs[tab].evaluate(`(async (arg) => {${script}\n})(${JSON.stringify(arg)})`)) ?? null };
  } catch (error) {
    return { thrown: error.message };
  }
}

async function answer(ask) {
  if (ask.open) {
    const tab = await context.newPage();
    if (ask.language) await tab.setExtraHTTPHeaders({ "Accept-Language": ask.language });
    await tab.goto(ask.open);
    return { tab: tabs.push(tab) - 1 };
  }
  if (ask.go) {
    await tabs[ask.tab].goto(ask.go);
    return {};
  }
  if (ask.run) return { done: await Promise.all(ask.run.map(run)) };
  if (ask.cookies) return { cookies: await context.cookies(ask.cookies) };
  if (ask.pictures) {
    const shot = (tab, at) => tab.screenshot({ path: join(ask.pictures, `tab-${at}.png`) });
    await Promise.all(tabs.map(shot));
    return {};
  }
  throw new Error(`nobody knows what this asks: ${JSON.stringify(ask)}`);
}

const say = (what) => console.log(JSON.stringify(what));
say({ port: sites.address().port });
for await (const line of createInterface({ input: process.stdin })) {
  say(await answer(JSON.parse(line)).catch((error) => ({ failed: error.message })));
}
await browser.close();
sites.close();

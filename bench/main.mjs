// `./wardgate bench`: what the Worker costs beside other Workers, on this machine, in one run.
//
//   node main.mjs --stack DEV_JSON --argon2-wasm DIR --argon2-native FILE [--rounds N] [--json] SUITE...
//
// The stack runs already; the others are started here, by miniflare on the same workerd. Servers are on one processor,
// the load and all else on another. Standard output is the report's.
//
//   suites.mjs   what is compared with what, and the goals
//   ours.mjs     what ours is asked; others.mjs: the others, whose Workers are in peers/
//   frame/       processors, requests, slices and ratios, the check of fairness, other Workers
//   argon2/      the hash alone: a module of Wasm, and a program

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { check } from "./frame/fairness.mjs";
import { compare, slice } from "./frame/measure.mjs";
import { divide, loadAverage } from "./frame/processors.mjs";
import { Others } from "./others.mjs";
import { Ours } from "./ours.mjs";
import { circumstances, row, table } from "./report.mjs";
import { SUITES } from "./suites.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    stack: { type: "string" },
    "argon2-wasm": { type: "string" },
    "argon2-native": { type: "string" },
    rounds: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const say = (line) => process.stderr.write(`${line}\n`);

/** Checks the targets that are measured, warms them up, and measures pair by pair. */
async function measure(suite, bench) {
  const targets = await suite.targets(bench);
  const measured = [...new Set(suite.pairs.flatMap(({ of, against }) => [of, against]))].map(
    (key) => targets[key],
  );
  const checkAll = async () => {
    for (const target of measured) if (target.fair) await check(target);
  };
  await checkAll();
  for (const target of measured) await slice(target, 2 * suite.ms);
  const rounds = Number(options.rounds ?? suite.rounds);
  const rows = [];
  for (const pair of suite.pairs) {
    const [of, against] = [targets[pair.of], targets[pair.against]];
    rows.push(row(suite, pair, targets, await compare({ of, against, ms: suite.ms, rounds })));
    say(`  ${rows.at(-1).measured}, against ${against.name}: ${rows.at(-1).ratio.toFixed(2)}`);
  }
  // Once more, with caches as warm as the measurement has made them.
  await checkAll();
  return rows;
}

const dev = JSON.parse(readFileSync(options.stack, "utf8"));
const processors = divide(dev.pid);
if (processors.warning) say(`Note: ${processors.warning}.`);
const folder = mkdtempSync(join(tmpdir(), "wardgate-bench-"));
const ours = new Ours(dev);
processors.server(ours.pid);
const argon2 = { wasm: options["argon2-wasm"], native: options["argon2-native"] };
const others = new Others({ folder, processors, argon2 });
const load = loadAverage();
try {
  const rows = [];
  for (const name of positionals) {
    say(`${name} ...`);
    rows.push(...(await measure(SUITES[name], { ours, others })));
  }
  const report = { ...circumstances(processors, load), rows };
  if (options.json) console.log(JSON.stringify(report, undefined, 2));
  else
    console.log(
      `\n${report.machine}; ${report.date}; commit ${report.commit}; load ${load}\n\n${table(rows)}`,
    );
} catch (error) {
  say(`bench: ${error.message}`);
  process.exitCode = 1;
} finally {
  await others.stop();
  rmSync(folder, { recursive: true, force: true });
}
// A Worker that did not start in good order must not keep this process.
process.exit();

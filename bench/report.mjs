// The report: a table for people, and everything as JSON.

import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";

function commit() {
  try {
    const git = (...words) =>
      execFileSync("git", words, { cwd: import.meta.dirname, encoding: "utf8" }).trim();
    return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : ", changed");
  } catch {
    return "unknown";
  }
}

/** What figures must be read with. */
export function circumstances(processors, load) {
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    machine: `${cpus()[0].model}, ${cpus().length} processors, ${Math.round(totalmem() / 2 ** 30)} GB`,
    load_average: load,
    ...(processors.warning && { warning: processors.warning }),
  };
}

/** One line of the report. */
export function row(suite, pair, targets, compared) {
  const { ratio } = compared;
  return {
    measured: pair.measures ?? suite.measures,
    of: targets[pair.of].name,
    against: targets[pair.against].name,
    ...compared,
    ...(pair.goal && { goal: pair.goal, met: ratio >= pair.goal }),
    ...(pair.means && { means: pair.means }),
  };
}

const microseconds = (us) => us.toFixed(us < 1000 ? 1 : 0);

function cells(line) {
  const goal = line.goal ? `${line.goal.toFixed(2)} ${line.met ? "met" : "MISSED"}` : "";
  return [
    line.measured,
    line.against,
    microseconds(line.of_us),
    microseconds(line.against_us),
    line.ratio.toFixed(2),
    `${line.lowest.toFixed(2)} to ${line.highest.toFixed(2)}`,
    goal + (line.means ? ` (${line.means})` : ""),
  ];
}

const HEAD = ["measured", "against", "µs", "its µs", "times as fast", "of the rounds", "goal"];

/** The table. */
export function table(rows) {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const written = (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [written(HEAD), rule, ...lines.slice(1).map(written)].join("\n");
}

// How much processor time a start of the Worker takes above that of an empty one, until workerd listens: by then it has
// compiled the module, made the instance and run the global scope.
//
//   node startup.mjs --bundle DIR [--rounds N]
//
// workerd is started anew for each, in turns. Standard output has one JSON object, in milliseconds:
// {"worker","empty","above"}, each the median; `above` is that of the differences.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import installed from "workerd";

const { values: options } = parseArgs({
  options: { bundle: { type: "string" }, rounds: { type: "string", default: "9" } },
});
const COMPATIBILITY_DATE = /^compatibility_date = "(.+)"$/m.exec(
  readFileSync(join(import.meta.dirname, "../wrangler.toml"), "utf8"),
)[1];
/** The path of the program; the package is CommonJS. */
const workerd = installed.default ?? installed;
const EMPTY = 'export default { fetch() { return new Response("{}") } };\n';

/** The configuration of a Worker with these modules, the entry first. */
function configuration(names) {
  const modules = names.map((name) => {
    const kind = name.endsWith(".wasm") ? "wasm" : "esModule";
    return `(name = "${name}", ${kind} = embed "${name}")`;
  });
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (modules = [${modules.join(", ")}], compatibilityDate = "${COMPATIBILITY_DATE}"))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
`;
}

/** Milliseconds that all threads of a process have been on a processor. */
function used(pid) {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const [time] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    return Number(time);
  });
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e6;
}

/** Starts workerd in `folder`, and returns what it used until it listened. */
async function start(folder) {
  const child = spawn(workerd, ["serve", "config.capnp", "--control-fd=3"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  try {
    await Promise.race([
      listening(child.stdio[3]),
      ended.then((code) => Promise.reject(new Error(`workerd ended with ${code}`))),
    ]);
    return used(child.pid);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

/** Waits until workerd says that it listens. */
async function listening(control) {
  let text = "";
  for await (const chunk of control) {
    text += chunk;
    if (text.includes('"listen"')) return;
  }
  throw new Error("workerd did not say that it listens");
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

const folder = mkdtempSync(join(tmpdir(), "wardgate-startup-"));
try {
  const [worker, empty] = ["worker", "empty"].map((name) => join(folder, name));
  cpSync(resolve(options.bundle), worker, { recursive: true });
  const names = readdirSync(worker, { recursive: true }).filter((name) => /\.(mjs|js|wasm)$/.test(name));
  names.sort((a, b) => (b === "index.mjs") - (a === "index.mjs"));
  writeFileSync(join(worker, "config.capnp"), configuration(names));
  mkdirSync(empty);
  writeFileSync(join(empty, "index.mjs"), EMPTY);
  writeFileSync(join(empty, "config.capnp"), configuration(["index.mjs"]));
  const pairs = [];
  for (let round = 0; round < Number(options.rounds); round += 1) {
    pairs.push({ worker: await start(worker), empty: await start(empty) });
  }
  const rounded = (read) => Number(median(pairs.map(read)).toFixed(1));
  const report = {
    worker: rounded((pair) => pair.worker),
    empty: rounded((pair) => pair.empty),
    above: rounded((pair) => pair.worker - pair.empty),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}

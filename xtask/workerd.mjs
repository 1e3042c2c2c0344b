// Runs the bundle on workerd, as `./wardgate dev` and the end-to-end tests do, through miniflare's
// interface: `wrangler dev` would put a proxy of its own in front, at a thirtieth of the speed.
//
//   node workerd.mjs --bundle DIR [--entry index.mjs] --vars FILE [--state DIR]
//                    [--host H] [--port N] [--direct-port N]
//
// Bindings, limits and the compatibility date come from wrangler.toml, variables and secrets from a
// dotenv file. The D1 migrations are applied before the Worker is called ready. Ports may be 0;
// without --state everything is forgotten. What --state holds is what `wrangler dev --persist-to`
// finds in the same folder.
//
// Standard output has one JSON object a line: {"event":"ready","url","direct_url","workerd_pid"},
// and {"event":"restarted","workerd_pid"} when workerd was started again after a crash. Standard
// error has the Worker's log.
//
// It ends at SIGTERM or SIGINT, and when the pipe on its standard input closes: that is how a dead
// parent shows.

import { execFileSync } from "node:child_process";
import { fstatSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs, parseEnv } from "node:util";

import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_splitSqlQuery } from "wrangler";

const ROOT = resolve(import.meta.dirname, "..");
const CRON_PERIOD_MS = 60_000;

const { values: options } = parseArgs({
  options: {
    bundle: { type: "string" },
    entry: { type: "string", default: "index.mjs" },
    vars: { type: "string" },
    state: { type: "string" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    "direct-port": { type: "string", default: "0" },
  },
});

/** Every file of the bundle as a module, the entry first: the first one is what the runtime starts. */
function modules(folder, entry) {
  const names = readdirSync(folder, { recursive: true }).filter((name) => /\.(mjs|js|wasm)$/.test(name));
  names.sort((a, b) => (b === entry) - (a === entry));
  return names.map((name) => ({
    type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: join(folder, name),
  }));
}

function workerOptions() {
  const { workerOptions: configured } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml"));
  const vars = parseEnv(readFileSync(options.vars, "utf8"));
  const folder = resolve(options.bundle);
  return {
    ...configured,
    name: "wardgate",
    rootPath: folder,
    modulesRoot: folder,
    modules: modules(folder, options.entry),
    bindings: { ...configured.bindings, ...vars },
    unsafeDirectSockets: [{ host: options.host, port: Number(options["direct-port"]) }],
  };
}

/** Wrangler's own bookkeeping, so that `wrangler d1 migrations list` understands the result. */
async function migrate(database, folder) {
  await database
    .prepare(
      `create table if not exists d1_migrations (
         id integer primary key autoincrement,
         name text unique,
         applied_at timestamp default current_timestamp not null
       )`,
    )
    .run();
  const { results } = await database.prepare("select name from d1_migrations").all();
  const applied = new Set(results.map((row) => row.name));
  const names = readdirSync(folder).filter((name) => name.endsWith(".sql") && !applied.has(name));
  for (const name of names.sort()) {
    const statements = unstable_splitSqlQuery(readFileSync(join(folder, name), "utf8"));
    const record = database.prepare("insert into d1_migrations (name) values (?)").bind(name);
    await database.batch([...statements.map((statement) => database.prepare(statement)), record]);
  }
}

/** miniflare knows the process but does not tell. */
function workerdPid() {
  if (process.platform !== "linux") {
    return Number(execFileSync("pgrep", ["-P", String(process.pid), "workerd"], { encoding: "utf8" }).trim());
  }
  const child = readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && isOurWorkerd(pid));
  return child === undefined ? null : Number(child);
}

function isOurWorkerd(pid) {
  try {
    const [, name, parent] = /^\d+ \((.*)\) . (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8"));
    return Number(parent) === process.pid && name === "workerd";
  } catch {
    return false;
  }
}

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: options.host,
    port: Number(options.port),
    // What production knows of a connection; asking for it would need a network.
    cf: { colo: "DEV", country: "XX", asn: 64512 },
    log: new Log(LogLevel.WARN),
    logRequests: false,
    // wrangler's own name for this layout.
    resourcePersistencePath: options.state && join(resolve(options.state), "v3"),
    handleStructuredLogs: ({ message }) => process.stderr.write(`${message}\n`),
    unsafeHandleRuntimeRestart: () => tell({ event: "restarted", workerd_pid: workerdPid() }),
    workers: [workerOptions()],
  }),
);

let ending = false;
async function end() {
  if (ending) return;
  ending = true;
  await miniflare.dispose();
  process.exit(0);
}
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, end);
if (fstatSync(0).isFIFO() || fstatSync(0).isSocket()) process.stdin.resume().on("close", end);

await miniflare.ready;
await migrate(await miniflare.getD1Database("DB_0"), join(ROOT, "migrations/edge"));

// workerd has no clock for cron triggers.
setInterval(async () => {
  try {
    await (await miniflare.getWorker()).scheduled({ cron: "* * * * *" });
  } catch (error) {
    process.stderr.write(`the cron trigger failed: ${error}\n`);
  }
}, CRON_PERIOD_MS).unref();

const url = (address) => address.href.replace(/\/$/, "");
tell({
  event: "ready",
  url: url(await miniflare.ready),
  direct_url: url(await miniflare.unsafeGetDirectURL()),
  workerd_pid: workerdPid(),
});

// Workers of others: bundled by esbuild, run by miniflare on the same workerd and the same kind of socket as ours.

import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";

import { build } from "esbuild";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";

const PEERS = join(import.meta.dirname, "../peers");
/** The date of our own Worker: the same runtime behaves alike. */
const COMPATIBILITY_DATE = /^compatibility_date = "(.+)"$/m.exec(
  readFileSync(join(import.meta.dirname, "../../wrangler.toml"), "utf8"),
)[1];

/** Bundles a file of peers/ into `folder` and returns its path. `alias` says where packages are that npm does not know. */
async function bundle(name, folder, alias) {
  const outfile = join(folder, basename(name));
  await build({
    entryPoints: [join(PEERS, name)],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "browser", "import"],
    external: ["node:*", "cloudflare:*", "*.wasm"],
    alias: {
      crypto: "node:crypto",
      buffer: "node:buffer",
      util: "node:util",
      stream: "node:stream",
      ...alias,
    },
    logLevel: "warning",
  });
  return outfile;
}

/** The workerd processes that this process has started. */
function workerds() {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const [, name, parent] = /^\d+ \((.*)\) . (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8"));
      return name === "workerd" && Number(parent) === process.pid;
    } catch {
      return false;
    }
  });
}

/**
 * Starts a Worker with D1 as `DB`, KV as `KV` and these bindings. `wasm` is a module in `folder` that it imports.
 * Resolves to its port, its process and how to end it.
 */
export async function start(name, { folder, processors, bindings = {}, flags = [], alias = {}, wasm }) {
  const path = await bundle(name, folder, alias);
  const before = new Set(workerds());
  const modules = [{ type: "ESModule", path }];
  if (wasm) modules.push({ type: "CompiledWasm", path: join(folder, wasm) });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: { colo: "DEV", country: "XX", asn: 64512 },
      log: new Log(LogLevel.ERROR),
      logRequests: false,
      handleStructuredLogs: () => {},
      // On the disk, as ours: what D1 and KV write to memory alone would cost less.
      resourcePersistencePath: join(folder, `${basename(name, ".mjs")}-state`),
      workers: [
        {
          name: "peer",
          modulesRoot: folder,
          modules,
          compatibilityDate: COMPATIBILITY_DATE,
          compatibilityFlags: flags,
          bindings,
          d1Databases: { DB: "db" },
          kvNamespaces: { KV: "kv" },
          unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
        },
      ],
    }),
  );
  await miniflare.ready;
  const { port } = await miniflare.unsafeGetDirectURL();
  const pid = Number(workerds().find((found) => !before.has(found)));
  processors.server(pid);
  return { port: Number(port), pid, stop: () => miniflare.dispose() };
}

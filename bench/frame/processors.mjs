// Processors and what a process uses of them: servers on one, everything else on another.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";

/** The processors that this process may use, as numbers. */
function allowed() {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))[1];
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** Moves every thread of a process to one processor, unless the process has ended meanwhile. */
function pin(pid, processor) {
  try {
    execFileSync("taskset", ["-a", "-c", "-p", String(processor), String(pid)], { stdio: "ignore" });
  } catch (error) {
    if (existsSync(`/proc/${pid}`)) throw error;
  }
}

function hasTaskset() {
  try {
    execFileSync("taskset", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Of every process, its number. */
function processes() {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

/** A process and all that it and its children have started. */
function family(pid) {
  const parents = processes().flatMap((name) => {
    try {
      const [, parent] = /^\d+ \(.*\) . (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, "utf8"));
      return [[Number(name), Number(parent)]];
    } catch {
      return []; // It has ended.
    }
  });
  const below = (wanted) => [
    wanted,
    ...parents.filter(([, parent]) => parent === wanted).flatMap(([child]) => below(child)),
  ];
  return below(pid);
}

/**
 * Moves the family of process `stack`, and this process with all that it will start, to the processor of the load.
 * `server(pid)` moves a server to the other one. `warning` says why servers and load are not apart.
 */
export function divide(stack) {
  const processors = allowed();
  if (processors.length < 2 || !hasTaskset()) {
    const why = processors.length < 2 ? "there is one processor" : "taskset (util-linux) is missing";
    return {
      server: () => {},
      warning: `${why}: servers and load share what there is, and ratios scatter more`,
    };
  }
  const [first, second] = processors;
  for (const pid of new Set([...family(stack), process.pid])) pin(pid, second);
  return { server: (pid) => pin(pid, first) };
}

/** Microseconds that all threads of a process have been on a processor. */
export function used(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      return 0; // The thread has ended since the folder was read.
    }
  });
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1000;
}

/** The load average of the last minute, which tells how busy the machine is beside this. */
export function loadAverage() {
  return Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]);
}

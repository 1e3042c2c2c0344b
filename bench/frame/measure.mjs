// Slices, side by side. A target has
//   name       what it is called in the table
//   pid        the process that serves it
//   port       where, for a target that is asked by HTTP
//   load       { connections, next(), granted(answer), answered(answer) }: the bytes of the next request, whether the
//              answer grants it (200 unless said otherwise), and what else is done with an answer
// or, in place of port and load, `run(ms)`, which works for so long and resolves to how often.

import { Connection } from "./http.mjs";
import { used } from "./processors.mjs";

/** Asks until `ms` are over, over several connections; resolves to the number of answers. A refusal ends the measurement. */
async function ask(target, connections, ms) {
  const until = performance.now() + ms;
  const { next, answered, granted = ({ status }) => status === 200 } = target.load;
  const counts = connections.map(async (connection) => {
    let count = 0;
    while (performance.now() < until) {
      const answer = await connection.send(next());
      if (!granted(answer))
        throw new Error(
          `${target.name} answered ${answer.status}: ${(answer.body || answer.head).slice(0, 300)}`,
        );
      answered?.(answer);
      count += 1;
    }
    return count;
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

/** One slice: microseconds of the server's processor for each request, and requests a second. */
export async function slice(target, ms) {
  const wanted = Array.from({ length: target.load?.connections ?? 0 }, () => Connection.to(target.port));
  const connections = await Promise.all(wanted);
  try {
    const [before, began] = [used(target.pid), performance.now()];
    const count = target.run ? await target.run(ms) : await ask(target, connections, ms);
    const [after, ended] = [used(target.pid), performance.now()];
    return { us: (after - before) / count, perSecond: (count * 1000) / (ended - began) };
  } finally {
    for (const connection of connections) connection.close();
  }
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The ratio of a pair of slices: how many times as fast the first is, by processor time. */
export const speed = ({ of, against }) => against.us / of.us;

/**
 * Measures one target against another: in every round a slice of each, the order turned round each time, so that
 * what else the machine does meets both. The figure is the median over the rounds of the ratio within a pair.
 */
export async function compare({ of, against, ms, rounds }) {
  const pairs = [];
  for (let round = 0; round < rounds; round += 1) {
    const pair = {};
    const order = round % 2 === 0 ? ["of", "against"] : ["against", "of"];
    for (const side of order) pair[side] = await slice(side === "of" ? of : against, ms);
    pairs.push(pair);
  }
  const ratios = pairs.map(speed);
  return {
    ratio: median(ratios),
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
    of_us: median(pairs.map((pair) => pair.of.us)),
    against_us: median(pairs.map((pair) => pair.against.us)),
    pairs,
  };
}

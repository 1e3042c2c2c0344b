// What a target must do before it is measured: accept what is good and refuse what is bad, also once it has seen the
// good one. A target that skips a check would be fast.

import { ask } from "./http.mjs";

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The same token with another signature, another payload, `alg` none; and what is no token. */
export function forged(token) {
  const [header, payload, signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  const changed = Buffer.from(signature, "base64url");
  changed[100] ^= 1;
  return {
    "changed signature": `${header}.${payload}.${changed.toString("base64url")}`,
    "changed payload": `${header}.${encode({ ...claims, sub: `${claims.sub}0`, roles: ["root-admin"] })}.${signature}`,
    "alg none": `${encode({ alg: "none", typ: "JWT" })}.${payload}.`,
    garbage: "abc",
  };
}

/**
 * Checks a target. `fair` has `good`, the request that is measured; `bad`, requests by name; and `accepts`, which says
 * of an answer whether the request was granted.
 */
export async function check(target) {
  const { good, bad, accepts } = target.fair;
  const mustAccept = async (when) => {
    const answer = await ask(target.port, good());
    if (accepts(answer)) return;
    throw new Error(
      `unfair: ${target.name} refuses what is good, ${when}: ${answer.status} ${answer.body.slice(0, 300)}`,
    );
  };
  const mustRefuse = async (when) => {
    for (const [name, request] of Object.entries(bad)) {
      const answer = await ask(target.port, request);
      if (answer.status < 400 || answer.status >= 500 || accepts(answer)) {
        throw new Error(
          `unfair: ${target.name} does not refuse ${name}, ${when}: ${answer.status} ${answer.body.slice(0, 300)}`,
        );
      }
    }
  };
  await mustRefuse("with a cold cache");
  await mustAccept("the first time");
  await mustAccept("the second time");
  await mustRefuse("with a warm cache");
  await mustAccept("after what is bad");
}

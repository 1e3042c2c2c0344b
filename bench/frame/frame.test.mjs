// The frame itself, with servers that do what they should not. `./wardgate test` runs this file by xtask's own tests.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { check, forged } from "./fairness.mjs";
import { answer, bytes } from "./http.mjs";
import { compare, median, slice } from "./measure.mjs";

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const TOKEN = `${encode({ alg: "RS256" })}.${encode({ sub: "ada" })}.${Buffer.alloc(256, 7).toString("base64url")}`;

/** A server for one test; `handle(request, response)` answers. */
async function serving(context, handle) {
  const server = createServer(handle).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  context.after(() => server.close());
  return server.address().port;
}

/** A target that accepts the tokens for which `accepts(token)` holds. */
async function target(context, accepts) {
  const port = await serving(context, (request, response) => {
    const valid = accepts(request.headers.authorization.slice("Bearer ".length));
    response.writeHead(valid ? 200 : 401).end(JSON.stringify({ valid }));
  });
  const request = (token) => ({ path: "/", headers: { authorization: `Bearer ${token}` } });
  const bad = Object.fromEntries(
    Object.entries(forged(TOKEN)).map(([name, token]) => [name, request(token)]),
  );
  const load = { connections: 2, next: () => bytes(request(TOKEN)) };
  const fair = { good: () => request(TOKEN), bad, accepts: ({ body }) => JSON.parse(body).valid };
  return { name: "the target", pid: process.pid, port, load, fair };
}

test("a fair target passes", async (context) => {
  await check(await target(context, (token) => token === TOKEN));
});

test("a target that refuses the good token is unfair", async (context) => {
  await assert.rejects(check(await target(context, () => false)), /refuses what is good/);
});

for (const [name, token] of Object.entries(forged(TOKEN))) {
  test(`a target that accepts ${name} is unfair`, async (context) => {
    const careless = await target(context, (shown) => shown === TOKEN || shown === token);
    await assert.rejects(check(careless), new RegExp(`does not refuse ${name}, with a cold cache`));
  });
}

test("a target whose cache forgets a part of the token is unfair", async (context) => {
  const seen = new Set();
  const payloadOf = (token) => token.split(".")[1];
  const caching = await target(context, (token) => {
    if (token === TOKEN) seen.add(payloadOf(token));
    return seen.has(payloadOf(token));
  });
  await assert.rejects(check(caching), /does not refuse changed signature, with a warm cache/);
});

test("a refusal under load ends the measurement", async (context) => {
  let left = 5;
  const tired = await target(context, () => left-- > 0);
  await assert.rejects(slice(tired, 1000), /the target answered 401/);
});

test("answers are read in whatever pieces they come", () => {
  const plain = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello";
  const chunked =
    "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
  for (const [text, status] of [
    [plain, 200],
    [chunked, 403],
  ]) {
    for (let end = 0; end < text.length; end += 1)
      assert.equal(answer(Buffer.from(text.slice(0, end))), undefined);
    const whole = answer(Buffer.from(text));
    assert.deepEqual([whole.status, whole.body], [status, "hello"]);
  }
  assert.equal(answer(Buffer.from("HTTP/1.1 204 No Content\r\n\r\n")).status, 204);
});

test("a ratio is the median over pairs of slices, and both sides take turns to be first", async () => {
  assert.deepEqual([median([3, 1, 2]), median([4, 1, 2, 3])], [2, 2.5]);
  const order = [];
  const target = (name) => ({ name, pid: process.pid, run: async () => order.push(name) && 1 });
  const { pairs } = await compare({ of: target("a"), against: target("b"), ms: 1, rounds: 3 });
  assert.equal(order.join(""), "abbaab");
  assert.equal(pairs.length, 3);
});

// What the runtime loads. It stands where a generated entry would stand, because that one wraps
// every request in a class and proxies that cost more than many an answer.
//
// It never makes an instance of the module and keeps no view into its memory: the glue does the
// first, also anew after an abort, and a view would then show memory that is gone.

import * as edge from "./edge.js";

const INTERNAL = JSON.stringify({ detail: "Internal error.", code: "internal" });
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** The first line of a cause, without what may be a secret, an address or a URL; as `src/log.rs` does. */
function redacted(cause) {
  const quoted = /[@?&%]|:\/\/|\d+\.\d+\.\d+\.\d+|::|([0-9a-f]{1,4}:){4,}|bearer|(?=[\w+=-]*\d)[\w+=-]{20,}|[\w+=-]{40,}/i;
  const words = String(cause).split("\n")[0].split(/\s+/);
  return words.map((word) => (quoted.test(word) ? "<redacted>" : word)).join(" ").slice(0, 300);
}

/** A panic arrives as an exception: this request ends here, everything else in the isolate goes on. */
export function internalError(request, error) {
  const given = request.headers.get("x-request-id") ?? "";
  const id = REQUEST_ID.test(given) ? given : crypto.randomUUID();
  console.error(JSON.stringify({ level: "error", message: "panic", request_id: id, detail: redacted(error) }));
  const headers = { "content-type": "application/json", "cache-control": "no-store", "x-request-id": id };
  return new Response(INTERNAL, { status: 500, headers });
}

/** The headers that the synchronous way may ask for, in the order of `src/request_text.rs`: by POST the first four. */
const FIELDS = ["x-tenant", "authorization", "x-request-id", "origin", "if-match", "if-none-match", "accept"];
const POSTED = FIELDS.slice(0, 4);

/** A request as `src/request_text.rs` reads it. */
function requestText(request) {
  const { method, headers } = request;
  let text = `${method}\n${request.url}`;
  for (const name of method === "POST" ? POSTED : FIELDS) {
    const value = headers.get(name);
    text += value === null ? "\n" : `\n=${value}`;
  }
  return text;
}

/** Answers that may be given again, by the text of the request: in two halves, of which the older is
 * dropped when the younger is full. Wasm decides, at each request, whether one still holds. */
const KEPT = 1024;
let young = new Map();
let old = new Map();
const AGE = "Wardgate-State-Age";

/** Seconds with one decimal, as `src/tokens/validate.rs` writes them, of tenths. */
const AGES = Array.from({ length: 64 }, (_, tenths) => `${Math.floor(tenths / 10)}.${tenths % 10}`);
const age = (tenths) => AGES[tenths] ?? `${Math.floor(tenths / 10)}.${tenths % 10}`;

/** The same answer as last time, if the same request was answered before and nothing has changed. */
function again(text, context) {
  const kept = young.get(text) ?? old.get(text);
  if (kept === undefined) return undefined;
  const word = edge.again(kept.number);
  if (word < 0) {
    young.delete(text);
    old.delete(text);
    return undefined;
  }
  if (word & 1) edge.refresh(context);
  if (AGE in kept.head.headers) kept.head.headers[AGE] = age(word >> 1);
  return new Response(kept.body, kept.head);
}

/** The answer that `src/answer_text.rs` wrote. With a number it may be kept. */
function answer(said, context, text, number) {
  const end = said.indexOf("\n");
  const head = JSON.parse(said.slice(0, end));
  const body = end + 1 < said.length ? said.slice(end + 1) : null;
  if (head.refresh) edge.refresh(context);
  if (head.keep) {
    if (young.size >= KEPT) [young, old] = [new Map(), young];
    young.set(text, { number, head, body });
  }
  return new Response(body, head);
}

/** Numbers that both sides know a request by. None that is in use is given twice, also not to a new instance. */
let numbers = 0;
function next() {
  numbers = (numbers + 1) >>> 0;
  if (numbers === 0) {
    young = new Map();
    old = new Map();
  }
  return numbers;
}

/** What the synchronous way could not answer: only a signature is missing, or the request goes the ordinary way. */
async function later(text, request, env, context) {
  try {
    const number = next();
    // Where WebCrypto fails, the ordinary way says so.
    const holds = await edge.begin_now(number, text)?.catch(() => undefined);
    const said = holds === undefined ? undefined : edge.checked(number, holds);
    return said === undefined ? await edge.fetch(request, env, context) : answer(said, context);
  } catch (error) {
    return internalError(request, error);
  }
}

export default {
  fetch(request, env, context) {
    try {
      const text = requestText(request);
      const repeated = again(text, context);
      if (repeated !== undefined) return repeated;
      const number = next();
      const said = edge.answer_now(text, number);
      return said === undefined ? later(text, request, env, context) : answer(said, context, text, number);
    } catch (error) {
      return internalError(request, error);
    }
  },

  scheduled(event, env, context) {
    return edge.scheduled(event, env, context);
  },
};

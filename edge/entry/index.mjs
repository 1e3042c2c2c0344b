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

/** The headers that the synchronous way may ask for, in the order of `src/asked.rs`: by POST the first four. */
const FIELDS = ["x-tenant", "authorization", "x-request-id", "origin", "if-match", "if-none-match", "accept"];
const POSTED = FIELDS.slice(0, 4);

/** A request as `src/asked.rs` reads it. */
function asked(request) {
  const { method, headers } = request;
  let text = `${method}\n${request.url}`;
  for (const name of method === "POST" ? POSTED : FIELDS) {
    const value = headers.get(name);
    text += value === null ? "\n" : `\n=${value}`;
  }
  return text;
}

/** The answer that `src/said.rs` wrote. */
function answer(said, context) {
  const end = said.indexOf("\n");
  const head = JSON.parse(said.slice(0, end));
  if (head.refresh) edge.refresh(context);
  return new Response(end + 1 < said.length ? said.slice(end + 1) : null, head);
}

let checks = 0;

/** What the synchronous way could not answer: only a signature is missing, or the request goes the ordinary way. */
async function later(text, request, env, context) {
  try {
    checks = (checks + 1) >>> 0;
    const number = checks;
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
      const text = asked(request);
      const said = edge.answer_now(text);
      return said === undefined ? later(text, request, env, context) : answer(said, context);
    } catch (error) {
      return internalError(request, error);
    }
  },

  scheduled(event, env, context) {
    return edge.scheduled(event, env, context);
  },
};

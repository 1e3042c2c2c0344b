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

export default {
  async fetch(request, env, context) {
    try {
      // What needs neither storage nor cryptography is answered without a turn of the event loop.
      return edge.fetch_now(request, env, context) ?? (await edge.fetch(request, env, context));
    } catch (error) {
      return internalError(request, error);
    }
  },

  scheduled(event, env, context) {
    return edge.scheduled(event, env, context);
  },
};

// The entry of the end-to-end tests: the production entry, and three test hooks in front of it. No other
// bundle has them.

import * as edge from "./edge.js";
import entry, { internalError } from "./index.mjs";

export default {
  ...entry,

  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/test/clock") {
      // Milliseconds, may be negative. Service signatures keep the real time, or else no caller could reach the edge
      // any more.
      edge.shift_clock(Number(await request.text()));
      return new Response(null, { status: 204 });
    }
    if (pathname === "/test/largest-answer") {
      return new Response(String(edge.largest_answer()));
    }
    if (pathname === "/test/panic") {
      try {
        edge.panic_on_demand();
      } catch (error) {
        return internalError(request, error);
      }
    }
    return entry.fetch(request, env, context);
  },
};

// OpenAuth's issuer with its password provider (scrypt) over KV.

import { issuer } from "@openauthjs/openauth";
import { PasswordProvider, ScryptHasher } from "@openauthjs/openauth/provider/password";
import { CloudflareStorage } from "@openauthjs/openauth/storage/cloudflare";
import { createSubjects } from "@openauthjs/openauth/subject";

const USER = { "~standard": { version: 1, vendor: "wardgate", validate: (value) => ({ value }) } };
const KEY_SEPARATOR = "\x1f";
let app;

// It logs every request, which would be measured along.
console.log = () => {};

/** KV as the issuer uses it: it asks for 60 seconds less the time that has passed, and KV for 60 at least. */
function storage(kv) {
  const put = (key, value, { expirationTtl, ...options } = {}) =>
    kv.put(key, value, { ...options, ...(expirationTtl && { expirationTtl: Math.max(60, expirationTtl) }) });
  return CloudflareStorage({
    namespace: {
      get: (...call) => kv.get(...call),
      delete: (key) => kv.delete(key),
      list: (query) => kv.list(query),
      put,
    },
  });
}

function create(env) {
  const page = async () => new Response("", { status: 401 });
  return issuer({
    subjects: createSubjects({ user: USER }),
    storage: storage(env.KV),
    allow: async () => true,
    ttl: { reuse: 3600, retention: 3600 },
    providers: {
      password: PasswordProvider({ login: page, register: page, change: page, sendCode: async () => {} }),
    },
    success: (context, { email }) => context.subject("user", { id: email }),
  });
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === "/seed") {
      const { email, password } = await request.json();
      const key = ["email", email, "password"].join(KEY_SEPARATOR);
      await env.KV.put(key, JSON.stringify(await ScryptHasher().hash(password)));
      return new Response("seeded");
    }
    app ??= create(env);
    return app.fetch(request, env, context);
  },
};

// better-auth over D1, with its own defaults: scrypt for passwords, RS256 for tokens.

import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { jwt } from "better-auth/plugins";

let auth;

function create(env) {
  return betterAuth({
    database: env.DB,
    baseURL: "http://127.0.0.1",
    secret: "a-secret-of-a-benchmark-that-guards-nothing",
    trustedOrigins: ["http://127.0.0.1"],
    emailAndPassword: { enabled: true, autoSignIn: true },
    // What a measurement would run into, or would measure along.
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    plugins: [jwt({ jwks: { keyPairConfig: { alg: "RS256", modulusLength: 2048 } } })],
  });
}

export default {
  async fetch(request, env) {
    auth ??= create(env);
    if (new URL(request.url).pathname === "/seed") {
      await (await getMigrations(auth.options)).runMigrations();
      return new Response("seeded");
    }
    return auth.handler(request);
  },
};

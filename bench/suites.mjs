// What is compared with what, and the goals. A ratio says how many times as fast ours is, by the server's processor
// time for a request.

/** Tokens that an isolate remembers many times over, and more than it remembers. */
const HITS = 256;
const MISSES = 9000;

/**
 * Each suite has the length of a slice, the rounds, `targets`, which starts what it needs, and the pairs that are
 * measured. `warm` requests are made before: as long as a cache, or a just-in-time compiler, may need.
 */
export const SUITES = {
  validate: {
    measures: "validate, known token",
    ms: 500,
    rounds: 15,
    async targets({ ours, others }) {
      const tokens = (await ours.accessTokens(HITS)).slice(0, HITS);
      return validating(ours, others, tokens, await ours.trust());
    },
    pairs: [
      { of: "ours", against: "empty", goal: 0.75 },
      { of: "ours", against: "jose", goal: 1.5 },
      { of: "ours", against: "hono" },
      { of: "ours", against: "clerk" },
      { of: "ours", against: "openauth" },
    ],
  },
  miss: {
    measures: `validate, ${MISSES} tokens in turn`,
    ms: 1000,
    rounds: 11,
    async targets({ ours, others }) {
      return validating(ours, others, await ours.accessTokens(MISSES), await ours.trust());
    },
    pairs: [
      { of: "ours", against: "jose", goal: 1.0 },
      { of: "ours", against: "empty" },
    ],
  },
  keys: {
    measures: "public keys (JWKS)",
    ms: 500,
    rounds: 15,
    async targets({ ours, others }) {
      const keys = ours.keys();
      return { ours: keys, empty: await others.empty(keys.load) };
    },
    pairs: [{ of: "ours", against: "empty", goal: 0.8 }],
  },
  login: {
    measures: "sign-in",
    ms: 2000,
    rounds: 7,
    async targets({ ours, others }) {
      await ours.sessions();
      return {
        ours: ours.signingIn(),
        betterAuth: await others.betterAuthSigningIn(),
        openauth: await others.openauthSigningIn(),
        argon2: await others.argon2(),
        native: await others.native(),
      };
    },
    pairs: [
      { of: "ours", against: "betterAuth", goal: 2.0 },
      { of: "ours", against: "openauth" },
      { of: "ours", against: "argon2", goal: 0.87, means: "at most 1.15 times Argon2id alone" },
      {
        of: "argon2",
        against: "native",
        goal: 0.62,
        means: "at most 1.6 times native",
        measures: "Argon2id in Wasm",
      },
    ],
  },
  refresh: {
    measures: "refresh",
    ms: 1000,
    rounds: 9,
    async targets({ ours, others }) {
      return {
        ours: await ours.refreshing(),
        betterAuth: await others.betterAuthRefreshing(),
        openauth: await others.openauthRefreshing(),
      };
    },
    pairs: [
      { of: "ours", against: "betterAuth", goal: 2.0 },
      { of: "ours", against: "openauth" },
    ],
  },
};

async function validating(ours, others, tokens, trust) {
  const own = ours.validating(tokens);
  const peer = (name, file) => others.validating(name, file, trust, tokens);
  return {
    ours: own,
    empty: await others.empty(own.load),
    jose: await peer("jose", "jose.mjs"),
    hono: await peer("hono/jwt", "hono.mjs"),
    clerk: await peer("@clerk/backend", "clerk.mjs"),
    openauth: await others.openauth(trust, tokens.slice(0, HITS)),
  };
}

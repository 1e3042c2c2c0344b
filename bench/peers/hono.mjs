// hono/jwt, which imports the key at each call.

import { verify } from "hono/jwt";

import { validating } from "./validating.mjs";

export default validating((token, { TRUST }) =>
  verify(token, TRUST.jwk, { alg: "RS256", iss: TRUST.issuer, aud: TRUST.audience }),
);

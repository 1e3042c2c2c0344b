// OpenAuth's client, whose two requests to its issuer are answered from memory. Its tokens have claims of their own.

import { createClient } from "@openauthjs/openauth/client";
import { createSubjects } from "@openauthjs/openauth/subject";

import { validating } from "./validating.mjs";

const USER = { "~standard": { version: 1, vendor: "wardgate", validate: (value) => ({ value }) } };
const subjects = createSubjects({ user: USER });
let client;

/** The issuer, as far as the client asks it. */
function issuer({ issuer, jwk }) {
  const described = {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    authorization_endpoint: `${issuer}/authorize`,
  };
  const keys = { keys: [jwk] };
  return async (url) => Response.json(String(url).endsWith("oauth-authorization-server") ? described : keys);
}

export default validating(async (token, { TRUST }) => {
  client ??= createClient({ clientID: "bench", issuer: TRUST.issuer, fetch: issuer(TRUST) });
  const verified = await client.verify(subjects, token, { issuer: TRUST.issuer, audience: TRUST.audience });
  if (verified.err) throw verified.err;
  return { sub: verified.subject.properties.id };
});

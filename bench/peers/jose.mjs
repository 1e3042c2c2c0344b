// jose with the key imported once, which is its fastest use.

import { importJWK, jwtVerify } from "jose";

import { validating } from "./validating.mjs";

let key;

export default validating(async (token, { TRUST }) => {
  key ??= await importJWK(TRUST.jwk, "RS256");
  return (
    await jwtVerify(token, key, { algorithms: ["RS256"], issuer: TRUST.issuer, audience: TRUST.audience })
  ).payload;
});

// Clerk's check of a session token without a network: the public key is given.

import { verifyToken } from "@clerk/backend";

import { validating } from "./validating.mjs";

export default validating((token, { TRUST }) =>
  verifyToken(token, { jwtKey: TRUST.pem, audience: TRUST.audience }),
);

// Judges tokens by jose: `judge.mjs JWKS_URL PEM`.
//
// Reads one JSON object a line, {"by": "jwks" or "pem", "token", "issuer"}, and answers each with one:
// {"claims"} or {"refused": the error's code}. Ends with its standard input.

import { createInterface } from "node:readline";

import { createRemoteJWKSet, errors, importSPKI, jwtVerify } from "jose";

const [jwksUrl, pem] = process.argv.slice(2);
// By default jose looks for an unknown key at most twice a minute, which a test cannot wait for.
const jwks = createRemoteJWKSet(new URL(jwksUrl), { cooldownDuration: 0 });
const spki = await importSPKI(pem, "RS256");

for await (const line of createInterface({ input: process.stdin })) {
  const { by, token, issuer } = JSON.parse(line);
  const said = await jwtVerify(token, by === "jwks" ? jwks : spki, { algorithms: ["RS256"], issuer }).then(
    ({ payload }) => ({ claims: payload }),
    (error) => {
      if (!(error instanceof errors.JOSEError)) throw error;
      return { refused: error.code };
    },
  );
  console.log(JSON.stringify(said));
}

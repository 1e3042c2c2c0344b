"""Judges tokens by PyJWT: `judge.py JWKS_URL PEM`.

Reads one JSON object a line, {"by": "jwks" or "pem", "token", "issuer"}, and answers each with one:
{"claims"} or {"refused": the exception's name}. Ends with its standard input.
"""

import json
import sys

import jwt

JWKS_URL, PEM = sys.argv[1:]
# By default PyJWT looks for an unknown key at most twice a minute, which a test cannot wait for.
keys = jwt.PyJWKClient(JWKS_URL, cooldown_duration=0)

for line in sys.stdin:
    ask = json.loads(line)
    try:
        key = keys.get_signing_key_from_jwt(ask["token"]) if ask["by"] == "jwks" else PEM
        claims = jwt.decode(ask["token"], key, algorithms=["RS256"], issuer=ask["issuer"])
        said = {"claims": claims}
    except jwt.PyJWTError as error:
        said = {"refused": type(error).__name__}
    print(json.dumps(said), flush=True)

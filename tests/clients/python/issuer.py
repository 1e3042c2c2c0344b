"""The service that a tenant came from, as far as clients hold something of it: Django's password hashes and
SimpleJWT's tokens, all signed with one key.

Says {"public_key": PEM}; then reads one JSON object a line and answers each with one:
{"hash": password, "by": hasher} with {"hash"}, {"sign": user id, "claims": {...}} with {"access", "refresh"}.
Ends with its standard input.
"""

import json
import sys
from datetime import timedelta
from types import SimpleNamespace

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
private = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
public = (
    key.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)

settings.configure(
    SECRET_KEY="signs nothing here: there are no sessions and no forms",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    USE_TZ=True,
    PASSWORD_HASHERS=[
        f"django.contrib.auth.hashers.{name}PasswordHasher"
        for name in ("PBKDF2", "PBKDF2SHA1", "Argon2", "BCryptSHA256", "BCrypt", "Scrypt")
    ],
    SIMPLE_JWT={
        "ALGORITHM": "RS256",
        "SIGNING_KEY": private,
        "VERIFYING_KEY": public,
        "ACCESS_TOKEN_LIFETIME": timedelta(hours=1),
        "REFRESH_TOKEN_LIFETIME": timedelta(days=20),
    },
)
django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402, settings come first
from rest_framework_simplejwt.tokens import RefreshToken  # noqa: E402

print(json.dumps({"public_key": public}), flush=True)

for line in sys.stdin:
    ask = json.loads(line)
    if "hash" in ask:
        said = {"hash": make_password(ask["hash"], hasher=ask["by"])}
    else:
        refresh = RefreshToken.for_user(SimpleNamespace(id=ask["sign"], is_active=True))
        for name, value in ask["claims"].items():
            refresh[name] = value
        said = {"access": str(refresh.access_token), "refresh": str(refresh)}
    print(json.dumps(said), flush=True)

"""The old service's side of an import: a Django database made by Django's own migrations.

    legacy_service.py migrate [SCHEMA]     make the tables (with django-otp and SimpleJWT's blacklist)
    legacy_service.py load [SCHEMA]        make the people that standard input has as JSON
    legacy_service.py dump FILE [json|jsonl]

The database's URL is in LEGACY_SERVICE_DATABASE_URL. Passwords are hashed by Django's own hashers, with
cheap parameters: what they cost is not what these tests are about.
"""

import json
import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.contrib.auth import hashers


class Pbkdf2(hashers.PBKDF2PasswordHasher):
    iterations = 20_000


class Pbkdf2Sha1(hashers.PBKDF2SHA1PasswordHasher):
    iterations = 20_000


class Argon2(hashers.Argon2PasswordHasher):
    time_cost, memory_cost, parallelism = 1, 1024, 2


class BcryptSha256(hashers.BCryptSHA256PasswordHasher):
    rounds = 5


class Bcrypt(hashers.BCryptPasswordHasher):
    rounds = 6


class Scrypt(hashers.ScryptPasswordHasher):
    work_factor, parallelism = 2**8, 1


def configure(schema):
    url = urlsplit(os.environ["LEGACY_SERVICE_DATABASE_URL"])
    here = [f"legacy_service.{name}" for name in ("Pbkdf2", "Pbkdf2Sha1", "Argon2", "BcryptSha256", "Bcrypt", "Scrypt")]
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": url.hostname,
                "PORT": url.port,
                "USER": url.username,
                "PASSWORD": url.password or "",
                "NAME": url.path.lstrip("/"),
                "OPTIONS": {"options": f"-c search_path={schema}"} if schema else {},
            }
        },
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django_otp",
            "django_otp.plugins.otp_totp",
            "rest_framework_simplejwt.token_blacklist",
        ],
        PASSWORD_HASHERS=here + ["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
        SECRET_KEY="not-a-secret",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def load(people):
    from django.contrib.auth.models import Group, User
    from django.utils.dateparse import parse_datetime
    from django_otp.plugins.otp_totp.models import TOTPDevice
    from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

    for person in people:
        groups = person.pop("groups", [])
        devices = person.pop("devices", [])
        tokens = person.pop("tokens", [])
        hasher = person.pop("hasher", "default")
        password = person.pop("password", None)
        encoded = person.pop("encoded", None) or hashers.make_password(password, hasher=hasher)
        for name in ("date_joined", "last_login"):
            if name in person:
                person[name] = parse_datetime(person[name])
        key = {"id": person.pop("id")} if "id" in person else {"username": person["username"]}
        user, _ = User.objects.update_or_create(**key, defaults={**person, "password": encoded})
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
        for confirmed in devices:
            TOTPDevice.objects.create(user=user, name="phone", confirmed=confirmed)
        for token in tokens:
            out = OutstandingToken.objects.create(
                user=user, jti=token["jti"], token="x", expires_at=parse_datetime(token["expires_at"])
            )
            if token.get("blacklisted"):
                BlacklistedToken.objects.create(token=out)


def main(arguments):
    command, *rest = arguments
    configure(rest[0] if rest and command != "dump" else None)
    from django.core.management import call_command

    if command == "migrate":
        call_command("migrate", verbosity=0)
    elif command == "load":
        load(json.load(sys.stdin))
    elif command == "dump":
        file, form = rest[0], rest[1] if len(rest) > 1 else "json"
        call_command("dumpdata", "auth", "otp_totp", "token_blacklist", output=file, format=form, verbosity=0)
    else:
        sys.exit(f"no such command: {command}")


if __name__ == "__main__":
    # Under its own name, so that Django finds the hashers above.
    import legacy_service

    legacy_service.main(sys.argv[1:])

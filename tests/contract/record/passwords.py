"""Records how Django answers a reset, its confirmation and a change of a password.

    python passwords.py > ../passwords.jsonl

One exchange a line, in the form of simplejwt.jsonl. The views are djoser's, over Django's own validators, hashers and
reset tokens, under the paths that Wardgate serves. Each user changes a password once at most, so that the lines can be
replayed in any order.
"""

import json
import sys
from datetime import datetime, timedelta
from unittest import mock

import django
from django.conf import settings
from django.core.management import call_command

PASSWORD = "Corr3ct-horse"
ANOTHER = "N3xt-battery-staple"
# On no list.
NUMERIC = "8151623424208108"
BASE = "/api/user/password/"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BOUNDARY = "boundary-of-the-recording"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
# Who changes a password, each once.
CHANGERS = ["carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kevin"]
# Headers that a client can act on.
SHOWN = ["Content-Type", "WWW-Authenticate", "Allow"]


def configure():
    validation = "django.contrib.auth.password_validation."
    settings.configure(
        SECRET_KEY="of the recording alone, and long enough to sign with",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="passwords",
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "rest_framework_simplejwt",
            "djoser",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        AUTH_PASSWORD_VALIDATORS=[
            {"NAME": validation + name}
            for name in (
                "UserAttributeSimilarityValidator",
                "MinimumLengthValidator",
                "CommonPasswordValidator",
                "NumericPasswordValidator",
            )
        ],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        },
        DJOSER={"PASSWORD_RESET_CONFIRM_URL": "#/{uid}/{token}", "SEND_ACTIVATION_EMAIL": False},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def routes():
    from django.urls import path
    from djoser.views import UserViewSet

    # djoser's views answer a failure of permission by what the route is called.
    view = lambda action: UserViewSet.as_view({"post": action})
    return [
        path("api/user/password/reset/", view("reset_password")),
        path("api/user/password/reset/confirm/", view("reset_password_confirm")),
        path("api/user/password/change/", view("set_password")),
    ]


def __getattr__(name):
    """The routes, once Django is configured: this module is its own list of them."""
    if name == "urlpatterns":
        return routes()
    raise AttributeError(name)


def people():
    from django.contrib.auth.models import User

    def make(username, **fields):
        User.objects.create_user(username, f"{username}@x.io", PASSWORD, **fields)

    make("alice", first_name="Alicia", last_name="Pleasance-Liddell")
    make("bob", is_active=False)
    for name in CHANGERS:
        make(name)


class Tokens:
    """What stands for `<kind:WHO>` in a request."""

    def __init__(self):
        from django.contrib.auth.models import User

        self.users = User.objects

    def put_back(self, username):
        user = self.users.get(username=username)
        user.set_password(PASSWORD)
        user.save()

    def token(self, username):
        from django.contrib.auth.tokens import default_token_generator

        return default_token_generator.make_token(self.users.get(username=username))

    def uid(self, username):
        from djoser.utils import encode_uid

        if username == "nobody":
            return encode_uid(4711)
        return encode_uid(self.users.get(username=username).pk)

    def access(self, username):
        from rest_framework_simplejwt.tokens import AccessToken

        return str(AccessToken.for_user(self.users.get(username=username)))

    def of(self, kind, who):
        from django.contrib.auth.tokens import PasswordResetTokenGenerator

        if kind == "token" and who == "expired":
            # Four days old, and good for three.
            ago = datetime.now() - timedelta(days=4)
            with mock.patch.object(PasswordResetTokenGenerator, "_now", return_value=ago):
                return self.token("alice")
        if kind == "token" and who == "used":
            # As after its use: a token is bound to the hash of the password that it replaces.
            token = self.token("alice")
            self.put_back("alice")
            return token
        return getattr(self, kind)(who)

    def fill(self, text):
        """Replaces `<kind:WHO>` in a text."""
        import re

        return re.sub(r"<(token|uid|access):(\w+)>", lambda found: self.of(*found.groups()), text)


def multipart(**fields):
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return "".join(parts) + f"--{BOUNDARY}--\r\n"


def exchanges():
    """Name, method, path, who asks, media type, and body of each."""

    def post(name, path, body, media=JSON, by=None):
        return name, "POST", path, by, media, body

    reset = lambda name, body, **more: post(f"reset {name}", "reset/", body, **more)
    yield reset("known", {"email": "alice@x.io"})
    yield reset("unknown", {"email": "nobody@x.io"})
    yield reset("inactive", {"email": "bob@x.io"})
    yield reset("other case", {"email": "ALICE@X.IO"})
    yield reset("blanks around", {"email": "  alice@x.io  "})
    yield reset("missing", {})
    yield reset("blank", {"email": ""})
    yield reset("null", {"email": None})
    yield reset("no address", {"email": "alice"})
    yield reset("list", {"email": ["alice@x.io"]})
    yield reset("array body", ["alice@x.io"])
    yield reset("malformed json", "{bad")
    yield reset("form", "email=alice%40x.io", media=FORM)
    yield reset("multipart", multipart(email="alice@x.io"), media=MULTIPART)
    yield reset("form missing", "", media=FORM)
    yield reset("other media", "<email/>", media="application/xml")
    yield "reset GET", "GET", "reset/", None, None, None
    yield "reset DELETE", "DELETE", "reset/", None, None, None

    def confirm(name, who="alice", media=JSON, **fields):
        body = {"uid": f"<uid:{who}>", "token": f"<token:{who}>", "new_password": ANOTHER, **fields}
        return post(f"confirm {name}", "reset/confirm/", {k: v for k, v in body.items() if v != ...}, media=media)

    yield confirm("ok", "carol")
    yield post("confirm form", "reset/confirm/", "uid=<uid:dave>&token=<token:dave>&new_password=" + ANOTHER, media=FORM)
    fields = {"uid": "<uid:erin>", "token": "<token:erin>", "new_password": ANOTHER}
    yield post("confirm multipart", "reset/confirm/", multipart(**fields), media=MULTIPART)
    yield confirm("garbage token", token="abc-def")
    yield confirm("used token", token="<token:used>")
    yield confirm("expired token", token="<token:expired>")
    yield confirm("token of another", token="<token:frank>")
    yield confirm("uid of nobody", uid="<uid:nobody>")
    yield confirm("garbage uid", uid="%%%")
    yield confirm("bad token and weak", token="abc-def", new_password="123")
    yield confirm("missing all", uid=..., token=..., new_password=...)
    yield confirm("missing password", new_password=...)
    yield confirm("missing token", token=...)
    yield confirm("blank all", uid="", token="", new_password="")
    yield confirm("null all", uid=None, token=None, new_password=None)
    yield confirm("object", new_password={"is": "no text"})
    for name, weak in weak_ones():
        yield confirm(name, new_password=weak)
    yield confirm("entirely numeric", "judy", new_password=NUMERIC)
    yield confirm("again after refusals", "frank")
    yield post("confirm array body", "reset/confirm/", [1])
    yield post("confirm malformed json", "reset/confirm/", "{bad")
    yield post("confirm other media", "reset/confirm/", "<token/>", media="application/xml")
    yield "confirm GET", "GET", "reset/confirm/", None, None, None
    yield "confirm PUT", "PUT", "reset/confirm/", None, JSON, {}

    def change(name, who="alice", **fields):
        body = {"current_password": PASSWORD, "new_password": ANOTHER, **fields}
        return post(f"change {name}", "change/", {k: v for k, v in body.items() if v != ...}, by=who)

    yield change("ok", "grace")
    form = f"current_password={PASSWORD}&new_password={ANOTHER}"
    yield post("change form", "change/", form, media=FORM, by="heidi")
    fields = {"current_password": PASSWORD, "new_password": ANOTHER}
    yield post("change multipart", "change/", multipart(**fields), media=MULTIPART, by="ivan")
    yield change("wrong current", current_password="wrong horse")
    yield change("wrong current and weak", current_password="wrong horse", new_password="123")
    yield change("missing all", current_password=..., new_password=...)
    yield change("missing current", current_password=...)
    yield change("missing new", new_password=...)
    yield change("blank all", current_password="", new_password="")
    yield change("null all", current_password=None, new_password=None)
    yield change("object", new_password={"is": "no text"})
    for name, weak in weak_ones():
        yield change(name, new_password=weak)
    yield change("entirely numeric", "kevin", new_password=NUMERIC)
    yield post("change array body", "change/", [1], by="alice")
    yield post("change malformed json", "change/", "{bad", by="alice")
    yield post("change other media", "change/", "<new/>", media="application/xml", by="alice")
    yield change("anonymous", None)
    yield post("change bad token", "change/", {}, by="garbage")
    yield post("change anonymous malformed json", "change/", "{bad")
    yield "change GET", "GET", "change/", "alice", None, None
    yield "change GET anonymous", "GET", "change/", None, None, None
    # Where clients ask for the new one twice (djoser's *_RETYPE).
    yield change("mismatched", re_new_password="An0ther-battery-staple")
    yield change("retype missing", re_new_password=...)
    yield confirm("mismatched", re_new_password="An0ther-battery-staple")


def weak_ones():
    """A name and a password for each of Django's validators, and for all of them."""
    yield "too short", "xk7-Qzw"
    yield "too common", "sunshine1"
    yield "common and numeric", "12345678"
    yield "like the username", "ei-lac-q"
    yield "like the first name", "a-il-icA7"
    yield "like the last name", "pleasance-lidde11"
    yield "like the address", "alice@x.io.1"
    yield "everything", "123"
    yield "blanks alone", "          "


# Those whose views ask for the new password twice.
RETYPED = ["change mismatched", "change retype missing", "confirm mismatched"]


def record(name, method, path, by, media, body):
    from django.test import Client, override_settings

    headers = {}
    if media:
        headers["Content-Type"] = media
    if by:
        headers["Authorization"] = "Bearer garbage" if by == "garbage" else f"Bearer <access:{by}>"
    tokens = Tokens()
    # djoser takes some of her passwords that Wardgate refuses.
    tokens.put_back("alice")
    raw = body if isinstance(body, str) else json.dumps(body)
    sent = {name: tokens.fill(value) for name, value in headers.items()}
    more = {"data": tokens.fill(raw), "content_type": sent.pop("Content-Type")} if media else {}
    retyped = dict.fromkeys(["SET_PASSWORD_RETYPE", "PASSWORD_RESET_CONFIRM_RETYPE"], name in RETYPED)
    with override_settings(DJOSER=settings.DJOSER | retyped):
        answer = Client(headers=sent).generic(method, BASE + path, **more)
    text = answer.content.decode()
    request = {"method": method, "path": BASE + path, "headers": headers}
    if media:
        request["body"] = body
    shown = {header: answer.headers[header] for header in SHOWN if header in answer.headers}
    response = {"status": answer.status_code, "headers": shown, "body": json.loads(text) if text else ""}
    return {"name": name, "request": request, "response": response}


def main():
    configure()
    call_command("migrate", verbosity=0)
    people()
    for exchange in exchanges():
        print(json.dumps(record(*exchange)))


if __name__ == "__main__":
    # Under its own name, where Django looks for the routes.
    sys.modules["passwords"] = sys.modules["__main__"]
    main()

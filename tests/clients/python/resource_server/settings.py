"""The resource server that fetches the keys from a JWKS. DJANGO_SETTINGS_MODULE names it."""

import os

SECRET_KEY = "signs nothing here: there are no sessions and no forms"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "resource_server.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]
USE_TZ = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

SIMPLE_JWT = {
    "ALGORITHM": "RS256",
    "ISSUER": os.environ["ISSUER"],
    "USER_ID_CLAIM": "user_id",
    "JWK_URL": os.environ.get("JWK_URL"),
}

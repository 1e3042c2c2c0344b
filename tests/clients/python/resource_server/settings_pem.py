"""The resource server that was given the key of /api/public-key/ when it was deployed."""

import os

from .settings import *  # noqa: F403
from .settings import SIMPLE_JWT

SIMPLE_JWT = {**SIMPLE_JWT, "JWK_URL": None, "VERIFYING_KEY": os.environ["VERIFYING_KEY"]}

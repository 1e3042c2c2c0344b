"""Django's command line for the resource server: `runserver --noreload` is what the tests run."""

import sys

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)

"""The one protected route."""

from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response


@api_view(["GET"])
def whoami(request):
    """Says whom the token made of the caller."""
    return Response({"user_id": request.user.id, "roles": request.auth["roles"], "tenant": request.auth["tenant"]})


urlpatterns = [path("whoami/", whoami)]

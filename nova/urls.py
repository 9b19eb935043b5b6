"""Every address. The one module of nova/ that knows the applications: it puts them together."""

from typing import Any

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from community.urls import api_urlpatterns as community_api
from feed.urls import api_urlpatterns as feed_api
from feed.urls import urlpatterns as feed_pages
from nova import health, metrics

_open_to_all: dict[str, Any] = {"authentication_classes": [], "permission_classes": []}
_api = [*feed_api, *community_api]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/schema", SpectacularAPIView.as_view(**_open_to_all), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema", **_open_to_all), name="docs"),
    path(
        "api/redoc",
        SpectacularRedocView.as_view(url_name="schema", template_name="nova/redoc.html", **_open_to_all),
        name="redoc",
    ),
    path("api/", include(_api)),
    path("api/v1/", include((_api, "v1"))),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    *feed_pages,
]

handler400 = "nova.rest.handler400"
handler403 = "nova.rest.handler403"
handler404 = "nova.rest.handler404"
handler500 = "nova.rest.handler500"

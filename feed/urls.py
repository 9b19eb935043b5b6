"""The addresses of feeds: `api_urlpatterns` below /api/ and /api/v1/, `urlpatterns` below /."""

from django.urls import URLPattern, URLResolver

api_urlpatterns: list[URLPattern | URLResolver] = []
urlpatterns: list[URLPattern | URLResolver] = []

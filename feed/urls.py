"""The addresses of feeds: `api_urlpatterns` below /api/ and /api/v1/, `urlpatterns` below /."""

from django.urls import URLPattern, URLResolver, path

from feed.api.discover import SuggestedUsersView
from feed.api.events import EventsView
from feed.api.feed import FeedView
from feed.api.invalidate import InvalidateView
from feed.api.stream import StreamView, TicketView
from feed.api.trending import TrendingView
from feed.api.why import WhyView
from feed.page.urls import urlpatterns as page_urlpatterns

api_urlpatterns: list[URLPattern | URLResolver] = [
    path("feed", FeedView.as_view(), name="feed"),
    path("feed/invalidate", InvalidateView.as_view(), name="invalidate"),
    path("feed/stream", StreamView.as_view(), name="stream"),
    path("feed/stream/ticket", TicketView.as_view(), name="stream-ticket"),
    path("feed/why", WhyView.as_view(), name="why"),
    path("feed/trending", TrendingView.as_view(), name="trending"),
    path("discover/suggested-users", SuggestedUsersView.as_view(), name="suggested-users"),
    path("events", EventsView.as_view(), name="events"),
]
urlpatterns: list[URLPattern | URLResolver] = [*page_urlpatterns]

"""Requests a minute and viewer, by kind of call."""

from nova.settings import env

RATE_LIMITS = {
    "feed": env.whole("LIMIT_FEED", 60, low=1, high=10_000_000),
    "why": env.whole("LIMIT_WHY", 60, low=1, high=10_000_000),
    "trending": env.whole("LIMIT_TRENDING", 30, low=1, high=10_000_000),
    "discover": env.whole("LIMIT_DISCOVER", 20, low=1, high=10_000_000),
    "events": env.whole("LIMIT_EVENTS", 100, low=1, high=10_000_000),
    # Openings: a browser opens one anew whenever it has read its feed again.
    "stream": env.whole("LIMIT_STREAM", 120, low=1, high=10_000_000),
    "community": env.whole("LIMIT_COMMUNITY", 120, low=1, high=10_000_000),
}
EVENTS_PER_REQUEST = env.whole("EVENTS_PER_REQUEST", 1000, low=1, high=100_000)

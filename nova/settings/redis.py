"""Redis: claims and the task broker in one that never evicts, snapshots in one that may."""

from urllib.parse import urlsplit

from nova.settings import env

_HINT = "redis://:PASSWORD@HOST:6379/0"
REDIS_URL = env.url("REDIS_URL", schemes=("redis", "rediss"), hint=_HINT).geturl()
REDIS_CACHE_URL = env.url("REDIS_CACHE_URL", REDIS_URL, schemes=("redis", "rediss"), hint=_HINT).geturl()
for _name in ("REDIS_URL", "REDIS_CACHE_URL"):
    _number = urlsplit(env.text(_name, "")).path.strip("/")
    if _number and not _number.isdecimal():
        env.problem(_name, f"names the database {_number!r}, which is no number. Set it to {_HINT}")
# A frozen Redis must not hold a request: a feed is served without it instead.
REDIS_TIMEOUT = env.number("REDIS_TIMEOUT_SECONDS", 0.25, low=0.01, high=30)

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_CACHE_URL,
        "KEY_PREFIX": "django",
        "OPTIONS": {
            "SOCKET_TIMEOUT": REDIS_TIMEOUT,
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT,
            "IGNORE_EXCEPTIONS": True,
        },
    }
}

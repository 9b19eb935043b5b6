"""Event streams: how many, how often, how long, and where readers reach the process that serves them."""

from nova.settings import env

# The stream process as readers see it. Empty: it has the same origin as the web server, behind one proxy.
STREAM_URL = (
    env.url("STREAM_URL", "", schemes=("http", "https"), hint="http://HOST:PORT of the stream process, or to nothing")
    .geturl()
    .rstrip("/")
)
STREAMS_PER_VIEWER = env.whole("STREAMS_PER_VIEWER", 3, low=1, high=1000)
STREAMS_PER_PROCESS = env.whole("STREAMS_PER_PROCESS", 5000, low=1, high=1_000_000)
# How often the process looks whether a feed has changed, for all its viewers in one round trip to Redis.
STREAM_POLL_SECONDS = env.number("STREAM_POLL_SECONDS", 0.5, low=0.05, high=60)
STREAM_HEARTBEAT_SECONDS = env.number("STREAM_HEARTBEAT_SECONDS", 15, low=0.1, high=300)
# After this long a stream ends and the reader comes back: a token that has expired meanwhile is noticed then.
STREAM_SECONDS = env.number("STREAM_SECONDS", 900, low=1, high=86_400)
STREAM_RETRY_SECONDS = env.number("STREAM_RETRY_SECONDS", 2, low=0.1, high=300)
# The places of a process that was killed are free again after this long.
STREAM_LEASE_SECONDS = env.number("STREAM_LEASE_SECONDS", 30, low=1, high=600)
STREAM_TICKET_SECONDS = env.whole("STREAM_TICKET_SECONDS", 30, low=1, high=600)
# Feeds that the process ranks or reads at the same time, when they have changed.
STREAM_THREADS = env.whole("STREAM_THREADS", 4, low=1, high=64)

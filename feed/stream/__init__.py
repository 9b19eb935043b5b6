"""`GET /api/feed/stream`: server-sent events that say when the viewer's feed has changed.

`asgi` answers requests, `hub` knows what is open and looks for changes, `reader` is one open stream, `protocol` says
what is sent, `places` bounds how many a viewer holds, `tickets` let a browser in.
"""

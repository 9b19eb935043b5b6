"""The trial and test stack: every engine Nova needs, the real one, started from packages on loopback.

Nothing of Nova imports this package. It knows the applications by their management commands and by the
environment variables that settings read, and by nothing else.
"""

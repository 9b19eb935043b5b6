"""The issuer's public keys, fetched rarely and kept while the issuer does not answer."""

import threading
import time
from typing import Any

import jwt
import urllib3

from nova.errors import Transient

_FRESH_SECONDS = 300.0
# Tokens with made-up key ids must not turn into a request to the issuer each.
_BETWEEN_FETCHES = 10.0
_TIMEOUT = urllib3.Timeout(connect=2, read=2)


class KeySet:
    """The keys behind one JWKS address, by key id. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")

    def key(self, key_id: str) -> Any:
        """The key of that id; an empty id means the only key there is.

        Raises `jwt.PyJWKError` for an unknown key, `Transient` when no key was ever fetched and none can be now.
        """
        now = time.monotonic()
        if now - self._fetched > _FRESH_SECONDS or self._find(key_id) is None:
            self._refresh(key_id, now)
        if not self._keys:
            raise Transient("the keys of the token issuer cannot be fetched")
        found = self._find(key_id)
        if found is None:
            raise jwt.PyJWKError("unknown key")
        return found

    def _find(self, key_id: str) -> Any:
        if not key_id and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _refresh(self, key_id: str, now: float) -> None:
        # While another asks the issuer, which may take its time, only those wait who have no key to go on with.
        if not self._lock.acquire(blocking=self._find(key_id) is None):
            return
        try:
            if now - self._tried >= _BETWEEN_FETCHES:
                self._tried = now
                self._fetch(now)
        finally:
            self._lock.release()

    def _fetch(self, now: float) -> None:
        try:
            answer = self._http.request("GET", self._url)
            if answer.status != 200:
                return
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (urllib3.exceptions.HTTPError, ValueError, AttributeError, jwt.PyJWTError):
            return
        self._keys = {key.key_id or "": key.key for key in keys}
        self._fetched = now

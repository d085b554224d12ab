"""How fast one identity may ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from vault.http.problems import TooManyRequestsError

_IDENTITIES = 10_000
"""More buckets than this are looked through for those that are full again."""


class Pace:
    """How fast each identity may ask: a bucket of a minute's requests, refilled all the time.

    Of one process; several workers allow several times as much.
    """

    def __init__(self, a_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(a_minute)
        self._clock = clock
        self._lock = Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def check(self, identity: str) -> None:
        """Count a request. Raises `TooManyRequestsError` where the bucket is empty."""
        now = self._clock()
        with self._lock:
            left, then = self._left.get(identity, (self._most, now))
            left = min(self._most, left + (now - then) * self._most / 60)
            if left < 1:
                raise TooManyRequestsError(
                    f"{identity} asks more than {self._most:,.0f} times a minute; come back in a "
                    "moment"
                )
            self._left[identity] = (left - 1, now)
            if len(self._left) > _IDENTITIES:
                self._left = {each: (n, t) for each, (n, t) in self._left.items() if now - t < 60}

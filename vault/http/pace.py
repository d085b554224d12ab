"""How fast one identity may ask, and how slowly a body may come."""

from __future__ import annotations

import time
from collections import deque
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


class Flow:
    """Whether a body comes at a least rate, measured over what was waited for it.

    Only time in which the sender was waited for counts: what a busy store takes is not its fault.
    """

    _PARTS = 60
    """Parts of the window that are told apart; memory is theirs, whatever the number of pieces."""

    def __init__(self, rate: float, window: float) -> None:
        """A flow of at least `rate` bytes a second, on average over any `window` of seconds.

        Until a whole window was waited nothing is too slow. A rate of 0 asks for nothing.
        """
        self._least = rate * window
        self._window = window
        self._waited = 0.0
        self._size = 0
        self._parts: deque[tuple[int, int]] = deque()

    def too_slow(self, waited: float, size: int) -> bool:
        """Count a piece of `size` bytes that was waited for; whether it all comes too slowly."""
        self._waited += waited
        part = int(self._waited * self._PARTS / self._window)
        same = bool(self._parts) and self._parts[-1][0] == part
        self._parts.append((part, (self._parts.pop()[1] if same else 0) + size))
        self._size += size
        while self._parts[0][0] <= part - self._PARTS:
            self._size -= self._parts.popleft()[1]
        return self._waited >= self._window and self._size < self._least

"""Whole and part digests of one stream in one pass. No I/O.

Hashing releases the interpreter lock, so a large stream is hashed on a thread of its own while the
caller reads and writes; small ones are not worth a thread.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from verify.statement import MAX_PARTS, MIN_PART_SIZE, Stored

THREAD_FROM = 4 << 20
_IN_FLIGHT = 16


def part_size_for(size: int | None, smallest: int = MIN_PART_SIZE) -> int:
    """64 MiB, or a store's own `smallest`, doubled until 10,000 parts suffice.

    64 MiB where the size is unknown.
    """
    part_size = smallest
    while size is not None and size > part_size * MAX_PARTS:
        part_size *= 2
    return part_size


class PartedHash:
    """Update with bytes in order; `result` gives whole digest, size, and part digests."""

    def __init__(self, size: int | None) -> None:
        self.part_size = part_size_for(size)
        self.size = 0
        self._whole = hashlib.sha256()
        self._part = hashlib.sha256()
        self._parts: list[str] = []
        self._whole_thread: ThreadPoolExecutor | None = None
        self._part_thread: ThreadPoolExecutor | None = None
        self._pending: deque[Future[None]] = deque()

    def update(self, data: bytes) -> None:
        """Take in the next bytes; they must not change afterwards."""
        view = memoryview(data)
        while view:
            room = self.part_size - self.size % self.part_size
            taken, view = view[:room], view[room:]
            self._take(taken, ends_part=len(taken) == room)

    def result(self) -> Stored:
        """The digests of everything so far; ends the hashing."""
        self.close()
        if self.size > self.part_size and self.size % self.part_size:
            self._parts.append(self._part.hexdigest())
        parts = tuple(self._parts) if len(self._parts) > 1 else ()
        return Stored("identity", self._whole.hexdigest(), self.size, self.part_size, parts)

    def close(self) -> None:
        """Wait for the threads and let them go."""
        while self._pending:
            self._pending.popleft().result()
        for thread in (self._whole_thread, self._part_thread):
            if thread:
                thread.shutdown()
        self._whole_thread = self._part_thread = None

    def _take(self, data: memoryview, *, ends_part: bool) -> None:
        # Until the first part ends, the part is the whole: one digest serves both.
        first = self.size < self.part_size
        self.size += len(data)
        if self._whole_thread is None:
            if self.size < THREAD_FROM:
                self._whole.update(data)
                return
            self._whole_thread = ThreadPoolExecutor(1, "sha256")
        self._pending.append(self._whole_thread.submit(self._whole.update, data))
        if first:
            if ends_part:
                self._pending.append(self._whole_thread.submit(self._cut, self._whole))
        else:
            self._part_thread = self._part_thread or ThreadPoolExecutor(1, "sha256-part")
            self._pending.append(self._part_thread.submit(self._part.update, data))
            if ends_part:
                # The next part has a hasher of its own; the thread works in order.
                self._pending.append(self._part_thread.submit(self._cut, self._part))
                self._part = hashlib.sha256()
        while len(self._pending) > _IN_FLIGHT:
            self._pending.popleft().result()

    def _cut(self, hasher: hashlib._Hash) -> None:
        self._parts.append(hasher.hexdigest())

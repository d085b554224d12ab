"""A stream that gives again what was already read of its start. No I/O of its own."""

from __future__ import annotations

from ingest.parsers.records import ByteSource


class Reopened:
    """The bytes of `head`, then those of the stream behind it."""

    def __init__(self, head: bytes, stream: ByteSource) -> None:
        self._head = memoryview(head)
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; those of the head come first, and alone."""
        if not self._head:
            return self._stream.read(size)
        data = bytes(self._head[:size])
        self._head = self._head[size:]
        return data

"""A stream of bytes that comes once, such as standard input. Its length is known at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ingest.source import Found, Reader, SourceUnreadableError

PIECE = 1 << 20


class StreamSource:
    """`Source` over one stream, which is read to its end."""

    def __init__(self, stream: BinaryIO, *, name: str, path: str) -> None:
        self._stream = stream
        self._found = Found(
            name=name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            name_bytes=None,
            path=path,
            size=0,
            modified_at=None,
        )

    def survey(self) -> Iterator[Found]:
        """The one content."""
        yield self._found

    def open(self, found: Found) -> Reader:
        """Begin to read; only once."""
        del found
        return StreamReader(self._stream)


class StreamReader:
    """`Reader` of a stream; a short one is read at once, so that its size is known."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._first = self._read()
        self.size = len(self._first) if len(self._first) < PIECE else None

    def pieces(self) -> Iterator[bytes]:
        """The bytes, to the end of the stream."""
        piece, self._first = self._first, b""
        while piece:
            yield piece
            piece = b"" if len(piece) < PIECE else self._read()

    def settle(self, sha256: str) -> tuple[str, ...]:
        """A stream cannot be looked at again."""
        del sha256
        return ()

    def close(self) -> None:
        """The stream belongs to whoever gave it."""

    def _read(self) -> bytes:
        """A whole piece; a shorter one is the last."""
        parts, missing = [], PIECE
        try:
            while missing and (data := self._stream.read(missing)):
                parts.append(data)
                missing -= len(data)
        except OSError as error:
            raise SourceUnreadableError(error.strerror or str(error)) from error
        return b"".join(parts)

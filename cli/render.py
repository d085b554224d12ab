"""Words, columns and progress for a terminal. What comes from evidence is escaped here."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from verify.report import printable

WIDTH = 92
NARROW = 80
"""How wide lines are in a pipe, and the narrowest terminal that is served."""
_WIDE = 120
_SEAMS = ("/", ":;,=&?", "_.-")
"""After what a name that is longer than a line goes on in the next, the best first."""


def line_width() -> int:
    """How wide lines may be: as the terminal is, within 80 and 120; 80 in a pipe."""
    if not sys.stdout.isatty():
        return NARROW
    return min(max(shutil.get_terminal_size((NARROW, 24)).columns, NARROW), _WIDE)


def size_text(size: int) -> str:
    """`3.7 MB`: decimal units, as disks are sold and invoices are written."""
    if size < 1_000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1_000
        if value < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f} {unit}"
    raise AssertionError("unreachable")


def count_text(count: int, noun: str) -> str:
    """`1 file`, `58 files`."""
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {plural}"


def span_text(length: timedelta) -> str:
    """`5 min 1 s`, `11 min`, `29 h`, `1,231 days`: at most two units."""
    seconds = int(abs(length.total_seconds()))
    if seconds >= 3 * 86_400:
        return f"{seconds // 86_400:,} days"
    if seconds >= 3_600:
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def silence_text(bar: Mapping[str, Any]) -> str:
    """For how long a coverage bar is silent in all; of more gaps than are listed, at least."""
    whole = span_text(timedelta(seconds=sum(each["seconds"] for each in bar["gaps"])))
    return f"at least {whole}" if bar["gaps_count"] > len(bar["gaps"]) else whole


def clock_text(text: str) -> str:
    """`11:42:18Z` of an RFC 3339 time."""
    return f"{datetime.fromisoformat(text):%H:%M:%SZ}"


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as aligned columns; the last column is free."""
    listed = [[printable(cell) for cell in row] for row in rows]
    if not listed:
        return []
    widths = [max(len(row[i]) for row in listed) for i in range(len(listed[0]))]
    return [
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]).rstrip()
        for row in listed
    ]


def clip(text: str, width: int) -> str:
    """Text cut to a width, with an ellipsis where something was cut."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def paragraph(label: str, text: str) -> list[str]:
    """`label text …`, folded between words, continuation lines aligned behind the label."""
    return folded(label, text.split(" "), width=line_width())


def prose(label: str, text: str) -> list[str]:
    """`label text …` folded between words, and no longer than a line may be.

    A name that is longer than a line goes on in the next behind one of its own `/`, `:`, `_` …;
    one that has none stands out whole: no name breaks within a word.
    """
    room = line_width() - len(label)
    parts: list[str] = []
    for word in printable(text).split(" "):
        parts += _seamed(word, room)
    return [line.rstrip() for line in folded(label, parts, width=line_width())]


def labelled(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Labels with what is said of each, folded beside them."""
    listed = [(printable(label), text) for label, text in rows]
    widest = max((len(label) for label, _ in listed), default=0)
    return [line for label, text in listed for line in prose(f"  {label:<{widest}}  ", text)]


def _seamed(word: str, room: int) -> Iterator[str]:
    """A word in pieces that fit, as far as it has seams."""
    while len(word) > room:
        cuts = (max(word.rfind(each, 0, room) for each in seams) + 1 for seams in _SEAMS)
        # A short stump of a name tells less than its next best part.
        cut = next((each for each in cuts if each > room // 3), 0)
        if not cut:
            break
        yield word[:cut]
        word = word[cut:]
    yield word


def folded(label: str, parts: Sequence[str], *, width: int = WIDTH) -> list[str]:
    """`label part part …` folded at a width, continuation lines aligned behind the label."""
    lines = [label]
    for part in map(printable, parts):
        glue = "" if lines[-1].endswith(" ") or not lines[-1] else " "
        if len(lines[-1]) > len(label) and len(lines[-1]) + len(glue) + len(part) > width:
            lines.append(" " * len(label))
            glue = ""
        lines[-1] += glue + part
    return lines


def typed(label: str, words: Sequence[str]) -> list[str]:
    """`label command …` as a shell takes it, also where it goes on in the next line."""
    width = line_width()
    lines = [label]
    for word in (printable(shlex.quote(each)) for each in words):
        glue = "" if lines[-1].endswith(" ") else " "
        if len(lines[-1]) > len(label) and len(lines[-1]) + len(glue) + len(word) + 2 > width:
            lines[-1] += " \\"
            lines.append(" " * (len(label) + 2))
            glue = ""
        lines[-1] += glue + word
    return lines


class StatusLine:
    """One line on a terminal's standard error that says what is being done; silent in a pipe."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        """Put this in the place of what stood there."""
        if self._live:
            self._shown = True
            print(f"\r\x1b[K{clip(printable(text), WIDTH)}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class ObjectLine:
    """How many objects of the store are done, on a terminal, after the first second.

    `noun` is what is counted, if not objects.
    """

    def __init__(self, verb: str, *, noun: str = "object") -> None:
        self._verb = verb
        self._noun = noun
        self._line = StatusLine()
        self._started = time.monotonic()
        self._shown = 0.0

    def __enter__(self) -> ObjectLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def show(self, done: int, of: int) -> None:
        """Say how far it is, at most ten times a second."""
        moment = time.monotonic()
        if moment - self._started > 1 and moment - self._shown > 0.1:
            self._shown = moment
            self._line.show(f"{self._verb} {done:,} of {count_text(of, self._noun)}")


class ProgressLine:
    """One line on a terminal's standard error that says how far it is; silent in a pipe.

    `unit` says an amount in words: bytes, unless another is given.
    """

    def __init__(self, verb: str, total: int, *, unit: Callable[[int], str] = size_text) -> None:
        self._verb = verb
        self._total = total
        self._unit = unit
        self._done = 0
        self._shown = 0.0
        self._started = time.monotonic()
        self._live = sys.stderr.isatty()

    def announce(self, text: str) -> None:
        """Say first how much there is."""
        if self._live:
            print(text, file=sys.stderr)

    def advance(self, amount: int) -> None:
        """Count on; show the line at most ten times a second, after the first second."""
        self._done += amount
        moment = time.monotonic()
        if self._live and moment - self._started > 1 and moment - self._shown > 0.1:
            self._shown = moment
            done, total = self._unit(self._done), self._unit(self._total)
            print(f"\r\x1b[K{self._verb} {done} of {total}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

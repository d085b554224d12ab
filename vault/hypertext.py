"""Pages and tables whose values are hostile: escaping, and the pieces of a static page. Pure.

A page holds no script and fetches nothing; it is a function of its arguments alone: no clock, no
locale, no randomness. `esc` is the one way for a value into HTML, `comma_separated` into CSV.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from vault._stylesheet import PAPER, STYLESHEET
from verify.digest import b64

# Listed, not asked of `unicodedata`: its answers change with Python, and these pages must not.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def visible(text: str) -> str:
    """Spell out what would not be seen, or would reorder what is: `[U+202E]`.

    Not by the control pictures of Unicode (U+241B for escape): many readers have no font for them.
    """
    return _UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def esc(text: object) -> str:
    """The one way for any value into HTML: made visible, then escaped."""
    return html.escape(visible(str(text)))


def defused(cell: str) -> str:
    """A cell that no spreadsheet runs: what would start a formula is led by an apostrophe."""
    return f"'{visible(cell)}" if cell.startswith(_FORMULA) else visible(cell)


_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d{3})?)Z\Z", re.ASCII)
_EXHIBIT = re.compile(r"\bEV-[0-9]{4,9}(?:\.\.[0-9]{4,9})?")
_LONG_WORD = 30
_SEAM = re.compile(r"(?<=[/:_])(?=[^/:_])")
_FOOTER_SAFE = re.compile(r"[A-Za-z0-9 :-]+\Z")


def comma_separated(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """RFC 4180; every cell is defused, and what cannot be seen in it is spelled out."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(heads)
    writer.writerows([defused(each) for each in row] for row in rows)
    return file.getvalue().encode("utf-8")


def document(kind: str, subject: str, body: Iterable[str]) -> bytes:
    """A whole page about `subject`, an incident's id for instance; `body` is HTML.

    Should escaping fail, the page's policy still runs no script and fetches nothing.
    """
    name = f"{kind}: {subject}"
    style = STYLESHEET + PAPER % (name if _FOOTER_SAFE.match(name) else kind)
    digest = b64(hashlib.sha256(style.encode("utf-8")).digest())
    text = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="format-detection" content="telephone=no">
<title>{esc(name)}</title>
<style>{style}</style>
</head>
<body>
<main>
{"".join(body)}</main>
</body>
</html>
"""
    return text.encode("utf-8")


def title_of(kind: str, subject: str, title: str, facts: Iterable[tuple[str, str]]) -> str:
    """What a page is headed with: what it is, what about, and names with values that are HTML."""
    return f"""\
<header>
<h1><small>{esc(kind)}</small>{esc(subject)} \
<span class="title">{esc(title)}</span></h1>
{facts_list(facts)}</header>
"""


def facts_list(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and values; the values are HTML."""
    lines = "".join(f"<dt>{esc(name)}</dt><dd>{value}</dd>\n" for name, value in pairs)
    return f"<dl>\n{lines}</dl>\n"


def notes(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A section of names and values, set for reading; the values are HTML."""
    return f'<section class="notes">\n<h2>{esc(title)}</h2>\n{facts_list(pairs)}</section>\n'


def time_of(text: str, *, zone: bool = True) -> str:
    """A time, with date and time each kept on one line; any other text stands as it is."""
    match = _INSTANT.match(text)
    if not match:
        return esc(text)
    day, clock = match.groups()
    clock = f"{clock} UTC" if zone else clock
    return (
        f'<time datetime="{esc(text)}"><span class="once">{esc(day)}</span> '
        f'<span class="once">{esc(clock)}</span></time>'
    )


def digest_of(digest: str) -> str:
    """A digest, whole and unbroken, so that a search of the page's source finds it."""
    return f'<span class="hash">{esc(digest)}</span>'


def prose(text: str) -> str:
    """Text that names exhibits; no line breaks within their names, and long ones break at seams."""
    told = "".join(map(_breakable, re.split(r"( +)", text)))
    return _EXHIBIT.sub(r'<span class="once">\g<0></span>', told)


def _breakable(word: str) -> str:
    """A path or an ARN may go on in the next line behind one of its `/`, `:`, `_`."""
    if len(word) <= _LONG_WORD:
        return esc(word)
    return "<wbr>".join(map(esc, _SEAM.split(word)))


def code(words: str) -> str:
    """Text as it is typed."""
    return f"<code>{esc(words)}</code>"


def column_heads(*columns: tuple[str, str]) -> str:
    """A table's head: class and text of each column."""
    cells = "".join(f'<th scope="col"{class_of(name)}>{esc(text)}</th>' for name, text in columns)
    return f"<thead><tr>{cells}</tr></thead>\n"


def cell(label: str, content: str, *, name: str = "") -> str:
    """A table's cell; the label stands beside the content where the columns do not fit."""
    return f'<td{class_of(name)} data-label="{esc(label)}"><div>{content}</div></td>'


def class_of(name: str) -> str:
    """A class attribute, or nothing."""
    return f' class="{name}"' if name else ""


def count_of(number: int, one: str, many: str) -> str:
    """`1 link`, `2,900 links`."""
    return f"{number:,} {one if number == 1 else many}"


def duration(seconds: int) -> str:
    """`1 h 5 min`, `2 min 30 s`, `0 s`: exact."""
    hours, rest = divmod(abs(seconds), 3600)
    parts = [(hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    return " ".join(f"{number:,} {unit}" for number, unit in parts if number) or "0 s"


def words_of(identifier: str) -> str:
    """`not_applicable` -> `Not applicable`."""
    return sentence(identifier.replace("_", " "))


def sentence(text: str) -> str:
    """Text with a capital at its start."""
    return text[:1].upper() + text[1:]


def marked(known: Mapping[str, tuple[str, ...]], value: str) -> str:
    """A state by shape and word."""
    sign, word = known.get(value, ("", words_of(value)))[:2]
    return f'<span class="mark"><i aria-hidden="true">{esc(sign)}</i>{esc(word)}</span>'

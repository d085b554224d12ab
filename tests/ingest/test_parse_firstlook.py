"""The first look: it spares asking most parsers, and never changes what is chosen."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from importlib import import_module
from itertools import islice

import pytest
from damage import cut, flipped, is_packed, with_mark, with_returns
from samples import samples

from ingest.parsers import BUILT_IN, HEAD_SIZE, Confidence, Parser, choose
from ingest.parsers.families import KNOWN
from ingest.parsers.firstlook import Deferred, FirstLook, Signs

SAMPLES = samples()
DEFERRED = [parser for parser in BUILT_IN if isinstance(parser, Deferred)]
each_sample = pytest.mark.parametrize(
    ("parser", "name", "data"),
    SAMPLES,
    ids=[f"{parser}-{name[-24:]}" for parser, name, _ in SAMPLES],
)


def chosen_without_a_look(head: bytes, name: str) -> str:
    """The first of the surest, all parsers being asked."""
    best: tuple[int, Parser] | None = None
    for parser in BUILT_IN:
        asked = parser.parser if isinstance(parser, Deferred) else parser
        sure = asked.detect(head, name)
        if best is None or sure > best[0]:
            best = (sure, parser)
    assert best is not None
    return best[1].name


@each_sample
def test_the_format_of_each_sample_is_chosen(parser: str, name: str, data: bytes) -> None:
    assert choose(data[:HEAD_SIZE], name).name == parser
    plain = gzip.decompress(data) if is_packed(data) else data
    assert chosen_without_a_look(plain[:HEAD_SIZE], name) == parser


@each_sample
def test_a_parser_that_is_not_asked_would_have_said_no(parser: str, name: str, data: bytes) -> None:
    damaged = (
        data,
        with_mark(data),
        with_returns(data),
        b"\n" + data,
        b"{" + data,
        data.replace(b'"', b'\\"'),
        b'{"message": "' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"}',
        *islice(cut(data), 1, 50, 7),
        *flipped(data, seed=f"{parser}/{name}", times=12),
    )
    for each in damaged:
        head = each[:HEAD_SIZE]
        look = FirstLook(head)
        for one in DEFERRED:
            if not one.signs.in_(look):
                assert one.parser.detect(head, name) is Confidence.NONE, one.name


def test_the_signs_of_most_formats_are_not_in_a_sample_of_another() -> None:
    asked = sum(
        parser.signs.in_(FirstLook(data[:HEAD_SIZE]))
        for parser in DEFERRED
        for _, _, data in SAMPLES
    )
    assert asked < len(SAMPLES) * len(DEFERRED) / 6


def test_the_table_names_every_parser_of_each_module_once() -> None:
    modules = {parser.module for parser in DEFERRED}
    named = [(parser.module, parser.name) for parser in DEFERRED]
    there = [
        (module, parser.name)
        for module in modules
        for parser in import_module(f"ingest.parsers.{module}").PARSERS
    ]
    assert sorted(named) == sorted(there)
    # Among equally sure parsers the earlier reads: those of a module in the module's own order.
    for module in modules:
        assert [n for m, n in named if m == module] == [n for m, n in there if m == module]
    assert list(dict.fromkeys(m for m, _ in named)) == sorted(modules)


def test_a_deferred_parser_is_a_parser_and_says_what_its_parser_says() -> None:
    for one in DEFERRED:
        assert isinstance(one, Parser)
        assert (one.name, one.version) == (one.parser.name, one.parser.version)
        assert (one.kinds, one.whole) == (one.parser.kinds, one.parser.whole)


def test_no_family_is_imported_before_a_file_has_its_signs() -> None:
    program = (
        "import sys; from ingest.parsers import choose\n"
        "from ingest.parsers.firstlook import Deferred\n"
        "from ingest.parsers.families import KNOWN\n"
        "def met(): return sorted({p.module for p in KNOWN} & "
        "{name.rpartition('.')[2] for name in sys.modules})\n"
        "print(met()); choose(b'{\"suite_name\": 1, \"pipeline_name\": 2}', 'x'); print(met())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n['agentdojo']\n"
    assert len(KNOWN) == len(DEFERRED)


@pytest.mark.parametrize(
    ("signs", "head", "there"),
    [
        (Signs(json=((b'"a"',),)), b'{"a": 1}', True),
        (Signs(json=((b'"a"',),)), b'{"x": "{\\"a\\": 1}"}', True),
        (Signs(json=((b'"a"',),)), b'{"ab": "ba"}', False),
        (Signs(json=((b'"a"',),)), b'"a"', False),
        (Signs(json=((b'"a"', b"b"),)), b'{"cbc": 1}', True),
        (Signs(json=((b'"a"',), (b'"b"',))), b'{"b": 1}', False),
        (Signs(json=((b'"a"',), (b'"b"',))), b'{"b": "a"}', True),
        (Signs(text=()), b"word", True),
        (Signs(text=()), b'{"a": 1}', False),
        (Signs(text=()), b"[1] see below", True),
        (Signs(text=()), b"{{ template }} with many words behind it", True),
        (Signs(either=((b"a",),), start=re.compile(b"x")), b"a", False),
        (Signs(either=((b"a",),), start=re.compile(b"x")), b"xa", True),
        (Signs(), b"anything", False),
    ],
)
def test_signs(signs: Signs, head: bytes, there: bool) -> None:
    assert signs.in_(FirstLook(head)) is there

"""Profiles as people write them: YAML in, strict JSON out, each mistake with its line.

`extends: agent-incident-runbook` takes the built-in profile as it is; items and clocks with an id
that it has are laid over it field by field (conditions and checks likewise), others are added, and
`remove:` names what is left out. PyYAML is an extra; JSON is read without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verify import strictjson
from verify.errors import EvidenceError, MalformedError, UnsupportedError
from verify.profile import MAX_PROFILE, Profile, parse_profile

NEEDS_YAML = (
    "YAML is read by PyYAML, which is not installed: pip install 'evidence-vault[formats]'; "
    "a compiled profile (JSON) is read without it"
)
_PLACE = re.compile(r"\.([a-z_]+)|\[(\d+)\]")
_LISTS = ("conditions", "checks")

Lines = dict[tuple[str | int, ...], int]
"""The line, from 1, of each place in a document."""


def read_profile(path: Path, built_in: Profile) -> Profile:
    """Read a profile: compiled, or as it is written. Raises `MalformedError` with the line."""
    data = path.read_bytes()
    if len(data) > MAX_PROFILE:
        raise MalformedError(f"{path.name}: {len(data):,} bytes; the limit is {MAX_PROFILE:,}")
    if data.lstrip()[:1] == b"{":
        return parse_profile(data, where=path.name)
    return compile_profile(data, built_in, where=path.name)


def compile_profile(text: bytes, built_in: Profile, *, where: str) -> Profile:
    """Compile YAML to a profile. Raises `MalformedError` with the line, `UnsupportedError`."""
    value, lines = _load(text, where)
    if not isinstance(value, dict):
        raise MalformedError(f"{where}, line 1: a profile is a mapping: name, version, evidence …")
    if "extends" in value:
        value, lines = _extended(value, lines, built_in, where)
    try:
        return parse_profile(strictjson.dumps(value), where=where)
    except UnsupportedError as error:
        raise MalformedError(f"{where}, line {lines.get(('format',), 1)}: {error}") from error
    except MalformedError as error:
        raise MalformedError(_with_line(str(error), lines, where)) from error


def _with_line(message: str, lines: Lines, where: str) -> str:
    """The message with the line of the deepest place that it names and the document has."""
    if not message.startswith(where):
        return f"{where}: {message}"
    rest = message[len(where) :]
    place: list[str | int] = []
    end = 0
    while (match := _PLACE.match(rest, end)) is not None:
        name, number = match.groups()
        place.append(name if name is not None else int(number))
        end = match.end()
    while place and tuple(place) not in lines:
        place.pop()
    line = lines.get(tuple(place), 1)
    return f"{where}, line {line}: {rest.lstrip('.: ')}"


def _load(text: bytes, where: str) -> tuple[Any, Lines]:
    try:
        import yaml  # noqa: PLC0415 — an extra
    except ImportError as error:
        raise UnsupportedError(f"{where}: {NEEDS_YAML}") from error
    try:
        node = yaml.compose(text.decode("utf-8"), Loader=yaml.SafeLoader)
        if node is None:
            raise MalformedError(f"{where}: is empty")
        lines: Lines = {}
        return _plain(node, (), lines, where, 0), lines
    except UnicodeDecodeError as error:
        raise MalformedError(f"{where}: not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise MalformedError(f"{where}{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise MalformedError(f"{where}: not YAML: {error}") from error


def _plain(node: Any, place: tuple[str | int, ...], lines: Lines, where: str, depth: int) -> Any:
    """A node as JSON. Only texts, whole numbers, true and false: nothing that YAML guesses."""
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if depth > strictjson.MAX_DEPTH or len(lines) > 100_000:
        raise MalformedError(f"{where}, line {line}: nested too deeply, or too long")
    if node.id == "mapping":
        result: dict[str, Any] = {}
        for key, value in node.value:
            at = key.start_mark.line + 1
            if key.id != "scalar" or not isinstance(key.value, str):
                raise MalformedError(f"{where}, line {at}: a key is a word")
            if key.value in result:
                raise MalformedError(f"{where}, line {at}: {key.value!r} stands here twice")
            lines[(*place, key.value)] = at
            result[key.value] = _plain(value, (*place, key.value), lines, where, depth + 1)
        return result
    if node.id == "sequence":
        return [
            _plain(each, (*place, number), lines, where, depth + 1)
            for number, each in enumerate(node.value)
        ]
    tag, text = node.tag.rpartition(":")[2], node.value
    if node.style in ("'", '"', "|", ">") or tag == "str":
        return text
    if tag == "int" and re.fullmatch(r"0|[1-9][0-9]{0,14}", text):
        return int(text)
    if tag == "bool" and text in ("true", "false"):
        return text == "true"
    raise MalformedError(
        f"{where}, line {line}: {text!r} is neither a text, a whole number, true nor false; "
        f'write "{text}" if it is meant as text'
    )


# -- extending -------------------------------------------------------------------------------------


def _extended(
    value: Mapping[str, Any], lines: Lines, built_in: Profile, where: str
) -> tuple[dict[str, Any], Lines]:
    """The built-in profile with another laid over it, and the lines of what came from there."""
    known = built_in.name
    if value["extends"] != known:
        raise MalformedError(
            f"{where}, line {lines[('extends',)]}: there is no profile {value['extends']!r} "
            f"to extend; known: {known}"
        )
    base = strictjson.load_object(built_in.data, where=known)
    extra = sorted(value.keys() - {"extends", "name", "version", "remove", *base})
    if extra:
        several = "s" if len(extra) > 1 else ""
        raise MalformedError(
            f"{where}, line {lines[(extra[0],)]}: unknown field{several} "
            f"{', '.join(map(repr, extra))}"
        )
    if value.get("name", known) == known:
        raise MalformedError(
            f"{where}, line {lines[('extends',)]}: give it a name of its own, for instance "
            f"name: our-{known}"
        )
    removed = value.get("remove", [])
    if not isinstance(removed, list):
        raise MalformedError(f"{where}, line {lines[('remove',)]}: remove is a list of ids")
    merged: dict[str, Any] = {**base, "name": value["name"], "version": value.get("version", 1)}
    placed: Lines = {}
    for name in ("name", "version"):
        placed[(name,)] = lines.get((name,), 1)
    left = set(removed)
    for name in ("clocks", "evidence", "duties"):
        kept = [_without(each, removed, left) for each in base[name] if each["id"] not in removed]
        left -= {each["id"] for each in base[name]}
        merged[name] = _laid_over(kept, value.get(name, []), (name,), (name,), lines, placed, where)
    if left:
        number = removed.index(sorted(left, key=str)[0])
        raise MalformedError(
            f"{where}, line {lines[('remove', number)]}: there is nothing called "
            f"{removed[number]!r} to remove"
        )
    return merged, placed


def _without(item: Mapping[str, Any], removed: Sequence[Any], left: set[Any]) -> dict[str, Any]:
    """An item without the conditions and checks that are removed."""
    result = dict(item)
    for name in _LISTS:
        if name in item:
            ids = {f"{item['id']}.{each['id']}" for each in item[name]}
            left -= ids
            result[name] = [
                each for each in item[name] if f"{item['id']}.{each['id']}" not in removed
            ]
    return result


def _laid_over(
    base: Sequence[Mapping[str, Any]],
    over: Any,
    from_: tuple[str | int, ...],
    to: tuple[str | int, ...],
    lines: Lines,
    placed: Lines,
    where: str,
) -> list[Any]:
    if not isinstance(over, list):
        raise MalformedError(f"{where}, line {lines[from_]}: expected a list")
    placed[to] = lines.get(from_, 1)
    result = [dict(each) for each in base]
    for number, each in enumerate(over):
        source = (*from_, number)
        if not isinstance(each, dict) or not isinstance(each.get("id"), str):
            raise MalformedError(f"{where}, line {lines[source]}: expected an entry with an id")
        index = next((i for i, own in enumerate(result) if own["id"] == each["id"]), len(result))
        target = (*to, index)
        placed[target] = lines[source]
        if index == len(result):
            result.append({})
        entry = result[index]
        for key, content in each.items():
            if key in _LISTS and key in entry:
                entry[key] = _laid_over(
                    entry[key], content, (*source, key), (*target, key), lines, placed, where
                )
            else:
                entry[key] = content
                for place, line in lines.items():
                    if place[: len(source) + 1] == (*source, key):
                        placed[(*target, *place[len(source) :])] = line
    return result


__all__ = ["EvidenceError", "compile_profile", "read_profile"]

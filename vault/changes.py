"""What differs between two completeness reports of one incident. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from verify.strictjson import Object


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that one report says otherwise than the other; None: it says nothing of it."""

    what: str
    """`verdict`, `profile`, `state`, `in_time`, `condition`, `clock`, `waiver`, `contradiction`."""
    id: str
    before: str | None
    after: str | None

    def to_json(self) -> Object:
        """The JSON object."""
        return {"after": self.after, "before": self.before, "id": self.id, "what": self.what}


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a sealed report."""

    sequence: int
    """The link that sealed it."""
    head_sequence: int
    """The last link that it judged."""
    as_of: str
    items: tuple[Change, ...]
    unreadable: str | None = None
    """Why the two could not be compared."""

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "as_of": self.as_of,
            "head_sequence": self.head_sequence,
            "items": [each.to_json() for each in self.items],
            "sequence": self.sequence,
            "unreadable": self.unreadable,
        }


def without_former_words(changes: Changes) -> Changes:
    """The same without words that only the earlier report had, for a reader outside the vault.

    A contradiction that is gone may have cited evidence that was withdrawn since; its condition
    still says what was contradicted. Why an earlier report cannot be read is the vault's affair.
    """
    return replace(
        changes,
        items=tuple(
            replace(each, id=each.id.partition(":")[0])
            if each.what == "contradiction" and each.after is None
            else each
            for each in changes.items
        ),
        unreadable=changes.unreadable and _NOT_COMPARED,
    )


_NOT_COMPARED = (
    "it is not compared: another engine made it, or it could not be read when this page was written"
)


def differences(before: Object, after: Object) -> list[Change]:
    """What differs, in the order of `Change.what`; within it, by the later report's order."""
    found = []
    for what, read in _READERS:
        old, new = read(before), read(after)
        for id_ in [*new, *(id_ for id_ in old if id_ not in new)]:
            if old.get(id_) != new.get(id_):
                found.append(Change(what, id_, old.get(id_), new.get(id_)))
    return found


def _items(report: Object) -> Iterator[Object]:
    yield from report["evidence"]
    yield from report["duties"]


def _profile(report: Object) -> Mapping[str, str | None]:
    profile = report["profile"]
    return {"profile": f"{profile['name']} version {profile['version']}, {profile['sha256']}"}


def _contradictions(report: Object) -> Mapping[str, str | None]:
    return {
        f"{each['condition']}: {each['detail']}": "settled" if each["closed_by"] else "open"
        for each in report["contradictions"]
    }


_READERS = (
    ("verdict", lambda report: {"verdict": report["verdict"]}),
    ("profile", _profile),
    ("contradiction", _contradictions),
    ("state", lambda report: {each["id"]: each["state"] for each in _items(report)}),
    ("in_time", lambda report: {each["id"]: each["timeliness"] for each in _items(report)}),
    ("clock", lambda report: {each["id"]: each["timeliness"] for each in report["clocks"]}),
    ("waiver", lambda report: {each["id"]: each["standing"] for each in report["waivers"]}),
    (
        "condition",
        lambda report: {
            condition["id"]: condition["answer"]
            for item in _items(report)
            for condition in (*item["conditions"], *item["checks"])
        },
    ),
)

"""What was asked for through a server, in words: what a second person reads before they say yes."""

from __future__ import annotations

from collections.abc import Sequence

from vault.custody import exhibit_ranges
from verify.strictjson import Object

ONLY_ASKED = 3
"""The exit code of what was asked for and not done: a script that goes on after 0 must not."""


def waiting_text(request: Object) -> str:
    """Which request waits for a second person, and until when."""
    already = f", asked for {request['created']} already," if request.get("repeated") else ""
    return f"request {request['id']}{already} waits for one until {request['expires']}"


def asked_rows(request: Object) -> list[tuple[str, str]]:
    """What a request would do: label and text of each parameter, also of those left out."""
    rows = _ROWS.get(str(request["kind"]))
    return rows(request["parameters"]) if rows else []


def asked_text(request: Object) -> str:
    """The same in one line."""
    if request["kind"] == "grant":
        return _role(request["parameters"])
    return "; ".join(f"{label} {text}" for label, text in asked_rows(request))


def _release(said: Object) -> list[tuple[str, str]]:
    return [("matter", _name(said["matter"])), *_shown_by(said)]


def _waiver(said: Object) -> list[tuple[str, str]]:
    return [
        ("conditions", _names(said["conditions"])),
        ("owner", _name(said["owner"])),
        ("from", said["valid_from"] or "its approval"),
        ("until", said["valid_to"]),
        ("scope", _names(said["scope"]) or "not narrowed"),
        ("compensated by", _names(said["compensating"]) or "nothing"),
        *_shown_by(said),
    ]


def _attestation(said: Object) -> list[tuple[str, str]]:
    fields = [(name, _value(value)) for name, value in sorted(said["fields"].items())]
    statement = [("statement", f'"{said["statement"]}"')] if said["statement"] else []
    return [("attests", str(said["type"])), *fields, *statement, *_shown_by(said)]


def _export(said: Object) -> list[tuple[str, str]]:
    withheld = [f'{exhibit} "{reason}"' for exhibit, reason in sorted(said["withhold"].items())]
    return [
        ("recipient", _name(said["recipient"]) if said["recipient"] else "not named"),
        ("withholds", ", ".join(withheld) or "nothing"),
    ]


def _grant(said: Object) -> list[tuple[str, str]]:
    return [
        ("person", _name(said["person"])),
        ("role", str(said["role"])),
        ("on", _on(said)),
        ("from", said["valid_from"] or "its approval"),
        ("until", said["valid_to"] or "revoked"),
    ]


_ROWS = {
    "hold_release": _release,
    "waiver": _waiver,
    "attestation": _attestation,
    "export": _export,
    "grant": _grant,
}


def _role(said: Object) -> str:
    begins = f"from {said['valid_from']} " if said["valid_from"] else ""
    ends = f"until {said['valid_to']}" if said["valid_to"] else "until revoked"
    return f"{_name(said['person'])}: {said['role']} on {_on(said)}, {begins}{ends}"


def _on(said: Object) -> str:
    chains = [str(each) for each in said["chains"]]
    return "every chain" if chains == ["*"] else ", ".join(chains)


def _name(value: object) -> str:
    """A name as it is; one that only looks like another's is no name that one knows."""
    text = str(value)
    return text if text.isascii() else f"{text} ({text!a})"


def _names(values: Sequence[object]) -> str:
    return ", ".join(map(_name, values))


def _value(value: object) -> str:
    return _names(value) if isinstance(value, list) else _name(value)


def _shown_by(said: Object) -> list[tuple[str, str]]:
    return [("shown by", exhibit_ranges(said["exhibits"]) or "no exhibit")]

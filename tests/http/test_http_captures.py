"""Captures over the wire: all of one is kept, or nothing; every difference is told by its place."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_support import run
from serving import Heard, Site

from vault.access import VaultRole
from vault.opened import Vault
from verify import strictjson
from verify.description import Description
from verify.facts import Facts

TEXT = b"the agent said so\n"
HEAD = {"collector": {"name": "test"}, "deposit": "d-1", "method": "by hand", "pack": True,
        "source": None, "system": None}  # fmt: skip


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def frame(letter: bytes, payload: bytes | dict[str, object] = b"") -> bytes:
    """As CAPTURE.md §1 has it; written here by hand, not by the product."""
    data = payload if isinstance(payload, bytes) else strictjson.dumps(payload)
    return letter + len(data).to_bytes(4, "big") + data


def described(name: str = "a.log") -> bytes:
    from datetime import UTC, datetime

    return Description(
        salt="0" * 64,
        name=name,
        name_bytes=None,
        path=name,
        label="text",
        summary="one line",
        modified_at=None,
        captured_at=datetime(2026, 3, 1, 9, tzinfo=UTC),
        remarks=(),
        facts=Facts(parser="text", version=1, format="text"),
    ).encode()


def item(content: bytes = TEXT, **other: object) -> bytes:
    value: dict[str, object] = {
        "description": described().decode(),
        "kinds": ["ticket"],
        "sha256": sha256(content),
        "size": len(content),
    }
    return frame(b"I", value | other)


def listed(*contents: bytes, missed: list[dict[str, str]] | None = None) -> bytes:
    document = {"sha256": sha256(described()), "size": len(described())}
    told = strictjson.dumps(list(missed or []))
    return frame(b"L", {
        "items": [{"description": document, "kinds": ["ticket"], "sha256": sha256(each),
                   "size": len(each)} for each in contents],
        "not_captured": {
            "count": len(missed or []),
            "description": {"sha256": sha256(told), "size": len(told)} if missed else None,
        },
    })  # fmt: skip


def whole(*contents: bytes, head: dict[str, object] = HEAD) -> bytes:
    body = b"evault-capture-1\n" + frame(b"H", head)
    for each in contents:
        body += frame(b"C", str(len(each)).encode())
        body += b"".join(
            frame(b"D", each[at : at + (1 << 20)]) for at in range(0, len(each), 1 << 20)
        )
        body += item(each)
    return body + listed(*contents)


@pytest.fixture
def case(site: Site) -> str:
    who = site.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    heard = site.post("/v1/incidents", who, {
        "detected_at": "2026-03-01T09:00:00Z", "severity": "sev1", "systems": ["mail-agent"],
        "tier": "unknown", "title": "Mail went out",
    })  # fmt: skip
    return str(heard.json["incident"])


@pytest.fixture
def send(site: Site, case: str) -> Callable[[bytes], Heard]:
    who = site.people.add("lea", VaultRole.FORENSICS_LEAD)

    def sent(body: bytes, chain: str = case) -> Heard:
        return site.post(f"/v1/chains/{chain}/captures", who, body)

    return sent


def kept(vault: Vault) -> list[str]:
    """Every object of evidence in the store, and what is on its way into it."""
    home = vault.home  # type: ignore[attr-defined]
    return sorted(
        str(path.relative_to(home))
        for folder in ("artifacts", "tmp")
        for path in (Path(home) / "store" / folder).rglob("*")
        if path.is_file() and not path.name.endswith(".json")
    )


def test_a_capture_is_sealed_as_it_was_sent(
    send: Callable[[bytes], Heard], vault: Vault, case: str
) -> None:
    large = bytes(range(256)) * 5000
    heard = send(whole(TEXT, large))
    assert heard.status == 201, heard.data
    exhibits = vault.incidents.read(case).state.exhibits
    assert [each.item.sha256 for each in exhibits.values()] == [sha256(TEXT), sha256(large)]
    assert heard.json["items"] == 2
    assert [receipt["deposit"] for receipt in heard.json["receipts"]] == ["d-1"]
    again = send(whole(TEXT, large))
    assert (again.status, again.json["receipts"][0]["repeated"]) == (200, True)
    assert len(vault.incidents.read(case).manifests) == 2


def altered(body: bytes, old: bytes, new: bytes) -> bytes:
    assert body.count(old) >= 1
    return body.replace(old, new, 1)


LARGE = b"x" * (3 << 20)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (whole(TEXT)[:-1], 400, "broke off"),
        (whole(TEXT)[: len(whole(TEXT)) // 2], 400, "broke off"),
        (whole(LARGE)[: 2 << 20], 400, "broke off"),
        (whole(TEXT) + b"x", 400, "follows the end"),
        (whole(TEXT) + frame(b"L"), 400, "follows the end"),
        (b"evault-capture-2\n" + whole(TEXT)[17:], 400, "evault-capture-1"),
        (altered(whole(TEXT), TEXT, TEXT.upper()), 422, "content 1"),
        (altered(whole(b"one", TEXT), TEXT, TEXT.upper()), 422, "content 2"),
        (altered(whole(TEXT), b"C\0\0\0\x0218", b"C\0\0\0\x0217"), 400, "longer than announced"),
        (altered(whole(TEXT), b"C\0\0\0\x0218", b"C\0\0\0\x0301a"), 400, "no number"),
        (whole(TEXT).replace(listed(TEXT), listed()), 400, "list at the end"),
        (whole(TEXT).replace(listed(TEXT), listed(TEXT, TEXT)), 400, "list at the end"),
        (whole(TEXT).replace(listed(TEXT), listed(TEXT.upper())), 400, "list at the end"),
        (whole(TEXT).replace(item(), item(kinds=["no_kind"])), 400, "no_kind"),
        (whole(TEXT).replace(item(), item(mood="bad")), 400, "mood"),
        (whole(TEXT).replace(item(), item(description="{}")), 400, "description of content 1"),
        (
            whole(TEXT).replace(item(), item(description=described().decode() + " ")),
            400,
            "description of content 1",
        ),
        (whole(TEXT).replace(item(), b""), 400, "dropped"),
        (whole(TEXT).replace(frame(b"D", TEXT), frame(b"Q", TEXT)), 400, "which is none"),
        (whole(TEXT).replace(frame(b"D", TEXT), b"D\xff\xff\xff\xff"), 400, "the limit is"),
        (whole(TEXT, head={**HEAD, "deposit": "../x y"}), 400, "deposit"),
        (whole(TEXT, head={**HEAD, "pack": 1}), 400, "pack"),
        (b"", 400, "broke off"),
    ],
)
def test_any_difference_refuses_the_whole_and_leaves_nothing(
    send: Callable[[bytes], Heard], vault: Vault, case: str, body: bytes, status: int, told: str
) -> None:
    before = kept(vault)
    heard = send(body)
    assert heard.status == status, heard.data
    assert told in heard.json["detail"]
    assert len(vault.incidents.read(case).manifests) == 1
    assert kept(vault) == before
    assert send(whole(TEXT)).status == 201, "the same deposit may be sent again"


def test_what_was_dropped_or_missed_is_no_exhibit_and_is_on_record(
    send: Callable[[bytes], Heard], vault: Vault, case: str
) -> None:
    missed = {"detail": "permission denied", "name": "b.log", "reason": "unreadable"}
    dropped = frame(b"C") + frame(b"D", LARGE[: 1 << 20]) + frame(b"D", LARGE[: 1 << 20])
    dropped += frame(b"X", {"sha256": sha256(LARGE[: 2 << 20]), "size": 2 << 20})
    body = whole(TEXT).replace(listed(TEXT), dropped + frame(b"M", missed))
    heard = send(body + listed(TEXT, missed=[missed]))
    assert heard.status == 201, heard.data
    state = vault.incidents.read(case).state
    assert [each.item.sha256 for each in state.exhibits.values()] == [sha256(TEXT)]
    assert state.not_captured == 1
    assert not any("tmp" in name for name in kept(vault))


def test_a_sender_who_goes_away_leaves_nothing(site: Site, vault: Vault, case: str) -> None:
    who = site.people.add("lea", VaultRole.FORENSICS_LEAD)
    before, body = kept(vault), whole(LARGE)
    place = urlsplit(site.url)
    with socket.create_connection((place.hostname or "", place.port or 0)) as line:
        head = (
            f"POST /v1/chains/{case}/captures HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {who['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        line.sendall(head.encode() + body[: len(body) - 10])
    for _ in range(100):  # until the server has noticed
        if kept(vault) == before and not list(site_uploads(vault)):
            break
    assert len(vault.incidents.read(case).manifests) == 1
    heard = site.post(f"/v1/chains/{case}/captures", who, body)
    assert (heard.status, heard.json["receipts"][0]["repeated"]) == (201, False)


def site_uploads(vault: Vault) -> Iterator[Path]:
    home = vault.home  # type: ignore[attr-defined]
    return (path for path in (Path(home) / "store" / "tmp").rglob("*") if path.is_file())


def test_only_who_may_add_there_is_heard(site: Site, vault: Vault, case: str) -> None:
    reader = site.people.add("audra", VaultRole.AUDITOR)
    other = site.people.collector("edge", "stream:edge")
    path = f"/v1/chains/{case}/captures"
    assert site.post(path, reader, whole(TEXT)).status == 403
    assert site.post(path, other, whole(TEXT)).status == 404
    assert site.post(path, None, whole(TEXT)).status == 401
    assert site.post("/v1/chains/stream:edge/captures", other, whole(TEXT)).status == 201
    assert [
        each.item.exhibit for each in vault.incidents.read("stream:edge").stream.exhibits.values()
    ] == ["ST-0001"]


@pytest.fixture
def entry(tmp_path: Path, vault: Vault, case: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A collector's entry for the case as it travels; its key is let in."""
    from ingest.collector_key import read_public_key
    from ingest.spool import Spool

    home = vault.home  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    assert run("spool", "init", "spool").code == 0
    vault.collectors.add("edge", read_public_key(tmp_path / "spool" / "collector.pub"))
    Path("one.txt").write_bytes(TEXT)
    Path("two.txt").write_bytes(b"more\n")
    said = run(
        "--home", tmp_path / "no-home", "ingest", case, "one.txt", "two.txt", "--spool", "spool"
    )
    assert said.code == 1, said.err
    assert home.is_dir()
    read = Spool(Path("spool")).entry(1)
    head = {**HEAD, "deposit": None}
    body = b"evault-capture-1\n" + frame(b"H", head) + frame(b"S", read.data)
    for number, (each, description) in enumerate(read.items()):
        content = b"".join(read.content(number))
        body += frame(b"C", str(each.size).encode()) + frame(b"D", content)
        body += item(content, description=description.encode().decode(), kinds=list(each.kinds))
    return body + frame(b"L")


def test_a_collection_is_taken_in_as_it_was_signed(
    site: Site, vault: Vault, case: str, entry: bytes
) -> None:
    who = site.people.collector("edge", case)
    heard = site.post(f"/v1/chains/{case}/captures", who, entry)
    assert heard.status == 201, heard.data
    (delivery,) = vault.incidents.read(case).state.deliveries
    assert delivery.delivered.exhibit == "EV-0001"
    assert [each.sha256 for each in delivery.items] == [sha256(TEXT), sha256(b"more\n")]
    again = site.post(f"/v1/chains/{case}/captures", who, entry)
    assert (again.status, again.json["receipts"][0]["repeated"]) == (200, True)
    assert again.json["receipts"][0]["leaf_hash"] == heard.json["receipts"][0]["leaf_hash"]


@pytest.mark.parametrize(
    ("old", "new", "status", "told"),
    [
        (TEXT, TEXT.upper(), 422, "content 1"),
        (b"C\0\0\0\x0218", b"C\0\0\0\x0219", 400, "item 1 is not of the size"),
        (b"one.txt", b"two.txt", 422, "description of item 1"),
        (frame(b"L"), frame(b"L", b"{}"), 400, "empty list"),
        (frame(b"L"), frame(b"M", {"detail": "d", "name": "n", "reason": "r"}) + frame(b"L"), 422,
         "not captured"),
        (frame(b"L"), b"", 400, "broke off"),
    ],
)  # fmt: skip
def test_whatever_differs_from_what_was_signed_is_refused(
    site: Site,
    vault: Vault,
    case: str,
    entry: bytes,
    old: bytes,
    new: bytes,
    status: int,
    told: str,
) -> None:
    body = altered_behind_the_envelope(entry, old, new)
    who = site.people.collector("edge", case)
    before = kept(vault)
    heard = site.post(f"/v1/chains/{case}/captures", who, body)
    assert (heard.status, told in heard.json["detail"]) == (status, True), heard.data
    assert len(vault.incidents.read(case).manifests) == 1
    assert kept(vault) == before


def altered_behind_the_envelope(entry: bytes, old: bytes, new: bytes) -> bytes:
    """The same body with a change in what follows the signed list; lengths of frames follow."""
    frames, rest = [], entry[len(b"evault-capture-1\n") :]
    while rest:
        size = int.from_bytes(rest[1:5], "big")
        frames.append(rest[: 5 + size])
        rest = rest[5 + size :]
    for number in range(2, len(frames)):
        if old in frames[number]:
            changed = frames[number].replace(old, new, 1)
            whole_frame = old == frames[number] or old[:1] == frames[number][:1]
            if not whole_frame:
                letter, data = changed[:1], changed[5:]
                if letter == b"I" and old == b"one.txt":
                    value = json.loads(frames[number][5:])
                    value["description"] = value["description"].replace("one.txt", "two.txt")
                    data = strictjson.dumps(value)
                changed = frame(letter, data)
            frames[number] = changed
            return b"evault-capture-1\n" + b"".join(frames)
    raise AssertionError("nothing to change")


def test_a_collection_for_another_chain_or_of_nobody_is_refused(
    site: Site, vault: Vault, case: str, entry: bytes
) -> None:
    who = site.people.collector("edge", case, "stream:edge")
    elsewhere = site.post("/v1/chains/stream:edge/captures", who, entry)
    assert (elsewhere.status, "signed for" in elsewhere.json["detail"]) == (409, True)
    vault.collectors.remove("edge", "its host was broken into")
    heard = site.post(f"/v1/chains/{case}/captures", who, entry)
    assert (heard.status, "takes nothing more" in heard.json["detail"]) == (409, True)


def test_a_collector_delivers_what_it_signed_itself_and_people_what_any_did(
    site: Site, vault: Vault, case: str, entry: bytes
) -> None:
    before = kept(vault)
    other = site.people.collector("edge-2", case)
    heard = site.post(f"/v1/chains/{case}/captures", other, entry)
    assert (heard.status, "signed by the collector edge," in heard.json["detail"]) == (409, True)
    assert kept(vault) == before
    lead = site.people.add("lea", VaultRole.FORENSICS_LEAD)
    assert site.post(f"/v1/chains/{case}/captures", lead, entry).status == 201


def test_many_small_files_share_packs_and_come_out_as_they_went_in(
    send: Callable[[bytes], Heard], vault: Vault, case: str
) -> None:
    contents = [f"line {number}\n".encode() for number in range(300)]
    before = len(kept(vault))
    assert send(whole(*contents)).status == 201
    assert len(kept(vault)) - before == 1
    exhibits = vault.incidents.read(case).state.exhibits.values()
    assert [each.item.sha256 for each in exhibits] == [sha256(each) for each in contents]

"""Content over HTTP: said before it is given, verified before it is given, as it was asked for."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

import pytest
import urllib3
from asked_over_http import HOSTILE, changed, declare, exhibit_of, legal, send, views
from serving import Heard, Site, listening

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.vault import Vault
from vault.access import VaultRole
from vault.custody import custody_rows, reading_rows
from vault.http.app import create_app
from vault.opened import assemble
from verify.statement import MIN_PART_SIZE, Actor

WHY = "purpose=find%20out"
DATA = bytes(range(256)) * 8


def fetch(site: Site, name: str, query: str = WHY, **headers: str) -> Heard:
    return site.get(
        f"/v1/incidents/{name}/evidence/EV-0001/content?{query}", legal(site), **headers
    )


def with_exhibit(site: Site, data: bytes = DATA, given: str = "a.bin") -> str:
    name = declare(site)
    assert send(site, name, data, f"name={quote(given, safe='')}").status == 201
    return name


def test_the_bytes_come_as_they_were_sealed_and_can_do_no_harm(site: Site, vault: Vault) -> None:
    name = with_exhibit(site, b"<script>alert(1)</script>", "page.html")
    heard = fetch(site, name)
    digest = hashlib.sha256(b"<script>alert(1)</script>").digest()
    assert (heard.status, heard.data) == (200, b"<script>alert(1)</script>")
    assert heard.headers["Content-Type"] == "application/octet-stream"
    assert heard.headers["X-Content-Type-Options"] == "nosniff"
    assert heard.headers["Content-Disposition"].startswith('attachment; filename="page.html"')
    assert heard.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert heard.headers["ETag"] == f'"{digest.hex()}"'
    assert "no-store" in heard.headers["Cache-Control"]
    assert heard.headers["Content-Length"] == "25"


def test_a_reading_is_sealed_with_who_why_and_where(site: Site, vault: Vault) -> None:
    name = with_exhibit(site)
    assert fetch(site, name).status == 200
    chain = vault.incidents.read(name)
    statement = chain.manifests[-1].statement
    assert statement.actor == Actor("lea", "person", "token", None)
    assert statement.body["purpose"] == "find out"
    assert statement.body["exhibits"] == ["EV-0001"]
    assert statement.body["address"] == "127.0.0.1"
    row = custody_rows(chain.manifests, chain.indices)[-1]
    assert (row.event, row.people) == ("viewed", ("lea",))
    assert row.detail == 'EV-0001, from 127.0.0.1 "find out"'
    assert chain.indices[-1] is not None


def test_ranges_and_repetitions_ride_on_one_statement(site: Site, vault: Vault) -> None:
    name = with_exhibit(site)
    for field in ("bytes=0-9", "bytes=10-19", "bytes=-5"):
        assert fetch(site, name, Range=field).status == 206
    assert fetch(site, name).status == 200
    assert len(views(vault, name)) == 1
    assert fetch(site, name, "purpose=another").status == 200
    assert len(views(vault, name)) == 2
    other = site.people.add("fay", VaultRole.FORENSICS_LEAD)
    path = f"/v1/incidents/{name}/evidence/EV-0001/content?{WHY}"
    assert site.get(path, other).status == 200
    assert [each["purpose"] for each in views(vault, name)] == ["find out", "another", "find out"]
    assert len({each["session"] for each in views(vault, name)}) == 3


def test_a_session_is_one_on_every_host(site: Site, vault: Vault) -> None:
    """Two processes that know nothing of one another; the chain tells them."""
    name = with_exhibit(site)
    second = open_vault(read_settings({}, vault.home))
    service = replace(
        service_of(second), authenticator=site.people, grants=lambda: tuple(site.people.grants)
    )
    with listening(create_app(service)) as url:
        other = Site(url, site.people)
        assert fetch(site, name).status == fetch(other, name).status == 200
        assert fetch(site, name, Range="bytes=1-").status == 206
    second.close()
    assert len(views(vault, name)) == 1


def test_who_begins_at_once_begins_once(site: Site, vault: Vault) -> None:
    name = with_exhibit(site)
    who = legal(site)
    path = f"/v1/incidents/{name}/evidence/EV-0001/content?{WHY}"
    heard: list[Heard] = []
    threads = [threading.Thread(target=lambda: heard.append(site.get(path, who))) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.status for each in heard] == [200] * 6
    assert len(views(vault, name)) == 1


def test_two_addresses_that_race_are_one_session(site: Site, vault: Vault) -> None:
    """The loser of the race finds the winner's statement, though it says another address."""
    name = with_exhibit(site)
    lea = vault.acting_as(Actor("lea", "person", "token", None))
    stale = vault.incidents.read(name)
    first = lea.readings.begin(name, ["EV-0001"], "why", address="192.0.2.1")
    real = lea.incidents.read
    seen = iter([stale])
    lea.readings._incidents.read = (  # type: ignore[method-assign]
        lambda *args, **more: next(seen, None) or real(*args, **more)
    )
    second = lea.readings.begin(name, ["EV-0001"], "why", address="192.0.2.2")
    assert (second.sequence, second.session) == (first.sequence, first.session)
    assert len(views(vault, name)) == 1


@pytest.mark.parametrize(("minutes", "statements"), [(14, 1), (15, 2), (-14, 1), (-600, 2)])
def test_a_session_lasts_a_quarter_of_an_hour(
    site: Site, vault: Vault, minutes: int, statements: int
) -> None:
    name = with_exhibit(site)
    moments: list[datetime] = [vault.clock()]
    foundation = replace(vault.foundation, clock=lambda: moments[-1])
    lea = assemble(foundation, Actor("lea", "person", "token", None))
    lea.readings.begin(name, ["EV-0001"], "why", address=None)
    moments.append(moments[0] + timedelta(minutes=minutes))
    lea.readings.begin(name, ["EV-0001"], "why", address=None)
    assert len(views(vault, name)) == statements


def test_without_a_purpose_or_a_right_nothing_is_given_or_sealed(site: Site, vault: Vault) -> None:
    name = with_exhibit(site)
    for query in ("", "purpose=", "purpose=%20%20", f"purpose={'x' * 1001}"):
        assert fetch(site, name, query).status == 400
    path = f"/v1/incidents/{name}/evidence/EV-0001/content?{WHY}"
    assert site.get(path).status == 401
    assert site.get(path, site.people.add("ann", VaultRole.AUDITOR)).status == 403
    other = site.people.add("otto", VaultRole.LEGAL, chains=("INC-2026-0099",))
    assert site.get(path, other).status == 404
    assert site.get(path.replace("EV-0001", "EV-0002"), legal(site)).status == 404
    assert not views(vault, name)


RANGES = [
    ("bytes=0-0", slice(0, 1)),
    ("bytes=0-", slice(0, None)),
    ("bytes=100-199", slice(100, 200)),
    ("bytes=2000-999999", slice(2000, None)),
    ("bytes=-1", slice(-1, None)),
    ("bytes=-999999", slice(0, None)),
]


@pytest.mark.parametrize(("field", "wanted"), RANGES)
def test_a_range_is_what_was_asked(site: Site, field: str, wanted: slice) -> None:
    heard = fetch(site, with_exhibit(site), Range=field)
    start, stop, _ = wanted.indices(len(DATA))
    assert (heard.status, heard.data) == (206, DATA[wanted])
    assert heard.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert heard.headers["Content-Length"] == str(stop - start)
    whole = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert heard.headers["Repr-Digest"] == f"sha-256=:{whole}:"


@pytest.mark.parametrize(
    "field", ["bytes=2048-", "bytes=2048-2050", "bytes=99999999999-", "bytes=-0"]
)
def test_a_range_beyond_the_end_is_told_the_size(site: Site, vault: Vault, field: str) -> None:
    name = with_exhibit(site)
    heard = fetch(site, name, Range=field)
    assert (heard.status, heard.headers["Content-Range"]) == (416, "bytes */2048")
    assert heard.json["type"].endswith(":range_not_satisfiable")
    assert not views(vault, name)  # nothing was given


@pytest.mark.parametrize(
    "field",
    ["bytes=5-2", "bytes=0-1,5-6", "bytes=a-b", "lines=1-2", "bytes=", "bytes=--1", "bytes=1_0-"],
)
def test_a_range_that_is_none_is_passed_over(site: Site, field: str) -> None:
    heard = fetch(site, with_exhibit(site), Range=field)
    assert (heard.status, heard.data) == (200, DATA)


def test_an_empty_exhibit_is_given_and_has_no_range(site: Site) -> None:
    name = with_exhibit(site, b"")
    assert (fetch(site, name).status, fetch(site, name).data) == (200, b"")
    heard = fetch(site, name, Range="bytes=0-")
    assert (heard.status, heard.headers["Content-Range"]) == (416, "bytes */0")


def test_a_range_of_something_else_is_not_given(site: Site, vault: Vault) -> None:
    name = with_exhibit(site)
    tag = f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert fetch(site, name, Range="bytes=0-1", If_Range=tag).status == 206
    for other in ('"' + "0" * 64 + '"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert fetch(site, name, Range="bytes=0-1", If_Range=other).data == DATA


def test_who_has_it_already_is_given_nothing_and_nothing_is_sealed(
    site: Site, vault: Vault
) -> None:
    name = with_exhibit(site)
    heard = fetch(site, name, If_None_Match=f'"{hashlib.sha256(DATA).hexdigest()}"')
    assert (heard.status, heard.data) == (304, b"")
    assert not views(vault, name)


@pytest.mark.parametrize("given", HOSTILE)
def test_a_hostile_name_stays_in_its_field(site: Site, given: str) -> None:
    heard = fetch(site, with_exhibit(site, given=given))
    field = heard.headers["Content-Disposition"]
    assert "Set-Cookie" not in heard.headers
    plain, encoded = field.removeprefix('attachment; filename="').split("\"; filename*=UTF-8''")
    assert set(plain) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert plain.strip(".")
    told = unquote(encoded)
    assert not set(told) & set("/\\\r\n\x00\u202e")
    assert encoded.isascii()
    assert told


def test_what_is_not_as_sealed_is_not_given_and_that_is_sealed(site: Site, vault: Vault) -> None:
    name = with_exhibit(site)
    with changed(vault, name, 5):
        heard = fetch(site, name)
        assert (heard.status, heard.json["type"].rpartition(":")[2]) == (500, "damaged")
        assert DATA[:5] not in heard.data
        # A range of bytes that are right is not given either: their part is not what was sealed.
        assert fetch(site, name, Range="bytes=100-199").status == 500
    assert fetch(site, name).data == DATA
    manifests = vault.incidents.read(name).manifests
    events = [each.statement.body.get("event") for each in manifests[2:]]
    assert events == ["viewed", "view_failed"]
    (row,) = reading_rows(manifests)
    assert (row.person, row.result.partition(":")[0]) == ("lea (token)", "not given out whole")


def test_no_byte_leaves_before_its_part_was_verified(site: Site, vault: Vault) -> None:
    """A content of two parts: what is wrong with one concerns only who asks for it."""
    data = os.urandom(1 << 20) * 66
    name = with_exhibit(site, data)
    assert len(exhibit_of(vault, name).item.stored.parts) == 2
    border = MIN_PART_SIZE
    over = fetch(site, name, Range=f"bytes={border - 3}-{border + 2}")
    assert over.data == data[border - 3 : border + 3]
    with changed(vault, name, border + 7):
        first = fetch(site, name, Range=f"bytes=10-{border - 1}")
        assert (first.status, hashlib.sha256(first.data).digest()) == (
            206, hashlib.sha256(data[10:border]).digest(),
        )  # fmt: skip
        assert fetch(site, name, Range=f"bytes={border}-{border + 1}").status == 500
        path = f"{site.url}/v1/incidents/{name}/evidence/EV-0001/content?{WHY}"
        answer = site.pool.request("GET", path, headers=legal(site), preload_content=False)
        received: list[bytes] = []
        with pytest.raises(urllib3.exceptions.ProtocolError):  # broken off, and seen to be
            received.extend(answer.stream(1 << 20))
        assert b"".join(received) == data[:border]
    with changed(vault, name, 3):
        assert fetch(site, name).status == 500
        assert fetch(site, name, Range=f"bytes={border}-").data == data[border:]


def test_custody_of_one_person_is_what_that_person_did(site: Site, vault: Vault) -> None:
    from cli_support import run

    name = with_exhibit(site)
    fetch(site, name)
    said = run("--home", vault.home, "custody", name, "--person", "lea", "--json")
    assert [each["event"] for each in said.json["items"]] == ["viewed"]

"""What tests of a served vault do again and again: declare, send, read, and damage the store."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from serving import Heard, Site

from cli.vault import Vault
from vault.access import VaultRole
from verify.incident import Exhibit

BIG = bytes(range(256)) * (12 << 10)  # 3 MiB: an object of its own, in several pieces
DECLARED = {
    "detected_at": "2026-03-01T09:00:00Z",
    "declared_at": "2026-03-01T09:10:00Z",
    "severity": "sev1",
    "systems": ["mail-agent"],
    "tier": "unknown",
    "title": "Mail went out",
}
HOSTILE = [
    "../../../etc/passwd",
    "/etc/cron.d/x",
    "..\\..\\boot.ini",
    "a\r\nSet-Cookie: x=1",
    'q".bin',
    "\u202egpj.exe",
    "\x00",
    ".",
    "ü" * 1_000,
]
"""Names that a sender may claim, and that must harm nobody."""


def forensics(site: Site) -> Mapping[str, str]:
    return site.people.add("fay", VaultRole.FORENSICS_LEAD)


def legal(site: Site) -> Mapping[str, str]:
    return site.people.add("lea", VaultRole.LEGAL)


def auditor(site: Site) -> Mapping[str, str]:
    return site.people.add("ann", VaultRole.AUDITOR)


def declare(site: Site) -> str:
    who = site.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    heard = site.post("/v1/incidents", who, DECLARED)
    assert heard.status == 201, heard.data
    return str(heard.json["incident"])


def send(site: Site, chain: str, data: bytes, query: str = "name=a.bin", **headers: str) -> Heard:
    return site.post(f"/v1/incidents/{chain}/evidence?{query}", forensics(site), data, **headers)


def connect(site: Site) -> socket.socket:
    """A raw connection to a server."""
    place = urlsplit(site.url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=20)


def exhibit_of(vault: Vault, name: str) -> Exhibit:
    return vault.incidents.read(name).state.exhibits["EV-0001"]


def views(vault: Vault, name: str) -> list[dict[str, object]]:
    return [
        dict(each.statement.body)
        for each in vault.incidents.read(name).manifests
        if each.statement.body.get("event") == "viewed"
    ]


@contextmanager
def changed(vault: Vault, name: str, offset: int) -> Iterator[None]:
    """One bit of an exhibit's content turned round in the store, and back."""
    place = exhibit_of(vault, name).item.place
    exhibit = exhibit_of(vault, name)
    key = place.key if place.pack is None else exhibit.packs[place.pack].key
    assert key is not None
    path: Path = vault.home / "store" / key
    path.chmod(0o600)
    at = offset if place.pack is None else place.offset + offset

    def turn() -> None:
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0] ^ 1
            file.seek(at)
            file.write(bytes([byte]))

    turn()
    yield
    turn()

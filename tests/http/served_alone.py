"""A home served by a process of its own, to people whose token says who they are; for kills."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from serving import LONG_AGO, People, listening

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.vault import now
from vault.access import EVERYWHERE, Grant, Identity, VaultRole
from vault.http.app import create_app


class Everyone(People):
    """Knows whoever says `secret-NAME`, as forensics lead."""

    def identify(self, bearer: str, address: str) -> Identity:
        name = bearer.removeprefix("secret-")
        return Identity(name, "person", "token", f"t-{name}", address=address)


def main(home: Path) -> None:
    vault = open_vault(read_settings({}, home))
    people = Everyone(now())
    role = VaultRole.FORENSICS_LEAD
    grants = [Grant("fay", role, (EVERYWHERE,), people.now - LONG_AGO, None)]
    service = replace(service_of(vault), authenticator=people, grants=lambda: grants)
    with listening(create_app(service)) as url:
        print(url, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

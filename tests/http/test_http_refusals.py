"""What is refused is told: on the chain with a count, and each time in the audit log."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from asked_over_http import auditor, declare, send
from cli_support import run
from serving import Site, eventually

from cli.vault import Vault
from vault.access import VaultRole
from vault.custody import actor_text, custody_rows, reading_rows
from vault.http.audit_log import LOGGER
from vault.opened import assemble
from vault.refusals import Refusals

WHY = "purpose=a%20secret%20reason"


def refusals(vault: Vault, name: str) -> list[dict[str, Any]]:
    return [
        dict(each.statement.body)
        for each in vault.incidents.read(name).manifests
        if each.statement.body.get("event") == "refused"
    ]


def peek(site: Site, name: str, who: Mapping[str, str]) -> int:
    return site.get(f"/v1/incidents/{name}/evidence/EV-0001/content?{WHY}", who).status


def test_a_refusal_is_sealed_by_the_vault_with_who_and_what(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, b"x")
    assert peek(site, name, auditor(site)) == 403
    chain = vault.incidents.read(name)
    statement = chain.manifests[-1].statement
    assert statement.actor == vault.door.actor  # not the word of who was refused
    body = dict(statement.body)
    since = body.pop("since")
    assert body == {
        "address": "127.0.0.1", "count": 1, "event": "refused", "identity": "ann",
        "permission": "read_content",
    }  # fmt: skip
    assert since <= custody_rows(chain.manifests, chain.indices)[-1].recorded_at
    row = custody_rows(chain.manifests, chain.indices)[-1]
    assert (row.event, row.people) == ("refused", ("ann",))
    assert row.actor == "ann"  # it is no act of the vault's
    assert row.detail.startswith("read_content, from 127.0.0.1, at ")
    assert row.detail.endswith(f"; stated by {actor_text(vault.door.actor)}")
    said = run("--home", vault.home, "custody", name)
    assert "  refused   read_content, from 127.0.0.1" in said.out.partition("\nann\n")[2]
    auditor_reads = site.get(f"/v1/incidents/{name}/custody", auditor(site)).json
    assert auditor_reads["items"][-1]["actor"] == "ann"
    (told,) = reading_rows(chain.manifests)
    assert (told.person, told.result) == ("ann", "refused: may not read content (1 times)")


def test_a_minute_of_refusals_is_one_statement(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, b"x")
    who = auditor(site)
    threads = [threading.Thread(target=peek, args=(site, name, who)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    site.post(f"/v1/incidents/{name}/phases", who, {"phase": "contained"})
    other = site.people.add("cleo", VaultRole.COMMS_LEAD)
    assert peek(site, name, other) == 403
    assert [each["identity"] for each in refusals(vault, name)] == ["ann", "cleo"]


def test_the_count_of_a_minute_follows_when_it_is_over(site: Site, vault: Vault) -> None:
    name = declare(site)
    moments: list[datetime] = [vault.clock()]
    clock = lambda: moments[-1]  # noqa: E731
    from dataclasses import replace

    own = assemble(replace(vault.foundation, clock=clock), vault.door.actor)
    kept = Refusals(incidents=own.incidents, clock=clock)

    def after(seconds: float) -> None:
        moments.append(moments[0] + timedelta(seconds=seconds))

    kept.note(name, "ann", "read_content", "192.0.2.1")
    after(5)
    kept.note(name, "ann", "set_hold", "192.0.2.2")
    after(6)
    kept.note(name, "ann", "read_content", "192.0.2.3")
    kept.seal_due()
    assert [each["count"] for each in refusals(vault, name)] == [1]
    after(61)
    kept.seal_due()
    first, second = refusals(vault, name)
    assert (first["count"], second["count"]) == (1, 2)
    assert (second["permission"], second["address"]) == ("set_hold", "192.0.2.2")
    assert second["since"] > first["since"]
    kept.seal_due()
    after(62)
    kept.note(name, "ann", "read_content", None)
    kept.close()  # a server that stops loses no count
    assert [each["count"] for each in refusals(vault, name)] == [1, 2, 1]


def test_two_processes_state_one_in_a_minute(site: Site, vault: Vault) -> None:
    name = declare(site)
    several = [Refusals(incidents=vault.incidents, clock=vault.clock) for _ in range(4)]
    threads = [
        threading.Thread(target=each.note, args=(name, "ann", "read_content", None))
        for each in several
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(refusals(vault, name)) == 1
    for one in several:
        one.close()
    assert sum(each["count"] for each in refusals(vault, name)) == 4


def test_what_concerns_no_chain_or_is_hidden_leaves_none(site: Site, vault: Vault) -> None:
    name = declare(site)
    before = len(vault.incidents.read(name).manifests)
    stranger = site.people.add("otto", VaultRole.LEGAL, chains=("INC-2026-0099",))
    assert peek(site, name, stranger) == 404
    assert site.post("/v1/incidents", stranger, {}).status in (400, 403)
    assert peek(site, "INC-2026-0099", stranger) == 404
    assert peek(site, "INC-2026-0099", auditor(site)) == 403  # granted for all, and not there
    assert peek(site, name, {"Authorization": "Bearer nobody"}) == 401
    assert len(vault.incidents.read(name).manifests) == before
    assert vault.index.chains("") == [name]


def test_a_question_that_names_its_chain_in_the_body_is_sealed_there(
    site: Site, vault: Vault
) -> None:
    name = declare(site)
    who = site.people.add("cleo", VaultRole.COMMS_LEAD, chains=(name,))
    site.people.add("cleo", VaultRole.LEGAL, chains=("INC-2026-0099",))
    assert site.post("/v1/verify", who, {"incident": name}).status == 403
    (told,) = refusals(vault, name)
    assert (told["identity"], told["permission"]) == ("cleo", "verify")


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(each.getMessage()) for each in caplog.records if each.name == LOGGER]


def test_each_request_is_a_line_that_tells_no_secret(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)
    name = declare(site)
    send(site, name, b"the evidence", "name=very-private.txt")
    peek(site, name, auditor(site))
    peek(site, name, {"Authorization": "Bearer wrong-secret"})
    site.get("/nowhere%0d%0aelse")
    eventually(lambda: len(logged(caplog)) == 5)
    told = logged(caplog)
    assert [each["status"] for each in told] == [201, 201, 403, 401, 404]
    assert [each["identity"] for each in told] == ["ida", "fay", "ann", None, None]
    assert [each["token"] for each in told] == ["t-ida", "t-fay", "t-ann", None, None]
    assert told[1]["route"] == "/v1/incidents/{incident}/evidence"
    assert told[2]["route"] == "/v1/incidents/{incident}/evidence/{exhibit}/content"
    assert [each["chain"] for each in told] == [None, name, name, name, None]
    assert told[1]["bytes_received"] == len(b"the evidence")
    assert told[4]["route"] is None
    assert len({each["request"] for each in told}) == 5
    raw = "\n".join(each.getMessage() for each in caplog.records if each.name == LOGGER)
    for secret in ("secret-", "wrong-secret", "purpose", "a%20secret", "private", "nowhere"):
        assert secret not in raw


def test_who_asks_is_told_the_name_of_the_request(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)
    heard = site.get("/healthz", X_Request_Id="forged\u0020id")
    eventually(lambda: bool(logged(caplog)))
    assert logged(caplog)[0]["request"] == heard.headers["X-Request-Id"]
    assert logged(caplog)[0]["bytes_sent"] == len(heard.data)

"""Roles over HTTP: asked for by one, approved by another, held by a third; and taken back."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from case_served import INCIDENT, STREAM
from cli_support import check, run
from signed_in import ADA, ADMIN, GRETA, GUS, PAT, STEWARD, Served, code_of, shows

from cli.vault import now
from vault.ports import IdentityKind
from verify.approval import Approval
from verify.chain import open_manifest
from verify.grant import GrantedRole
from verify.instant import format_instant
from verify.statement import Actor


def test_a_limited_token_is_told_of_its_own_grants_on_its_chains_alone(served: Served) -> None:
    book = served.vault.grants
    book.grant(ADA, GrantedRole.LEGAL, [INCIDENT, STREAM], reason="both")
    book.grant(ADA, GrantedRole.AUDITOR, ["stream:secret"], reason="a stream")
    book.grant(ADA, GrantedRole.COMMS_LEAD, ["*"], reason="everywhere")
    book.revoke(ADA, GrantedRole.LEGAL, [STREAM], reason="told of the stream")

    def told(*chains: str) -> dict[str, tuple[list[str], list[str], str | None]]:
        heard = served.site.get("/v1/grants", served.who(ADA, *chains))
        assert heard.status == 200
        return {
            each["role"]: (each["chains"], each["given"], each["revoked_reason"])
            for each in heard.json["items"]
        }

    assert set(told()) == {"legal", "auditor", "comms_lead"}
    assert told(INCIDENT) == {
        "legal": ([INCIDENT], [INCIDENT], None), "comms_lead": (["*"], ["*"], None),
    }  # fmt: skip
    assert told(STREAM)["legal"] == ([], [STREAM], "told of the stream")
    heard = served.site.get("/v1/grants", served.who(ADA, INCIDENT))
    assert "stream" not in json.dumps(heard.json)


def test_a_limited_token_of_who_grants_is_told_of_no_others(served: Served) -> None:
    served.steward(GUS)
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT)
    assert len(served.site.get("/v1/grants", served.who(GUS)).json["items"]) == 2
    limited = served.site.get("/v1/grants", served.who(GUS, INCIDENT)).json["items"]
    assert [each["person"] for each in limited] == [GUS]


GRANTS, REVOCATIONS = "/v1/grants", "/v1/grants/revocations"
LEGAL: dict[str, Any] = {"person": ADA, "role": "legal", "chains": [INCIDENT], "reason": "on call"}


@pytest.fixture
def stewards(served: Served) -> tuple[dict[str, str], dict[str, str]]:
    """What two stewards send."""
    return served.steward(GUS), served.steward(GRETA)


def asked(served: Served, who: dict[str, str], **body: Any) -> str:
    """A request for a grant; where it stands."""
    heard = served.site.post(GRANTS, who, {**LEGAL, **body})
    assert heard.status == 202, heard.data
    check("request", heard.json)
    assert (heard.json["kind"], heard.json["chain"]) == ("grant", "vault")
    return heard.headers["Location"]


def live(served: Served, person: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.role.value, each.chains) for each in served.vault.grants.of(person, now())]


def links(served: Served) -> int:
    head = served.vault.index.head("vault")
    return -1 if head is None else head.sequence


def test_one_asks_another_approves_and_a_third_holds_it(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    before = links(served)
    where = asked(served, gus)
    assert links(served) == before, "asking seals nothing"
    assert served.site.get(f"/v1/incidents/{INCIDENT}", served.who(ADA)).status == 404
    done = served.site.post(f"{where}/approval", greta)
    assert (done.status, done.json["state"]) == (200, "done"), done.data
    check("grant-add", done.json["result"])
    assert served.site.get(f"/v1/incidents/{INCIDENT}", served.who(ADA)).status == 200
    (grant,) = served.vault.grants.of(ADA, now())
    assert (grant.role, grant.chains, grant.approved_by) == ("legal", (INCIDENT,), GRETA)
    statement = list(served.vault.index.rows("vault"))[-1]
    sealed = open_manifest(statement.envelope, served.vault.trust.keys, where="it").statement
    assert (sealed.actor.id, sealed.actor.authenticated) == (GUS, "token")
    assert sealed.body["approval"] == {"authenticated": "token", "person": GRETA}
    assert sealed.deposit == f"request-{done.json['id']}"
    again = served.site.post(f"{where}/approval", greta)
    assert (again.json, links(served)) == (done.json, before + 1)
    assert run("--home", served.vault.home, "log", "audit").code == 0


def test_who_may_not_grant_does_not_ask_and_who_may_not_approve_does_not_approve(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    served.hold("lea@example.org", GrantedRole.LEGAL)
    served.hold("otto@example.org", STEWARD, INCIDENT)
    served.hold(PAT, ADMIN)
    edge = served.tokens.issue("collector:edge", kind=IdentityKind.COLLECTOR, chains=[STREAM])
    for who in (
        served.who("lea@example.org"), served.who("otto@example.org"), served.who(ADA),
        served.who(GUS, INCIDENT), served.who(GUS, "vault"), shows(edge),
    ):  # fmt: skip
        for path in (GRANTS, REVOCATIONS):
            for body in (LEGAL, {**LEGAL, "chains": ["*"]}):
                assert code_of(served.site.post(path, who, body)) == (403, "not_permitted")
    where = asked(served, served.who(PAT))
    for who, status in (
        (served.who(PAT), 403), (served.who("lea@example.org"), 403),
        (served.who("otto@example.org"), 404), (served.who(GRETA, INCIDENT), 404),
        (served.who(GRETA, STREAM), 404), (shows(edge), 404),
    ):  # fmt: skip
        heard = served.site.post(f"{where}/approval", who)
        assert heard.status == status, heard.data
    assert live(served, ADA) == []
    assert served.site.post(f"{where}/approval", greta).json["state"] == "done"
    assert gus != greta


def test_nobody_gives_a_role_to_themselves_by_whatever_name_and_way(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    for name in (GUS, "GUS@example.org", "gus", "Gus@other.example", "ｇus@example.org"):
        heard = served.site.post(GRANTS, gus, {**LEGAL, "person": name})
        assert code_of(heard) == (409, "refused"), name
        assert "themselves" in heard.json["detail"]
    for name in (GRETA, "Greta@other.example", "GRETA", "ｇreta"):
        where = asked(served, gus, person=name)
        heard = served.site.post(f"{where}/approval", greta)
        assert code_of(heard) == (409, "refused"), name
        assert served.site.get(where, gus).json["state"] == "pending", "it waits for another"
        own = served.site.post(f"{where}/approval", gus)
        assert code_of(own) == (409, "refused")
    assert live(served, GUS) == [(STEWARD, ("*",))]
    hana = served.steward("hana@example.org")
    assert served.site.post(f"{where}/approval", hana).json["state"] == "done"


def test_nothing_that_is_sent_names_who_asks_or_approves(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    for name in ("approval", "approved_by", "approver", "requester", "event"):
        heard = served.site.post(GRANTS, stewards[0], {**LEGAL, name: GRETA})
        assert (heard.status, name in heard.json["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"person": "agent:helper"}, 400, "only people hold roles"),
        ({"person": "AGENT:helper"}, 400, "only people hold roles"),
        ({"person": "collector:edge"}, 400, "only people hold roles"),
        ({"person": "mail-agent"}, 409, "a system that"),
        ({"person": "ＭAIL-agent"}, 409, "a system that"),
        ({"person": " ada@example.org"}, 400, "white space"),
        ({"person": "ada\u0000"}, 400, ""),
        ({"person": " "}, 400, ""),
        ({"role": "owner"}, 400, "role"),
        ({"chains": []}, 400, "chains"),
        ({"chains": ["*", INCIDENT]}, 400, "stands alone"),
        ({"chains": ["INC-1999-0001"]}, 404, "INC-1999-0001"),
        ({"chains": ["everything"]}, 400, ""),
        ({"reason": "  "}, 400, "reason"),
        ({"from": "2020-01-01T00:00Z"}, 409, "is past"),
        ({"to": "2020-01-01T00:00Z"}, 409, "is past"),
        ({"from": "2099-01-02T00:00Z", "to": "2099-01-01T00:00Z"}, 400, "not after it starts"),
    ],
)
def test_a_grant_that_makes_no_sense_is_not_asked_for(
    served: Served,
    stewards: tuple[dict[str, str], dict[str, str]],
    body: dict[str, Any],
    status: int,
    told: str,
) -> None:
    heard = served.site.post(GRANTS, stewards[0], {**LEGAL, **body})
    assert (heard.status, told in heard.json["detail"]) == (status, True), heard.data
    assert served.site.get("/v1/requests", stewards[0]).json["items"] == []


def test_what_an_incident_is_about_is_judged_anew_when_it_is_approved(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    where = asked(served, gus, person="crm", chains=["*"])
    said = run(
        "--home", served.vault.home, "incident", "amend", INCIDENT, "--reason", "r",
        "--system", "mail-agent", "--system", "crm",
    )  # fmt: skip
    assert said.code == 0, said.err
    heard = served.site.post(f"{where}/approval", greta)
    assert code_of(heard) == (409, "refused")
    assert served.site.get(where, gus).json["state"] == "failed"
    assert live(served, "crm") == []


def test_who_sees_no_incident_is_not_told_which_one_is_about_somebody(served: Served) -> None:
    served.hold(PAT, ADMIN)
    heard = served.site.post(GRANTS, served.who(PAT), {**LEGAL, "person": "mail-agent"})
    assert code_of(heard) == (409, "refused")
    assert INCIDENT not in heard.json["detail"]
    assert "an incident is about mail-agent" in heard.json["detail"]


def test_a_role_that_was_lost_since_no_longer_asks_nor_approves(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    hana = served.steward("hana@example.org")
    first, second = asked(served, gus), asked(served, greta)
    served.vault.grants.revoke(GUS, STEWARD, None, reason="left")
    heard = served.site.post(f"{first}/approval", greta)
    assert code_of(heard) == (403, "not_permitted")
    assert served.site.post(f"{second}/approval", gus).status in (403, 404)
    assert live(served, ADA) == []
    assert served.site.post(f"{second}/approval", hana).json["state"] == "done"


def test_two_who_approve_at_once_give_it_once(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    shown = [greta, served.steward("hana@example.org"), served.steward("ines@example.org")]
    where, before = asked(served, gus), links(served)
    heard: list[int] = []
    together = threading.Barrier(len(shown) * 2)

    def approve(who: dict[str, str]) -> None:
        together.wait()
        heard.append(served.site.post(f"{where}/approval", who).status)

    threads = [threading.Thread(target=approve, args=(who,)) for who in shown * 2]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert set(heard) <= {200, 409}
    assert 200 in heard
    assert links(served) == before + 1
    assert live(served, ADA) == [("legal", (INCIDENT,))]


def test_a_server_that_died_after_it_sealed_gives_it_once(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    gus, greta = stewards
    where = asked(served, gus)
    request_id = where.rpartition("/")[2]
    asker = Actor(id=GUS, kind="person", authenticated="token", claimed=None)
    served.vault.acting_as(asker).grants.grant(
        ADA, GrantedRole.LEGAL, [INCIDENT], reason="on call",
        approval=Approval(GRETA, "token"), deposit=f"request-{request_id}",
    )  # fmt: skip
    before = links(served)
    done = served.site.post(f"{where}/approval", greta)
    assert (done.json["state"], done.json["result"]["receipt"]["repeated"]) == ("done", True)
    assert (links(served), len(live(served, ADA))) == (before, 1)


def test_what_is_held_so_already_is_not_asked_for(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT)
    heard = served.site.post(GRANTS, stewards[0], LEGAL)
    assert heard.status == 200
    check("grant-add", heard.json)
    assert heard.json["receipt"] is None
    assert served.site.get("/v1/requests", stewards[0]).json["items"] == []
    where = asked(served, stewards[0], chains=["*"])
    served.hold(ADA, GrantedRole.LEGAL)
    done = served.site.post(f"{where}/approval", stewards[1])
    assert done.json["result"]["receipt"] is None, "given meanwhile by another way"


def test_a_beginning_that_passed_while_it_waited_is_when_it_was_approved(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    begins = now() + timedelta(milliseconds=300)
    where = asked(served, stewards[0], **{"from": format_instant(begins)})
    while now() <= begins:
        pass
    served.site.post(f"{where}/approval", stewards[1])
    (grant,) = served.vault.grants.of(ADA, now())
    assert begins < grant.valid_from <= now()
    later = now().replace(microsecond=0) + timedelta(days=2)
    where = asked(served, stewards[0], role="auditor", **{"from": format_instant(later)})
    served.site.post(f"{where}/approval", stewards[1])
    assert [each.valid_from for each in served.vault.grants.all() if each.role == "auditor"] == [
        later
    ]


def test_a_role_is_taken_back_by_one_at_once(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT, STREAM)
    ada = served.who(ADA)
    heard = served.site.post(REVOCATIONS, stewards[0], {**LEGAL, "chains": [STREAM]})
    assert heard.status == 201, heard.data
    check("grant-revoke", heard.json)
    assert live(served, ADA) == [("legal", (INCIDENT,))]
    rest = {name: value for name, value in LEGAL.items() if name != "chains"}
    assert served.site.post(REVOCATIONS, stewards[1], rest).json["chains"] == [INCIDENT]
    assert served.site.get(f"/v1/incidents/{INCIDENT}", ada).status == 404
    assert served.site.post(REVOCATIONS, stewards[1], rest).status == 404
    statement = list(served.vault.index.rows("vault"))[-1]
    sealed = open_manifest(statement.envelope, served.vault.trust.keys, where="it").statement
    assert (sealed.actor.id, sealed.actor.authenticated) == (GRETA, "token")
    assert run("--home", served.vault.home, "log", "audit").code == 0


def revoked(served: Served, who: dict[str, str], person: str, role: str = STEWARD) -> int:
    body = {"person": person, "role": role, "reason": "r"}
    return served.site.post(REVOCATIONS, who, body).status


def test_the_last_two_who_could_grant_are_not_locked_out(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    """Nor by one of them who gives up their own; at the home it is done all the same."""
    gus, _ = stewards
    assert revoked(served, gus, GRETA) == 409
    assert revoked(served, gus, GUS) == 409
    served.hold("gus@elsewhere.example", STEWARD)  # by name key the same person
    assert revoked(served, gus, GRETA) == 409
    served.hold("hana@example.org", STEWARD, INCIDENT)  # of one incident alone
    assert revoked(served, gus, GRETA) == 409
    end = now() + timedelta(milliseconds=50)
    served.vault.grants.grant("ines@example.org", STEWARD, ["*"], reason="r", valid_to=end)
    while now() <= end:
        pass
    assert revoked(served, gus, GRETA) == 409
    served.hold(PAT, ADMIN)
    assert revoked(served, gus, GRETA) == 201, "a platform admin asks, and one steward approves"
    assert revoked(served, gus, PAT, ADMIN) == 409
    assert revoked(served, gus, "gus@elsewhere.example") == 201
    assert revoked(served, served.who(PAT), GUS) == 409
    said = run(
        "--home", served.vault.home, "grant", "revoke", PAT, "platform_admin", "--reason", "r"
    )
    assert said.code == 0, said.err


def test_roles_that_grant_nothing_are_taken_back_by_whoever_is_left(served: Served) -> None:
    gus = served.steward(GUS)
    served.hold(ADA, GrantedRole.LEGAL)
    assert revoked(served, gus, ADA, "legal") == 201, "there were no two before either"


def test_of_two_who_revoke_each_other_at_once_one_does(served: Served) -> None:
    for turn in range(3):
        names = [f"{name}{turn}@example.org" for name in ("anna", "bela", "cleo", "dora")]
        shown = {name: served.steward(name) for name in names}
        heard: dict[str, int] = {}
        together = threading.Barrier(2)

        def revoke(who: str, whom: str) -> None:
            together.wait()  # noqa: B023 — joined within the turn
            heard[who] = revoked(served, shown[who], whom)  # noqa: B023

        pairs = ((names[0], names[1]), (names[1], names[0]))
        threads = [threading.Thread(target=revoke, args=pair) for pair in pairs]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(heard.values()) in ([201, 403], [201, 409]), heard
        left = [name for name in names[:2] if live(served, name)]
        assert len(left) == 1


def test_requests_for_grants_are_shown_to_who_may_read_the_vaults_chain(
    served: Served, stewards: tuple[dict[str, str], dict[str, str]]
) -> None:
    where = asked(served, stewards[0])
    served.hold(PAT, ADMIN)
    served.hold("lea@example.org", GrantedRole.LEGAL, INCIDENT)
    for name, status in ((GRETA, 200), (PAT, 404), ("lea@example.org", 404), (ADA, 404)):
        assert served.site.get(where, served.who(name)).status == status, name


def test_whoami_tells_a_limited_token_of_roles_on_its_chains_alone(served: Served) -> None:
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT)
    served.hold(ADA, GrantedRole.AUDITOR, "stream:secret")

    def roles(*chains: str, about: str = "") -> list[str]:
        heard = served.site.get(f"/v1/whoami{about}", served.who(ADA, *chains))
        found: list[str] = heard.json["roles"]
        return found

    assert roles() == ["auditor", "legal"]
    assert roles(INCIDENT) == ["legal"]
    assert roles(INCIDENT, about="?chain=stream:secret") == []
    assert roles(about="?chain=stream:secret") == ["auditor"]

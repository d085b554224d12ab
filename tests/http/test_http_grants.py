"""Roles over HTTP: asked for by one, approved by another, held by a third; and taken back."""

from __future__ import annotations

import json

from case_served import INCIDENT, STREAM
from signed_in import ADA, GUS, Served

from verify.grant import GrantedRole


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

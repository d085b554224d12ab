"""A collector is let in over HTTP, with a token for what is named; by whom, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from case_served import INCIDENT, STREAM
from cli_support import check
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from signed_in import ADA, ADMIN, GUS, PAT, STEWARD, Served, bearing, code_of

from cli.vault import now
from vault.adapters.access import SqlAccessStore
from vault.collectors import Collectors
from vault.enrolment import enrol
from vault.errors import RefusedError, UnavailableError
from vault.ports import IdentityKind, Token
from vault.tokens import Tokens
from verify.collection import public_key_of
from verify.envelope import ManifestKey
from verify.grant import GrantedRole

COLLECTORS = "/v1/collectors"
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFM1uwgy3Co6wL9f6SLMj7Ls+"
    "jEqnr/b9LYncuPHrETyRd30BTVoFD7tx/BawomZUMUUK8TYtW122GUdRvnNP6w=="
)
EDGE = {"name": "edge", "key": KEY, "chains": [STREAM]}


def new_spki() -> bytes:
    """The public key of a new collector."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def valid(served: Served) -> list[str]:
    return [
        each.id
        for each in served.tokens.list()
        if each.kind == IdentityKind.COLLECTOR and each.revoked is None
    ]


@pytest.mark.parametrize("role", [STEWARD, ADMIN])
def test_who_lets_collectors_in_gets_its_token_in_the_same_answer(
    served: Served, role: GrantedRole
) -> None:
    served.hold(GUS, role)
    heard = served.site.post(COLLECTORS, served.who(GUS), EDGE)
    assert heard.status == 201, heard.data
    check("collector-add", heard.json)
    assert "no-store" in heard.headers["Cache-Control"]
    who = bearing(heard.json["secret"])
    told = served.site.get("/v1/whoami", who).json
    assert (told["id"], told["kind"], told["chains"]) == ("collector:edge", "collector", [STREAM])
    sent = served.site.ask("POST", f"/v1/chains/{STREAM}/evidence?name=a.txt", who, b"GET /a\n")
    assert sent.status == 201, sent.data
    other = served.site.ask("POST", f"/v1/chains/{INCIDENT}/evidence?name=a.txt", who, b"x")
    assert other.status == 404
    again = served.site.post(COLLECTORS, served.who(GUS), EDGE)
    assert (again.status, again.json["receipt"]) == (200, None)
    assert again.json["others"] == [heard.json["token"]["id"]]
    assert again.json["secret"] != heard.json["secret"]
    # Every other way to it is without the secret.
    listed = served.site.get(COLLECTORS, served.who(GUS)).json
    assert heard.json["secret"][17:] not in json.dumps(listed)


def test_a_limited_token_hands_out_none_whatever_it_names(served: Served) -> None:
    served.hold(GUS, STEWARD)
    served.hold(PAT, STEWARD, STREAM)
    for who in (served.who(GUS, STREAM), served.who(PAT), served.who(ADA)):
        for chains in ([STREAM], [], [INCIDENT]):
            heard = served.site.post(COLLECTORS, who, {**EDGE, "chains": chains})
            assert code_of(heard) == (403, "not_permitted")
    assert served.vault.collectors.all() == []
    assert valid(served) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"chains": ["*"]}, 400),
        ({"chains": ["vault"]}, 400),
        ({"chains": [STREAM, "INC-1999-0001"]}, 404),
        ({"chains": [f"stream:s{each}" for each in range(101)]}, 400),
        ({"chains": [STREAM], "expires": "2020-01-01T00:00Z"}, 409),
        ({"chains": [STREAM], "expires": "2099-01-01T00:00Z"}, 409),
        ({"chains": [], "expires": "2099-01-01T00:00Z"}, 400),
        ({"name": "collector:edge"}, 400),
        ({"name": "еdge"}, 400),
        ({"name": "edge\u0000"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sealed(
    served: Served, body: Any, status: int
) -> None:
    heard = served.site.post(COLLECTORS, served.steward(GUS), {**EDGE, **body})
    assert heard.status == status, heard.data
    assert served.vault.collectors.all() == []
    assert valid(served) == []


def test_a_token_that_cannot_be_made_is_said_with_what_is_done(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = served.steward(GUS)

    def fails(*_: object) -> None:
        raise UnavailableError("the access database is full")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAccessStore, "add_token", fails)
        heard = served.site.post(COLLECTORS, who, EDGE)
    assert code_of(heard) == (503, "unavailable")
    assert "edge is let in" in heard.json["detail"]
    assert "run the same command again" in heard.json["detail"]
    assert [each.name for each in served.vault.collectors.all()] == ["edge"]
    assert served.site.post(COLLECTORS, who, EDGE).status == 200


class Meanwhile(Tokens):
    """Tokens during whose making something else happens."""

    def __init__(self, served: Served, happens: Any) -> None:
        super().__init__(store=served.service.access, clock=now)
        self._happens = happens

    def make(self, plan: Token) -> Any:
        self._happens()
        return super().make(plan)


@pytest.mark.parametrize("what", ["it is removed", "who asked lost the role"])
def test_what_ends_while_a_token_is_made_leaves_none(served: Served, what: str) -> None:
    removing = what == "it is removed"

    def happens() -> None:
        if removing:
            served.vault.collectors.remove("edge", "broken into")
            served.tokens.revoke_all("collector:edge")

    def still() -> None:
        if not removing:
            raise RefusedError("the role is gone")

    with pytest.raises(RefusedError, match="removed meanwhile" if removing else "role is gone"):
        enrol(
            served.vault.collectors,
            "edge",
            public_key_of(KEY.encode(), where="key"),
            index=served.vault.index,
            clock=now,
            list_key=lambda _: served.vault.trust,
            tokens=Meanwhile(served, happens),
            chains=[STREAM],
            still=still,
        )
    assert len(served.tokens.list("collector:edge")) == 1
    assert valid(served) == []


class ReadBefore(Collectors):
    """Collectors of a vault whose own chain grows once between each reading and its sealing."""

    happens: Callable[[], None]
    grown = False

    def _read(self) -> Any:
        found = super()._read()
        if not self.grown:
            self.grown = True
            self.happens()
        return found


def test_what_comes_onto_the_vaults_chain_meanwhile_is_read_before_a_collector_is_let_in(
    served: Served,
) -> None:
    """A grant or a sweep in between is no reason to refuse; another collector of that name is."""
    vault = served.vault
    key = public_key_of(KEY.encode(), where="key")
    book = ReadBefore(index=vault.index, door=vault.door, clock=now, key=vault.trust.keys[0])
    book.happens = lambda: served.hold(ADA, GrantedRole.AUDITOR, STREAM)
    assert book.add("edge", key)[1] is not None
    book.grown = False
    book.happens = lambda: served.hold(ADA, GrantedRole.LEGAL, STREAM)
    book.remove("edge", "broken into")
    assert vault.collectors.keys() == ()
    other = ManifestKey(new_spki())
    book.grown = False

    def taken() -> None:
        vault.collectors.add("far", other)

    book.happens = taken
    with pytest.raises(RefusedError, match="another key"):
        book.add("far", ManifestKey(new_spki()))

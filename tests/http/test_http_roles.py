"""Who may do what over HTTP: every role, and who holds none, against every route.

The table below is written by hand from the organisation's access model, row by row, and the list of
routes by what each one does: neither is read from the code that it judges.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from case_served import INCIDENT, STREAM, Case, serving_copy
from fastapi import FastAPI
from fastapi.routing import APIRouter
from serving import Heard, People

from cli.vault import now
from vault.access import COLLECTOR, ROLES, Grant, Identity, Permission, VaultRole
from vault.http import guard
from vault.http.app import create_app
from verify.grant import Grant as SealedGrant
from verify.grant import GrantedRole

F, IC, PA, L, S, COMMS, REM, A, ADMIN = (
    "forensics_lead", "incident_commander", "postmortem_author", "legal", "governance_steward",
    "comms_lead", "remediation_lead", "auditor", "platform_admin",
)  # fmt: skip

# "m" of the model (metadata) is reading the chain without content; redacted views are not made yet,
# so that who may see only those ("r") reads no content, and exports with a second person ("2P").
# Only the postmortem author, who may export what is redacted alone, exports in full.
TABLE: Mapping[str, set[str]] = {
    # Upload, ingest; the remediation lead uploads rollbacks and validations.
    "ingest": {F, IC, L, S, REM},
    # Read back content.
    "read_content": {F, IC, L},
    # Read custody and ledger; a platform admin sees health alone.
    "read_chain": {F, IC, PA, L, S, A, COMMS, REM},
    # Verify, run the checklist.
    "verify": {F, IC, PA, L, S, A},
    "assess": {F, IC, PA, L, S, A},
    # State what one did: whoever acts in a response, and neither who watches nor who runs it.
    "attest": {F, IC, PA, L, S, REM},
    # Post updates.
    "update": {IC, COMMS},
    # Declare, severity, assign roles.
    "declare": {IC},
    # Withdraw and classify: who seals evidence.
    "correct": {F},
    "preserve": {F, IC},
    # Holds: set by forensics lead and legal, released by two of legal and steward.
    "set_hold": {F, L},
    "request_release": {L, S},
    "approve_release": {L, S},
    "extend_retention": {F, L, S},
    "request_waiver": {F, IC, PA},
    "approve_waiver": {L, S},
    # Export in full.
    "export": {F, IC, PA, L},
    "request_export": {S, A},
    "approve_export": {L, S},
    # A look over everything, which reads nothing out.
    "sweep": {F, S, A},
    # Keys and trust roots.
    "admit": {S, ADMIN},
    "grant": {S, ADMIN},
    "approve_grant": {S},
}

ANYONE, KNOWN = "public", "authenticated"
ITSELF = "authenticated, and then by the chain that its token names"
"""Telemetry: judged, and refused in the words of another protocol, in test_http_otlp.py."""

ROUTES: Mapping[tuple[str, str], str] = {
    ("GET", "/healthz"): ANYONE,
    ("GET", "/readyz"): ANYONE,
    ("GET", "/v1/log/checkpoint"): ANYONE,
    ("GET", "/v1/log/checkpoints/{number}"): ANYONE,
    ("GET", "/v1/log/tile/{path:path}"): ANYONE,
    ("GET", "/v1/log/proof"): ANYONE,
    ("GET", "/v1/log/consistency"): ANYONE,
    ("GET", "/v1/whoami"): KNOWN,
    ("GET", "/v1/trust"): ANYONE,
    ("GET", "/v1/vault"): KNOWN,
    ("GET", "/v1/chains"): KNOWN,
    ("GET", "/v1/chains/{chain}"): "read_chain",
    ("GET", "/v1/chains/{chain}/manifests"): "read_chain",
    ("GET", "/v1/chains/{chain}/manifests/{sequence}"): "read_chain",
    ("GET", "/v1/chains/{chain}/manifests/{sequence}/proof"): "read_chain",
    ("GET", "/v1/chains/{chain}/manifests/{sequence}/receipt"): "read_chain",
    ("GET", "/v1/chains/{chain}/manifests/{sequence}/document"): "read_chain",
    ("GET", "/v1/chains/{chain}/captures"): "ingest",
    ("POST", "/v1/chains/{chain}/captures"): "ingest",
    ("GET", "/v1/chains/{chain}/descriptions"): "read_chain",
    ("GET", "/v1/incidents"): KNOWN,
    ("POST", "/v1/incidents"): "declare",
    ("GET", "/v1/incidents/{incident}"): "read_chain",
    ("POST", "/v1/incidents/{incident}/amendments"): "declare",
    ("POST", "/v1/incidents/{incident}/scope"): "declare",
    ("POST", "/v1/incidents/{incident}/phases"): "declare",
    ("POST", "/v1/incidents/{incident}/roles"): "declare",
    ("POST", "/v1/incidents/{incident}/roles/{role}/acceptance"): "read_chain",
    ("POST", "/v1/incidents/{incident}/updates"): "update",
    ("POST", "/v1/incidents/{incident}/closing"): "declare",
    ("POST", "/v1/incidents/{incident}/reopening"): "declare",
    ("POST", "/v1/incidents/{incident}/attestations"): "attest",
    ("GET", "/v1/incidents/{incident}/waivers"): "read_chain",
    ("POST", "/v1/incidents/{incident}/waivers/{waiver}/revocation"): "approve_waiver",
    ("GET", "/v1/incidents/{incident}/checklist"): "assess",
    ("POST", "/v1/incidents/{incident}/assessments"): "assess",
    ("GET", "/v1/incidents/{incident}/status"): "read_chain",
    ("GET", "/v1/incidents/{incident}/timeline"): "read_chain",
    ("GET", "/v1/metrics"): KNOWN,
    ("POST", "/v1/incidents/{incident}/preservations"): "preserve",
    ("GET", "/v1/streams"): KNOWN,
    ("GET", "/v1/streams/{chain}"): "read_chain",
    ("GET", "/v1/retention"): KNOWN,
    ("GET", "/v1/sweeps"): "sweep",
    ("POST", "/v1/sweeps"): "sweep",
    ("GET", "/v1/sweeps/{sweep_id}"): "sweep",
    ("GET", "/v1/collectors"): "admit",
    ("POST", "/v1/collectors"): "admit",
    ("POST", "/v1/collectors/{name}/removal"): "admit",
    ("POST", "/v1/traces"): ITSELF,
    ("POST", "/v1/logs"): ITSELF,
    ("GET", "/v1/openapi.json"): KNOWN,
    ("GET", "/v1/grants"): KNOWN,
    ("POST", "/v1/grants"): "grant",
    ("POST", "/v1/grants/revocations"): "grant",
    ("GET", "/v1/tokens"): KNOWN,
    ("POST", "/v1/tokens"): KNOWN,
    ("POST", "/v1/tokens/{token_id}/rotation"): KNOWN,
    ("POST", "/v1/tokens/{token_id}/removal"): KNOWN,
    ("GET", "/v1/requests"): KNOWN,
    ("GET", "/v1/requests/{request_id}"): KNOWN,
    ("POST", "/v1/requests/{request_id}/approval"): KNOWN,
    ("POST", "/v1/requests/{request_id}/refusal"): KNOWN,
    ("POST", "/v1/incidents/{incident}/waivers"): "request_waiver",
    ("POST", "/v1/incidents/{incident}/exports"): "export",
    ("GET", "/v1/incidents/{incident}/exports/{sequence}"): "export",
    ("POST", "/v1/incidents/{incident}/exports/requests"): "request_export",
    ("POST", "/v1/verify"): KNOWN,
    ("POST", "/v1/verify/file"): KNOWN,
    ("POST", "/v1/verify/bundle"): "verify",
    **{
        (method, f"{prefix}/{rest}"): permission
        for prefix in ("/v1/incidents/{incident}", "/v1/chains/{chain}")
        for method, rest, permission in (
            ("POST", "evidence", "ingest"),
            ("GET", "evidence", "read_chain"),
            ("GET", "evidence/{exhibit}", "read_chain"),
            ("GET", "evidence/{exhibit}/content", "read_content"),
            ("GET", "custody", "read_chain"),
            ("POST", "evidence/withdrawals", "correct"),
            ("POST", "evidence/classifications", "correct"),
            ("GET", "holds", "read_chain"),
            ("POST", "holds", "set_hold"),
            ("POST", "holds/releases", "request_release"),
            ("GET", "retention", "read_chain"),
            ("POST", "retention/extensions", "extend_retention"),
        )
    },
}
"""What each route takes: a new route is written down here, by what it does."""

JUDGED_INSIDE = {("GET", "/v1/incidents/{incident}/exports/{sequence}")}
"""Who may have it depends on what is there too; here it is nobody's own."""

FILLED = {
    "incident": INCIDENT, "sequence": "0", "exhibit": "EV-0001", "waiver": "W-0001", "number": "1",
    "path:path": "0/000.p/1", "name": "edge", "request_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "sweep_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "role": "comms_lead", "token_id": "000000000000",
}  # fmt: skip

HERE = (INCIDENT, STREAM)
ELSEWHERE = ("INC-2026-0099",)

IN, UNKNOWN, FORBIDDEN, HIDDEN = "let in", "unauthenticated", "forbidden", "as if absent"


APART = ("chains", "incidents", "metrics", "streams")
"""What lists what one may see: a collector is told that it reads nothing, not that none is."""

VERIFIES_ELSEWHERE = {("POST", "/v1/verify/bundle"): IN}
"""What is brought is on no chain here: who may verify anywhere may have it judged."""


@pytest.fixture(scope="module")
def served(lived: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    home = tmp_path_factory.mktemp("roles") / "home"
    shutil.copytree(lived, home)
    with serving_copy(home, People(now())) as found:
        yield found


def path_of(template: str) -> str:
    """A path of a route, in which the chains are those that are there."""
    chain = STREAM if template.startswith("/v1/streams/") else INCIDENT
    for name, value in {**FILLED, "chain": chain}.items():
        template = template.replace(f"{{{name}}}", value)
    assert "{" not in template, f"say in FILLED what stands in {template}"
    return template


def verdict(heard: Heard, name: str) -> str:
    """How somebody was met; what the body lacks is told only to who is let in."""
    assert heard.status < 500, heard.data
    if heard.status == 401:
        assert heard.headers["WWW-Authenticate"].startswith("Bearer")
        return UNKNOWN
    if heard.status == 403:
        return FORBIDDEN
    if heard.status == 404 and f"that {name} may see" in heard.json["detail"]:
        return HIDDEN
    return IN


def met(case: Case, who: Mapping[str, str], name: str) -> dict[tuple[str, str], str]:
    """How every route met somebody."""
    found = {}
    for (method, template), needed in ROUTES.items():
        if needed == ITSELF:
            continue
        # A list is no body that any route takes: who is let in does nothing by it.
        body = b"[]" if method == "POST" else None
        heard = case.site.ask(method, path_of(template), who, body, Content_Type="application/json")
        found[method, template] = verdict(heard, name)
    return found


def expected(
    here: set[str], everywhere: set[str], *, known: bool = True
) -> dict[tuple[str, str], str]:
    """How they must be met who hold some roles here, and some everywhere."""
    may = {each for each, roles in TABLE.items() if roles & (here | everywhere)}
    may_everywhere = {each for each, roles in TABLE.items() if roles & everywhere}
    return judged(may, may_everywhere, known=known)


def judged(
    may: set[str], may_everywhere: set[str], *, known: bool = True
) -> dict[tuple[str, str], str]:
    found = {}
    for route, needed in ROUTES.items():
        if needed == ITSELF:
            continue
        of_chain = "{incident}" in route[1] or "{chain}" in route[1]
        # A bundle that is brought is judged for whoever may verify anything here.
        somewhere = of_chain or needed == "verify"
        if needed == ANYONE:
            found[route] = IN
        elif not known:
            found[route] = UNKNOWN
        elif needed == KNOWN or needed in (may if somewhere else may_everywhere):
            found[route] = IN
        else:
            found[route] = HIDDEN if of_chain and not may else FORBIDDEN
    return found


def test_every_route_is_written_down_here_and_takes_what_it_should(served: Case) -> None:
    declared = {
        (method, route.path): str(route.permission)
        for route in guard.routes_of(served.app)
        for method in route.methods
    }
    expected = {
        route: KNOWN if each == ITSELF or route in JUDGED_INSIDE else each
        for route, each in ROUTES.items()
    }
    assert declared == expected


def test_the_roles_are_those_of_the_access_model() -> None:
    assert set(TABLE) == {each.value for each in Permission}
    granted = {
        permission.value: {role.value for role, may in ROLES.items() if permission in may}
        for permission in Permission
    }
    assert granted == TABLE
    assert set(ROLES) == set(VaultRole)
    assert {each.value for each in COLLECTOR} == {"ingest"}


@pytest.mark.parametrize("role", list(VaultRole))
def test_a_role_may_what_the_table_says_on_its_chains(served: Case, role: VaultRole) -> None:
    name = f"{role}-here"
    who = served.who(name, role, chains=HERE)
    assert met(served, who, name) == expected({role.value}, set())


@pytest.mark.parametrize("role", list(VaultRole))
def test_a_role_may_what_the_table_says_everywhere(served: Case, role: VaultRole) -> None:
    name = f"{role}-all"
    who = served.who(name, role)
    assert met(served, who, name) == expected({role.value}, {role.value})


def test_nobody_is_let_in_where_something_is_asked_for(served: Case) -> None:
    nobody = expected(set(), set(), known=False)
    assert met(served, {}, "") == nobody
    assert met(served, {"Authorization": "Bearer secret-x"}, "") == nobody
    assert met(served, {"Authorization": "Basic c2VjcmV0"}, "") == nobody


def test_who_holds_no_grant_sees_nothing(served: Case) -> None:
    who = served.who("nils")
    assert met(served, who, "nils") == expected(set(), set())


def test_a_grant_for_another_incident_opens_nothing_here(served: Case) -> None:
    who = served.who("otto", *VaultRole, chains=ELSEWHERE)
    assert met(served, who, "otto") == expected(set(), set()) | VERIFIES_ELSEWHERE


def test_a_collector_appends_to_its_chains_and_reads_nothing(served: Case) -> None:
    who = served.site.people.collector("edge", *HERE)
    lists = {("GET", f"/v1/{each}"): FORBIDDEN for each in APART}
    assert met(served, who, "edge") == judged({"ingest"}, set()) | lists
    other = served.site.people.collector("far", *ELSEWHERE)
    assert met(served, other, "far") == judged(set(), set()) | lists
    # A grant in its name gives a collector nothing: it holds no role.
    served.site.people.grants.append(
        Grant("edge", VaultRole.LEGAL, ("*",), served.site.people.now - timedelta(days=1), None)
    )
    assert met(served, who, "edge") == judged({"ingest"}, set()) | lists


def test_a_token_limited_to_chains_narrows_and_never_widens(served: Case) -> None:
    people = served.site.people

    def limited(name: str, to: tuple[str, ...], granted: tuple[str, ...]) -> Any:
        identity = Identity(name, "person", "token", f"t-{name}", to)
        return people.enrol(name, identity, tuple(VaultRole), granted)

    everything = {each.value for each in VaultRole}
    here = limited("tia", HERE, ("*",))
    assert met(served, here, "tia") == expected(everything, set())
    elsewhere = limited("tom", ELSEWHERE, ("*",))
    assert met(served, elsewhere, "tom") == expected(set(), set()) | VERIFIES_ELSEWHERE
    not_wider = limited("tess", HERE, ELSEWHERE)
    assert met(served, not_wider, "tess") == expected(set(), set())


@pytest.mark.parametrize(
    ("name", "begins", "ends", "opens"),
    [
        ("ended", -2, -1, False),
        ("to-come", 1, 2, False),
        ("open-ended", -1, None, True),
        ("ends-later", -1, 1, True),
    ],
)
def test_a_grant_counts_from_its_beginning_to_its_end(
    served: Case, name: str, begins: int, ends: int | None, opens: bool
) -> None:
    people = served.site.people
    who = served.who(name)
    start = people.now + timedelta(days=begins)
    end = None if ends is None else people.now + timedelta(days=ends)
    people.grants.append(Grant(name, VaultRole.LEGAL, HERE, start, end))
    held = {VaultRole.LEGAL.value} if opens else set()
    assert met(served, who, name) == expected(held, set())


def test_a_grant_covers_both_its_ends_as_it_does_where_it_is_sealed() -> None:
    """FORMAT.md §4.14: it begins at `valid_from` and ends after `valid_to`."""
    moment = now()
    later = moment + timedelta(hours=1)
    grant = Grant("ada", VaultRole.LEGAL, HERE, moment, later)
    sealed = SealedGrant(
        "ada", GrantedRole.LEGAL, HERE, moment, later, "on call", moment, 0, HERE
    )  # fmt: skip
    tick = timedelta(milliseconds=1)
    moments = (moment - tick, moment, later - tick, later, later + tick)
    assert [grant.covers(INCIDENT, at) for at in moments] == [False, True, True, True, False]
    assert [sealed.live_at(at) for at in moments] == [False, True, True, True, False]


def test_a_revoked_grant_closes_with_the_next_request(served: Case) -> None:
    people = served.site.people
    who = served.who("rex", VaultRole.LEGAL, chains=HERE)
    path = path_of("/v1/incidents/{incident}")
    assert verdict(served.site.get(path, who), "rex") == IN
    people.grants[:] = [each for each in people.grants if each.person != "rex"]
    assert verdict(served.site.get(path, who), "rex") == HIDDEN


def test_another_persons_grants_are_not_ones_own(served: Case) -> None:
    """Not by a name that looks the same, either: ids are compared as they are."""
    served.who("maya@example.org", *VaultRole)
    for name in ("maya", "Maya@example.org", "maya@example.org ", "maya@example.com"):
        identity = Identity(name, "person", "token", f"t-{name}")
        who = served.site.people.enrol(f"like-{name.strip()}", identity, (), ())
        assert met(served, who, name) == expected(set(), set())


def test_a_chain_is_hidden_however_it_is_written(served: Case) -> None:
    """What opens one chain opens no other by a path that is read otherwise further on."""
    who = served.who("ivo", *VaultRole, chains=ELSEWHERE)
    for written in (
        INCIDENT.lower(), f"{INCIDENT}%20", f"%20{INCIDENT}", f"{ELSEWHERE[0]}%2F..%2F{INCIDENT}",
        f"{INCIDENT}%00", f"{ELSEWHERE[0]}/../{INCIDENT}", "vault%2F..", INCIDENT.replace("-", "‐"),
    ):  # fmt: skip
        for rest in ("", "/custody", "/holds"):
            heard = served.site.get(f"/v1/incidents/{written}{rest}", who)
            assert heard.status in (400, 404), (written, rest, heard.data)
            assert b"Mail went out" not in heard.data


def test_methods_that_no_route_has_are_refused(served: Case) -> None:
    who = served.who("eve", *VaultRole)
    for method in ("PUT", "PATCH", "DELETE", "TRACE"):
        heard = served.site.ask(method, path_of("/v1/incidents/{incident}"), who)
        assert heard.status == 405, method
        assert heard.headers["Content-Type"] == "application/problem+json"


def _bare(service: Any) -> APIRouter:
    router = guard.router(service)

    @router.get("/v1/forgotten")
    def forgotten() -> dict[str, str]:
        return {}

    return router


def _unguarded(_service: Any) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/open")
    @guard.needs(Permission.VERIFY)
    def opened() -> dict[str, str]:
        return {}

    return router


@pytest.mark.parametrize("routes", [_bare, _unguarded])
def test_a_route_that_declares_nothing_stops_the_app(
    served: Case, routes: Callable[[Any], APIRouter]
) -> None:
    with pytest.raises(TypeError, match=r"(forgotten declares|not guarded: /v1/open)"):
        guard.include(FastAPI(), routes(served.service))


def test_a_route_that_came_around_the_guard_is_found(served: Case) -> None:
    app: FastAPI = create_app(replace(served.service))

    @app.get("/v1/around")
    def around() -> dict[str, str]:
        return {}

    with pytest.raises(TypeError, match="around is not guarded"):
        guard.routes_of(app)


def test_what_is_no_permission_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="everything"):
        guard.needs("everything")

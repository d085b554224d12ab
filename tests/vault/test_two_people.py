"""What two people did through the vault: done once, the statement naming both as authenticated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_support import Evault, run

from cli.compose import open_vault
from cli.settings import read_settings
from cli.storage import open_access
from cli.vault import Vault, now
from vault.completeness import built_in_profile
from vault.errors import RefusedError, UnavailableError
from vault.export import Exported, Target
from vault.ports import Request, RequestState
from vault.requests import Kind, Requests
from vault.waivers import Wanted
from verify.approval import Approval
from verify.bundle import open_bundle
from verify.statement import Actor
from verify.strictjson import Object

ADA = Actor("ada@example.org", "person", "token", None)
GRACE = Actor("grace@example.org", "person", "oidc", None)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("declared")
    home = folder / "home"
    assert run("--home", home, "init").code == 0
    said = run(
        "--home", home, "incident", "declare", "--title", "T", "--severity", "sev1", "--tier", "2",
        "--system", "crm", "--detected-at", "now",
    )  # fmt: skip
    assert said.code == 0, said.err
    name = said.out.split()[0]
    assert run("--home", home, "hold", "set", name, "--matter", "M", "--reason", "r").code == 0
    return home, name


@pytest.fixture
def vault(declared: tuple[Path, str], tmp_path: Path) -> Iterator[Vault]:
    shutil.copytree(declared[0], tmp_path / "home")
    opened = open_vault(read_settings({}, tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture
def case(declared: tuple[Path, str]) -> str:
    return declared[1]


def wanted(**changes: object) -> Wanted:
    values: dict[str, object] = {
        "conditions": ["C2.models"], "reason": "r", "owner": "CTO", "approved_by": GRACE.id,
        "exhibits": [], "valid_to": now() + timedelta(days=1), "authenticated": "oidc",
        "deposit": "request-1",
    }  # fmt: skip
    return Wanted(**{**values, **changes})  # type: ignore[arg-type]


def sound(home: Path, case: str) -> None:
    said = run("--home", home, "verify", case)
    assert said.code == 0, said.out + said.err


def test_a_waiver_that_two_people_made_is_granted_once(vault: Vault, case: str) -> None:
    acting = vault.acting_as(ADA)
    first, receipt = acting.waivers.grant(case, wanted())
    assert first.approval == Approval(GRACE.id, "oidc")
    assert (first.exhibits, first.requester) == ((), ADA.id)
    again, repeated = acting.waivers.grant(case, wanted(valid_to=now() + timedelta(days=9)))
    assert (again.id, again.valid_to) == (first.id, first.valid_to)
    assert (repeated.sequence, repeated.repeated) == (receipt.sequence, True)
    second, _ = acting.waivers.grant(case, wanted(deposit="request-2"))
    assert second.id == "W-0002"
    with pytest.raises(RefusedError, match="it takes a second person"):
        acting.waivers.grant(case, wanted(deposit="request-3", approved_by="Ada@home"))
    with pytest.raises(RefusedError, match="nothing shows"):
        acting.waivers.grant(case, wanted(deposit="request-3", authenticated="attested"))
    sound(vault.home, case)


def test_whoever_signed_in_nowhere_cannot_say_that_another_did(vault: Vault, case: str) -> None:
    """The embedded vault's own account: nobody authenticated it."""
    with pytest.raises(RefusedError, match="did not authenticate"):
        vault.waivers.grant(case, wanted())
    with pytest.raises(RefusedError, match="did not authenticate"):
        vault.retention.release_hold(case, "M", "r", GRACE.id, [], authenticated="token")
    assert [hold.matter for hold in vault.incidents.read(case).state.live_holds] == ["M"]


def release(vault: Vault, case: str) -> Kind:
    """A hold's release as a server does it."""

    def execute(request: Request) -> Object:
        assert request.approver is not None
        assert request.approver_authenticated is not None
        acting = vault.acting_as(
            Actor(request.requester, "person", request.requester_authenticated, None)
        )
        receipt, _ = acting.retention.release_hold(
            request.chain,
            str(request.parameters["matter"]),
            request.reason,
            request.approver,
            [],
            authenticated=request.approver_authenticated,
            deposit=request.id,
        )
        return {"sequence": receipt.sequence}

    return Kind(lambda _request: None, execute)


def test_a_hold_is_released_by_two_people_and_once(vault: Vault, case: str) -> None:
    store = open_access(vault.home, vault.config)
    true = release(vault, case)
    outcomes: list[Exception | None] = [UnavailableError("the store went away after the commit")]

    def interrupted(request: Request) -> Object:
        done = true.execute(request)
        trouble = outcomes.pop() if outcomes else None
        if trouble:
            raise trouble
        return done

    requests = Requests(
        store=store, clock=now, kinds={"hold_release": Kind(true.check, interrupted)}
    )
    asked = requests.ask("hold_release", case, {"matter": "M"}, requester=ADA, reason="settled")
    with pytest.raises(UnavailableError):
        requests.approve(asked.id, GRACE)
    before = vault.incidents.read(case).state.sequence
    done = requests.approve(asked.id, GRACE)
    store.close()
    assert (done.state, done.result) == (RequestState.DONE, {"sequence": before})
    state = vault.incidents.read(case).state
    assert state.sequence == before, "what was committed is not done again"
    (hold,) = state.holds
    assert hold.released_by is not None
    assert hold.released_by.approval == Approval(GRACE.id, "oidc")
    assert hold.released_actor == ADA
    sound(vault.home, case)


def test_everything_that_is_shown_calls_it_authenticated(
    vault: Vault, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting = vault.acting_as(ADA)
    acting.waivers.grant(case, wanted())
    acting.retention.release_hold(case, "M", "settled", GRACE.id, [], authenticated="token")
    monkeypatch.setenv("EVAULT_HOME", str(vault.home))
    evault = Evault(vault.home, tmp_path)
    custody = " ".join(evault("custody", case).out.split())
    assert "approved by grace@example.org (authenticated by the vault: oidc)" in custody
    assert "approved by grace@example.org (authenticated by the vault: token)" in custody
    holds = " ".join(evault("hold", "list", case).out.split())
    assert "approved by grace@example.org (authenticated by the vault: token)" in holds
    bundle = tmp_path / "case.zip"
    evault("export", case, "-o", bundle, "--purpose", "p")
    said = " ".join(evault("verify", bundle).out.split())
    assert "who approved in link 2, 3 was authenticated by the vault" in said
    assert "attested, not authenticated" not in said


def export_by_two(vault: Vault, case: str, bundle: Path, approval: Approval) -> Exported:
    return vault.acting_as(ADA).exporter.export(
        case, Target(bundle), profile=built_in_profile(), purpose="production", recipient=None,
        withheld={}, approval=approval, deposit="request-1",
    )  # fmt: skip


def test_an_export_that_two_people_made_names_both_wherever_it_is_shown(
    vault: Vault, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export_by_two(vault, case, tmp_path / "one.zip", Approval(GRACE.id, "oidc"))
    again = export_by_two(vault, case, tmp_path / "again.zip", Approval(GRACE.id, "oidc"))
    assert (again.sequence, again.sha256) == (made.sequence, made.sha256)
    monkeypatch.setenv("EVAULT_HOME", str(vault.home))
    evault = Evault(vault.home, tmp_path)
    told = "approved by grace@example.org (authenticated by the vault: oidc)"
    assert told in " ".join(evault("custody", case).out.split())
    said = " ".join(evault("verify", tmp_path / "one.zip").out.split())
    assert f"who approved in link {made.sequence} was authenticated by the vault" in said
    with open_bundle(tmp_path / "one.zip") as bundle:
        head = bundle.read("data/report/custody.html").decode()
    assert "grace@example.org (authenticated by the vault: oidc)" in head
    evault("export", case, "-o", tmp_path / "later.zip", "--purpose", "p")
    with open_bundle(tmp_path / "later.zip") as bundle:
        page = bundle.read("data/report/custody.html").decode()
    assert page.count(told) == 2, "in the row of the link, and among the readings"
    sound(vault.home, case)


@pytest.mark.parametrize(
    ("actor", "approval", "told"),
    [
        (ADA, Approval("Ada@home", "token"), "takes a second person"),
        (ADA, Approval(GRACE.id, "attested"), "nobody authenticated"),
        (None, Approval(GRACE.id, "token"), "did not authenticate"),
    ],
)
def test_an_approval_that_is_none_seals_no_export_and_no_report(
    vault: Vault, case: str, tmp_path: Path, actor: Actor | None, approval: Approval, told: str
) -> None:
    before = vault.incidents.read(case).state.sequence
    acting = vault.acting_as(actor) if actor else vault
    with pytest.raises(RefusedError, match=told):
        acting.exporter.seal(
            case, profile=built_in_profile(), purpose="p", recipient=None, withheld={},
            approval=approval,
        )  # fmt: skip
    assert vault.incidents.read(case).state.sequence == before

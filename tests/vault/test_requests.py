"""Two-person requests: who may approve, when, how often, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Lock

import pytest

from vault.adapters.access import SqlAccessStore, access_file
from vault.errors import (
    ConflictError,
    DepositConflictError,
    NotFoundError,
    NotPermittedError,
    RecordError,
    RefusedError,
    StaleHeadError,
    UnavailableError,
)
from vault.ports import Request, RequestState
from vault.requests import Kind, Requests
from verify.errors import EvidenceError, MalformedError
from verify.statement import Actor
from verify.strictjson import Object

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(hours=24)
TICK = timedelta(milliseconds=1)
ADA = Actor("ada@example.org", "person", "token", None)
GRACE = Actor("grace@example.org", "person", "oidc", None)
LINUS = Actor("linus@example.org", "person", "token", None)
CASE = "INC-2026-0001"


@dataclass
class World:
    """A clock, and what was done."""

    now: datetime = START
    done: list[Request] = field(default_factory=list)
    trouble: EvidenceError | None = None
    barred: EvidenceError | None = None
    lock: Lock = field(default_factory=Lock)
    during: Callable[[], None] = lambda: None

    def clock(self) -> datetime:
        return self.now

    def check(self, _request: Request) -> None:
        if self.barred:
            raise self.barred

    def execute(self, request: Request) -> Object:
        self.during()
        with self.lock:
            self.done.append(request)
        if self.trouble:
            raise self.trouble
        return {"sequence": 7}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlAccessStore]:
    opened = access_file(tmp_path / "access.sqlite")
    yield opened
    opened.close()


def over(store: SqlAccessStore, world: World) -> Requests:
    kinds = {"hold_release": Kind(world.check, world.execute)}
    return Requests(store=store, clock=world.clock, kinds=kinds)


@pytest.fixture
def requests(store: SqlAccessStore, world: World) -> Requests:
    return over(store, world)


def ask(requests: Requests, requester: Actor = ADA) -> Request:
    return requests.ask(
        "hold_release", CASE, {"matter": "M"}, requester=requester, reason="settled"
    )


def test_one_asks_another_approves_and_it_is_done(requests: Requests, world: World) -> None:
    asked = ask(requests)
    assert (asked.state, asked.approver, world.done) == ("pending", None, [])
    assert asked.expires == START + DAY
    done = requests.approve(asked.id, GRACE)
    assert (done.state, done.approver, done.result) == ("done", GRACE.id, {"sequence": 7})
    (executed,) = world.done
    assert (executed.id, executed.parameters) == (asked.id, {"matter": "M"})
    assert (executed.requester, executed.requester_authenticated) == (ADA.id, "token")
    assert (executed.approver, executed.approver_authenticated) == (GRACE.id, "oidc")
    assert requests.get(asked.id) == done
    assert list(requests.list(CASE)) == [done]
    assert list(requests.list("INC-2026-0002")) == []


@pytest.mark.parametrize(
    "name",
    ["ada@example.org", "Ada@example.org", "ada@other.example", "A.D.A@example.org", "àda"],
)
def test_nobody_approves_for_themselves_in_whatever_spelling(
    requests: Requests, world: World, name: str
) -> None:
    asked = ask(requests)
    with pytest.raises(RefusedError, match="takes a second person"):
        requests.approve(asked.id, replace(GRACE, id=name))
    assert (world.done, requests.get(asked.id)) == ([], asked)


@pytest.mark.parametrize(
    "actor",
    [
        replace(GRACE, kind="collector"),
        replace(GRACE, kind="agent"),
        replace(GRACE, authenticated="uid 0, local"),
        replace(GRACE, authenticated="attested"),
        replace(GRACE, authenticated=""),
    ],
)
def test_only_people_whom_the_vault_authenticated_take_part(
    requests: Requests, world: World, actor: Actor
) -> None:
    with pytest.raises(RefusedError, match="whom the vault authenticated"):
        ask(requests, actor)
    asked = ask(requests)
    with pytest.raises(RefusedError, match="whom the vault authenticated"):
        requests.approve(asked.id, actor)
    with pytest.raises(RefusedError, match="whom the vault authenticated"):
        requests.refuse(asked.id, actor, "no")
    assert (world.done, requests.get(asked.id)) == ([], asked)


def test_a_request_waits_for_a_day(requests: Requests, world: World) -> None:
    first, second = ask(requests), ask(requests)
    world.now = START + DAY - TICK
    assert requests.approve(first.id, GRACE).state == RequestState.DONE
    world.now = START + DAY
    assert requests.get(second.id).state == RequestState.EXPIRED
    assert {each.id: each.state for each in requests.list()} == {
        first.id: "done", second.id: "expired"
    }  # fmt: skip
    with pytest.raises(RefusedError, match=r"expired 2026-03-03T09:00:00Z; ask anew"):
        requests.approve(second.id, GRACE)
    with pytest.raises(RefusedError, match="is expired already"):
        requests.refuse(second.id, GRACE, "no")
    assert len(world.done) == 1


def test_a_refusal_is_final_and_who_asked_may_take_it_back(
    requests: Requests, world: World
) -> None:
    first, second = ask(requests), ask(requests)
    assert requests.refuse(first.id, GRACE, "not settled").approver == GRACE.id
    assert requests.refuse(second.id, ADA, "a slip").state == RequestState.REFUSED
    with pytest.raises(RefusedError, match="is refused: not settled"):
        requests.approve(first.id, LINUS)
    with pytest.raises(MalformedError, match="states its reason"):
        requests.refuse(ask(requests).id, GRACE, " ")
    assert world.done == []


def test_of_two_approvers_one_carries_it_out(store: SqlAccessStore, world: World) -> None:
    asked = ask(over(store, world))
    both, people = Barrier(4), [GRACE, LINUS, replace(LINUS, id="bob"), replace(LINUS, id="eve")]

    def approve(person: Actor) -> str:
        both.wait()
        try:
            return over(store, world).approve(asked.id, person).state
        except ConflictError:
            return "conflict"

    with ThreadPoolExecutor(len(people)) as pool:
        said = list(pool.map(approve, people))
    assert len(world.done) == 1
    assert set(said) <= {"done", "conflict"}
    assert "done" in said
    assert over(store, world).get(asked.id).approver == world.done[0].approver


def test_while_one_carries_it_out_another_is_told(requests: Requests, world: World) -> None:
    asked = ask(requests)
    told: list[str] = []

    def meanwhile() -> None:
        world.during = lambda: None
        with pytest.raises(ConflictError) as caught:
            requests.approve(asked.id, LINUS)
        told.append(str(caught.value))
        with pytest.raises(RefusedError, match="is approved already"):
            requests.refuse(asked.id, LINUS, "too late")

    world.during = meanwhile
    assert requests.approve(asked.id, GRACE).approver == GRACE.id
    assert "being carried out" in told[0]
    assert len(world.done) == 1


def test_approving_what_is_done_does_it_no_second_time(requests: Requests, world: World) -> None:
    asked = ask(requests)
    first = requests.approve(asked.id, GRACE)
    assert requests.approve(asked.id, GRACE) == first
    assert requests.approve(asked.id, LINUS) == first
    assert len(world.done) == 1


class Killed(BaseException):
    """The process died here."""


def test_after_a_crash_another_carries_it_out_under_the_same_id(
    requests: Requests, world: World
) -> None:
    asked = ask(requests)

    def die() -> None:
        raise Killed

    world.during = die
    with pytest.raises(Killed):
        requests.approve(asked.id, GRACE)
    world.during = lambda: None
    with pytest.raises(ConflictError):
        requests.approve(asked.id, LINUS)
    world.now = START + 2 * DAY  # past its end: but it was approved before
    done = requests.approve(asked.id, LINUS)
    assert (done.state, done.approver) == ("done", GRACE.id), "the first yes is what counts"
    assert [each.id for each in world.done] == [asked.id]


def test_who_is_overtaken_does_not_undo_what_another_did(requests: Requests, world: World) -> None:
    asked = ask(requests)

    def slow() -> None:
        world.during = lambda: None
        world.now += timedelta(minutes=11)
        requests.approve(asked.id, LINUS)
        world.trouble = RefusedError("no such matter any more")

    world.during = slow
    with pytest.raises(RefusedError):
        requests.approve(asked.id, GRACE)
    assert requests.get(asked.id).state == RequestState.DONE


@pytest.mark.parametrize(
    "trouble",
    [UnavailableError("the store is away"), StaleHeadError("grew"), ConflictError("busy"),
     RecordError("store and index disagree")],
)  # fmt: skip
def test_what_could_not_be_done_now_can_be_tried_again(
    requests: Requests, world: World, trouble: EvidenceError
) -> None:
    asked = ask(requests)
    world.trouble = trouble
    with pytest.raises(type(trouble)):
        requests.approve(asked.id, GRACE)
    left = requests.get(asked.id)
    assert (left.state, left.approver, left.claimed) == ("approved", GRACE.id, None)
    world.trouble = None
    with pytest.raises(RefusedError, match="second person"):
        requests.approve(asked.id, ADA)
    assert requests.approve(asked.id, GRACE).state == RequestState.DONE
    assert {each.id for each in world.done} == {asked.id}


@pytest.mark.parametrize(
    "trouble",
    [NotFoundError("no matter M holds it"), RefusedError("closed"), MalformedError("no exhibit"),
     DepositConflictError("used for other content")],
)  # fmt: skip
def test_what_cannot_be_done_has_failed_and_says_why(
    requests: Requests, world: World, trouble: EvidenceError
) -> None:
    asked = ask(requests)
    world.trouble = trouble
    with pytest.raises(type(trouble)):
        requests.approve(asked.id, GRACE)
    left = requests.get(asked.id)
    assert left.state == RequestState.FAILED
    assert left.result == {"code": trouble.code, "detail": str(trouble)}
    world.trouble = None
    with pytest.raises(RefusedError, match=f"is failed: {trouble}"):
        requests.approve(asked.id, LINUS)
    assert len(world.done) == 1


def test_who_may_not_ask_any_more_is_not_served(requests: Requests, world: World) -> None:
    asked = ask(requests)
    world.barred = NotPermittedError("the grant was revoked", permission="request_release")
    with pytest.raises(NotPermittedError):
        requests.approve(asked.id, GRACE)
    assert (world.done, requests.get(asked.id).state) == ([], "failed")
    with pytest.raises(NotPermittedError):
        ask(requests)
    assert len(list(requests.list())) == 1


@pytest.mark.parametrize(
    ("kind", "chain", "parameters", "reason"),
    [
        ("dispose", CASE, {}, "r"),
        ("", CASE, {}, "r"),
        ("hold_release", "INC-1", {}, "r"),
        ("hold_release", "*", {}, "r"),
        ("hold_release", CASE, {}, " "),
        ("hold_release", CASE, {}, "r" * 65_537),
        ("hold_release", CASE, {"x": "y" * 65_536}, "r"),
        ("hold_release", CASE, {"x": 1.5}, "r"),
        ("hold_release", CASE, {"x": object()}, "r"),
    ],
)
def test_a_request_that_makes_no_sense_is_not_kept(
    requests: Requests, kind: str, chain: str, parameters: Object, reason: str
) -> None:
    with pytest.raises(MalformedError):
        requests.ask(kind, chain, parameters, requester=ADA, reason=reason)
    assert list(requests.list()) == []


def test_a_request_that_is_not_there(requests: Requests) -> None:
    with pytest.raises(NotFoundError):
        requests.get("01KB0000000000000000000000")
    with pytest.raises(NotFoundError):
        requests.approve("x" * 10_000, GRACE)

"""What takes two people: one asks, a second one approves, and then it is done, once.

A request waits for a day. Who approves is not who asked, by identity and under whatever spelling of
a name. What is asked for is carried out under a deposit id that follows from the request's: who
dies in the middle, and who repeats it, double nothing.

    pending ──approve──▸ approved ──carried out──▸ done
       │                    │  ▲ └──the vault refuses──▸ failed
       │                    └──┘ could not be done now: whoever approves carries it out, that day
       ├──refuse, or withdraw──▸ refused
       └──a day has passed──▸ expired
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vault.errors import (
    ConflictError,
    DepositConflictError,
    NotFoundError,
    RecordError,
    RefusedError,
    UnavailableError,
)
from vault.ports import AccessStore, Clock, Request, RequestState
from vault.ulid import new_ulid
from verify import strictjson
from verify.approval import AUTHENTICATED, same_person
from verify.errors import EvidenceError, MalformedError
from verify.instant import format_instant, parse_instant
from verify.statement import Actor, check_chain_id
from verify.strictjson import Object

WAITING = timedelta(hours=24)
"""How long a request waits for a second person."""
LEASE = timedelta(minutes=10)
"""After so long, who began to carry a request out is taken for dead."""
MAX_PARAMETERS = 65_536
MAX_REASON = 65_536

A_DAY = 200
"""Requests that one person makes within a day: nothing of them is ever removed."""

_ATTEMPTS = 5
_PAGE = 100
_TIMES = ("valid_from", "valid_to")
_ON_THE_WAY = timedelta(seconds=5)
"""By how much a command's clock, and its way to the vault, may differ from time to time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of request, and how it is done."""

    check: Callable[[Request], None]
    """Raises unless the request can be done as things stand, and its requester may still ask for
    it; called when it is asked for, and again before it is done."""
    execute: Callable[[Request], Object]
    """Does it, under a deposit id of the request's own, in the name of requester and approver;
    gives what came of it. After `UnavailableError`, `RecordError` and `ConflictError` it may be
    tried again; any other error of ours means that it cannot be done."""
    second: Callable[[Request, Actor], None] = lambda _request, _approver: None
    """Raises where somebody else than who asked may not be the second person of it either; called
    before they are taken for it, so that the request goes on waiting for another."""


class Requests:
    """The requests of one vault."""

    def __init__(self, *, store: AccessStore, clock: Clock, kinds: Mapping[str, Kind]) -> None:
        self._store = store
        self._clock = clock
        self._kinds = kinds

    def ask(
        self, kind: str, chain: str, parameters: Object, *, requester: Actor, reason: str
    ) -> Request:
        """Ask for something that a second person has to approve.

        Raises `MalformedError`; `RefusedError` for a requester whom nobody authenticated, and for
        one who asked too often; and what the kind's own check raises.
        """
        _check_person(requester, "asks")
        if kind not in self._kinds:
            raise MalformedError(f"{kind!r} is no request; there are {', '.join(self._kinds)}")
        if not reason.strip() or len(reason) > MAX_REASON:
            raise MalformedError(
                f"a request states its reason, in at most {MAX_REASON:,} characters"
            )
        if len(strictjson.dumps(parameters)) > MAX_PARAMETERS:
            raise MalformedError(f"a request has at most {MAX_PARAMETERS:,} bytes of parameters")
        now = self._clock()
        request = Request(
            id=new_ulid(now),
            kind=kind,
            chain=check_chain_id(chain),
            parameters=parameters,
            requester=requester.id,
            requester_authenticated=requester.authenticated,
            reason=reason,
            created=now,
            expires=now + WAITING,
        )
        self._kinds[kind].check(request)
        if self._store.asked_since(requester.id, new_ulid(now - WAITING)) >= A_DAY:
            raise RefusedError(
                f"{A_DAY} requests of {requester.id} were made within a day; make the next tomorrow"
            )
        self._store.add_request(request)
        return request

    def waiting(
        self, kind: str, chain: str, parameters: Object, *, requester: Actor, reason: str
    ) -> Request | None:
        """The request by which the same person asked for the same already, while it waits.

        An end that was meant as `in two weeks` has moved since: by as much as the time did.
        """
        now = self._clock()
        for each in self.list(chain):
            asked = (each.kind, each.requester, each.reason, each.state)
            if asked == (kind, requester.id, reason, RequestState.PENDING) and _same(
                each.parameters, parameters, now - each.created
            ):
                return each
        return None

    def get(self, request_id: str) -> Request:
        """A request as it stands now. Raises `NotFoundError`."""
        found = self._store.request(request_id)
        if found is None or found.kind not in self._kinds:
            raise no_such_request(request_id)
        return self._as_of_now(found)

    def list(self, chain: str | None = None, *, after: str = "") -> Iterator[Request]:
        """All requests, or those about one chain, the oldest first, as they stand now.

        Those after an id alone, if one is named; they are read page by page.
        """
        while True:
            found = self._store.requests(chain, after=after, limit=_PAGE)
            for each in found:
                if each.kind in self._kinds:
                    yield self._as_of_now(each)
            if len(found) < _PAGE:
                return
            after = found[-1].id

    def approve(self, request_id: str, approver: Actor) -> Request:
        """Approve a request, and carry it out; gives it as done.

        Repeated for one that is done, it gives it again. Raises `NotFoundError`; `RefusedError` for
        who asked, and for what is settled otherwise; `ConflictError` while another carries it out;
        and what keeps it from being done.
        """
        _check_person(approver, "approves")
        for _ in range(_ATTEMPTS):
            request = self.get(request_id)
            _check_second(request, approver)
            self._kinds[request.kind].second(request, approver)
            if request.state == RequestState.DONE:
                return request
            claimed = self._claim(request, approver)
            if claimed is not None:
                return self._carry_out(claimed)
        raise ConflictError(f"others are at request {request_id}; try again")

    def refuse(self, request_id: str, person: Actor, reason: str) -> Request:
        """Refuse a request; who asked may take it back so.

        Raises `MalformedError`, `NotFoundError`, `RefusedError`, `ConflictError`.
        """
        _check_person(person, "refuses")
        if not reason.strip() or len(reason) > MAX_REASON:
            raise MalformedError("a refusal states its reason")
        request = self.get(request_id)
        if request.state != RequestState.PENDING:
            raise RefusedError(f"request {request.id} is {request.state.value} already")
        refused = replace(
            request,
            state=RequestState.REFUSED,
            approver=person.id,
            approver_authenticated=person.authenticated,
            result={"reason": reason},
        )
        if not self._store.change_request(request, refused):
            raise ConflictError(f"request {request.id} was settled meanwhile; look again")
        return refused

    def _claim(self, request: Request, approver: Actor) -> Request | None:
        """The request, as this call alone may carry it out; None where another was first."""
        now = self._clock()
        if request.state == RequestState.PENDING:
            claimed = replace(
                request,
                state=RequestState.APPROVED,
                approver=approver.id,
                approver_authenticated=approver.authenticated,
                claimed=now,
            )
        elif request.state == RequestState.APPROVED:
            # Approved it is; the one who approves again only carries it out.
            if request.claimed is not None and now - request.claimed < LEASE:
                raise ConflictError(f"request {request.id} is being carried out; look again soon")
            claimed = replace(request, claimed=_later(now, request.claimed))
        else:
            raise RefusedError(_settled(request))
        return claimed if self._store.change_request(request, claimed) else None

    def _carry_out(self, claimed: Request) -> Request:
        kind = self._kinds[claimed.kind]
        try:
            kind.check(claimed)
            result = kind.execute(claimed)
        except EvidenceError as error:
            # What can be tried again may even be done: whoever does so gets the first receipt.
            again = isinstance(error, (UnavailableError, RecordError, ConflictError))
            if again and not isinstance(error, DepositConflictError):
                left = replace(claimed, claimed=None)
            else:
                failure: Object = {"code": error.code, "detail": str(error)}
                left = replace(claimed, state=RequestState.FAILED, result=failure)
            self._store.change_request(claimed, left)
            raise
        done = replace(claimed, state=RequestState.DONE, result=result)
        if not self._store.change_request(claimed, done):
            # This took so long that another took over: the deposit is one, and so is its receipt.
            return self.get(claimed.id)
        return done

    def _as_of_now(self, request: Request) -> Request:
        waiting = request.state == RequestState.PENDING
        if waiting and self._clock() >= request.expires:
            return replace(request, state=RequestState.EXPIRED)
        return request


def no_such_request(request_id: str) -> NotFoundError:
    """There is none, or none that may be seen, and where to look."""
    return NotFoundError(
        f"there is no request {request_id[:64]}; list them with: evault request list"
    )


def _same(before: Object, after: Object, since: timedelta) -> bool:
    """Whether two askings are for the same, the second so long after the first."""
    rest = [{k: v for k, v in each.items() if k not in _TIMES} for each in (before, after)]
    return rest[0] == rest[1] and all(
        _moved_along(before.get(name), after.get(name), since) for name in _TIMES
    )


def _moved_along(before: object, after: object, since: timedelta) -> bool:
    if before == after or before is None or after is None:
        return before == after
    moved = parse_instant(after, where="a time") - parse_instant(before, where="a time")
    return abs(moved - since) <= _ON_THE_WAY


def _check_person(actor: Actor, does: str) -> None:
    if actor.kind != "person" or actor.authenticated not in AUTHENTICATED:
        raise RefusedError(f"who {does} is a person whom the vault authenticated; this is not")


def _check_second(request: Request, approver: Actor) -> None:
    if same_person(request.requester, approver.id):
        raise RefusedError(
            f"{approver.id} asks and approves; request {request.id} takes a second person"
        )


def _settled(request: Request) -> str:
    if request.state == RequestState.EXPIRED:
        return f"request {request.id} expired {format_instant(request.expires)}; ask anew"
    told = f"request {request.id} is {request.state.value}"
    detail = (request.result or {}).get("detail") or (request.result or {}).get("reason")
    return f"{told}: {detail}" if detail else told


def _later(now: datetime, before: datetime | None) -> datetime:
    """A moment that is not `before`: two claims must differ, whatever the clock does."""
    return now + timedelta(milliseconds=1) if now == before else now

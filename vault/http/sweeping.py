"""Sweeps that go on behind the request that began them, one at a time in a vault.

What is known of one lies where requests do, so that any process of any host can tell. Whether one
goes on, the vault's lock says, which its holder's death lets go; whether it was sealed, the chain.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace

from vault.deposit import Receipt
from vault.documents import swept_json
from vault.errors import ConflictError, NotFoundError, UnavailableError
from vault.opened import Vault
from vault.ports import AccessStore, Request, RequestState
from vault.ulid import new_ulid
from verify.errors import EvidenceError
from verify.instant import format_instant
from verify.statement import VAULT_CHAIN
from verify.strictjson import Object

SWEEP = "sweep"
"""The kind of their rows; no request that anybody approves is of it."""
_ALONE = "sweep"
_LAST_SECONDS = 10
"""How long one may take to stop, once the server stops."""

_log = logging.getLogger("evault.http")


@dataclass(frozen=True, slots=True)
class Seen:
    """A sweep, as it stands: what was noted, whether it goes on, and what the chain has of it."""

    noted: Request
    goes_on: bool
    receipt: Receipt | None

    def to_json(self) -> Object:
        """The document."""
        result = self.noted.result if self.noted.state == RequestState.DONE else None
        return {
            "depth": self.noted.parameters["depth"],
            "failure": self._failure(),
            "id": self.noted.id,
            "receipt": self.receipt.to_json() if self.receipt else None,
            "requester": self.noted.requester,
            "result": result,
            "started_at": format_instant(self.noted.created),
            "state": self._state(),
        }

    def _state(self) -> str:
        if self.goes_on:
            return "running"
        if self.receipt is not None:
            return "done"
        return "failed" if self.noted.state == RequestState.FAILED else "lost"

    def _failure(self) -> Object | None:
        state = self._state()
        if state == "failed":
            return self.noted.result
        if state == "lost":
            told = "the server that ran it is gone, and nothing was sealed; sweep again"
            return {"code": UnavailableError.code, "detail": told}
        return None


class _StoppedError(Exception):
    """This process is to end. No error of evidence: a sweep would take it for what it found."""


class Sweeps:
    """The sweeps that this process runs, and what is known of those of others."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._running: threading.Thread | None = None

    def begin(self, vault: Vault, depth: str, words: str) -> Seen:
        """Begin one in the name of who acts in `vault`; `words` say how well its store keeps.

        Raises `ConflictError` while another goes on.
        """
        now, actor = vault.clock(), vault.door.actor
        noted = Request(
            id=new_ulid(now),
            kind=SWEEP,
            chain=VAULT_CHAIN,
            parameters={"depth": depth},
            requester=actor.id,
            requester_authenticated=actor.authenticated,
            reason="",
            created=now,
            expires=now,
            state=RequestState.APPROVED,
            claimed=now,
        )
        begun: Future[None] = Future()
        thread = threading.Thread(
            target=self._run, args=(vault, noted, words, begun), name="sweep", daemon=True
        )
        thread.start()
        begun.result()
        self._running = thread
        return Seen(noted, goes_on=True, receipt=None)

    def look(self, vault: Vault, sweep_id: str) -> Seen:
        """One sweep as it stands. Raises `NotFoundError`."""
        noted = self._noted(sweep_id)
        goes_on = False
        if noted.state == RequestState.APPROVED:
            with vault.index.alone(_ALONE, patience=0) as alone:
                goes_on = not alone
            if not goes_on:  # it may have ended just before
                noted = self._noted(sweep_id)
        return Seen(noted, goes_on, vault.incidents.receipt_of(VAULT_CHAIN, f"sweep-{noted.id}"))

    def close(self) -> None:
        """Have this process's own stop, and be told so."""
        self._stopping.set()
        if self._running is not None:
            self._running.join(_LAST_SECONDS)

    def _noted(self, sweep_id: str) -> Request:
        found = self._store.request(sweep_id)
        if found is None or found.kind != SWEEP:
            raise NotFoundError(f"there is no sweep {sweep_id[:64]}; list them at /v1/sweeps")
        return found

    def _run(self, vault: Vault, noted: Request, words: str, begun: Future[None]) -> None:
        try:
            with vault.index.alone(_ALONE, patience=0) as alone:
                _check_alone(alone)
                self._store.add_request(noted)
                begun.set_result(None)
                # Noted before others may begin: so who sees that none goes on sees what came of it.
                self._store.change_request(noted, self._swept(vault, noted, words))
        except BaseException as error:  # noqa: BLE001 — it is raised by who waits, or logged
            if not begun.done():
                begun.set_exception(error)
            else:
                _log.exception("sweep %s", noted.id)

    def _swept(self, vault: Vault, noted: Request, words: str) -> Request:
        try:
            swept = vault.sweeper.sweep(
                noted.parameters["depth"], progress=self._go_on, name=noted.id
            )
            found = swept_json(swept, vault.sweeper.unfinished(swept.started_at), words)
            return replace(noted, state=RequestState.DONE, result=found)
        except _StoppedError:
            told = "the server was stopped before this was done; sweep again"
            failure: Object = {"code": UnavailableError.code, "detail": told}
        except EvidenceError as error:
            failure = {"code": error.code, "detail": str(error)}
        except Exception:  # noqa: BLE001 — nobody waits: it is logged, and told as a defect
            _log.exception("sweep %s", noted.id)
            failure = {"code": "internal", "detail": "a defect in the vault; nothing was found out"}
        return replace(noted, state=RequestState.FAILED, result=failure)

    def _go_on(self, _amount: int) -> None:
        if self._stopping.is_set():
            raise _StoppedError


def _check_alone(alone: bool) -> None:
    if not alone:
        raise ConflictError("a sweep is going on; its result will stand in /v1/sweeps")

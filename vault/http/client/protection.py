"""Retention, holds and collectors of a served vault: told by its chains, seen to by the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import cast

from vault.collectors import Collector, Collectors
from vault.deposit import Door, Receipt
from vault.enrolment import Enrolled
from vault.errors import NotFoundError, NotPermittedError, RefusedError, UnavailableError
from vault.evidence import StoredObject
from vault.http.client.audited import read_finding
from vault.http.client.connection import Connection, error_of, quoted
from vault.http.client.moments import moment, moment_or_none
from vault.http.client.people import no_other_person
from vault.http.client.receipts import receipt_of
from vault.http.client.record import Elsewhere, RemoteIndex, RemoteStore
from vault.http.client.tokens import read_issued
from vault.incidents import Chain, Incidents
from vault.ports import Clock, Index, LockMode, ObjectStore, Protection, Version
from vault.retention import Drift, Laid, Progress, Released, Retention, Sense
from vault.sweep import Announce, Sweeper, Swept
from vault.sweep import Progress as Progressing
from verify.approval import ATTESTED
from verify.collection import public_key_of
from verify.declaration import Severity
from verify.digest import b64
from verify.envelope import ManifestKey
from verify.errors import MalformedError, ProofError
from verify.instant import format_instant
from verify.retention import BUILT_IN, RetentionPolicy, parse_policy
from verify.statement import VAULT_CHAIN
from verify.strictjson import Fields, Object
from verify.trust import Trust


def _silent(_done: int, _of: int) -> None:
    pass


class RemoteRetention(Retention):
    """The retention of a served vault's evidence, and the holds on it."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        store: RemoteStore,
        index: RemoteIndex,
        incidents: Incidents,
        clock: Clock,
        closing: dict[str, Fields],
    ) -> None:
        """`closing` is what the server said it locked as it closed an incident, by its id."""
        super().__init__(
            store=cast("ObjectStore", store),
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            incidents=incidents,
            clock=clock,
            key=trust.keys[0],
            mode=LockMode.GOVERNANCE,
        )
        self._keys = tuple(trust.keys)
        self._connection = connection
        self._trust = trust
        self._closing = closing

    def settle(self) -> None:
        """Nothing: what is owed to stored evidence the server sees to."""

    def policy(self) -> tuple[RetentionPolicy, int | None]:
        """The policy in force; by the server's word, to who may not see the vault's own chain."""
        try:
            return super().policy()
        except NotPermittedError:
            told = self._connection.get_json("/v1/retention")
            reader = Fields(told, "/v1/retention")
            sequence = None if told.get("sequence") is None else reader.count("sequence")
            names = BUILT_IN.to_json()  # beside them stands what is told besides
            body = {name: told.get(name) for name in names}
            return parse_policy(body, where="/v1/retention", severities=Severity), sequence

    def kept(self, chain: Chain) -> dict[str, Protection]:
        """How each exhibit's bytes must be protected by now, likewise.

        Also to who may not see a chain that claims the same bytes.
        """
        try:
            return super().kept(chain)
        except (NotPermittedError, NotFoundError):
            path = f"/v1/chains/{quoted(chain.state.id)}/retention"
            items = Fields(self._connection.get_json(path), path).entries("items")
            return dict(_protection(Fields(each, path)) for each in items)

    def set_hold(
        self,
        incident_id: str,
        matter: str,
        reason: str,
        ordered_by: str | None,
        progress: Progress = _silent,
    ) -> tuple[Receipt, Laid]:
        """Have a matter's hold laid on an incident or a stream; the receipt, the objects held."""
        body: Object = {"matter": matter, "reason": reason}
        if ordered_by is not None:
            body["ordered_by"] = ordered_by
        return self._stated(incident_id, "holds", body, progress)

    def release_hold(
        self,
        incident_id: str,
        matter: str,
        reason: str,
        approved_by: str,
        exhibits: Sequence[str],
        progress: Progress = _silent,
        *,
        authenticated: str = ATTESTED,
        deposit: str | None = None,
    ) -> tuple[Receipt, Released]:
        """Nobody releases a hold here by saying that another approved it. Raises `RefusedError`."""
        raise no_other_person("--approved-by")

    def extend(
        self, incident_id: str, until: datetime, reason: str, progress: Progress = _silent
    ) -> tuple[Receipt, Laid]:
        """Have all evidence of an incident kept at least until a moment."""
        body = {"reason": reason, "until": format_instant(until)}
        return self._stated(incident_id, "retention/extensions", body, progress)

    def check_compliance(self, incident_id: str) -> None:
        """Nothing: the server does, before it closes an incident in compliance mode."""

    def apply(self, incident_id: str, progress: Progress = _silent) -> Laid:
        """What the server laid on stored evidence when it closed an incident in compliance mode.

        Raises `RefusedError` at any other time: the server lays what a statement demands as it
        seals it, and whoever runs the vault lays it anew.
        """
        self._incidents.read(incident_id)
        told = self._closing.pop(incident_id, None)
        if told is None:
            raise RefusedError("the store's locks are laid anew where the vault's home is")
        laid = Laid(told.count("objects"), (_GONE,) * told.count("gone"))
        progress(laid.objects, laid.objects)
        return laid

    def drift(self, chain: Chain, progress: Progress = _silent) -> Iterator[Drift]:
        """Where the store's real locks are not what the chain demands, by the server's word."""
        path = f"/v1/chains/{quoted(chain.state.id)}/retention"
        for each in self._connection.get_json(path).get("drift", ()):
            reader = Fields(each, path)
            yield Drift(_stored(reader), Sense(reader.text("sense")), reader.text("detail"))

    def _stated(
        self, chain_id: str, what: str, body: Object, progress: Progress
    ) -> tuple[Receipt, Laid]:
        path = f"/v1/chains/{quoted(chain_id)}/{what}"
        answer = self._connection.post(path, body)
        gone = tuple(_stored(Fields(each, path)) for each in answer.get("gone", ()))
        laid = Laid(Fields(answer.get("counts"), path).count("objects"), gone)
        progress(laid.objects, laid.objects)
        return receipt_of(answer, self._trust, chain=chain_id), laid


_GONE = StoredObject("an object of the store", None, 0, "", 0, (), ())
"""What is gone, where the server told only how many are."""


def _protection(reader: Fields) -> tuple[str, Protection]:
    """An exhibit, and how it is kept, as a server tells it. Raises `MalformedError`."""
    mode = reader.text("mode")
    if mode not in frozenset(LockMode):
        raise MalformedError(f"{reader.where}: {mode!r} is no mode of a lock")
    return reader.text("exhibit"), Protection(
        moment_or_none(reader, "until"),
        LockMode(mode),
        reader.raw("held") is True,
    )


def _stored(reader: Fields) -> StoredObject:
    """An object as answers name it: its key and version, and the exhibits in it."""
    exhibits = tuple(reader.texts("exhibits"))
    return StoredObject(
        reader.text("key"), reader.text_or_none("version_id"), 0, "", 0, (), exhibits
    )


class RemoteSweeper(Sweeper):
    """Sweeps a served vault: the server looks, and seals what it found."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        index: RemoteIndex,
        incidents: Incidents,
        retention: Retention,
        clock: Clock,
    ) -> None:
        super().__init__(
            store=cast("ObjectStore", Elsewhere()),
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            incidents=incidents,
            retention=retention,
            clock=clock,
            key=trust.keys[0],
        )
        self._keys = tuple(trust.keys)
        self._connection = connection
        self._trust = trust
        self._unfinished: list[Object] = []

    def sweep(
        self,
        depth: str,
        *,
        announce: Announce = lambda _objects, _size: None,
        progress: Progressing = lambda _: None,
        name: str | None = None,
    ) -> Swept:
        """Have every object looked at, and what was found sealed; it takes as long as it takes.

        Raises what keeps it from being done, and `UnavailableError` for what went with its server.
        """
        del name  # the server's
        where = "the server's sweep"
        begun = self._connection.post("/v1/sweeps", {"depth": depth})
        answer = self._connection.wait_for(f"/v1/sweeps/{quoted(str(begun.get('id')))}", begun)
        result = answer.get("result")
        if result is None and answer.get("state") == "done":
            sealed = receipt_of(answer, self._trust, chain=VAULT_CHAIN)
            raise UnavailableError(
                f"the sweep is link {sealed.sequence} of the vault's chain, and what it found "
                "beside that went with the server that looked; see: evault sweep --list"
            )
        if result is None:
            failure = Fields(answer.get("failure"), where)
            raise error_of(failure.text("code"), failure.text("detail"))
        reader = Fields(result, where)
        counts = reader.object("counts")
        claimed = {stored.key: stored.exhibits for stored, _ in self.claimed().values()}
        swept = Swept(
            reader.text("depth"),
            moment(reader, "started_at"),
            objects=counts.count("objects"),
            size=counts.count("bytes"),
            findings=[read_finding(Fields(each, where)) for each in reader.entries("findings")],
            contents=claimed,
            unclaimed=[_unclaimed(Fields(each, where)) for each in reader.entries("unclaimed")],
            receipt=receipt_of(result, self._trust, chain=VAULT_CHAIN),
        )
        self._unfinished = [dict(each) for each in reader.entries("unfinished")]
        announce(swept.objects, swept.size)
        progress(swept.size if depth == "bytes" else swept.objects)
        return swept

    def unfinished(self, before: datetime) -> list[Object]:
        """Uploads that were begun and not finished, as the last sweep found them."""
        del before
        return self._unfinished


def _unclaimed(reader: Fields) -> Version:
    return Version(
        key=reader.text("key"),
        version_id=reader.text_or_none("version_id"),
        marker=False,
        newest=True,
        size=reader.count("size"),
    )


_COLLECTORS = "/v1/collectors"


def _collector(reader: Fields) -> Collector:
    """A collector as a server tells it. Raises `MalformedError`."""
    return Collector(
        reader.text("name"),
        public_key_of(reader.text("key").encode(), where=f"{reader.where}.key"),
        moment(reader, "added_at"),
        reader.count("sequence"),
        reader.text_or_none("removed"),
    )


class RemoteCollectors(Collectors):
    """The collectors of a served vault."""

    def __init__(
        self, connection: Connection, trust: Trust, index: RemoteIndex, clock: Clock
    ) -> None:
        super().__init__(
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            clock=clock,
            key=trust.keys[0],
        )
        self._keys = tuple(trust.keys)
        self._connection = connection
        self._trust = trust

    def all(self) -> Sequence[Collector]:
        """Everyone who was ever let in: by the vault's own chain, or by the server's word."""
        try:
            return super().all()
        except NotPermittedError:  # who lets collectors in need not see that chain
            told = Fields(self._connection.get_json(_COLLECTORS), _COLLECTORS)
            return [_collector(Fields(each, _COLLECTORS)) for each in told.entries("items")]

    def enrol(
        self, name: str, key: ManifestKey, chains: Sequence[str], expires: datetime | None
    ) -> Enrolled:
        """Have a collector let in, and, for some chains, a token made for it."""
        body: Object = {"key": b64(key.spki), "name": name}
        if chains:
            body["chains"] = list(chains)
        if expires is not None:
            body["expires"] = format_instant(expires)
        answer = self._connection.post(_COLLECTORS, body)
        receipt = None
        if answer.get("receipt") is not None:
            receipt = receipt_of(answer, self._trust, chain=VAULT_CHAIN)
        told = Fields(answer, _COLLECTORS)
        collector = _collector(told.object("collector"))
        if (collector.name, collector.key.spki) != (name, key.spki):
            raise ProofError("the server let in another collector than was asked for")
        return Enrolled(
            collector,
            receipt,
            self._trust,
            None if answer.get("token") is None else read_issued(answer, _COLLECTORS),
            tuple(told.texts("others")),
        )

    def remove(self, name: str, reason: str) -> tuple[Collector, Receipt]:
        """Have nothing more taken from a collector."""
        collector = self.named(name)
        path = f"/v1/collectors/{quoted(name)}/removal"
        answer = self._connection.post(path, {"reason": reason})
        return collector, receipt_of(answer, self._trust, chain=VAULT_CHAIN)

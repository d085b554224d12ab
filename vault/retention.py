"""Retention and legal holds: what the chains demand of stored evidence, and seeing to it.

Protect, then claim: a hold is laid on every object before the statement that sets it is kept.
Release, then unprotect: it is taken off only after the release is kept, and after the live holds
were counted again. Both under one lock a chain, so that a hold that is being set and one that is
being released cannot cross. What a dead process left undone is owed (`Index.owing`), and is done
by whoever opens the vault next.

What was promised once is only ever extended: each object is kept for the longest that any policy,
severity and kind gave it since it was received.

Incidents share objects with the streams whose items they restate. What such an object needs is what
all who claim it need together, so it is held while any of them is; and whoever changes that is
alone with all shared objects, whichever chain the change is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Lock

from vault.deposit import Door, Draft, Receipt
from vault.errors import NotFoundError, RefusedError, StaleHeadError, UnavailableError
from vault.evidence import PACK_PART_SIZE, StoredObject, objects_of
from vault.incidents import Chain, Incidents, subjects_of
from vault.log import open_row
from vault.ports import (
    ChainHead,
    Clock,
    Index,
    LockMode,
    ObjectStore,
    Protection,
    StoreTraits,
    extended,
    together,
)
from vault.ulid import new_ulid
from verify.approval import ATTESTED, Approval, check_second_person
from verify.chain import Manifest
from verify.declaration import Severity
from verify.envelope import ManifestKey
from verify.errors import EvidenceError, MalformedError
from verify.incident import ChainState, Incident, Stream
from verify.instant import format_instant
from verify.retention import (
    BUILT_IN,
    MAX_DAYS,
    RetentionPolicy,
    parse_hold,
    parse_policy,
    retained_until,
)
from verify.statement import (
    Described,
    Pack,
    Subject,
    Type,
    parse_assessment,
    parse_capture,
)
from verify.strictjson import Object

VAULT_CHAIN = "vault"

Progress = Callable[[int, int], None]
"""Called with how many objects are done, of how many; from several threads."""

_MARGIN = timedelta(days=1)
"""Added to what is promised: the bytes are locked before the statement that dates them is kept."""
_ATTEMPTS = 5


def _silent(_done: int, _of: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Guard:
    """What evidence on a chain needs, as of its last link that changed that."""

    at: int
    opened_at: datetime
    policy: RetentionPolicy
    severity: str | None
    """The incident's; None in a stream, to which rules for a severity do not apply."""
    extended: datetime | None
    mode: LockMode
    held: bool

    def needs(self, kinds: Iterable[str]) -> Protection:
        """The protection of an item of these kinds."""
        days = self.policy.days(kinds, self.severity)
        until = retained_until(self.opened_at, days, self.extended) + _MARGIN
        return Protection(until, self.mode, self.held)


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy, since when it binds, and its link on the vault's chain; None for the built-in."""

    policy: RetentionPolicy
    since: datetime | None
    sequence: int | None


class Sense(StrEnum):
    """In which direction a store's locks differ from what a chain demands."""

    LACKS = "lacks"
    EXCEEDS = "exceeds"
    UNKNOWN = "unknown"
    """The store could not say."""


@dataclass(frozen=True, slots=True)
class Drift:
    """An object whose real locks are not what the chain demands, in words."""

    stored: StoredObject
    sense: Sense
    detail: str


@dataclass(frozen=True, slots=True)
class Laid:
    """On how many objects protection was laid, and which are gone: those nothing can protect."""

    objects: int
    gone: tuple[StoredObject, ...] = ()

    def __add__(self, other: Laid) -> Laid:
        """Both together."""
        return Laid(self.objects + other.objects, self.gone + other.gone)


@dataclass(frozen=True, slots=True)
class Released:
    """What a release of a matter's hold did to objects, and which are gone."""

    released: int
    """Objects on which no hold remains."""
    still_held: int
    """Objects that other matters hold, of this chain or of one that shares them."""
    gone: tuple[StoredObject, ...] = ()


class KnownPolicies:
    """The policies that were read last, for all who ask: each capture does, several times.

    What is known is used only while the vault's own chain ends with the same link.
    """

    def __init__(self) -> None:
        self._read: tuple[str | None, tuple[InForce, ...]] | None = None

    def get(self, head: ChainHead | None, read: Callable[[], Iterable[InForce]]) -> list[InForce]:
        """The policies as of this head of the vault's chain; `read` gives them anew."""
        leaf = head.leaf if head else None
        known = self._read
        if known is None or known[0] != leaf:
            known = self._read = (leaf, tuple(read()))
        return list(known[1])


class Retention:
    """The retention of one vault's evidence, and the holds on it."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        index: Index,
        door: Door,
        incidents: Incidents,
        clock: Clock,
        key: ManifestKey,
        mode: LockMode,
        patience: float = 60.0,
        known: KnownPolicies | None = None,
    ) -> None:
        """The retention of a vault; `mode` is how firmly its store locks.

        `patience` is how many seconds to wait for another process that protects the same evidence.
        Without `known` policies are read each time.
        """
        self._known = known
        self._patience = patience
        self._store = store
        self._index = index
        self._door = door
        self._incidents = incidents
        self._clock = clock
        self._keys: tuple[ManifestKey, ...] = (key,)
        self._mode = mode

    def policy(self) -> tuple[RetentionPolicy, int | None]:
        """The policy in force, and the link of the vault's chain that set it; None: built in."""
        last = self.policies()[-1]
        return last.policy, last.sequence

    def policies(self) -> list[InForce]:
        """All policies that were ever in force, the built-in one first."""
        if self._known is None:
            return self._read_policies()
        return self._known.get(self._index.head(VAULT_CHAIN), self._read_policies)

    def _read_policies(self) -> list[InForce]:
        found = [InForce(BUILT_IN, None, None)]
        for row in self._index.rows(VAULT_CHAIN):
            if row.type == Type.POLICY:
                where = f"{VAULT_CHAIN} link {row.sequence}"
                statement = open_row(row, self._keys).statement
                policy = parse_policy(statement.body, where=where, severities=Severity)
                found.append(InForce(policy, statement.recorded_at, row.sequence))
        return found

    def set_policy(
        self, policy: RetentionPolicy, progress: Progress = _silent
    ) -> tuple[Receipt, Laid]:
        """Seal a new policy onto the vault's chain; the receipt, and what it was applied to.

        Where it is longer it extends what is kept already; where it is shorter it binds what is
        captured from now on.
        """
        parse_policy(policy.to_json(), where="the policy", severities=Severity)
        deposit = f"policy-{new_ulid(self._clock())}"
        draft = Draft(Type.POLICY, policy.to_json(), deposit)
        receipt = self._door.deposit(VAULT_CHAIN, [deposit], lambda _: [draft])[0]
        return receipt, self._pay_all(progress)

    def guard(self, chain: str) -> Guard:
        """What new evidence on a chain needs, read from the chain as it stands."""
        head = self._index.head(chain)  # first: what comes in between is then noticed
        state = self._incidents.to_add_to(chain).state
        return Guard(
            at=head.guarded if head else -1,
            opened_at=self._clock(),
            policy=self.policy()[0],
            severity=str(state.fields["severity"]) if isinstance(state, Incident) else None,
            extended=state.retained_until,
            mode=self.mode_of(state),
            held=bool(state.live_holds),
        )

    def wanted(self, chain: Chain) -> list[tuple[StoredObject, Protection]]:
        """Every object that a chain claims, and the protection that it must have by now.

        By whatever chain: an object that others claim too must have what they demand besides.
        """
        demanded = self._demanded(chain)
        for other in self.sharing(chain):
            for place, (_, protection) in self._demanded(other).items():
                if place in demanded:
                    stored, known = demanded[place]
                    demanded[place] = (stored, together(known, protection))
        return list(demanded.values())

    def _demanded(self, chain: Chain) -> _Demanded:
        """What one chain demands by itself."""
        state = chain.state
        mode, held = self.mode_of(state), bool(state.live_holds)
        terms = _Terms(self.policies(), chain)
        demanded: _Demanded = {}
        for stored, kinds, received_at in _claims(chain):
            days = terms.days(kinds, received_at)
            until = retained_until(received_at, days, state.retained_until)
            protection = Protection(until, mode, held)
            place = (stored.key, stored.version_id)
            known, before = demanded.get(place, (stored, protection))
            names = tuple(dict.fromkeys((*known.exhibits, *stored.exhibits)))
            demanded[place] = (replace(known, exhibits=names), extended(before, protection))
        return demanded

    def objects(self, chain: Chain) -> int:
        """How many objects a chain claims."""
        return len({(stored.key, stored.version_id) for stored, _, _ in _claims(chain)})

    def sharing(self, chain: Chain) -> list[Chain]:
        """The other chains that may claim some of the same objects.

        Of an incident: the streams that it cites, and the incidents that cite those too. Each
        stream names its incidents before they claim anything, so that none is overlooked.
        """
        state = chain.state
        streams = {
            exhibit.item.origin.chain for exhibit in state.exhibits.values() if exhibit.item.origin
        }
        others = streams | (set(state.preserved) if isinstance(state, Stream) else set())
        for stream in streams:
            others |= set(self._incidents.read(stream).stream.preserved)
        return [self._incidents.read(each) for each in sorted(others - {state.id})]

    def kept(self, chain: Chain) -> dict[str, Protection]:
        """How each exhibit's bytes must be protected by now; what shares an object shares that."""
        return {
            name: protection
            for stored, protection in self.wanted(chain)
            for name in stored.exhibits
        }

    def mode_of(self, state: ChainState) -> LockMode:
        """How firmly a chain's evidence is locked."""
        return LockMode.COMPLIANCE if state.compliance else self._mode

    def set_hold(
        self,
        incident_id: str,
        matter: str,
        reason: str,
        ordered_by: str | None,
        progress: Progress = _silent,
    ) -> tuple[Receipt, Laid]:
        """Lay a matter's hold on an incident or a stream; the receipt, and the objects held."""
        body: Object = {
            "event": "set",
            "matter": matter,
            "ordered_by": ordered_by,
            "reason": reason,
        }
        done: _Done = {}

        def prepare(chain: Chain) -> tuple[Subject, ...]:
            if any(hold.matter == matter for hold in chain.state.live_holds):
                raise RefusedError(f"the matter {matter!r} holds {incident_id} already")
            if not done:
                self._protect(chain, done, progress, hold=True)  # protect …
            return ()

        with self._alone(incident_id):
            receipt = self._claim(incident_id, body, prepare)  # … then claim
            return receipt, self._pay(incident_id, progress, done)

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
        """Release a matter's hold; the receipt, and what became of the objects.

        `authenticated` is how the vault knows that the second person approved; what is not attested
        needs no exhibit. Under one `deposit` id it is released once.
        """
        approval = Approval(approved_by, authenticated)
        body: Object = {
            "approved_by": approval.to_json(),
            "event": "released",
            "exhibits": list(exhibits),
            "matter": matter,
            "reason": reason,
        }

        def prepare(chain: Chain) -> tuple[Subject, ...]:
            if all(hold.matter != matter for hold in chain.state.live_holds):
                live = ", ".join(hold.matter for hold in chain.state.live_holds) or "none"
                raise NotFoundError(
                    f"no matter {matter!r} holds {incident_id}; those that do: {live}"
                )
            return subjects_of(self._incidents.exhibits_named(chain, exhibits))

        try:
            check_second_person(self._door.actor, approval, where="--approved-by")
        except MalformedError as error:
            raise RefusedError(str(error)) from error
        with self._alone(incident_id):
            receipt = self._incidents.receipt_of(incident_id, deposit) or self._claim(
                incident_id, body, prepare, deposit
            )  # release …
            laid = self._pay(incident_id, progress)  # … then unprotect
            chain = self._incidents.read(incident_id)
            held = [protection.held for _, protection in self.wanted(chain)]
            return receipt, Released(held.count(False), held.count(True), laid.gone)

    def extend(
        self, incident_id: str, until: datetime, reason: str, progress: Progress = _silent
    ) -> tuple[Receipt, Laid]:
        """Keep all evidence of an incident at least until a moment; the receipt, the objects."""
        now = self._clock()
        until = until.replace(microsecond=until.microsecond // 1000 * 1000)  # as it is sealed
        if not now < until <= now + timedelta(days=MAX_DAYS):
            raise RefusedError(
                f"{format_instant(until)} is not within the next {MAX_DAYS:,} days; "
                "a lock that long could never be taken back"
                if until > now
                else f"{format_instant(until)} is past; name a moment to come"
            )
        body: Object = {"event": "extended", "reason": reason, "until": format_instant(until)}

        def prepare(chain: Chain) -> tuple[Subject, ...]:
            known = chain.state.retained_until
            if known and until <= known:
                raise RefusedError(
                    f"retention is only ever extended; {incident_id} is kept until "
                    f"{format_instant(known)} already"
                )
            return ()

        with self._alone(incident_id):
            receipt = self._claim(incident_id, body, prepare)
            return receipt, self._pay(incident_id, progress)

    def check_compliance(self, incident_id: str) -> None:
        """Make sure that evidence can be locked in compliance mode, before a seal demands it.

        S3 says so only when it is done: it is done to one object that is locked in governance mode.
        Raises `RefusedError` where the store does not take that step.
        """
        with self._alone(incident_id):
            chain = self._incidents.read(incident_id)
            firm = self.mode_of(chain.state) == LockMode.COMPLIANCE
            if firm or not keeps_locks(self._store.traits):
                return
            try:
                for stored, protection in self.wanted(chain):
                    if protection.retain_until and self._lay_firmly(stored, protection):
                        return
            except RefusedError as error:
                raise RefusedError(
                    f"{incident_id} is not closed, and nothing was sealed: {error}. Close it "
                    "without compliance mode; or close it where the vault's home is, by "
                    "credentials with that right"
                ) from error

    def _lay_firmly(self, stored: StoredObject, protection: Protection) -> bool:
        """Lock an object in compliance mode; False where it is so already, or gone."""
        try:
            found = self._store.state(stored.key, stored.version_id).protection
            if found.retain_until and found.mode == LockMode.COMPLIANCE:
                return False
            firm = replace(protection, mode=LockMode.COMPLIANCE)
            self._store.protect(stored.key, stored.version_id, firm)
        except NotFoundError:
            return False
        return True

    def apply(self, incident_id: str, progress: Progress = _silent) -> Laid:
        """Lay anew on the store's objects what the chain demands."""
        with self._alone(incident_id):
            return self._pay(incident_id, progress)

    def settle(self) -> None:
        """Do what the chains demand of stored evidence and a dead process left undone."""
        for chain in dict.fromkeys(chain for chain, _ in self._index.owing()):
            if chain == VAULT_CHAIN:
                self._pay_all(_silent)
            else:
                self.apply(chain)

    def drift(self, chain: Chain, progress: Progress = _silent) -> Iterator[Drift]:
        """Where the store's real locks are not what the chain demands."""
        wanted = self.wanted(chain) if keeps_locks(self._store.traits) else []
        count = _Count(len(wanted), progress)

        def look(each: tuple[StoredObject, Protection]) -> list[Drift]:
            stored, protection = each
            try:
                found = self._store.state(stored.key, stored.version_id).protection
            except NotFoundError:
                return [Drift(stored, Sense.LACKS, "is gone from the store")]
            except EvidenceError as error:
                return [Drift(stored, Sense.UNKNOWN, str(error))]
            finally:
                count.one()
            return [Drift(stored, sense, words) for sense, words in compare(found, protection)]

        with ThreadPoolExecutor(self._store.traits.parallel) as pool:
            for each in pool.map(look, wanted):
                yield from each

    def _claim(
        self,
        incident_id: str,
        body: Object,
        prepare: Callable[[Chain], tuple[Subject, ...]],
        deposit: str | None = None,
    ) -> Receipt:
        """Seal a hold statement onto the very state that `prepare` found it to make sense on.

        A statement that the fold refuses would make the whole chain unreadable.
        """
        try:
            parse_hold(body, where="the statement")
        except MalformedError as error:
            raise RefusedError(str(error)) from error
        for _ in range(_ATTEMPTS):
            chain = self._incidents.read(incident_id)
            subject = prepare(chain)
            try:
                return self._incidents.state(
                    incident_id,
                    Type.HOLD,
                    body,
                    subject=subject,
                    expect=chain.state.sequence,
                    deposit=deposit,
                )
            except StaleHeadError:
                continue
        raise StaleHeadError(f"others keep adding to {incident_id}; run the command again")

    def _pay(self, chain: str, progress: Progress, done: _Done | None = None) -> Laid:
        """Protect every object as the chain, read anew, demands."""
        found = self._incidents.read(chain)
        laid = self._protect(found, {} if done is None else done, progress)
        self._index.paid(chain, found.state.sequence)
        return laid

    def _pay_all(self, progress: Progress) -> Laid:
        """The same for all incidents and streams: a policy binds them all."""
        rows = [row.sequence for row in self._index.rows(VAULT_CHAIN)]
        laid = Laid(0)
        for chain in self._incidents.evidence_chains():
            laid += self.apply(chain, progress)
        if rows:
            self._index.paid(VAULT_CHAIN, rows[-1])
        return laid

    def _protect(
        self, chain: Chain, done: _Done, progress: Progress, *, hold: bool = False
    ) -> Laid:
        """Protect what a chain claims; `done` was protected so already, under the same lock.

        With `hold` all of it is held, whether or not a statement says so yet. What is gone keeps
        nobody from protecting the rest, least of all when someone destroys it.
        """
        wanted = [
            (stored, replace(protection, held=hold or protection.held))
            for stored, protection in self.wanted(chain)
        ]
        todo = [
            (stored, protection)
            for stored, protection in wanted
            if done.get((stored.key, stored.version_id)) != protection
        ]
        gone = self._lay(todo, progress)
        places = {(each.key, each.version_id) for each in gone}
        done.update(
            {
                (each.key, each.version_id): protection
                for each, protection in todo
                if (each.key, each.version_id) not in places
            }
        )
        return Laid(len(wanted) - len(gone), gone)

    def cover(self, guard: Guard, stream: Chain, names: Iterable[str]) -> set[str]:
        """Lay on a stream's items what an incident needs of them besides, by its guard.

        For whoever is `alone` with both, before the incident claims them. Gives the items whose
        bytes or description are gone from the store: those nobody may claim.
        """
        wanted = {(stored.key, stored.version_id): (stored, protection)
                  for stored, protection in self.wanted(stream)}  # fmt: skip
        needed: _Demanded = {}
        held_by: dict[tuple[str, str | None], set[str]] = {}
        for name in names:
            exhibit = stream.state.exhibits[name]
            needs = guard.needs({*exhibit.item.kinds, *exhibit.kinds})
            for each in objects_of(exhibit):
                place = (each.key, each.version_id)
                stored, known = needed.get(place, wanted[place])
                needed[place] = (stored, together(known, needs))
                held_by.setdefault(place, set()).add(name)
        gone = self._lay(list(needed.values()), _silent)
        return {name for each in gone for name in held_by[each.key, each.version_id]}

    def _lay(
        self, todo: Sequence[tuple[StoredObject, Protection]], progress: Progress
    ) -> tuple[StoredObject, ...]:
        """Protect objects; those that are gone come back."""
        count = _Count(len(todo), progress)

        def protect(each: tuple[StoredObject, Protection]) -> bool:
            stored, protection = each
            try:
                self._store.protect(stored.key, stored.version_id, protection)
            except NotFoundError:
                return False
            count.one()
            return True

        if self._store.traits.parallel == 1:
            there = [protect(each) for each in todo]
        else:
            with ThreadPoolExecutor(self._store.traits.parallel) as pool:
                there = list(pool.map(protect, todo))
        return tuple(each for (each, _), found in zip(todo, there, strict=True) if not found)

    @contextmanager
    def alone(self, chain: str) -> Iterator[None]:
        """Keep others from changing the protection of a chain's evidence, and of any shared object.

        Raises `UnavailableError` where another does for too long.
        """
        with self._only(f"protection of {chain}", chain), self._only("sharing", chain):
            yield

    @contextmanager
    def _alone(self, chain: str) -> Iterator[None]:
        with self._only(f"protection of {chain}", chain):
            # Under that lock nothing can be preserved into it: what it shares now, it shares.
            found = self._incidents.read(chain)
            if isinstance(found.state, Stream) or self.sharing(found):
                with self._only("sharing", chain):
                    yield
            else:
                yield

    @contextmanager
    def _only(self, what: str, chain: str) -> Iterator[None]:
        with self._index.alone(what, patience=self._patience) as alone:
            if not alone:
                raise UnavailableError(
                    f"another process has been changing the protection of {chain} for a minute; "
                    "run the command again"
                )
            yield


_Demanded = dict[tuple[str, str | None], tuple[StoredObject, Protection]]
_Done = dict[tuple[str, str | None], Protection]


class _Count:
    """How many objects are done, told from several threads."""

    def __init__(self, of: int, progress: Progress) -> None:
        self._lock = Lock()
        self._done = 0
        self._of = of
        self._progress = progress

    def one(self) -> None:
        with self._lock:
            self._done += 1
            self._progress(self._done, self._of)


class _Terms:
    """What policies and severities said of one incident's evidence, from when on."""

    def __init__(self, policies: Sequence[InForce], chain: Chain) -> None:
        changes: list[tuple[datetime, RetentionPolicy | None, str | None]] = [
            (each.since, each.policy, None) for each in policies if each.since is not None
        ]
        changes += [(at, None, severity) for at, severity in _severities(chain)]
        changes.sort(key=lambda change: change[0])
        policy, severity = BUILT_IN, None
        self._spans: list[tuple[datetime, RetentionPolicy, str | None]] = []
        is_incident = isinstance(chain.state, Incident)
        if not is_incident:  # a stream has no severity; it begins when it begins
            self._spans.append((datetime.min.replace(tzinfo=UTC), BUILT_IN, None))
        for at, new_policy, new_severity in changes:
            policy, severity = new_policy or policy, new_severity or severity
            if severity is not None or not is_incident:
                self._spans.append((at, policy, severity))
        self._known: dict[tuple[frozenset[str], int], int] = {}

    def days(self, kinds: frozenset[str], received_at: datetime) -> int:
        """The longest that was in force when it was received, or since."""
        first = max(
            (number for number, (at, _, _) in enumerate(self._spans) if at <= received_at),
            default=0,
        )
        if (kinds, first) not in self._known:
            self._known[kinds, first] = max(
                policy.days(kinds, severity) for _, policy, severity in self._spans[first:]
            )
        return self._known[kinds, first]


def _severities(chain: Chain) -> Iterator[tuple[datetime, str]]:
    """Each severity that an incident had, and since when."""
    for manifest in chain.manifests:
        statement = manifest.statement
        if statement.type != Type.INCIDENT:
            continue
        if statement.body["event"] == "declared":
            yield statement.recorded_at, str(statement.body["severity"])
        elif statement.body["event"] == "amended":
            for change in statement.body["changes"]:
                if change["field"] == "severity":
                    yield statement.recorded_at, str(change["new"])


def _claims(chain: Chain) -> Iterator[tuple[StoredObject, frozenset[str], datetime]]:
    """Every object that a chain claims, of which kinds what lies in it is, and since when."""
    kinds: dict[str, set[str]] = {}
    for manifest in chain.manifests:
        statement = manifest.statement
        if statement.type == Type.CUSTODY and statement.body.get("event") == "classified":
            for name in statement.body["exhibits"]:
                kinds.setdefault(name, set()).update(statement.body["kinds"])
    for name, exhibit in chain.state.exhibits.items():
        known = frozenset({*exhibit.item.kinds, *exhibit.kinds, *kinds.get(name, ())})
        for stored in objects_of(exhibit):
            yield stored, known, exhibit.received_at
    for manifest in chain.manifests:
        for stored in _documents(manifest):
            yield stored, frozenset(), manifest.statement.recorded_at


def _documents(manifest: Manifest) -> Iterator[StoredObject]:
    """The objects that a statement claims beside exhibits: lists and reports."""
    statement = manifest.statement
    if statement.type == Type.CAPTURE:
        capture = parse_capture(statement.body, where=manifest.name)
        if capture.not_captured_list is not None:
            yield _document(capture.not_captured_list, capture.packs)
    elif statement.type == Type.ASSESSMENT:
        yield _document(parse_assessment(statement.body, where=manifest.name).report, ())


def _document(described: Described, packs: tuple[Pack, ...]) -> StoredObject:
    place = described.place
    if place.pack is not None:
        pack = packs[place.pack]
        return StoredObject(
            pack.key, pack.version_id, pack.size, pack.sha256, PACK_PART_SIZE, pack.parts, ()
        )
    if place.key is None:
        raise MalformedError("a place names neither an object nor a pack")
    return StoredObject(
        place.key, place.version_id, described.size, described.sha256, PACK_PART_SIZE, (), ()
    )


def keeps_locks(traits: StoreTraits) -> bool:
    """Whether a store knows of retention and holds: a folder notes them, and binds only us."""
    return traits.locks or traits.kind == "directory"


def compare(found: Protection, wanted: Protection) -> Iterator[tuple[Sense, str]]:
    """What the store's lock lacks, or has beyond what the chain demands, in words."""
    if wanted.retain_until and (
        found.retain_until is None or found.retain_until < wanted.retain_until
    ):
        until = format_instant(_whole_second(found.retain_until)) if found.retain_until else None
        yield (
            Sense.LACKS,
            (
                f"is retained until {until or 'no date at all'}, the chain demands "
                f"{format_instant(_whole_second(wanted.retain_until))}"
            ),
        )
    if wanted.mode == LockMode.COMPLIANCE and found.mode != LockMode.COMPLIANCE:
        yield Sense.LACKS, "is locked in governance mode, the chain demands compliance"
    if wanted.held and not found.held:
        yield Sense.LACKS, "is not on hold in the store, although a hold lives on the chain"
    if found.held and not wanted.held:
        yield Sense.EXCEEDS, "is on hold in the store, although no hold lives on the chain"


def _whole_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)

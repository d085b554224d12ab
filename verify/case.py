"""What the tests of a checklist look at: one incident, its live exhibits, their facts. No I/O.

A test answers with a `Result`. Facts are taken as the vault's signed claims. Nothing here knows
which item asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from verify.approval import same_person
from verify.attestation import Attestation, AttestationType
from verify.coverage import Interval, covered, united
from verify.description import Description
from verify.errors import MalformedError
from verify.facts import Facts, check_times
from verify.incident import Exhibit, Incident
from verify.response import Containment, Phase, Role, Update, current
from verify.statement import Kind

TOLD = 3
"""So many names stand in a reason; the exhibits that a result cites are listed beside it."""


class Answer(StrEnum):
    """What a condition has come to."""

    PASS = "pass"  # noqa: S105 — an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Side:
    """One record of two that contradict each other: an exhibit, or `link N`, and what it says."""

    record: str
    says: str
    """Of one with times, what comes before them; `conflict` writes these behind it."""
    at: tuple[datetime, ...] = ()
    """The time that it tells, or the two ends of one."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a test found."""

    answer: Answer
    detail: str = ""
    """The reason in a few words."""
    exhibits: tuple[str, ...] = ()
    """What it rests on."""
    links: tuple[int, ...] = ()
    """Statements that it rests on, by sequence."""
    lacking: tuple[str, ...] = ()
    """The systems, principals, runs … that it fails for; empty: for the whole incident."""
    sides: tuple[Side, ...] = ()
    """Of a conflict: the records side by side."""


def passed(exhibits: Iterable[str] = (), links: Iterable[int] = (), *, detail: str = "") -> Result:
    """A test that passed, and on what."""
    return Result(Answer.PASS, detail, tuple(exhibits), tuple(links))


def failed(
    detail: str,
    exhibits: Iterable[str] = (),
    links: Iterable[int] = (),
    *,
    lacking: Iterable[str] = (),
) -> Result:
    """A test that did not pass, and why."""
    return Result(Answer.FAIL, detail, tuple(exhibits), tuple(links), tuple(lacking))


def unknown(detail: str = "", exhibits: Iterable[str] = ()) -> Result:
    """A test that cannot be answered."""
    return Result(Answer.UNKNOWN, detail, tuple(exhibits))


def conflict(detail: str, sides: Sequence[Side], *more: str) -> Result:
    """Records that contradict each other; `more` are exhibits that matter besides.

    Times of several days are told with their dates: times of day would seem close, or turned round.
    """
    days = {at.date() for side in sides for at in side.at}
    told_time = clock_time if len(days) <= 1 else day_time
    said = [
        Side(side.record, f"{side.says} {' to '.join(map(told_time, side.at))}")
        if side.at
        else side
        for side in sides
    ]
    named = dict.fromkeys(side.record for side in sides)
    links = [int(name[5:]) for name in named if name.startswith("link ")]
    exhibits = [name for name in named if not name.startswith("link ")]
    return Result(
        Answer.CONFLICT,
        detail,
        tuple(dict.fromkeys([*exhibits, *more])),
        tuple(links),
        sides=tuple(dict.fromkeys(said)),
    )


def instant(text: str) -> datetime:
    """A time out of facts that `Case.facts` gave: that it is one was checked there."""
    return datetime.fromisoformat(text)


def told(names: Iterable[str]) -> str:
    """Names for a reason: the first three, and how many more."""
    unique = list(dict.fromkeys(names))
    shown = ", ".join(unique[:TOLD])
    return shown if len(unique) <= TOLD else f"{shown} and {len(unique) - TOLD} more"


def count_text(count: int, what: str) -> str:
    """`1 silence`, `2 silences`, `3 hits without time`."""
    words = what.split(" ")
    if count != 1:
        words = _plural(words)
    return f"{count:,} {' '.join(words)}"


def _plural(words: list[str]) -> list[str]:
    """`tool call without result` is `tool calls without result`."""
    place = next((i for i, word in enumerate(words) if word == "without"), len(words)) - 1
    return [*words[:place], f"{words[place]}s", *words[place + 1 :]]


def several(problems: Sequence[str]) -> str:
    """Reasons in one line: the first three, and how many more."""
    shown = "; ".join(problems[:3])
    return shown if len(problems) <= 3 else f"{shown}; and {len(problems) - 3} more"


def clock_time(moment: datetime) -> str:
    """A time of day for a reason: `12:30Z`."""
    return moment.strftime("%H:%M:%SZ" if moment.second else "%H:%MZ")


def day_time(moment: datetime) -> str:
    """The same with its day: `2023-07-10 12:30Z`."""
    return f"{moment.date().isoformat()} {clock_time(moment)}"


def link(sequence: int) -> str:
    """How a statement is named as a record."""
    return f"link {sequence}"


@dataclass(frozen=True, slots=True)
class Action:
    """A rollback, or another change of what runs, after detection: by an exhibit or a statement."""

    name: str
    """`RB-1` as people call it; else the exhibit and the target."""
    back: bool
    """Whether it goes back; a remediation goes forward."""
    target: str
    start: datetime | None
    end: datetime | None
    from_: str | None
    to: str | None
    actor: str | None
    result: str
    """`succeeded`, `failed`, `started` or `unknown`."""
    record: str
    """An exhibit, or `link N`."""
    exhibits: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether it leads anywhere: what goes from a version to the same one does not."""
        return self.from_ is None or self.from_ != self.to

    @property
    def described(self) -> list[str]:
        """What of it is not on record."""
        parts = {
            "who": self.actor,
            "start": self.start,
            "end": self.end,
            "from": self.from_,
            "to": self.to,
        }
        lacks = [name for name, value in parts.items() if value is None]
        return lacks + (["result"] if self.result not in ("succeeded", "failed") else [])


@dataclass(frozen=True, slots=True)
class NilReturn:
    """Somebody looked, and there was nothing: by a statement, or by a captured query."""

    record: str
    """An exhibit, or `link N`."""
    kinds: tuple[str, ...]
    start: datetime
    end: datetime
    query: str
    system: str | None
    detector: str | None

    @property
    def interval(self) -> Interval:
        """The time that it speaks for."""
        return self.start, self.end


@dataclass
class Case:
    """An incident at one head of its chain, as of a time; indexed once, to keep cost linear."""

    incident: Incident
    descriptions: Mapping[str, Description]
    as_of: datetime
    deviations: list[tuple[str, str]] = field(default_factory=list)
    """What departed from policy, by id and in words; known once the clocks are read."""
    open_clocks: list[str] = field(default_factory=list)
    """Clocks that still wait for their event."""
    contradicted: list[str] = field(default_factory=list)
    """Items of evidence that were found contradicted; known once they are judged."""
    tolerance: float = 0
    """Seconds by which a record may differ from the claimed time of containment."""
    _timed: set[str] = field(default_factory=set)
    """Exhibits whose times were found to be times."""
    _by_kind: dict[str, list[str]] = field(default_factory=dict)
    _by_kinds: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, exhibit in self.incident.exhibits.items():
            if exhibit.withdrawn is None:
                for kind in exhibit.kinds:
                    self._by_kind.setdefault(kind, []).append(name)

    # -- evidence ----------------------------------------------------------------------------------

    def of(self, kinds: Sequence[str]) -> list[str]:
        """Live exhibits of some kinds, by number."""
        if len(kinds) == 1:
            return self._by_kind.get(kinds[0], [])
        key = tuple(kinds)
        if key not in self._by_kinds:
            found = {name for kind in kinds for name in self._by_kind.get(kind, ())}
            self._by_kinds[key] = sorted(found, key=number)
        return self._by_kinds[key]

    def exhibit(self, name: str) -> Exhibit:
        """An exhibit as it stands now."""
        return self.incident.exhibits[name]

    def facts(self, name: str) -> Facts:
        """What was read out of an exhibit. Raises `MalformedError` for times that are none."""
        found = self.descriptions[name].facts
        if name not in self._timed:
            try:
                check_times(found, where=f"{name}: facts")
            except MalformedError as error:
                raise MalformedError(f"{error}; classify or withdraw {name}") from error
            self._timed.add(name)
        return found

    def live(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of some exhibits that were not withdrawn."""
        return tuple(name for name in names if self.exhibit(name).withdrawn is None)

    def speaks_of(self, name: str, system: str) -> bool:
        """Whether an exhibit is of a system: by the capture's word, else by what it names."""
        stated = self.exhibit(name).system
        if stated is not None:
            return stated == system
        return system in self.facts(name).platforms

    def by_system(self, kinds: Sequence[str]) -> dict[str, list[str]]:
        """Exhibits of some kinds, for each affected system."""
        systems = self.incident.systems
        result: dict[str, list[str]] = {system: [] for system in systems}
        for name in self.of(kinds):
            stated = self.exhibit(name).system
            for system in [stated] if stated is not None else self.facts(name).platforms:
                if system in result:
                    result[system].append(name)
        return result

    def by_run(self, kinds: Sequence[str]) -> dict[str, list[str]]:
        """Exhibits of some kinds, for each run: the registered ones, if any are.

        A run goes by the id of a run, a session or a trace. Without a registered one, every run
        that is found stands for itself, and so does every exhibit that names none.
        """
        registered: list[str] = self.incident.scope.get("runs") or []
        result: dict[str, list[str]] = {run: [] for run in registered}
        for name in self.of(kinds):
            named = self.runs_in(name)
            if not registered:
                for run in self.facts(name).runs or (name,):
                    result.setdefault(run, []).append(name)
            else:
                for run in named:
                    if run in result:
                        result[run].append(name)
        return result

    def runs_in(self, name: str) -> set[str]:
        """All ids by which an exhibit names runs."""
        facts = self.facts(name)
        return {*facts.runs, *facts.sessions, *facts.traces}

    def covered(self, names: Iterable[str]) -> list[Interval]:
        """The intervals in which exhibits speak, united."""
        return united(interval for name in names for interval in covered(self.facts(name)))

    def acts(self, kinds: Sequence[str]) -> Iterator[tuple[str, str, datetime, datetime]]:
        """Exhibit, principal, first and last time, wherever principals acted.

        A log in which nothing was allowed shows that someone tried, not that they acted.
        """
        for name in self.of(kinds):
            facts = self.facts(name)
            if facts.decisions and all(each.decision == "denied" for each in facts.decisions):
                continue
            for each in facts.activities:
                yield name, each.principal, instant(each.first), instant(each.last)

    def snapshot_times(self, name: str) -> tuple[datetime, datetime]:
        """From when a snapshot's content is claimed to stand, and when it was read."""
        description = self.descriptions[name]
        times = [description.captured_at]
        if description.modified_at is not None:
            times.append(description.modified_at)
        facts = self.facts(name)
        if facts.clock == "zoned" and facts.last is not None:
            times.append(instant(facts.last))
        return min(times), description.captured_at

    # -- time --------------------------------------------------------------------------------------

    @cached_property
    def window(self) -> Interval:
        """The time that evidence should cover.

        While it is not contained it ends with the last statement, not with as-of: a later as-of
        over the same chain must not make evidence incomplete.
        """
        return self.incident.window(as_of=self.incident.recorded_at or self.as_of)

    def first(self, phase: Phase) -> datetime | None:
        """When a phase was first entered, as claimed."""
        return next((each.at for each in self.incident.phases if each.phase == phase), None)

    def denied_containment(self, moment: datetime) -> Update | None:
        """The first update after a moment of containment that says not contained."""
        return next(
            (
                each
                for each in self.incident.updates
                if each.containment == Containment.NOT_CONTAINED and each.at > moment
            ),
            None,
        )

    # -- statements --------------------------------------------------------------------------------

    def freezes(self) -> tuple[list[Attestation], list[str]]:
        """The freezes and kill switches in scope, and the affected systems that none covers.

        One covers the systems that it names; those that name all registered principals together
        cover every system.
        """
        systems = self.incident.systems
        principals = set(self.incident.scope.get("principals") or ())
        stopped = [
            *self.attested(AttestationType.FREEZE),
            *self.attested(AttestationType.KILL_SWITCH),
        ]
        ours = [
            each
            for each in stopped
            if set(systems) & set(texts_of(each.fields, "systems"))
            or principals & set(texts_of(each.fields, "principals"))
        ]
        named = {name for each in ours for name in texts_of(each.fields, "systems")}
        barred = {name for each in ours for name in texts_of(each.fields, "principals")}
        all_barred = bool(principals) and principals <= barred
        return ours, [] if all_barred else [name for name in systems if name not in named]

    def attested(self, type_: AttestationType) -> list[Attestation]:
        """Attestations of one type, in order."""
        return self._attested.get(type_, [])

    @cached_property
    def _attested(self) -> dict[AttestationType, list[Attestation]]:
        result: dict[AttestationType, list[Attestation]] = {}
        for each in self.incident.attestations:
            result.setdefault(each.type, []).append(each)
        return result

    def corroborates(
        self, exhibits: Iterable[str], moment: datetime, tolerance: float
    ) -> list[str]:
        """Exhibits that have a time of their own within so many seconds of a moment."""
        return [
            name
            for name in self.live(exhibits)
            if any(
                abs((time - moment).total_seconds()) <= tolerance
                for time in own_times(self.facts(name))
            )
        ]

    def holder(self, role: Role) -> str | None:
        """Who holds a role now."""
        held = current(self.incident.assignments, role)
        return held.person if held else None

    def held_role(self, person: str, role: str, moment: datetime) -> bool:
        """Whether a person held a role at a moment, by the claimed times."""
        return any(
            each.role == role and same_person(each.person, person) and each.holds_at(moment)
            for each in self.incident.assignments
        )

    def nil_returns(
        self, kinds: Iterable[str], *, system: str | None = None, detector: str | None = None
    ) -> list[NilReturn]:
        """Nil returns for some kinds of evidence; of one system or detector, if it is named."""
        wanted = set(kinds)
        return [
            each
            for each in self._nil_returns
            if wanted & set(each.kinds)
            and system in (None, each.system)
            and detector in (None, each.detector)
        ]

    @cached_property
    def _nil_returns(self) -> list[NilReturn]:
        found = []
        for each in self.attested(AttestationType.NIL_RETURN):
            start, end = moment_of(each.fields, "from"), moment_of(each.fields, "to")
            if start is not None and end is not None:
                found.append(
                    NilReturn(
                        link(each.sequence),
                        texts_of(each.fields, "kinds"),
                        start,
                        end,
                        str(each.fields["query"]),
                        text_of(each.fields, "system"),
                        text_of(each.fields, "detector"),
                    )
                )
        for name in self.of((Kind.NIL_RETURN,)):
            found += self._nil_exhibit(name)
        return found

    def _nil_exhibit(self, name: str) -> list[NilReturn]:
        """A captured query that found nothing: of a detector if that was asked, else of a log.

        What covers one source (an account, a trail) besides the one asked speaks for nobody else.
        """
        exhibit, summary = self.exhibit(name), self.descriptions[name].summary
        detectors = self.incident.scope.get("detectors") or ()
        detector = exhibit.source if exhibit.source in detectors else None
        kinds = (Kind.GUARDRAIL_ALERT, Kind.DLP_FINDING) if detector else (Kind.ACCESS_LOG,)
        if detector is None and exhibit.system is None:
            return []
        return [
            NilReturn(
                name,
                tuple(kind.value for kind in kinds),
                instant(each.start),
                instant(each.end),
                summary,
                exhibit.system,
                detector,
            )
            for each in self.facts(name).coverage
            if each.source in (None, exhibit.source)
        ]

    @cached_property
    def actions(self) -> list[Action]:
        """Changes of what runs, from detection on: a deployment forward is no rollback."""
        found = _told_once(map(_attested_action, self.attested(AttestationType.ROLLBACK)))
        for name in self.of(("rollback", "config_snapshot", "validation")):
            for each in self.facts(name).rollbacks:
                end = instant(each.at) if each.at else None
                start = instant(each.started_at) if each.started_at else None
                when = end or start
                if when is not None and when < self.incident.detected_at:
                    continue
                if each.direction == "unknown":
                    continue
                found.append(
                    Action(
                        name=f"{name} {each.target}",
                        back=each.direction == "back",
                        target=each.target,
                        start=start,
                        end=end,
                        from_=each.from_,
                        to=each.to,
                        actor=each.actor,
                        result=each.state,
                        record=name,
                        exhibits=(name,),
                    )
                )
        return _without_twins(found)

    @cached_property
    def rollbacks(self) -> list[Action]:
        """The changes that go back."""
        return [each for each in self.actions if each.back]

    @cached_property
    def rollbacks_by_name(self) -> dict[str, list[Action]]:
        """The changes that go back, by the name that several may share."""
        result: dict[str, list[Action]] = {}
        for each in self.rollbacks:
            result.setdefault(each.name, []).append(each)
        return result


def _attested_action(each: Attestation) -> Action:
    said = each.fields
    person = said.get("person")
    return Action(
        name=str(said["action"]),
        back=True,
        target=str(said["target"]),
        start=moment_of(said, "started_at"),
        end=moment_of(said, "ended_at"),
        from_=text_of(said, "from_digest"),
        to=text_of(said, "to_digest"),
        actor=str(person) if person else each.actor.claimed or each.actor.id,
        result=str(said["result"]),
        record=link(each.sequence),
        exhibits=each.exhibits,
    )


def _told_once(actions: Iterable[Action]) -> list[Action]:
    """Statements of one action at one time tell of it again: the last counts, the others add.

    Nothing can be rolled back under one name twice at once. At another time it is another rollback.
    """
    found: list[Action] = []
    for each in actions:
        earlier = next((one for one in found if _same_time(one, each)), None)
        if earlier is None:
            found.append(each)
            continue
        found[found.index(earlier)] = replace(
            each,
            from_=each.from_ or earlier.from_,
            to=each.to or earlier.to,
            exhibits=tuple(dict.fromkeys([*earlier.exhibits, *each.exhibits])),
        )
    return found


def _same_time(one: Action, other: Action) -> bool:
    if (one.name, one.target) != (other.name, other.target):
        return False
    if not (one.start and one.end and other.start and other.end):
        return False
    overlap = max(one.start, other.start) < min(one.end, other.end)
    return overlap or (one.start, one.end) == (other.start, other.end)


def _without_twins(actions: Sequence[Action]) -> list[Action]:
    """A record that a statement cites tells of the same action: the statement stands for both."""
    cited = {name for each in actions if each.record.startswith("link ") for name in each.exhibits}
    return [each for each in actions if each.record not in cited]


def number(name: str) -> int:
    """The number of an exhibit; the chain has checked its name."""
    return int(name[3:])


def records(several: Iterable[str]) -> tuple[list[str], list[int]]:
    """Records as exhibits and as links."""
    exhibits: list[str] = []
    links: list[int] = []
    for each in several:
        if each.startswith("link "):
            links.append(int(each[5:]))
        else:
            exhibits.append(each)
    return exhibits, links


def moment_of(fields: Mapping[str, Any], name: str) -> datetime | None:
    """A time in the fields of an attestation."""
    value = fields.get(name)
    return value if isinstance(value, datetime) else None


def text_of(fields: Mapping[str, Any], name: str) -> str | None:
    """A text in the fields of an attestation."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def texts_of(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts in the fields of an attestation."""
    value = fields.get(name)
    return value if isinstance(value, tuple) else ()


def same_version(one: str | None, other: str | None) -> bool:
    """Whether two names of a version are one: equal, or a commit and its first seven letters."""
    if not one or not other:
        return False
    short, long = sorted((one.removeprefix("sha256:"), other.removeprefix("sha256:")), key=len)
    return short == long or (len(short) >= 7 and _is_hex(short) and long.startswith(short))


def _is_hex(text: str) -> bool:
    return all(each in "0123456789abcdef" for each in text)


def own_times(facts: Facts) -> list[datetime]:
    """The instants that a record gives to single events, and its first and last."""
    texts = [each.at for each in facts.findings]
    texts += [each.at for each in facts.approvals]
    texts += [each.at for each in facts.validations]
    texts += [time for each in facts.rollbacks for time in (each.started_at, each.at)]
    for ticket in facts.tickets:
        texts += [ticket.opened_at, ticket.acknowledged_at, ticket.resolved_at]
    if facts.clock == "zoned":
        texts += [facts.first, facts.last]
    return [instant(text) for text in texts if text is not None]


Test = Callable[[Case, Mapping[str, Any], str], Result]
"""A test: the case, its parameters, and the text for "there is nothing"."""

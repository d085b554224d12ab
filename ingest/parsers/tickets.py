"""Tickets of which an item holds several states: one fact each, the same in any order. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ingest.parsers.gathering import Gathered
from ingest.parsers.times import Time
from verify.facts import Ticket

MOST = 10_000
"""How many different tickets of one item are told apart."""


@dataclass(frozen=True, slots=True)
class State:
    """A ticket as one record shows it, at a time; times without a zone say nothing here."""

    ticket: Ticket
    at: Time | None = None
    opened: Time | None = None
    acknowledged: Time | None = None
    resolved: Time | None = None


class Tickets:
    """The newest state of each ticket, opened and acknowledged first when any state says so."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._more = False

    def add(self, state: State) -> None:
        """Take a state."""
        name = state.ticket.id
        known = self._states.get(name)
        if known is None:
            if len(self._states) >= MOST:
                self._more = True
                return
            self._states[name] = state
            return
        newest = max(known, state, key=_age)
        self._states[name] = replace(
            newest,
            opened=_earlier(known.opened, state.opened),
            acknowledged=_earlier(known.acknowledged, state.acknowledged),
        )

    def __len__(self) -> int:
        return len(self._states)

    def tell(self, gathered: Gathered) -> None:
        """Keep the tickets in the facts."""
        for state in self._states.values():
            gathered.keep(
                replace(
                    state.ticket,
                    opened_at=_text(state.opened),
                    acknowledged_at=_text(state.acknowledged),
                    resolved_at=_text(state.resolved),
                )
            )
        if self._more:
            gathered.problem(f"more than {MOST:,} tickets; only the first were read")


def _age(state: State) -> tuple[int, str]:
    return (-1 if state.at is None else state.at.nanoseconds), repr(state)


def _earlier(one: Time | None, other: Time | None) -> Time | None:
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda time: (time.nanoseconds, time.raw))


def _text(time: Time | None) -> str | None:
    return None if time is None else time.text

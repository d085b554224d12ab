"""Bringing a window of a stream into an incident of a served vault."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from vault.deposit import Door
from vault.http.client.captures import read_receipts
from vault.http.client.connection import Connection, quoted
from vault.http.client.record import Elsewhere
from vault.incidents import Incidents
from vault.ports import Clock
from vault.preserve import Preserved, Preserver, Progress, check_open, restated
from vault.retention import Retention
from vault.window import names_of
from verify.instant import format_instant
from verify.strictjson import Fields, Object
from verify.trust import Trust


class RemotePreserver(Preserver):
    """What the window lacks is judged here; what it brings in is brought in there."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        incidents: Incidents,
        retention: Retention,
        clock: Clock,
    ) -> None:
        super().__init__(
            door=cast("Door", Elsewhere()), incidents=incidents, retention=retention, clock=clock
        )
        self._connection = connection
        self._trust = trust

    def preserve(
        self,
        incident_id: str,
        stream_id: str,
        start: datetime,
        end: datetime,
        *,
        collector: Object,
        progress: Progress = lambda _done, _of: None,
    ) -> Preserved:
        """Have brought in what overlaps a window, ends included; says also what it lacks."""
        check_open(self._incidents.read(incident_id).incident)
        result = Preserved(self._look(self._incidents.read(stream_id), start, end, progress))
        window = result.window
        if not window.chosen:
            return result
        there = restated(self._incidents.read(incident_id).incident, stream_id)
        path = f"/v1/incidents/{quoted(incident_id)}/preservations"
        answer = self._connection.post(
            path,
            {
                "from": format_instant(window.start),
                "stream": stream_id,
                "to": format_instant(window.end),
            },
        )
        result.receipts = read_receipts(answer, self._trust, chain=incident_id)
        result.gone = Fields(answer, path).texts("not_kept")
        result.already = [(there[name], name) for name in names_of(window.chosen) if name in there]
        chosen = {each.exhibit.item.exhibit: each for each in window.chosen}
        links = {receipt.sequence for receipt in result.receipts}
        for name, exhibit in self._incidents.read(incident_id).incident.exhibits.items():
            origin = exhibit.item.origin
            if exhibit.sequence in links and origin and origin.exhibit in chosen:
                result.new.append((name, chosen[origin.exhibit]))
        result.classified = [
            each.exhibit.item.exhibit
            for _, each in result.new
            if set(each.exhibit.kinds) != set(each.exhibit.item.kinds)
        ]
        return result

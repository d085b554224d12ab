"""Bundles of a served vault: sealed and written there, fetched here as they are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from vault.completeness import built_in_profile
from vault.errors import RefusedError, UnavailableError
from vault.export import Exported, Exporter, LeftOut, Target, check_target, left_out
from vault.http.client.connection import LONG_PATIENCE, Connection, quoted
from vault.http.client.people import no_other_person
from vault.http.client.receipts import receipt_of
from vault.http.client.record import Elsewhere
from vault.incidents import Incidents
from vault.log import Log
from vault.ports import Clock, ObjectStore
from vault.ulid import new_ulid
from verify.approval import Approval
from verify.errors import DigestMismatchError
from verify.export import Export, parse_export
from verify.profile import Profile
from verify.statement import Type
from verify.strictjson import Fields, Object
from verify.trust import Trust


class RemoteExporter(Exporter):
    """Has a served vault write its bundles, and fetches them."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        incidents: Incidents,
        clock: Clock,
        version: str,
    ) -> None:
        super().__init__(
            incidents=incidents,
            store=cast("ObjectStore", Elsewhere()),
            log=cast("Log", Elsewhere()),
            clock=clock,
            trust=trust,
            version=version,
        )
        self._connection = connection

    def export(
        self,
        incident_id: str,
        target: Target,
        *,
        profile: Profile,
        purpose: str,
        recipient: str | None,
        withheld: Mapping[str, str],
        approval: Approval | None = None,
        deposit: str | None = None,
    ) -> Exported:
        """Have a report and an export statement sealed, and fetch the bundle.

        Raises as the server does; nobody approves by another.
        """
        if approval is not None:
            raise no_other_person("an approval")
        check_asked(target, profile)
        chain = self._incidents.read(incident_id)
        self._incidents.exhibits_named(chain, list(withheld))
        body: Object = {"purpose": purpose, "withhold": dict(withheld)}
        if recipient is not None:
            body["recipient"] = recipient
        answer = self._connection.post(
            self._path(incident_id),
            body,
            headers={"Idempotency-Key": deposit or f"export-{new_ulid(self._clock())}"},
            repeatable=True,
            patience=LONG_PATIENCE,
        )
        receipt = receipt_of(answer, self._trust, chain=incident_id)
        told = Fields(answer, "the server's export")
        size, sha256 = self._fetch(incident_id, receipt.sequence, target)
        if (size, sha256) != (told.count("size"), told.text("sha256")):
            raise DigestMismatchError(
                f"the bundle of link {receipt.sequence}", sealed=told.text("sha256"), found=sha256
            )
        export, *absent = self._stated(incident_id, receipt.sequence)
        return Exported(receipt, receipt.sequence, export, target.path, size, sha256, *absent)

    def emit_again(
        self, incident_id: str, sequence: int, target: Target, *, profile: Profile
    ) -> Exported:
        """Fetch the bundle of an earlier export again, byte for byte. Raises `RefusedError`."""
        check_asked(target, profile)
        export, *absent = self._stated(incident_id, sequence)
        size, sha256 = self._fetch(incident_id, sequence, target)
        return Exported(None, sequence, export, target.path, size, sha256, *absent)

    def _path(self, incident_id: str) -> str:
        return f"/v1/incidents/{quoted(incident_id)}/exports"

    def _stated(
        self, incident_id: str, sequence: int
    ) -> tuple[Export, tuple[LeftOut, ...], tuple[LeftOut, ...]]:
        chain = self._incidents.read(incident_id, up_to=sequence)
        manifest = chain.manifests[-1]
        if manifest.statement.type != Type.EXPORT:
            raise RefusedError(
                f"link {sequence} of {incident_id} is no export but "
                f"{manifest.statement.type.value}; see: evault custody {incident_id}"
            )
        export = parse_export(manifest.statement.body, where=manifest.name)
        return export, *left_out(chain, export)

    def _fetch(self, incident_id: str, sequence: int, target: Target) -> tuple[int, str]:
        """Write beside the target, sync, then rename: no half bundle is ever seen."""
        digest, size = hashlib.sha256(), 0
        where = f"{self._path(incident_id)}/{sequence}"
        try:
            descriptor, temporary = tempfile.mkstemp(
                prefix=f".{target.path.name}.", dir=target.path.parent
            )
        except OSError as error:
            raise UnavailableError(f"cannot write {target.path}: {error.strerror}") from error
        try:
            with (
                os.fdopen(descriptor, "wb") as file,
                self._connection.stream(where, patience=LONG_PATIENCE) as (headers, pieces),
            ):
                for piece in pieces:
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    target.progress(len(piece))
                file.flush()
                os.fsync(file.fileno())
            if headers.get("Content-Length") not in (None, str(size)):
                raise UnavailableError("the bundle broke off on its way; run the command again")
            Path(temporary).replace(target.path)
        except OSError as error:
            raise UnavailableError(f"cannot write {target.path}: {error.strerror}") from error
        finally:
            with suppress(OSError):
                Path(temporary).unlink()
        return size, digest.hexdigest()


def check_asked(target: Target, profile: Profile) -> None:
    """Raise `RefusedError` for what a server does not export by."""
    check_target(target.path)
    if target.compress:
        raise RefusedError("a server writes bundles as they are sealed; leave out --compress")
    if profile.sha256 != built_in_profile().sha256:
        raise RefusedError(
            "a server exports by the runbook's profile alone; export by another profile where the "
            "vault's home is"
        )

"""Opening a vault: a home's, on its store and index, or the one that a server serves."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields

from cli.config import HomeConfig
from cli.extras import remote
from cli.home import LOG_KEY, MANIFEST_KEY, STORE, check_home, load_trust
from cli.settings import TRUST, Settings, version
from cli.storage import open_index, open_store
from cli.vault import Vault, let_go, now
from vault import layout, opened
from vault.adapters.pem import Ed25519Signer, P256Signer, load_log_key, load_manifest_key
from vault.adapters.sql import SqlIndex
from vault.errors import UnavailableError
from vault.grants import KnownGrants
from vault.incidents import KnownChains
from vault.log import Log
from vault.opened import Foundation
from vault.ports import LockMode, ObjectStore
from verify.envelope import ManifestKey
from verify.errors import EvidenceError


def open_vault(settings: Settings) -> Vault:
    """Open a home, or the server that is named instead of one.

    Raises `NotFoundError` that says where it looked and what to run.
    """
    if settings.server is not None:
        vault: Vault = remote().open_remote(settings)
        return vault
    config = check_home(settings)
    index = open_index(settings.home, config)
    store = None
    try:
        store = open_store(settings.home, config)
        vault = assemble(settings, config, store, index)
        _check_store(vault)
        # What a dead process committed is carried on before anyone is told of it. Whatever stands
        # in the way is said by the next deposit; it must not keep others from reading.
        with suppress(EvidenceError):
            vault.log.settle()
            vault.retention.settle()
        return vault
    except BaseException:
        index.close()
        if store is not None:
            let_go(store)
        raise


def assemble(settings: Settings, config: HomeConfig, store: ObjectStore, index: SqlIndex) -> Vault:
    """A home's vault on an open store and index. Raises `UnavailableError` for other keys."""
    home = settings.home
    trust = load_trust(home)
    log_signer: Ed25519Signer = load_log_key(home / LOG_KEY)
    signer: P256Signer = load_manifest_key(home / MANIFEST_KEY)
    if log_signer.public != trust.log.public:
        raise UnavailableError(
            f"{home / LOG_KEY} is not the log key of {home / TRUST}; restore both from one backup"
        )
    key = ManifestKey(signer.public)
    if all(key.spki != each.spki for each in trust.keys):
        raise UnavailableError(
            f"{home / MANIFEST_KEY} is not a key of {home / TRUST}; restore both from one backup"
        )
    foundation = Foundation(
        store=store,
        index=index,
        log=Log(store, index, log_signer, trust.origin, key),
        signer=signer,
        trust=trust,
        clock=now,
        version=version(),
        mode=config.store.lock if config.store else LockMode.GOVERNANCE,
        known=KnownChains(),
        granted=KnownGrants(),
    )
    services = opened.assemble(foundation, settings.actor)
    parts = {each.name: getattr(services, each.name) for each in fields(services)}
    return Vault(**parts, home=home, config=config)


def _check_store(vault: Vault) -> None:
    """An emptied store under a full index is a disk that is not mounted, not a log to go on with.

    The first checkpoint alone may be owed to the store, by a process that was killed.
    """
    last = vault.index.log_state().last
    if last and last.number > 1 and not vault.store.exists(layout.publication(1)):
        where = vault.config.store.url if vault.config.store else vault.home / STORE
        raise UnavailableError(
            f"the store {where} holds nothing of the {last.head.size:,} log entries "
            "that the index knows; mount it, or restore it from your backup"
        )

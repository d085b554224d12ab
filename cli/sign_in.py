"""Wiring of who may use the service: tokens, an identity provider where one is named, and grants.

The provider is named by the environment, never by a request: `EVAULT_OIDC_ISSUER` and
`EVAULT_OIDC_AUDIENCE`, and if need be `EVAULT_OIDC_ALGORITHMS` and `EVAULT_OIDC_CLAIM`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vault.access import Grant, VaultRole
from vault.grants import Grants
from vault.http.bearers import Bearers
from vault.http.issuer_keys import IssuerKeys
from vault.http.oidc import EMAIL, Expected, Oidc
from vault.ports import AccessStore, Clock
from vault.tokens import Tokens
from verify.errors import MalformedError

_PREFIX = "EVAULT_OIDC_"
_NAMES = frozenset({"ISSUER", "AUDIENCE", "ALGORITHMS", "CLAIM"})


def bearers_of(store: AccessStore, clock: Clock, environment: Mapping[str, str]) -> Bearers:
    """Who is known by the tokens in `store`, and by the identity provider that is configured.

    Nobody is asked yet: a provider that is away keeps no server from starting. Raises
    `MalformedError` for a configuration that is none.
    """
    expected = read_provider(environment)
    provider = None
    if expected is not None:
        provider = Oidc(expected, IssuerKeys(expected.issuer), clock=clock)
    return Bearers(Tokens(store=store, clock=clock), provider)


def read_provider(environment: Mapping[str, str]) -> Expected | None:
    """The identity provider that the environment names, None where it names none.

    Raises `MalformedError` that names the variable.
    """
    given = {
        name.removeprefix(_PREFIX): value.strip()
        for name, value in environment.items()
        if name.startswith(_PREFIX) and value.strip()
    }
    unknown = sorted(given.keys() - _NAMES)
    if unknown:  # a slip of the pen here would be a weaker check than was meant
        known = ", ".join(f"{_PREFIX}{name}" for name in sorted(_NAMES))
        raise MalformedError(f"{_PREFIX}{unknown[0]} is not known; there are {known}")
    if not given:
        return None
    for needed in ("ISSUER", "AUDIENCE"):
        if needed not in given:
            raise MalformedError(
                f"{_PREFIX}{needed} is missing: an identity provider is named by both its issuer "
                "and the audience that it knows this vault by"
            )
    algorithms = given.get("ALGORITHMS", "").replace(",", " ").split()
    try:
        expected = Expected(given["ISSUER"], given["AUDIENCE"], claim=given.get("CLAIM", EMAIL))
        return (
            Expected(expected.issuer, expected.audience, algorithms, expected.claim)
            if algorithms
            else expected
        )
    except MalformedError as error:
        raise MalformedError(f"{_PREFIX}…: {error}") from error


def live_grants(grants: Grants, clock: Clock) -> Sequence[Grant]:
    """The grants that count now, as requests are judged by."""
    return tuple(
        Grant(each.person, VaultRole(each.role.value), each.chains, each.valid_from, each.valid_to)
        for each in grants.live(clock())
    )

"""The guard: each route declares what it takes to use it, and nothing else lets a request in.

A route that declares nothing stops the app from being made. The permission that is declared is the
one that is checked: there is no second place where a handler could forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from vault.access import Access, Permission
from vault.errors import NotPermittedError, UnauthenticatedError
from vault.http.problems import PRIVATE
from vault.http.served import Asking, Service
from verify.errors import MalformedError

PUBLIC = "public"
"""What a route declares that everyone may use, also without a token."""
AUTHENTICATED = "authenticated"
"""What a route declares that everyone may use whom the vault knows; it judges by itself."""

_DECLARED = "__evault_permission__"
_DEED = "__evault_deed__"
_CHAIN = ("incident", "chain")
"""The parameters of paths that name a chain."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def needs(permission: Permission | str, *, to: str | None = None) -> Callable[[Endpoint], Endpoint]:
    """Declare what a route takes: a permission, `AUTHENTICATED` or `PUBLIC`.

    `to` says what the route does, to who may not, where the permission is for more than that.
    """
    if not isinstance(permission, Permission) and permission not in (PUBLIC, AUTHENTICATED):
        raise TypeError(f"{permission!r} is no permission")

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _DECLARED, permission)
        setattr(endpoint, _DEED, to)
        return endpoint

    return declare


def router(service: Service, prefix: str = "", **options: Any) -> APIRouter:
    """A router whose routes are guarded."""

    class Guarded(GuardedRoute):
        guarding = service

    return APIRouter(prefix=prefix, route_class=Guarded, **options)


class GuardedRoute(APIRoute):
    """A route that lets in only whom it declares."""

    guarding: Service

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """A route. Raises `TypeError` for one that declares nothing."""
        self.permission = getattr(endpoint, _DECLARED, None)
        if self.permission is None:
            raise TypeError(f"{path} declares no permission; see vault.http.guard.needs")
        self.deed: str | None = getattr(endpoint, _DEED, None)
        extra = {**(options.pop("openapi_extra", None) or {}), "x-permission": self.permission}
        if self.permission == PUBLIC:
            extra["security"] = []
        super().__init__(path, endpoint, openapi_extra=extra, **options)

    def get_route_handler(self) -> Handler:
        """The handler, behind the guard."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            _check_texts("path", request.path_params.items())
            if self.permission != Permission.INGEST:  # what is claimed of evidence is kept as it is
                _check_texts("query", request.query_params.multi_items())
            try:
                if self.permission == PUBLIC:
                    return await handle(request)
                request.state.asking = await run_in_threadpool(self._admit, request)
                request.state.let_in(request.state.identity.id)  # a stranger's no more
                request.state.still_admitted = partial(self._still, request)
                response = await handle(request)
                for name, value in PRIVATE.items():
                    response.headers.setdefault(name, value)
                return response
            except NotPermittedError as error:
                await run_in_threadpool(self._note, request, error)
                raise

        return guarded

    def _admit(self, request: Request) -> Asking:
        service = self.guarding
        address = request.client.host if request.client else ""
        identity = service.authenticator.identify(bearer_of(request), address)
        request.state.identity = identity
        service.pace.check(identity.id)
        access = Access(identity, service.grants(), at=service.vault.clock())
        if isinstance(self.permission, Permission):
            access.check(self.permission, chain_of(request.path_params), deed=self.deed)
        return Asking(access, service.acting_as(identity.actor))

    def _still(self, request: Request) -> None:
        """Judge anew once a body has come, which may have taken days: by the grants as they are.

        A token of the vault's own has to be valid still. One of a provider lives for minutes, and
        would expire under any long body: it is not asked for again.
        """
        service, identity = self.guarding, asking(request).identity
        if identity.token is not None:
            service.authenticator.identify(bearer_of(request), identity.address)
        if isinstance(self.permission, Permission):
            access = Access(identity, service.grants(), at=service.vault.clock())
            access.check(self.permission, chain_of(request.path_params), deed=self.deed)

    def _note(self, request: Request, error: NotPermittedError) -> None:
        """Have a refusal sealed; where it concerns no one chain, the audit log alone has it."""
        identity = request.state.identity
        if error.chain is not None:
            self.guarding.refusals.note(
                error.chain, identity.id, error.permission, identity.address or None
            )


def _check_texts(where: str, named: Iterable[tuple[str, object]]) -> None:
    """Raise `MalformedError` for a NUL in a path or a query: not every database holds it."""
    for name, value in named:
        if "\0" in f"{name}{value}":
            raise MalformedError(f"{where}.{name}: has the character U+0000, which no text has")


def bearer_of(request: Request) -> str:
    """The bearer token of a request. Raises `UnauthenticatedError`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError(
            "this takes a token: Authorization: Bearer TOKEN; get one from who runs the vault "
            "(evault token add)"
        )
    return token.strip()


def chain_of(path_parameters: Mapping[str, object]) -> str | None:
    """The chain that a path names, None where it names none."""
    return next((str(path_parameters[each]) for each in _CHAIN if each in path_parameters), None)


def asking(request: Request) -> Asking:
    """Who asks, and the vault in which they act; for `Depends` in handlers."""
    found = request.state.asking
    assert isinstance(found, Asking)
    return found


def still_admitted(request: Request) -> Callable[[], None]:
    """Judges who asks anew, as of the call; for `Depends` in handlers. It raises as the guard."""
    judge: Callable[[], None] = request.state.still_admitted
    return judge


def include(app: FastAPI, routes: APIRouter) -> None:
    """Add routes to an app. Raises `TypeError` where no guard stands before one of them."""
    bare = [_path(each) for each in routes.routes if not isinstance(each, GuardedRoute)]
    if bare:
        raise TypeError(f"these routes are not guarded: {', '.join(bare)}")
    # As they are: an included router is made anew at the first request, in whatever thread that is.
    app.router.routes.extend(routes.routes)


def routes_of(app: FastAPI) -> list[GuardedRoute]:
    """All routes of an app. Raises `TypeError` where one of them, wherever from, is not guarded."""
    found: list[GuardedRoute] = []
    for each in iter_route_contexts(app.routes):
        route = each.original_route
        if not isinstance(route, GuardedRoute):
            raise TypeError(f"{_path(route)} is not guarded; see vault.http.guard.router")
        found.append(route)
    return found


def _path(route: BaseRoute) -> str:
    return str(getattr(route, "path", route))

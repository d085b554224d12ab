"""`evault serve`: the vault over HTTP."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Optional

import typer

from cli.compose import open_vault
from cli.home import check_home
from cli.session import UsageError, settings_of
from vault.errors import UnavailableError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65_535, help="The port.")
    ] = 8470,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", min=1, max=64, help="How many processes serve."),
    ] = 1,
    proxy: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--proxy",
            metavar="ADDRESS",
            help="A proxy whose X-Forwarded-For is believed; repeatable.",
        ),
    ] = None,
) -> None:
    """Serve this vault over HTTP until told to stop (SIGTERM, Ctrl-C).

    People and collectors sign in with tokens (evault token add) or by an identity provider
    (EVAULT_OIDC_ISSUER, EVAULT_OIDC_AUDIENCE); what people may do, grants say (evault grant add).
    TLS is for the proxy in front of it. Several workers and hosts may serve one vault at once.
    """
    settings = settings_of(context)
    check_home(settings)
    open_vault(settings).close()  # what stands in the way is said now, once, not by each worker
    try:
        serving = importlib.import_module("cli.serving")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"serving needs {error.name}; run: pip install 'evidence-vault[server]'"
        ) from error
    importlib.import_module("cli.sign_in").read_provider(os.environ)
    serving.read_limits(os.environ)
    if not serving.is_free(host, port):
        raise UsageError(f"something listens at {host}:{port} already; choose another --port")
    os.environ["EVAULT_HOME"] = str(settings.home)  # for the workers, which are new processes
    os.environ.pop("EVAULT_URL", None)
    print(f"Serving {settings.home} at http://{host}:{port} (stop with Ctrl-C)", file=sys.stderr)
    serving.serve(serving.Listening(host, port, workers, tuple(proxy or ())))

"""Files for others: written new and whole or not at all, or given to standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cli.session import UsageError, let_go_of_output
from vault.errors import UnavailableError


def check_new_file(path: Path, *, option: str = "-o") -> None:
    """Raise unless a new file can be written there; called before anything is sealed.

    `option` is what names another file.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already; name another file with {option}")
    if not path.parent.is_dir():
        raise UsageError(
            f"there is no folder {path.parent}; make it, or name another with {option}"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UnavailableError(f"cannot write to {path.parent}; name another place with {option}")


def write_new_file(target: Path, pieces: Iterable[bytes], *, option: str = "-o") -> None:
    """Write beside the target, sync, then link: never half a file, never over another.

    Raises `UsageError` if something is there already, `UnavailableError` if it cannot be written;
    `option` is what names another file.
    """
    partial = None
    try:
        descriptor, partial = tempfile.mkstemp(prefix=".evault-", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        try:
            target.hardlink_to(partial)
        except FileExistsError:
            raise UsageError(
                f"{target} is there already; name another file with {option}"
            ) from None
        except OSError:  # a file system without hard links; the name was free a moment ago
            Path(partial).rename(target)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {target}: {error.strerror or error}; name another file with {option}"
        ) from error
    finally:
        if partial:
            with suppress(OSError):
                Path(partial).unlink()


def print_bytes(data: bytes) -> None:
    """Give a whole file to standard output, whose reader may have seen enough."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        let_go_of_output()

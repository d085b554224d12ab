"""A git repository at a revision: the commit, the listing of its tree, and a bundle of its history.

The `git` program reads the repository; nothing is checked out, no hook runs, nothing is fetched,
and replacements (`refs/replace`) are not followed. The bundle holds every object that the commit
reaches, so that its hashes can be recomputed; `git clone` takes it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from ingest.source import Found, Reader, SourceUnreadableError
from ingest.sources.stream import StreamReader

_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_QUIET = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class GitSource:
    """`Source` over one revision of a repository."""

    def __init__(self, repository: Path, revision: str) -> None:
        self._repository = repository
        self._revision = revision
        self._commands: dict[str, tuple[list[str], bytes, bytes]] = {}

    def survey(self) -> Iterator[Found]:
        """Commit, tree and bundle. Raises `SourceUnreadableError`."""
        name = f"{self._revision}^{{commit}}"
        commit = self._said("rev-parse", "--verify", "--end-of-options", name)
        if not _HASH.match(commit):
            raise SourceUnreadableError(f"{self._revision!r} is no commit; nothing sealed")
        top = os.path.abspath(self._repository)  # noqa: PTH100 — resolve() would follow links
        base = os.fsencode(Path(top).name).decode("utf-8", "replace") or "repository"
        header = b"# v2 git bundle\n"
        if len(commit) == 64:
            header = b"# v3 git bundle\n@object-format=sha256\n"
        header += f"{commit} refs/heads/evidence\n\n".encode()
        pack = ["-c", "pack.threads=1", "pack-objects", "--revs", "--stdout", "-q"]
        for name, words, given, before in (
            ("commit", ["cat-file", "commit", commit], b"", b""),
            ("tree", ["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit], b"", b""),
            ("bundle", pack, f"{commit}\n".encode(), header),
        ):
            self._commands[f"{base}@{commit[:12]}/{name}"] = (words, given, before)
        for full in self._commands:
            yield Found(
                name=full,
                name_bytes=None,
                path=f"{os.fsencode(top).decode('utf-8', 'replace')} at {commit}",
                size=0,
                modified_at=None,
            )

    def open(self, found: Found) -> Reader:
        """Run git for it."""
        words, given, before = self._commands[found.name]
        return _GitReader(self._words(*words), given, before)

    def _words(self, *words: str) -> list[str]:
        return ["git", "--no-pager", "-C", os.fspath(self._repository), *words]

    def _said(self, *words: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 — words of ours, behind --end-of-options
                self._words(*words), env=os.environ | _QUIET, capture_output=True, check=False
            )
        except OSError as error:
            raise SourceUnreadableError(f"cannot run git: {error.strerror or error}") from error
        if done.returncode:
            detail = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
            raise SourceUnreadableError(f"{self._repository}: {detail}; nothing sealed")
        return done.stdout.decode("ascii", "replace").strip()


class _GitReader:
    """`Reader` of what git writes; that git failed is found at the end of the bytes."""

    def __init__(self, words: list[str], given: bytes, before: bytes) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 — `close` does
        try:
            self._process = subprocess.Popen(  # noqa: S603 — words of ours, and a hash
                words,
                env=os.environ | _QUIET,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except OSError as error:
            self._errors.close()
            raise SourceUnreadableError(f"cannot run git: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(given)  # a line, which any pipe takes
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._before = before
        self._reader = StreamReader(cast("BinaryIO", self._process.stdout))
        self.size = None if self._reader.size is None else self._reader.size + len(before)

    def pieces(self) -> Iterator[bytes]:
        """What git writes. Raises `SourceUnreadableError`."""
        if self._before:
            yield self._before
        yield from self._reader.pieces()
        if self._process.wait():
            self._errors.seek(0)
            detail = self._errors.read(500).decode("utf-8", "replace").strip().split("\n")[0]
            raise SourceUnreadableError(f"git: {detail or 'failed'}")

    def settle(self, sha256: str) -> tuple[str, ...]:
        """Objects of git do not change."""
        del sha256
        return ()

    def close(self) -> None:
        """End git if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

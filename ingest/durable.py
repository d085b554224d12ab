"""Writing that survives: bytes are on the disk, and names in their folder, before a call returns.

One seam for everything a spool changes on disk, so that each change can be made to fail in a test.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """Changes of a file system. Everything raises `OSError`."""

    def make_folder(self, path: Path) -> None:
        """A new folder that is its owner's alone."""
        path.mkdir(mode=0o700)

    def create(self, path: Path) -> int:
        """A new file that is its owner's alone, open for writing; its descriptor."""
        return os.open(path, _NEW, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data`, at the file's position."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def cut(self, descriptor: int, size: int) -> None:
        """Let a file end after `size` bytes, and be written on from there."""
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)

    def sync(self, descriptor: int) -> None:
        """Have a file's bytes on the disk."""
        os.fsync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Have a folder's names on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or folder another name, in one step."""
        path.rename(target)

    def remove(self, path: Path) -> None:
        """Remove a folder with all that is in it, or a file; nothing if it is gone."""
        if path.is_dir() and not path.is_symlink():
            with suppress(FileNotFoundError):  # another process sweeps it too
                shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def replace(self, path: Path, data: bytes) -> None:
        """Have a file hold `data`: the old bytes or the new ones, at any moment, never a part."""
        temporary = path.with_name(f".{path.name}.new")
        self.remove(temporary)
        descriptor = self.create(temporary)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        self.rename(temporary, path)
        self.sync_folder(path.parent)

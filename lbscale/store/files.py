"""Files below one root, on a local disk or in an object store.

Nothing relies on a rename or on a lock: what must happen once is an exclusive create, and what must be whole carries
checksums that are written last.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from lbscale.errors import InputError

_BLOCK_BYTES = 1 << 20


def below(root: str | Path, name: str = "") -> str:
    """The path or URL of something below a folder."""
    text = str(root)
    folder = text if text.endswith("://") else text.rstrip("/") or "/"
    return f"{folder}{'' if folder.endswith('/') else '/'}{name}" if name else folder


class Files:
    """The files below `root`, a path or a URL that fsspec knows; names are relative to it, with forward slashes.

    Raises InputError for a URL that nothing installed here can read.
    """

    def __init__(self, root: str | Path) -> None:
        self._system: fsspec.AbstractFileSystem
        try:
            # A listing that is kept would hide what other workers write.
            self._system, self._root = url_to_fs(str(root), use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise InputError(
                "results", str(root), f"a folder, or a URL that fsspec knows, is needed: {error}"
            ) from None
        self.is_local = "file" in self._system.protocol
        self.root = str(root)

    def path(self, name: str = "") -> str:
        """The file's full path or URL, for other libraries and for messages."""
        return below(self._root if self.is_local else self.root, name)

    def _inner(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Errors name the file: those of writing, a full disk among them, come without."""
        try:
            yield
        except OSError as error:
            error.filename = error.filename or self.path(name)
            raise

    def exists(self, name: str) -> bool:
        """Whether a file or folder of the name is there."""
        return bool(self._system.exists(self._inner(name)))

    def is_folder(self, name: str = "") -> bool:
        """Whether the name is a folder's."""
        return bool(self._system.isdir(self._inner(name)))

    def read(self, name: str) -> bytes:
        """A file's content; raises OSError (FileNotFoundError) where it cannot be had."""
        with self._named(name):
            if not self.is_local:
                return bytes(self._system.cat_file(self._inner(name)))
            # A third of the time that fsspec's own file takes, and studies have thousands of them.
            with open(self._inner(name), "rb", buffering=0) as file:
                return file.read()

    def blocks(self, name: str) -> Iterator[bytes]:
        """A file's content in blocks, for what should not stand in memory whole; raises OSError as `read` does."""
        with self._named(name), self._system.open(self._inner(name), "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    def write(self, name: str, content: bytes) -> None:
        """Write a file, over what was there; readers may meet a part of it."""
        with self._named(name):
            self._make_folder(name)
            with self._system.open(self._inner(name), "wb") as file:
                file.write(content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that nobody wrote yet; False, and nothing changed, where it is there. Of several that try at
        once one succeeds; one whose disk is full leaves nothing."""
        try:
            with self._named(name):
                self._make_folder(name)
                if self.is_local:  # fsspec's own would look first and write then
                    self._create_local(self._inner(name), content)
                else:
                    self._system.pipe_file(self._inner(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    @staticmethod
    def _create_local(path: str, content: bytes) -> None:
        with open(path, "xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                os.unlink(path)
                raise

    def holding(self, folder: str, name: str) -> list[str]:
        """Those folders directly below a folder that hold a file of the name, sorted."""
        if self.is_local:
            return [found for found in self.names(folder) if os.path.exists(self._inner(f"{folder}/{found}/{name}"))]
        listed = (path.split("/") for path in self.walk(folder))  # one listing instead of a question for each
        return sorted(found for found, *rest in listed if rest == [name])

    def names(self, folder: str = "") -> list[str]:
        """Names of files and folders directly below, sorted; none where there is no such folder."""
        try:
            listed = self._system.ls(self._inner(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in listed)

    def walk(self, folder: str) -> list[str]:
        """Every file below a folder, relative to it, sorted."""
        inner = self._inner(folder)
        return sorted(path[len(inner) + 1 :] for path in self._system.find(inner))

    def n_bytes(self, name: str) -> int:
        """Bytes of a file, or of all files below a folder; 0 where there is none."""
        try:
            return int(self._system.du(self._inner(name)))
        except FileNotFoundError:
            return 0

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all below it; nothing happens where there is none."""
        try:
            self._system.rm(self._inner(name), recursive=True)
        except FileNotFoundError:
            return

    def _make_folder(self, name: str) -> None:
        self._system.makedirs(self._inner(name).rsplit("/", 1)[0], exist_ok=True)

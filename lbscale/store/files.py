"""Files below one root, on a local disk or in an object store.

Nothing relies on a rename or on a lock: what must happen once is an exclusive create, and what must be whole carries
checksums that are written last.
"""

from __future__ import annotations

from pathlib import Path

import fsspec
from fsspec.core import url_to_fs


class Files:
    """The files below `root`, a path or a URL that fsspec knows; names are relative to it, with forward slashes."""

    def __init__(self, root: str | Path) -> None:
        self._system: fsspec.AbstractFileSystem
        self._system, self._root = url_to_fs(str(root))
        self._is_local = "file" in self._system.protocol
        self.root = str(root)

    def path(self, name: str = "") -> str:
        """The file's full path or URL, for other libraries and for messages."""
        return f"{self._root if self._is_local else self.root}/{name}".rstrip("/")

    def _inner(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def exists(self, name: str) -> bool:
        """Whether a file or folder of the name is there."""
        return bool(self._system.exists(self._inner(name)))

    def read(self, name: str) -> bytes:
        """A file's content; raises OSError (FileNotFoundError) where it cannot be had."""
        with self._system.open(self._inner(name), "rb") as file:
            return bytes(file.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file, over what was there; readers may meet a part of it."""
        self._make_folder(name)
        with self._system.open(self._inner(name), "wb") as file:
            file.write(content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that nobody wrote yet; False, and nothing changed, where it is there. Of several that try at
        once one succeeds."""
        self._make_folder(name)
        try:
            if self._is_local:  # fsspec's own would look first and write then
                with open(self._inner(name), "xb") as file:
                    file.write(content)
            else:
                self._system.pipe_file(self._inner(name), content, mode="create")
        except FileExistsError:
            return False
        return True

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

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all below it; nothing happens where there is none."""
        try:
            self._system.rm(self._inner(name), recursive=True)
        except FileNotFoundError:
            return

    def _make_folder(self, name: str) -> None:
        self._system.makedirs(self._inner(name).rsplit("/", 1)[0], exist_ok=True)

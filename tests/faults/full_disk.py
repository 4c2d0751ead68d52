"""Carry a study through a disk that fills: run as `unshare -rm python full_disk.py FOLDER SIZE...`, so that small file
systems can be mounted; prints, as JSON, what was said at each size and what became of the study.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damage import MODULE, Said, lbscale, quick_claims, table

from lbscale.cli.quiet import quiet_threads
from lbscale.store import Files, Store, verify


def carry(folder: Path, make_space: Callable[[], None]) -> dict[str, Any]:
    """Run the study of a folder on a disk that is full at some point, and again after space is made; raises
    AssertionError where a command does not end as it should, or what was recorded is lost."""
    words = ("run", str(folder / "tiny.py"), "--worker", "--results", str(folder / "results"), "--save-every", "0")
    store = Store(folder / "results" / "tiny")
    with quick_claims():
        first = lbscale(*words)
        recorded = store.whole_keys()
        make_space()
        for _ in range(2):  # a file that was cut short in the first may be named in the second
            again = lbscale(*words)
            if again.code != 2:
                break
            assert lbscale("verify", str(folder / "results"), "--remove").code == 1, again.err
    assert is_answer(first) or is_refusal(first, code=1), first
    assert is_answer(again), again
    assert set(recorded) <= set(store.whole_keys())
    assert [each for each in verify(Files(store.root)).findings if each.broken] == []
    return {"code": first.code, "err": first.err, "n_recorded": len(recorded), "table": repr(table(folder / "results"))}


def is_answer(said: Said) -> bool:
    """Whether a command did what it was asked."""
    return said.code == 0 and "Traceback" not in said.err


def is_refusal(said: Said, code: int) -> bool:
    """Whether a command ended with the code and one line of its own, after those of its progress."""
    own = [line for line in said.err.splitlines() if line.startswith("lbscale: ")]
    return said.code == code and len(own) == 1 and said.err.endswith(f"{own[0]}\n") and "Traceback" not in said.err


def study(folder: Path) -> Path:
    """A folder of that name with the module `tiny.py`."""
    folder.mkdir()
    (folder / "tiny.py").write_text(MODULE)
    return folder


def mount(folder: Path, *options: str) -> None:
    """Mount memory there, or mount it anew."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)], check=True)


def on_small_disk(folder: Path, n_bytes: int) -> dict[str, Any]:
    """The study on a disk of so many bytes, of which there are enough later."""
    study(folder)
    mount(folder / "results", f"size={n_bytes}")
    return carry(folder, lambda: mount(folder / "results", "remount", "size=64m"))


def on_read_only_disk(folder: Path) -> dict[str, Any]:
    """What is said where nothing can be written."""
    study(folder)
    mount(folder / "results", "ro")
    said = lbscale("run", str(folder / "tiny.py"), "--worker", "--results", str(folder / "results"))
    assert is_refusal(said, code=2), said
    return {"code": said.code, "err": said.err}


if __name__ == "__main__":
    root, *sizes = sys.argv[1:]
    quiet_threads()  # as the console script does
    found = [on_small_disk(Path(root) / size, int(size)) for size in sizes]
    print(json.dumps([*found, on_read_only_disk(Path(root) / "read-only")]))

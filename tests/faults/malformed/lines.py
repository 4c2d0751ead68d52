"""Command lines: words of good ones dropped, doubled, swapped, misspelt or replaced."""

from __future__ import annotations

from random import Random

from malformed.case import Case
from malformed.mutate import damaged_text
from malformed.tables import OPTIONS

TABLE = b"n_params,n_tokens,loss\n1e6,1e8,3.0\n1e7,1e8,2.9\n1e7,1e9,2.5\n1e8,1e9,2.2\n1e8,1e10,2.0\n1e9,1e10,1.9\n"
FILES = {"table.csv": TABLE, "empty.py": b"RUNS = []\n", "broken.json": b"{", "folder/x": b""}
GOOD = (
    ("fit", "table.csv", "--law", "chinchilla", "--bootstrap", "0"),
    ("fit", "table.csv", "--law", "kaplan", "--bootstrap", "0", "--json", "--out", "out.json"),
    ("fit", "table.csv", "--law", "chinchilla", "--map", "n_params=n_params", "--fix", "E=1.5", "--bootstrap", "0"),
    ("compare", "table.csv", "--laws", "chinchilla,kaplan", "--bootstrap", "0"),
    ("predict", "broken.json", "--set", "n_params=1", "n_tokens=1"),
    ("recommend", "--flops", "1e20", "--from", "broken.json"),
    ("list",),
    ("list", "--json"),
    ("plan", "empty.py", "--mesh", "data=2", "--remat", "dots"),
    ("run", "empty.py", "--results", "folder"),
    ("status", "empty.py", "--json"),
    ("results", "empty.py", "--csv"),
    ("report", "empty.py"),
    ("--version",),
    ("--help",),
    ("fit", "--help"),
)
WORDS = (
    *(
        "fit",
        "run",
        "x",
        "",
        "-",
        "--",
        "---",
        "-h",
        "--json",
        "--out",
        "--set",
        "--from",
        "--law",
        "=",
        "a=",
        "=b",
        "é",
    ),
    *("--nothing", "-x", "nan", "-inf", "-1", "1e400", "9" * 400, "@file", "@table.csv", "*"),
    *(
        "%s",
        "%(prog)s",
        "{}",
        "folder",
        "/",
        ".",
        "..",
        "x" * 300,
        "--json=1",
        "--law=",
        "--bootstrap=-1",
        "--la",
        "--fl",
    ),
    *("--mesh", "data=0", "data=٣", "data=-1", "data=x", "data=1.5", "data=²", "--remat", "--results", "/dev/null"),
)


def line_case(random: Random) -> Case:
    """A good command line with one to three of its words changed; never one that would train."""
    words = list(random.choice(GOOD))
    for _ in range(random.choice((1, 1, 2, 3))):
        words = _changed(random, words)
    words = ["x" if word == "tour" or not word.isprintable() else word[:300] for word in words]
    return Case("command line", tuple(words), FILES, writes=("out.json",))


def _changed(random: Random, words: list[str]) -> list[str]:
    place = random.randrange(len(words) + 1)
    before, here, after = words[:place], words[place : place + 1], words[place + 1 :]
    flag, values = random.choice(OPTIONS)
    return random.choice(
        (
            [*before, *after],
            [*before, *here, *here, *after],
            [*before, random.choice(WORDS), *here, *after],
            [*before, random.choice(WORDS), *after],
            [*before, *(damaged_text(random, word) for word in here), *after],
            [*before, *after, *here],
            [*words, flag, random.choice(values)],
            [*words, flag],
            random.sample(words, len(words)),
        )
    )

"""Experiment modules that are no study, or a study with something wrong, through the commands that open one."""

from __future__ import annotations

from random import Random

from malformed.case import Case
from malformed.mutate import WRONG_VALUES, damaged_bytes, damaged_text

BASE = '''"""Does a small thing learn?"""
from lbscale import sweep
from lbscale.spec import AdamW, ConstantBatch, Constant, Corpus, Decoder, Run, WarmupStableDecay, fraction

BASE = {
    "model": Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=16),
    "data": Corpus(name="text", fingerprint="f", seq_len=64),
    "optimizer": AdamW(),
    "schedule": Constant(),
    "batch": ConstantBatch(64),
    "n_tokens": 1024,
}
'''
GOOD = "RUNS = sweep.product(BASE, learning_rate=[0.1, 0.2])\n"
LAWS = 'LAWS = {"surface": "chinchilla"}\n'
# What goes after the base; VALUE stands for a wrong value.
BODIES = (
    *("", "RUNS = []", "RUNS = VALUE", "RUNS = [VALUE]", "RUNS = 1 / 0", "RUNS = = 1", "RUNS = Run", "RUNS = iter(())"),
    *(
        "import nothing_of_the_name",
        "from lbscale.spec import Nothing",
        "import lbscale.nothing",
        "raise SystemExit(3)",
    ),
    *("raise BaseException('x')", "raise ValueError('a\\nb')", "raise StopIteration"),
    *("def runs(): raise ValueError('x')", "def runs(): yield 1 / 0", "def runs(n): return []", "def runs(): exit(1)"),
    *("async def runs(): return []", "runs = 3", "runs = VALUE", "class RUNS: pass", "def runs(): return runs()"),
    "def runs():\n    yield from sweep.product(BASE, learning_rate=[0.1])\n    raise ValueError('late')",
    "class Odd:\n    def __repr__(self): raise ValueError('no repr')\nRUNS = [Odd()]",
    "class Odd:\n    def __iter__(self): raise ValueError('no iter')\nRUNS = Odd()",
    "class Error(Exception):\n    def __str__(self): raise ValueError('no str')\nraise Error",
    "RUNS = sweep.product(BASE, learning_rate=VALUE)",
    "RUNS = sweep.product(BASE, learning_rate=[VALUE])",
    "RUNS = sweep.product(BASE, n_tokens=[VALUE], learning_rate=[0.1])",
    "RUNS = sweep.product(BASE, nothing=[1], learning_rate=[0.1])",
    "RUNS = sweep.product(BASE)",
    "RUNS = sweep.product(VALUE, learning_rate=[0.1])",
    "RUNS = [Run(**{**BASE, 'learning_rate': 0.1, 'model': VALUE})]",
    "RUNS = [Run(**{**BASE, 'learning_rate': 0.1, 'schedule': WarmupStableDecay(VALUE)})]",
    "RUNS = [Run(**{**BASE, 'learning_rate': 0.1, 'data': Corpus(name=VALUE, fingerprint='f', seq_len=64)})]",
    "RUNS = [Run(**{**BASE, 'learning_rate': 0.1, 'batch': ConstantBatch(VALUE)})]",
    "RUNS = [Run(**{**BASE, 'learning_rate': 0.1, 'optimizer': AdamW(beta2=VALUE)})]",
    "RUNS = [Run(**{**BASE, 'learning_rate': 0.1, 'schedule': WarmupStableDecay(fraction(VALUE))})]",
    f"{GOOD}LAWS = VALUE",
    f"{GOOD}LAWS = {{'surface': VALUE}}",
    f"{GOOD}LAWS = {{VALUE_KEY: 'chinchilla'}}",
    f"{GOOD}LAWS = {{'surface': 'chinchila'}}",
    f"{GOOD}follow_up = VALUE",
    f"{GOOD}def follow_up(): return []",
    f"{GOOD}def follow_up(fits, more): return []",
    f"{GOOD}figures = VALUE",
    f"{GOOD}def figures(): return {{}}",
    f"{GOOD}__doc__ = VALUE",
    f"{GOOD}__file__ = VALUE",
)
NAMES = (
    "mine.py",
    "mine.py",
    "mine.py",
    "./mine.py",
    "strange name.py",
    "ünï.py",
    "a.b.py",
    ".py",
    "-.py",
    "new\nline.py",
)


def module_case(random: Random) -> Case:
    """A module of one of the bodies, or a good one with damaged text or bytes; sometimes not a file at all."""
    verb = random.choice(("status", "results", "report"))
    name = random.choice(NAMES)
    files = {name: _module(random)}
    if random.random() < 0.05:
        files = {f"{name}/inside.txt": b"x"}
    path = random.choice(("experiments/nothing.py", "mine", "x" * 300 + ".py", "")) if random.random() < 0.05 else name
    flags = random.choice(((), (), ("--json",)))
    path = f"./{path}" if path.startswith("-") else path
    return Case("experiment module", (verb, path, *flags), files, detail=repr(files)[-400:])


def _module(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.75:
        value = repr(random.choice(WRONG_VALUES))
        value = value.replace("nan", "float('nan')").replace("inf", "float('inf')")
        key = "None" if value.startswith(("[", "{")) else value
        body = random.choice(BODIES).replace("VALUE_KEY", key).replace("VALUE", value)
        return f"{BASE}{body}\n".encode(errors="surrogatepass")
    if kind < 0.9:
        return damaged_bytes(random, (BASE + GOOD + LAWS).encode())
    return damaged_text(random, BASE + GOOD + LAWS).encode(errors="surrogatepass")

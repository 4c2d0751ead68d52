"""Run many malformed inputs and count what they come to: `python tests/faults/malformed_inputs.py --cases 10000`.

Needs tests/laws on the path (PYTHONPATH). A case is its number: the same number gives the same input anywhere.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from malformed.case import run_case
from malformed.every import make_case


def count(first: int, n_cases: int, said: bool) -> int:
    """Run the cases and print their table; the number that were neither answered nor refused as they should."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    slowest = (0.0, 0)
    for number in range(first, first + n_cases):
        case = make_case(number)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_case(case, Path(folder))
        slowest = max(slowest, (time.perf_counter() - began, number))
        verdict = "fault" if outcome.fault else "answered" if outcome.code == 0 else "refused"
        counts[case.kind, verdict] += 1
        if outcome.fault:
            print(f"case {number}, {case.kind}: {case.words} {case.detail[:300]}\n{outcome.fault}\n", file=sys.stderr)
        elif said and outcome.code:
            print(f"{number}: {outcome.err.rstrip()}", file=sys.stderr)
    print_table(counts)
    print(f"slowest: case {slowest[1]}, {slowest[0]:.1f} s")
    return sum(n for (_, verdict), n in counts.items() if verdict == "fault")


def print_table(counts: collections.Counter[tuple[str, str]]) -> None:
    """Kinds by outcome."""
    verdicts = ("answered", "refused", "fault")
    print(f"{'':20}" + "".join(f"{verdict:>10}" for verdict in verdicts))
    for kind in [*dict.fromkeys(kind for kind, _ in counts), "all"]:
        kinds = {name for name, _ in counts} if kind == "all" else {kind}
        print(f"{kind:20}" + "".join(f"{sum(counts[name, verdict] for name in kinds):>10,}" for verdict in verdicts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--messages", action="store_true", help="print each refusal")
    options = parser.parse_args()
    raise SystemExit(count(options.first, options.cases, options.messages) > 0)

"""The forest as a tree of lines; trees that grow alike stand once, with their number."""

from __future__ import annotations

from collections import defaultdict

from lbscale.count import count_params
from lbscale.plan import Plan, Stretch

_MOST_LINES = 40

# What a tree's drawing depends on: of each stretch in order, its place in the tree, its tokens and how many runs end.
_Shape = tuple[tuple[int, int, int, int, int], ...]


def forest_lines(plan: Plan) -> list[str]:
    """A line a stretch, of the trees in which runs share anything; none where no runs do."""
    alike: dict[tuple[object, _Shape], list[list[tuple[int, Stretch]]]] = defaultdict(list)
    for tree in _trees(plan):
        shape = tuple((depth, s.first_tokens, s.last_tokens, s.n_runs, len(s.ends)) for depth, s in tree)
        alike[tree[0][1].program.model, shape].append(tree)
    shared = {key: trees for key, trees in alike.items() if trees[0][0][1].n_runs > 1}
    n_alone = sum(len(trees) for key, trees in alike.items() if key not in shared)
    lines = [line for trees in shared.values() for line in _drawn(trees)]
    if not lines:
        return []
    more = [f"  and {len(lines) - _MOST_LINES} more lines (--json has them all)"] if len(lines) > _MOST_LINES else []
    alone = [f"{n_alone} runs that share nothing"] if n_alone else []
    return [*lines[:_MOST_LINES], *more, *alone]


def _trees(plan: Plan) -> list[list[tuple[int, Stretch]]]:
    """Every tree's stretches from the root on, a child after its parent and the trunk last, with their depths."""
    children: defaultdict[int | None, list[Stretch]] = defaultdict(list)
    for stretch in plan.stretches:
        children[stretch.parent].append(stretch)
    trees = []
    for root in children[None]:
        tree, open_branches = [], [(0, root)]
        while open_branches:
            depth, stretch = open_branches.pop()
            tree.append((depth, stretch))
            below = sorted(children[stretch.index], key=lambda child: (child.n_runs, child.last_tokens), reverse=True)
            # The trunk goes on at its own depth, after all that branches from it.
            open_branches += [(depth + (i > 0 or child.n_runs == 1), child) for i, child in enumerate(below)]
        trees.append(tree)
    return trees


def _drawn(trees: list[list[tuple[int, Stretch]]]) -> list[str]:
    """One drawing for trees of one shape."""
    lead = trees[0][0][1].lead
    rates = sorted({tree[0][1].lead.learning_rate for tree in trees})
    rate = f"learning rate {rates[0]:.3g}" + (f" to {rates[-1]:.3g}" if len(rates) > 1 else "")
    count = f"{len(trees)} trees alike" if len(trees) > 1 else "1 tree"
    head = f"{count}: {count_params(lead.model).non_embedding:,} params, {rate}, {trees[0][0][1].n_runs} runs each"
    return [head, *(_line(depth, stretch) for depth, stretch in trees[0])]


def _line(depth: int, stretch: Stretch) -> str:
    sizes = ", ".join(f"{updates.size:,}" for updates in stretch.updates)
    shared = f", for {stretch.n_runs} runs" if stretch.n_runs > 1 else ""
    ends = f"; {_runs(len(stretch.ends))}" if stretch.ends and stretch.n_runs > 1 else ""
    return f"  {'  ' * depth}{stretch.first_tokens:,} -> {stretch.last_tokens:,} tokens, batch {sizes}{shared}{ends}"


def _runs(n_ending: int) -> str:
    return "1 run ends" if n_ending == 1 else f"{n_ending} runs end"

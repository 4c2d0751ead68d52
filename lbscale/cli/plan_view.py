"""A plan as a document and as text: its cohorts, its forest, and what it spares."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from lbscale.cli.forest_view import forest_lines
from lbscale.conduct import expected_memory
from lbscale.count import ProgramMemory, count_params
from lbscale.plan import Layout, Plan, kept_apart
from lbscale.spec import run_key


def plan_document(name: str, plan: Plan, layout: Layout) -> dict[str, Any]:
    """The plan's totals, its cohorts and its forest, as plain JSON values."""
    return {
        "study": name,
        "n_runs": len(plan.runs),
        "n_done": plan.n_done,
        "n_shapes": len({cohort.program.model for cohort in plan.cohorts}),
        "n_compilations": plan.n_compilations,
        "flops": plan.flops,
        "flops_alone": plan.flops_alone,
        "layout": {
            "n_devices": layout.n_devices,
            "group_size": layout.group_size,
            "micro_batch_tokens": layout.micro_batch_tokens,
            "remat": layout.remat,
        },
        "cohorts": [
            {
                "n_params": count_params(cohort.program.model).non_embedding,
                "d_model": getattr(cohort.program.model, "d_model", None),
                "n_layers": getattr(cohort.program.model, "n_layers", None),
                "optimizer": cohort.program.rule[0],
                "micro_batch_tokens": cohort.program.micro_batch_tokens,
                "n_runs": len(cohort.runs),
                "n_stretches": len(cohort.stretches),
                "flops": cohort.flops,
                "memory_bytes": _memory(expected_memory(cohort.program, layout)),
            }
            for cohort in plan.cohorts
        ],
        "forest": [
            {
                "index": stretch.index,
                "parent": stretch.parent,
                "first_tokens": stretch.first_tokens,
                "last_tokens": stretch.last_tokens,
                "micro_batch_tokens": stretch.program.micro_batch_tokens,
                "flops": stretch.flops,
                "n_runs": stretch.n_runs,
                "ends": [run_key(run) for run in stretch.ends],
            }
            for stretch in plan.stretches
        ],
        "kept_apart": dict(Counter(map(str, kept_apart(plan.runs)))),
        "notes": _notes(plan),
    }


def _memory(memory: ProgramMemory | None) -> dict[str, int] | None:
    """Bytes on each device; an output is written over the state among the arguments."""
    if memory is None:
        return None
    return {
        "argument": memory.argument_bytes,
        "output": memory.output_bytes,
        "temporary": memory.temporary_bytes,
        "total": memory.total_bytes,
    }


def _notes(plan: Plan) -> list[str]:
    """What a reader of the results should know of the trunks."""
    budgets: dict[int, set[int]] = {}
    root: list[int] = []
    for stretch in plan.stretches:
        root.append(stretch.index if stretch.parent is None else root[stretch.parent])
        budgets.setdefault(root[-1], set()).update(run.n_tokens for run in stretch.ends)
    n_shared = sum(len(found) > 1 for found in budgets.values())
    if not n_shared:
        return []
    trunks = "1 trunk serves" if n_shared == 1 else f"{n_shared} trunks serve"
    fixed = "a trunk fixes the learning rate and the batch size for all its budgets"
    return [
        f"{trunks} several budgets: {fixed}; a law that wants them tuned per budget needs trunks at several of each"
    ]


def plan_text(name: str, plan: Plan, layout: Layout, has_follow_up: bool) -> str:
    """The plan for a reader."""
    document = plan_document(name, plan, layout)
    known = [c["memory_bytes"]["total"] for c in document["cohorts"] if c["memory_bytes"]]
    largest = f", at most {max(known) / 1e6:,.0f} MB a device" if known else ""
    shapes = "1 shape" if document["n_shapes"] == 1 else f"{document['n_shapes']} shapes"
    lines = [
        f"{name}: {len(plan.runs)} runs to train, {plan.n_done} there already, {plan.flops:.3g} FLOPs{_spared(plan)}",
        f"{shapes}, {plan.n_compilations} programs to compile, on {layout.n_devices} devices, "
        f"{layout.group_size} lanes a group{largest}",
        "",
        f"{'n_params':>10} {'width':>6} {'layers':>6} {'micro-batch':>12} {'runs':>5} {'FLOPs':>10} {'MB':>8}",
    ]
    lines += [
        f"{c['n_params']:>10,} {c['d_model'] or '-':>6} {c['n_layers'] or '-':>6} {c['micro_batch_tokens']:>12} "
        f"{c['n_runs']:>5} {c['flops']:>10.3g} "
        f"{c['memory_bytes']['total'] / 1e6 if c['memory_bytes'] else math.nan:>8,.1f}"
        for c in document["cohorts"]
    ]
    lines += _section(forest_lines(plan)) + _section(_apart_lines(document["kept_apart"])) + _section(document["notes"])
    if has_follow_up:
        lines += ["", "then a follow-up that the fitted laws decide"]
    return "\n".join(lines)


def _spared(plan: Plan) -> str:
    if plan.flops >= plan.flops_alone:
        return ""
    return f" ({plan.flops / plan.flops_alone:.2f}x of the {plan.flops_alone:.3g} that they cost alone)"


def _section(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _apart_lines(kept_apart: dict[str, int]) -> list[str]:
    most = 5
    lines = [f"  {text}{f' ({n} pairs of runs)' if n > 1 else ''}" for text, n in kept_apart.items()]
    more = [f"  and {len(lines) - most} more"] if len(lines) > most else []
    return ["runs alike but for budget and schedule share little, because of", *lines[:most], *more] if lines else []

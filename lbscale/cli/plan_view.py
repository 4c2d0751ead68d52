"""A plan as a document and as text."""

from __future__ import annotations

import math
from typing import Any

from lbscale.conduct import expected_memory
from lbscale.count import ProgramMemory, count_params
from lbscale.plan import Layout, Plan


def plan_document(name: str, plan: Plan, layout: Layout) -> dict[str, Any]:
    """The plan's totals and its cohorts, as plain JSON values."""
    return {
        "study": name,
        "n_runs": len(plan.runs),
        "n_done": plan.n_done,
        "n_compilations": plan.n_compilations,
        "flops": plan.flops,
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
                "n_groups": len(cohort.groups),
                "flops": cohort.flops,
                "memory_bytes": _memory(expected_memory(cohort.program, layout)),
            }
            for cohort in plan.cohorts
        ],
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


def plan_text(name: str, plan: Plan, layout: Layout, has_follow_up: bool) -> str:
    """The plan for a reader."""
    document = plan_document(name, plan, layout)
    known = [c["memory_bytes"]["total"] for c in document["cohorts"] if c["memory_bytes"]]
    largest = f", at most {max(known) / 1e6:,.0f} MB a device" if known else ""
    lines = [
        f"{name}: {len(plan.runs)} runs to train, {plan.n_done} there already, {plan.flops:.3g} FLOPs",
        f"{plan.n_compilations} programs to compile, on {layout.n_devices} devices, {layout.group_size} lanes a group"
        f"{largest}",
        "",
        f"{'n_params':>10} {'width':>6} {'layers':>6} {'micro-batch':>12} {'runs':>5} {'FLOPs':>10} {'MB':>8}",
    ]
    lines += [
        f"{c['n_params']:>10,} {c['d_model'] or '-':>6} {c['n_layers'] or '-':>6} {c['micro_batch_tokens']:>12} "
        f"{c['n_runs']:>5} {c['flops']:>10.3g} "
        f"{c['memory_bytes']['total'] / 1e6 if c['memory_bytes'] else math.nan:>8,.1f}"
        for c in document["cohorts"]
    ]
    if has_follow_up:
        lines += ["", "then a follow-up that the fitted laws decide"]
    return "\n".join(lines)

"""What one further run would cost, given what is planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lbscale.clock import origin, shared_tokens, trained_tokens
from lbscale.count import training_flops
from lbscale.plan.cohorts import Plan
from lbscale.spec import Run, run_key


def marginal_cost(planned: Plan | Iterable[Run], run: Run, done: Collection[str] = ()) -> float:
    """Training FLOPs that `run` adds to what is `planned`, or 0 if its key is in `done`.

    It shares the longest prefix that any planned run has in common with it. A run that is done has left its result and
    not the states on its way, so that its trunk would have to be trained again: it spares nothing.
    """
    if run_key(run) in done:
        return 0.0
    runs = planned.runs if isinstance(planned, Plan) else [other for other in planned if run_key(other) not in done]
    start = origin(run)
    shared = max((shared_tokens(run, other) for other in runs if origin(other) == start), default=0)
    return training_flops(run.model, run.data.seq_len, trained_tokens(run) - shared)

"""How a study went, as a document: what was predicted, what was measured, what simple rules would have said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lbscale.laws.scoring import relative_error, score

if TYPE_CHECKING:
    from lbscale.conduct import Conducted


def verdict(conducted: Conducted) -> dict[str, Any]:
    """The study's outcome as plain JSON values; `follow_up` is null until its recommended run is measured.

    The recommended run is the first of the follow-up; the others are its neighbours.
    """
    table = conducted.table
    return {
        "study": conducted.study.name,
        "n_runs": len(table),
        "n_diverged": int((table["status"] == "diverged").sum()),
        "train_flops": float(table["train_flops"].sum()),
        "follow_up_flops": float(conducted.follow_up_table["train_flops"].sum())
        if len(conducted.follow_up_table)
        else 0.0,
        "laws": {name: fit.document() for name, fit in conducted.fits.items()},
        "follow_up": _follow_up(conducted),
    }


def _follow_up(conducted: Conducted) -> dict[str, Any] | None:
    table = conducted.follow_up_table
    if conducted.registered is None or len(table) == 0:
        return None
    predictions = conducted.registered["predictions"]
    rows = {row["key"]: row for row in table.to_dict("records")}
    recommended, *neighbours = [_scored(item, rows.get(item["key"])) for item in predictions]
    losses = [item["measured"] for item in neighbours if item["measured"] is not None]
    best, measured = min(losses, default=None), recommended["measured"]
    noises = [fit.noise.new_run_sd for fit in conducted.fits.values() if fit.residual == "log"]
    return {
        "registered_at": conducted.registered["registered_at"],
        "n_trained_before": len(conducted.registered["trained_before"]),
        "recommended": recommended,
        "optimum": predictions[0]["optimum"],
        "neighbours": neighbours,
        "baselines": _baselines(predictions[0]["baselines"], measured),
        "best_neighbour_loss": best,
        "loss_given_up": None if best is None or measured is None else max(0.0, measured - best),
        "relative_noise_of_a_run": max(noises, default=None),
    }


def _scored(item: Mapping[str, Any], row: Mapping[Any, Any] | None) -> dict[str, Any]:
    """A registered prediction beside what came of it: `status` is finished, diverged or not trained."""
    status = "not trained" if row is None else row["status"]
    loss = float(row["loss"]) if row is not None and status == "finished" else None
    by_law = {name: {**said, **score(said, loss)} for name, said in item["laws"].items()}
    return {"key": item["key"], "point": item["point"], "status": status, "measured": loss, "laws": by_law}


def _baselines(baselines: Mapping[str, Any], loss: float | None) -> dict[str, Any]:
    return {name: {**said, "relative_error": relative_error(said["loss"], loss)} for name, said in baselines.items()}

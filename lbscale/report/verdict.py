"""How a study went: what was predicted, what was measured, and what simple rules would have said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    measured = dict(zip(table["key"], table["loss"], strict=True))
    recommended, *neighbours = [_scored(item, measured.get(item["key"])) for item in predictions]
    if recommended["measured"] is None:
        return None
    losses = [item["measured"] for item in neighbours if item["measured"] is not None]
    best = min(losses) if losses else None
    return {
        "registered_at": conducted.registered["registered_at"],
        "recommended": recommended,
        "optimum": predictions[0]["optimum"],
        "neighbours": neighbours,
        "baselines": _baselines(predictions[0]["baselines"], recommended["measured"]),
        "best_neighbour_loss": best,
        "loss_given_up": None if best is None else max(0.0, recommended["measured"] - best),
    }


def _scored(item: Mapping[str, Any], loss: Any) -> dict[str, Any]:
    """A registered prediction beside what was measured; a diverged run has measured nothing."""
    loss = None if loss is None or loss != loss else float(loss)
    by_law = {}
    for name, said in item["laws"].items():
        inside = {
            f"inside_{which}": None if loss is None or None in said[which] else said[which][0] <= loss <= said[which][1]
            for which in ("interval_mean", "interval_new_run")
        }
        error = None if loss is None else said["value"] / loss - 1
        by_law[name] = {**said, **inside, "relative_error": error}
    return {"key": item["key"], "point": item["point"], "measured": loss, "laws": by_law}


def _baselines(baselines: Mapping[str, Any], loss: float) -> dict[str, Any]:
    return {
        name: {**said, "relative_error": None if said["loss"] is None else said["loss"] / loss - 1}
        for name, said in baselines.items()
    }


def verdict_text(conducted: Conducted, outcome: Mapping[str, Any]) -> str:
    """The outcome for a reader, as it fell."""
    diverged = f", {outcome['n_diverged']} of them diverged" if outcome["n_diverged"] else ", none diverged"
    lines = [f"{outcome['study']}: {outcome['n_runs']} runs{diverged}; {outcome['train_flops']:.3g} FLOPs", ""]
    for fit in conducted.fits.values():
        lines += [fit.summary(), ""]
    follow_up = outcome["follow_up"]
    if follow_up is None:
        return "\n".join(lines).rstrip()
    lines += _recommended_lines(follow_up, outcome["follow_up_flops"])
    lines += [
        "",
        f"its neighbours, trained beside it: {'learning rate':>20} {'batch':>7} {'predicted':>10} {'measured':>9}",
    ]
    for item in (follow_up["recommended"], *follow_up["neighbours"]):
        said = next(iter(item["laws"].values()))
        loss = "diverged" if item["measured"] is None else f"{item['measured']:.4f}"
        point, mark = item["point"], "recommended" if item is follow_up["recommended"] else ""
        rate, batch = point["learning_rate"], point["batch_size_tokens"]
        lines.append(f"{mark:>34} {rate:>20.3g} {batch:>7.0f} {said['value']:>10.4f} {loss:>9}")
    lines.append(_given_up(follow_up))
    return "\n".join(lines)


def _recommended_lines(follow_up: Mapping[str, Any], flops: float) -> list[str]:
    recommended = follow_up["recommended"]
    point, measured = recommended["point"], recommended["measured"]
    lines = [
        f"recommended for {point['n_params']:,.0f} params and {point['n_tokens']:,.0f} tokens: learning rate "
        f"{point['learning_rate']:.3g}, batch {point['batch_size_tokens']:.0f} tokens "
        f"(registered {follow_up['registered_at']}, before it was trained; {flops:.3g} FLOPs with its neighbours)",
        f"  measured                 {measured:.4f} nats per token",
    ]
    for settings in follow_up["optimum"].values():
        for setting, found in settings.items():
            low, high = found["interval"]
            bound = f" ({found['bound']}: the optimum lies at the edge of what was tried)" if found["bound"] else ""
            lines.append(
                f"  best {setting.replace('_', ' '):19} {found['value']:.3g}  95 %: [{low:.3g}, {high:.3g}]{bound}"
            )
    for name, said in recommended["laws"].items():
        lines.append(f"  predicted by {name:11} {said['value']:.4f}  ({said['relative_error']:+.2%})")
        for which, words in (("interval_mean", "the law's mean"), ("interval_new_run", "one new run")):
            low, high = said[which]
            if low is None or high is None:
                lines.append(f"    95 % of {words}: not known")
                continue
            where = "measured lies inside" if said[f"inside_{which}"] else "MEASURED LIES OUTSIDE"
            lines.append(f"    95 % of {words:15} [{low:.4f}, {high:.4f}]: {where}")
    for name, said in follow_up["baselines"].items():
        value = "no answer" if said["loss"] is None else f"{said['loss']:.4f}  ({said['relative_error']:+.2%})"
        lines.append(f"  baseline {name.replace('_', ' '):15} {value}  {said['rule']}")
    return lines


def _given_up(follow_up: Mapping[str, Any]) -> str:
    best, given_up = follow_up["best_neighbour_loss"], follow_up["loss_given_up"]
    if best is None:
        return "no neighbour was measured"
    measured = follow_up["recommended"]["measured"]
    if given_up == 0:
        return f"no neighbour did better: the best of them lost {best - measured:.4f} nats per token more"
    return f"given up against the best neighbour: {given_up:.4f} nats per token ({given_up / best:.2%})"

"""How a study went, as text: the numbers as they fell, with the noise they stand in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbscale.conduct import Conducted

_INSIDE = {True: ": measured lies inside", False: ": MEASURED LIES OUTSIDE", None: ""}


def verdict_text(conducted: Conducted, outcome: Mapping[str, Any]) -> str:
    """The outcome that `verdict` gave, for a reader."""
    diverged = f", {outcome['n_diverged']} of them diverged" if outcome["n_diverged"] else ", none diverged"
    lines = [f"{outcome['study']}: {outcome['n_runs']} runs{diverged}; {outcome['train_flops']:.3g} FLOPs", ""]
    for fit in conducted.fits.values():
        lines += [fit.summary(), ""]
    follow_up = outcome["follow_up"]
    if follow_up is not None:
        lines += _recommended(follow_up, outcome["follow_up_flops"])
        lines += _predictions(follow_up)
        lines += _neighbours(follow_up)
        lines += _given_up(follow_up)
    return "\n".join(lines).rstrip()


def registration(follow_up: Mapping[str, Any]) -> str:
    """When the prediction was written down, and whether any of its runs was there by then."""
    before = follow_up["n_trained_before"]
    what = f"when {before} of these runs had been trained" if before else "before any of these runs was trained"
    return f"registered {follow_up['registered_at']}, {what}"


def _recommended(follow_up: Mapping[str, Any], flops: float) -> list[str]:
    recommended = follow_up["recommended"]
    point, measured = recommended["point"], recommended["measured"]
    outcome = recommended["status"] if measured is None else f"{measured:.4f} nats per token"
    lines = [
        f"recommended for {point['n_params']:,.0f} params and {point['n_tokens']:,.0f} tokens: learning rate "
        f"{point['learning_rate']:.3g}, batch {point['batch_size_tokens']:.0f} tokens",
        f"  {registration(follow_up)}; {flops:.3g} FLOPs with its neighbours",
    ]
    for settings in follow_up["optimum"].values():
        for setting, found in settings.items():
            low, high = found["interval"]
            bound = f" ({found['bound']}: the optimum lies at the edge of what was tried)" if found["bound"] else ""
            name = setting.replace("_", " ")
            lines.append(f"  best {name:19} {found['value']:.3g}  95 %: [{low:.3g}, {high:.3g}]{bound}")
    return [*lines, f"  measured                 {outcome}"]


def _predictions(follow_up: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, said in follow_up["recommended"]["laws"].items():
        lines.append(f"  predicted by {name:11} {said['value']:.4f}  {_percent(said['relative_error'])}")
        for which, words in (("interval_mean", "the law's mean"), ("interval_new_run", "one new run")):
            low, high = said[which]
            known = low is not None and high is not None
            interval = f"[{low:.4f}, {high:.4f}]{_INSIDE[said[f'inside_{which}']]}" if known else "not known"
            lines.append(f"    95 % of {words:15} {interval}")
    for name, said in follow_up["baselines"].items():
        value = "no answer" if said["loss"] is None else f"{said['loss']:.4f}  {_percent(said['relative_error'])}"
        lines.append(f"  baseline {name.replace('_', ' '):15} {value}  {said['rule']}")
    return lines


def _neighbours(follow_up: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        f"{'beside its neighbours:':>22} {'learning rate':>14} {'batch':>7} {'predicted':>10} {'measured':>12}",
    ]
    for item in (follow_up["recommended"], *follow_up["neighbours"]):
        said = next(iter(item["laws"].values()))
        loss = item["status"] if item["measured"] is None else f"{item['measured']:.4f}"
        point, mark = item["point"], "recommended" if item is follow_up["recommended"] else ""
        rate, batch = point["learning_rate"], point["batch_size_tokens"]
        lines.append(f"{mark:>22} {rate:>14.3g} {batch:>7.0f} {said['value']:>10.4f} {loss:>12}")
    return lines


def _given_up(follow_up: Mapping[str, Any]) -> list[str]:
    """What the neighbours say of the recommendation, with the noise that such a comparison stands in."""
    best, given_up = follow_up["best_neighbour_loss"], follow_up["loss_given_up"]
    if best is None or given_up is None:
        return ["no comparison with the neighbours: one side of it was not measured"]
    measured, noise = follow_up["recommended"]["measured"], follow_up["relative_noise_of_a_run"]
    if given_up == 0:
        lines = [f"no neighbour did better: the best of them lost {best - measured:.4f} nats per token more"]
    else:
        lines = [f"given up against the best neighbour: {given_up:.4f} nats per token ({given_up / best:.2%})"]
    if noise is not None:
        lines.append(f"one run scatters by about {noise * measured:.4f}: smaller differences of two runs say little")
    return lines


def _percent(error: float | None) -> str:
    return "" if error is None else f"({error:+.2%})"

"""The panels of a fit: the law and its runs, what it leaves over, its optima, its bowls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lbscale.laws import Fit
from lbscale.laws.table import cells
from lbscale.report.axis import around
from lbscale.report.law_view import View, curve_values, fit_runs, main_columns, view, words
from lbscale.report.panel import N_COLOURS, Line, Panel, Point, colour_of
from lbscale.report.style import short

COUNTS = {"n_params", "n_tokens", "batch_size_tokens", "n_tokens_budget", "train_flops"}
MOST_CELLS = 24
SMALL = (300, 230)
# Which size a tuned setting is drawn against.
AGAINST = {"learning_rate": "n_params", "batch_size_tokens": "n_tokens"}


def law_panels(fit: Fit) -> tuple[Panel, ...]:
    """Two panels a target: the target along the law's main column, and the relative residuals."""
    runs, panels = fit_runs(fit), []
    for which, target in enumerate(fit.law.targets):
        seen = view(fit, runs, which, *main_columns(fit))
        unit = fit.law.target_units[which]
        label = words(target) if unit == "1" else f"{words(target)}, {unit}"
        panels += [_of_target(fit, seen, which, label), _of_residuals(fit, seen)]
    return tuple(panels)


def _of_target(fit: Fit, seen: View, which: int, label: str) -> Panel:
    moved = "" if np.allclose(seen.runs["moved"], 1.0) else ", runs moved to their best"
    heights = np.concatenate([seen.runs["height"], *(curve.mean for curve in seen.curves)])
    log = bool(seen.runs["height"].max() > 3 * seen.runs["height"].min())
    colour = _colours(seen)
    return Panel(
        title=f"{words(fit.law.targets[which])} against {words(seen.along)}{moved}",
        x=_axis(seen.along, np.concatenate([seen.curves[0].x, seen.runs[seen.along]]), room=0.0),
        y=around(label, heights, counts=fit.law.targets[which] in COUNTS, log=log),
        points=tuple(_points(fit, seen, colour, "height", is_noted=True)),
        lines=tuple(
            Line(
                curve.x,
                curve.mean,
                band=(curve.low, curve.high) if np.isfinite(curve.low).any() else None,
                colour=None if curve.value is None else colour[curve.value],
            )
            for curve in seen.curves
        ),
        legend=_legend(seen, colour),
    )


def _of_residuals(fit: Fit, seen: View) -> Panel:
    known = seen.runs[~seen.runs["censored"]]
    rest = View(seen.along, seen.by, known, seen.curves)
    x = _axis(seen.along, np.concatenate([seen.curves[0].x, seen.runs[seen.along]]), room=0.0)
    return Panel(
        title="what the law leaves over",
        x=x,
        y=around("measured over law, less 1, %", [*known["rest"], 0.0]),
        points=tuple(_points(fit, rest, _colours(seen), "rest", is_noted=len(fit.law.targets) > 1)),
        lines=(Line([x.low, x.high], [0.0, 0.0], dashed=True),),
    )


def optimum_panels(fit: Fit, percent: float = 1.0) -> tuple[Panel, ...]:
    """For each tuned setting its best value against a size, with the 95 % interval and the plateau that gives up at
    most `percent` of the loss, up to twice the largest size; points are the best runs of each cell."""
    law = fit.law
    free = [name for name in law.columns if name not in law.tuned]
    rows = pd.DataFrame(fit.rows).query("not censored")
    cell = _cells(rows)
    best = rows.loc[rows.groupby(cell)["loss"].idxmin()]
    middle = {name: float(np.exp(np.log(rows[name]).mean())) for name in free}
    return tuple(_of_optimum(fit, best, setting, middle, percent) for setting in law.tuned)


def _of_optimum(fit: Fit, best: pd.DataFrame, setting: str, middle: Mapping[str, float], percent: float) -> Panel:
    along = AGAINST.get(setting, next(iter(middle)))
    across = next((name for name in middle if name != along), along)
    values = np.geomspace(best[along].min(), 2 * best[along].max(), 25)
    points = [{**middle, along: float(value)} for value in values]
    found = [fit.optimum(**point)[setting] for point in points]
    interval = np.array([item["interval"] for item in found], float)
    flat = np.array([fit.plateau(percent, **point)[setting] for point in points]) if fit.law.loss_to_setting else None
    mean = np.array([item["value"] for item in found])
    colour = colour_of(best[across])
    reach = [*mean, *best[setting], *(flat.ravel() if flat is not None else ())]
    edges = [] if flat is None else [Line(values, edge, dashed=True) for edge in flat.T]
    fixed = ", ".join(f"{short(value)} {words(name)}" for name, value in middle.items() if name != along)
    return Panel(
        title=f"best {words(setting)} against {words(along)}" + (f", at {fixed}" if fixed else ""),
        x=_axis(along, values),
        y=around(words(setting), reach, counts=setting in COUNTS, log=True),
        points=tuple(
            Point(row[along], row[setting], _name(fit, row), ("best run of its cell",), colour[row[across]], "best")
            for row in best.to_dict("records")
        ),
        lines=(Line(values, mean, (interval[:, 0], interval[:, 1])), *edges),
        legend=(("curve", "fitted optimum, 95 %"), *((("dashed", f"gives up {percent:g} %"),) if edges else ())),
    )


def bowl_panels(fit: Fit) -> tuple[Panel, ...]:
    """For a law that tunes two settings, the loss against the first in each cell of params and tokens, coloured by the
    second; of many cells, some from the smallest to the largest."""
    runs = fit_runs(fit)
    cell = _cells(runs)
    order = (
        runs.assign(cell=cell).groupby("cell")[["n_params", "n_tokens"]].first().sort_values(["n_tokens", "n_params"])
    )
    chosen = order.index[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_CELLS)).round().astype(int))]
    along, by = fit.law.tuned[:2]
    colour = colour_of(runs[by])
    reach = runs[along].to_numpy()
    return tuple(_of_cell(fit, runs[cell == code], along, by, colour, reach) for code in chosen)


def _of_cell(fit: Fit, runs: pd.DataFrame, along: str, by: str, colour: Mapping[float, int], reach: Any) -> Panel:
    seen = view(fit, runs, 0, along, by)
    x = _axis(along, reach)
    rates = np.geomspace(x.low, x.high, 80)
    point = {name: float(runs[name].iloc[0]) for name in fit.law.columns}
    lines = []
    for value in curve_values(runs[by]):
        columns = {name: np.full_like(rates, number) for name, number in {**point, by: value}.items()} | {along: rates}
        lines.append(Line(rates, fit.law.predict(fit.theta, columns), colour=colour[value]))
    low, high = runs["loss"].min(), runs["loss"].max()
    spare = max(0.25 * (high - low), 0.01 * low)
    return Panel(
        title=f"{short(point['n_params'])} params, {short(point['n_tokens'])} tokens",
        x=x,
        y=around("loss", [low - spare, high + spare], log=False, room=0.0),
        points=tuple(_points(fit, seen, colour, "height")),
        lines=tuple(lines),
        size=SMALL,
    )


def bowl_legend(fit: Fit) -> tuple[tuple[int | str, str], ...]:
    """What the colours of `bowl_panels` stand for."""
    values = pd.DataFrame(fit.rows)[fit.law.tuned[1]]
    colour = colour_of(values)
    shown = sorted(colour) if len(colour) <= N_COLOURS else curve_values(values)
    return tuple((colour[value], f"{value:,.4g}" if value < 1 else f"{value:,.0f}") for value in shown)


def _points(fit: Fit, seen: View, colour: Mapping[float, int], height: str, is_noted: bool = False) -> list[Point]:
    """The view's runs at a height of theirs; what the law says of each is noted on one panel of its section."""
    found = []
    for row in seen.runs.to_dict("records"):
        kind = "bound" if row["censored"] else "held" if row["held"] else "run"
        said = f"law {row['predicted']:.4g}"
        said += "; unfinished: at least this" if row["censored"] else f", measured {row['rest']:+.2f} % from it"
        note = (said, "held out") if row["held"] else (said,)
        tone = colour[row[seen.by]] if seen.by else None
        found.append(Point(row[seen.along], row[height], _name(fit, row), note if is_noted else (), tone, kind))
    return found


def _name(fit: Fit, row: Mapping[Any, Any]) -> str:
    """The run's label in the table, or, of a law that is fitted to what was made of runs, what that is about."""
    if fit.law.reduce is None:
        return str(row["row"])
    columns = (*fit.law.columns, *fit.law.targets)
    return ", ".join(
        f"{words(name)} {short(row[name]) if name in COUNTS else format(row[name], '.4g')}" for name in columns
    )


def _colours(seen: View) -> dict[float, int]:
    return colour_of(seen.runs[seen.by]) if seen.by else {}


def _legend(seen: View, colour: Mapping[float, int]) -> tuple[tuple[int | str, str], ...]:
    shown = [] if seen.by is None else sorted(colour) if len(colour) <= N_COLOURS else curve_values(seen.runs[seen.by])
    named = [(colour[value], f"{short(value)} {words(str(seen.by))}") for value in shown]
    band = any(np.isfinite(curve.low).any() for curve in seen.curves)
    kinds = (
        ("band", "95 % of the mean", band),
        ("held", f"held out ({int(seen.runs['held'].sum())})", seen.runs["held"].any()),
        ("bound", f"unfinished ({int(seen.runs['censored'].sum())})", seen.runs["censored"].any()),
    )
    return (*named, *((kind, text) for kind, text, here in kinds if here))


def _axis(column: str, values: Any, room: float = 0.06) -> Any:
    return around(words(column), values, counts=column in COUNTS, room=room)


def _cells(rows: pd.DataFrame) -> Any:
    zeros = np.zeros(len(rows))
    size, tokens = (rows[name].to_numpy(float) if name in rows else zeros + 1 for name in ("n_params", "n_tokens"))
    return cells(size, tokens)

"""A design before it is trained: its cells beside the target, and the settings tried about each cell's best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import ticker
from numpy.typing import NDArray

from lbscale.laws.design import Design
from lbscale.report.panels import figure_of, panels
from lbscale.report.style import ACCENT, WARM, colours, log_ticks, short, styled


def design_figure(design: Design, ax: Any = None) -> NDArray[Any]:
    """Left, cells and the target in params and tokens, as large as their runs are many; right, learning rates against
    batches, a colour a size. Draws on the two axes `ax` where they are given; returns the axes (2,)."""
    with styled():
        drawn = panels(ax, 1, 2, figsize=(9.6, 4.4))[0]
        left, right = drawn
        shade = colours(cell.n_params for cell in design.cells)
        for cell in design.cells:
            n_runs = sum(setting.n_seeds for setting in cell.settings)
            left.scatter(cell.n_params, cell.n_tokens, s=12 * n_runs, color=[shade[cell.n_params]], zorder=3)
            batch, rate = np.array([(s.batch_size_tokens, s.learning_rate) for s in cell.settings]).T
            right.scatter(batch, rate, s=14, color=[shade[cell.n_params]], zorder=3)
        left.plot(design.target["n_params"], design.target["n_tokens"], "*", color=WARM, ms=12, label="target")
        best = design.expected
        x, y = best["batch_size_tokens"], best["learning_rate"]
        right.errorbar(
            x["value"], y["value"], xerr=_bar(x), yerr=_bar(y), fmt="*", color=WARM, ms=10, capsize=2,
            label="target's best, as the design will know it",
        )  # fmt: skip
        for n_params, tone in shade.items():
            right.scatter([], [], s=14, color=[tone], label=f"{short(n_params)} params")
        low, high = best["loss"]["interval_mean"]
        said = f"target: loss {best['loss']['value']:.3f}, expected within [{low:.3f}, {high:.3f}]"
        left.set(xscale="log", yscale="log", xlabel="params", ylabel="training tokens")
        left.set_title(said, color=ACCENT)
        right.set(xscale="log", yscale="log", xlabel="batch size, tokens", ylabel="learning rate")
        right.set_title(f"{design.n_runs} runs")
        for axes in (left, right):
            log_ticks(axes.xaxis)
            axes.xaxis.set_major_locator(ticker.LogLocator(base=10, numticks=12))
        log_ticks(left.yaxis)
        log_ticks(right.yaxis, counts=False)
        if ax is None:
            figure_of(drawn).legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        else:
            right.legend()
    return drawn


def _bar(field: Mapping[str, Any]) -> list[list[float]]:
    low, high = field["interval"]
    return [[field["value"] - low], [high - field["value"]]]

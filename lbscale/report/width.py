"""Figures of width transfer: loss against learning rate by width, and the checks of activations and singular values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.laws.transfer import Transfer
from lbscale.report.panels import panels
from lbscale.report.style import colours, log_ticks, styled


def transfer_figure(table: pd.DataFrame, transfers: Mapping[str, Transfer], ax: Any = None) -> NDArray[Any]:
    """Loss against peak learning rate, a panel a parameterisation, a colour a width; verticals are fitted best rates.

    `table` has the columns `parameterization, d_model, learning_rate, loss`; losses are means over seeds. Draws on the
    axes `ax`, as many as there are parameterisations, or on a new figure, and returns them, (n,).
    """
    colour = colours(table["d_model"].unique())
    with styled():
        axes = panels(ax, 1, len(transfers), figsize=(4.4 * len(transfers), 3.6), sharey=True)[0]
        for axis, (kind, transfer) in zip(axes, transfers.items(), strict=True):
            rows = table[table["parameterization"] == kind]
            for width, part in rows.groupby("d_model"):
                mean = part.groupby("learning_rate")["loss"].mean()
                axis.plot(mean.index, mean, "o-", ms=4, color=colour[width], label=f"{width}")
                best = float(np.exp(transfer.best.loc[transfer.best["d_model"] == width, "ln_rate"].mean()))
                axis.axvline(best, color=colour[width], ls="--", lw=1)
            low, high = transfer.interval
            axis.set(
                xscale="log",
                xlabel="peak learning rate",
                title=f"{kind}: best rate ~ width^{transfer.drift:.2f} (95 %: {low:.2f} to {high:.2f})",
            )
            log_ticks(axis.xaxis, counts=False)
        axes[0].set_ylabel("held-out loss, nats per token")
        axes[0].legend(title="width")
    return axes


def check_figure(checks: Mapping[str, pd.DataFrame], column: str = "change", ax: Any = None) -> NDArray[Any]:
    """`size` or `change` of a coordinate or singular-value check against width, at the last update: a panel a
    parameterisation, a line a name. Flat lines transfer. Draws on the axes `ax`, or on a new figure, and returns them,
    (n,).
    """
    with styled():
        axes = panels(ax, 1, len(checks), figsize=(4.2 * len(checks), 3.4), sharey=True)[0]
        for axis, (title, check) in zip(axes, checks.items(), strict=True):
            last = check[(check["update"] == check["update"].max()) & (check[column] > 0)]
            colour = colours(last["name"].unique())
            for name, part in last.groupby("name"):
                mean = np.exp(np.log(part.set_index("d_model")[column]).groupby(level=0).mean())
                axis.plot(mean.index, mean, "o-", ms=4, color=colour[name], label=str(name))
            axis.set(xscale="log", yscale="log", xlabel="width", title=title)
            log_ticks(axis.xaxis)
            log_ticks(axis.yaxis, counts=False)
        axes[0].set_ylabel(column)
        axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes

"""The ledger: what was predicted before its run was there, against what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lbscale.report.axis import around
from lbscale.report.blocks import Block, Panels, Section, Table, Text
from lbscale.report.exhibit import Column, Exhibit
from lbscale.report.law_view import words
from lbscale.report.panel import Line, Panel, Point

Interval = tuple[float | None, float | None]
_UNKNOWN: Interval = (None, None)


@dataclass(frozen=True)
class LedgerRow:
    """One prediction and its outcome.

    `name` is what was predicted, `by` the law or rule that did; intervals are 95 %, null where unknown; `measured` is
    null while its run is not there, and `status` then says why; `settings` are the run's, `extrapolation` the factor
    by which each column lies outside the data that was fitted.
    """

    name: str
    by: str
    predicted: float
    measured: float | None
    interval_mean: Interval = _UNKNOWN
    interval_new_run: Interval = _UNKNOWN
    extrapolation: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    status: str = ""

    @property
    def relative_error(self) -> float | None:
        """Predicted over measured, less 1."""
        return None if self.measured is None else self.predicted / self.measured - 1.0

    @property
    def is_inside(self) -> bool | None:
        """Whether what was measured lies in the interval of one new run; None where either is unknown."""
        low, high = self.interval_new_run
        if self.measured is None or low is None or high is None:
            return None
        return low <= self.measured <= high


def ledger_section(rows: Sequence[LedgerRow], notes: Sequence[str] = ()) -> Section:
    """Calibration in sentences, a panel of the errors, the table of all rows, and `notes` below it."""
    if not rows:
        return Section("ledger", "The ledger", (Text("Nothing was predicted before its run was there."),))
    blocks: list[Block] = [Text(calibration(rows))]
    panel = _panel(rows)
    if panel is not None:
        caption = "Zero is what was predicted; bars are the 95 % interval of one new run, points what was measured."
        blocks.append(Panels("ledger-errors", (panel,), caption))
    blocks.append(Table(_exhibit(rows)))
    return Section("ledger", "The ledger", (*blocks, *(Text(note, small=True) for note in notes)))


def calibration(rows: Sequence[LedgerRow]) -> str:
    """For each law and rule, the mean error, and how many of its intervals hold what was measured."""
    by_law = {by: [row for row in rows if row.by == by] for by in dict.fromkeys(row.by for row in rows)}
    return "; ".join(_calibration(by, part) for by, part in by_law.items()) + "."


def _calibration(by: str, rows: Sequence[LedgerRow]) -> str:
    judged = [row.is_inside for row in rows if row.is_inside is not None]
    errors = [abs(row.relative_error) for row in rows if row.relative_error is not None]
    said = f"{by}: {'1 prediction' if len(rows) == 1 else f'{len(rows)} predictions'}"
    if errors:
        said += f", mean error {100 * float(np.mean(errors)):.2f} %"
    if judged:
        said += f", {sum(judged)} of {len(judged)} inside the 95 % interval of one new run"
    waiting = len(rows) - len(errors)
    return said + (f", {waiting} without an outcome yet" if waiting else "")


def _panel(rows: Sequence[LedgerRow]) -> Panel | None:
    points = tuple(_point(row) for row in rows if row.measured is not None and row.is_inside is not None)
    if not points:
        return None
    heights = [0.0, *(point.y for point in points), *(end for point in points if point.bar for end in point.bar)]
    x = around("predicted", [point.x for point in points], log=False)
    return Panel(
        title="measured over predicted",
        x=x,
        y=around("measured over predicted, less 1, %", heights),
        points=points,
        lines=(Line([x.low, x.high], [0.0, 0.0], dashed=True),),
    )


def _point(row: LedgerRow) -> Point:
    assert row.measured is not None  # the caller's condition
    low, high = (100 * ((end or 0.0) / row.predicted - 1) for end in row.interval_new_run)
    said = [f"predicted {row.predicted:.4f} by {row.by}", f"measured {row.measured:.4f}"]
    said += [", ".join(f"{words(name)} {value:.4g}" for name, value in row.settings.items())]
    said += ["inside" if row.is_inside else "outside"]
    error = 100 * (row.measured / row.predicted - 1)
    return Point(row.predicted, error, row.name, tuple(filter(None, said)), 4, "run", (low, high))


def _exhibit(rows: Sequence[LedgerRow]) -> Exhibit:
    settings = list(dict.fromkeys(name for row in rows for name in row.settings))
    frame = pd.DataFrame([_record(row, settings) for row in rows])
    varied = [name for name in settings if frame[name].nunique() > 1]
    columns = (
        Column("what", ("name",), is_text=True),
        *(Column(words(name), (name,)) for name in varied),
        Column("by", ("by",), is_text=True),
        Column("predicted", ("predicted",), ".4f"),
        Column("measured", ("measured",), ".4f", instead="status"),
        Column("error, %", ("error_percent",), "+.2f"),
        Column("95 % of a new run", ("new_run_low", "new_run_high"), ".4f"),
        Column("", ("verdict",), is_text=True),
        Column("95 % of the mean", ("mean_low", "mean_high"), ".4f"),
        Column("outside the data by", ("furthest",)),
    )
    columns = tuple(
        column for column in columns if not frame[list(column.keys)].isna().all(axis=None) or column.instead
    )
    return Exhibit("ledger", "Predictions against measurements", frame, columns)


def _record(row: LedgerRow, settings: Sequence[str]) -> dict[str, Any]:
    furthest = max(row.extrapolation.items(), key=lambda item: item[1], default=None)
    beyond = None if furthest is None else "inside" if furthest[1] <= 1 else f"{furthest[1]:.3g} in {furthest[0]}"
    error = row.relative_error
    return {
        "name": row.name,
        **{name: row.settings.get(name) for name in settings},
        "by": row.by,
        "predicted": row.predicted,
        "mean_low": row.interval_mean[0],
        "mean_high": row.interval_mean[1],
        "new_run_low": row.interval_new_run[0],
        "new_run_high": row.interval_new_run[1],
        "furthest": beyond,
        "measured": row.measured,
        "error_percent": None if error is None else 100 * error,
        "verdict": {None: "", True: "inside", False: "outside"}[row.is_inside],
        "status": row.status,
    }


def rows_of_verdict(outcome: Mapping[str, Any]) -> list[LedgerRow]:
    """The registered predictions of a study's follow-up (`verdict`), then the baselines' of the recommended run."""
    follow_up = outcome["follow_up"]
    if follow_up is None:
        return []
    items = [("recommended", follow_up["recommended"]), *(("neighbour", item) for item in follow_up["neighbours"])]
    rows = [_of_law(name, item, law, said) for name, item in items for law, said in item["laws"].items()]
    first = follow_up["recommended"]
    for name, said in follow_up["baselines"].items():
        if said["loss"] is not None:
            by = f"baseline {name.replace('_', ' ')}"
            rows.append(
                LedgerRow(
                    "recommended", by, said["loss"], first["measured"], settings=first["point"], status=first["status"]
                )
            )
    return rows


def rows_of_registered(registered: Mapping[str, Any] | None) -> list[LedgerRow]:
    """The predictions of a follow-up that is registered, of whose runs none is there."""
    predictions = [] if registered is None else registered["predictions"]
    waiting = {"measured": None, "status": "not trained"}
    return [
        _of_law("neighbour" if number else "recommended", {**item, **waiting}, law, said)
        for number, item in enumerate(predictions)
        for law, said in item["laws"].items()
    ]


def _of_law(name: str, item: Mapping[str, Any], law: str, said: Mapping[str, Any]) -> LedgerRow:
    return LedgerRow(
        name=name,
        by=law,
        predicted=said["value"],
        measured=item["measured"],
        interval_mean=tuple(said["interval_mean"]),
        interval_new_run=tuple(said["interval_new_run"]),
        extrapolation=said["extrapolation"],
        settings=item["point"],
        status=item["status"],
    )

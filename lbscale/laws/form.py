"""What a law is: a pure function of parameters and logarithms of columns, and a table of its parameters.

A form sees every column as ln(column / reference), so that it can be evaluated where its parameters are
least correlated: at the centre of the data. `Law.move` carries parameters from one reference to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import InputError, check

Array = NDArray[Any]
Columns = Mapping[str, Array]
COMPLEX_STEP = 1e-30
PENALTY_RESIDUAL = 2e-3
# Beyond any count, rate or loss; within, products and powers that laws are made of stay finite.
SMALLEST, LARGEST = 1e-40, 1e40


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law.

    `lower` and `upper` bound its value at the centre of the data; `upper=None` stands for the smallest first
    target of the table. `transform="log"` says that its logarithm is fitted. `scaling` says how its value moves with
    the reference: for each (column, exponent, sign), ln value changes by sign * exponent * ln(reference).
    `expected` (value, standard deviation), in the searched coordinate, is a mild penalty for a parameter that
    common designs leave open: one standard deviation costs what a row missed by `PENALTY_RESIDUAL` does.
    """

    name: str
    unit: str
    lower: float
    upper: float | None
    meaning: str
    transform: Literal["linear", "log"] = "linear"
    scaling: tuple[tuple[str, str, int], ...] = ()
    expected: tuple[float, float] | None = None


@dataclass(frozen=True)
class Law:
    """A law: its form, its parameters, and what its inputs mean.

    A law of k targets predicts them one after another along the last axis: the first target's n values, then
    the second's.

    Attributes:
        form: (theta (..., p), logs {column: (n,)}) -> targets (..., k n), in their units; analytic in theta.
        starts: (logs, target (k n,)) -> (s, p) promising parameters at the reference of `logs`.
        targets, target_units: the columns that the law predicts, and their units.
        reduce: optional; what the law is fitted to, made from the selected raw rows. May add columns
            `<target>_se`, the standard error of each ln target, and leave in the frame's attrs "dropped"
            {reason: count} and "warnings" (a sentence each).
        jacobian: optional; (theta, logs) -> (targets (..., k n), derivative by theta (..., p, k n)).
        reference: column -> value at which coefficients are stated; None: the centre of the fitted data,
            to two digits. Columns that are not named have reference 1.
        restated: reference -> the law stated there, for a law that no linear map of its parameters carries from one
            reference to another; each fit states it anew at the centre of its data.
        tuned: columns that `tuning` finds the best value of, given the others.
        tuning: (theta (..., p), logs without tuned) -> {column: ln of its best value (..., n)}.
        offsets: (theta, logs) -> {tuned column: ln(tried value / best value) (..., n)}.
        loss_to_setting: largest factors by which tuned columns may move for a given excess of loss:
            (theta (..., p), excess in nats) -> {column: (factor down, factor up)}.
        residual, loss, delta, asymmetry: the fit's defaults.
        params_convention: what the paper counts as params; None where the law takes any.
        schedule: the learning-rate schedule whose losses the law describes.
        valid: the range of validity in words, where the paper names one.
        censors: whether diverged runs enter as lower bounds.
    """

    name: str
    columns: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    form: Callable[[Array, Columns], Array]
    starts: Callable[[Columns, Array], Array]
    paper: str
    schedule: str
    targets: tuple[str, ...] = ("loss",)
    target_units: tuple[str, ...] = ("nats per token",)
    reduce: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    jacobian: Callable[[Array, Columns], tuple[Array, Array]] | None = None
    reference: Mapping[str, float] | None = None
    restated: Callable[[Mapping[str, float]], Law] | None = None
    tuned: tuple[str, ...] = ()
    tuning: Callable[[Array, Columns], dict[str, Array]] | None = None
    offsets: Callable[[Array, Columns], dict[str, Array]] | None = None
    loss_to_setting: Callable[[Array, float], dict[str, tuple[Array, Array]]] | None = None
    derived: Callable[[Array], dict[str, Array]] | None = None
    residual: str = "log"
    loss: str = "huber"
    delta: float = 1e-3
    asymmetry: float = 4.0
    params_convention: str | None = None
    censors: bool = False
    valid: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of theta."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def scaled(self) -> tuple[str, ...]:
        """The columns with whose reference some parameter moves; the others keep their own units."""
        return tuple(sorted({column for parameter in self.parameters for column, _, _ in parameter.scaling}))

    def logs(self, columns: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Array]:
        """ln(column / reference) of the columns that the form needs."""
        reference = self.reference or {}
        names = self.columns if names is None else names
        return {name: np.log(np.asarray(columns[name], float) / reference.get(name, 1.0)) for name in names}

    def predict(self, theta: Array, columns: Mapping[str, Any]) -> Array:
        """Targets (..., k n) for theta (..., p) and columns (n,) in their own units."""
        return self.form(np.asarray(theta), self.logs(columns))

    def optimum(self, theta: Array, **point: Any) -> tuple[Array, ...]:
        """Best values of the tuned columns, then the targets there, each (..., n), at the other columns' values.

        Raises InputError where the law tunes nothing, or a column is missing or not positive.
        """
        check(self.tuning is not None, "law", self.name, "it has no settings to tune")
        assert self.tuning is not None
        free = [name for name in self.columns if name not in self.tuned]
        for name in free:
            check(name in point, name, None, "the optimum needs its value")
        arrays = {name: np.atleast_1d(np.asarray(point[name], float)) for name in free}
        for name, values in arrays.items():
            check(bool((np.isfinite(values) & (values > 0)).all()), name, point[name], "a positive number")
        theta = np.asarray(theta)
        logs = self.logs(arrays, free)
        reference = self.reference or {}
        best = self.tuning(theta, logs)
        loss = self.form(theta, {**logs, **best})
        return (*(np.exp(best[name]) * reference.get(name, 1.0) for name in self.tuned), loss)

    def at(self, reference: Mapping[str, float] | None) -> Law:
        """The same law with its coefficients stated at `reference`."""
        if self.restated is not None:
            return self.restated(reference) if reference else self
        return replace(self, reference=reference)

    def bound(self, columns: Columns) -> Law:
        """The law with its reference settled: the centre of columns, to two digits, if it has none or is restated."""
        if self.reference is not None and self.restated is None:
            return self
        names = self.scaled if self.restated is None else self.columns
        return self.at({name: float(f"{np.exp(np.log(columns[name]).mean()):.1e}") for name in names})

    def move(self, theta: Array, origin: Mapping[str, float], target: Mapping[str, float]) -> Array:
        """Parameters (..., p) that state at `target` the law that `theta` states at `origin`."""
        return self.from_search(self.to_search(np.asarray(theta, float)) @ self.shift(origin, target).T)

    def shift(self, origin: Mapping[str, float], target: Mapping[str, float]) -> Array:
        """The matrix (p, p) by which `move` acts on searched coordinates, where it is linear."""
        matrix = np.eye(len(self.parameters))
        for j, parameter in enumerate(self.parameters):
            for column, exponent, sign in parameter.scaling:
                shift = np.log(target.get(column, 1.0) / origin.get(column, 1.0))
                matrix[j, self.names.index(exponent)] += sign * shift
        return matrix

    def to_search(self, theta: Array) -> Array:
        """The coordinates that are searched: logarithms of the parameters whose transform is "log"."""
        is_log = self.is_log
        return np.where(is_log, np.log(np.where(is_log, theta, 1.0)), theta)

    def from_search(self, u: Array) -> Array:
        """The inverse of `to_search`; also takes complex coordinates."""
        is_log = self.is_log
        with np.errstate(over="ignore"):  # the end of an interval that the data leaves open: infinite, not wrong
            return np.where(is_log, np.exp(np.where(is_log, u, 0.0)), u)

    @cached_property
    def is_log(self) -> Array:
        """Which parameters are searched as logarithms, (p,) of bool."""
        return np.array([parameter.transform == "log" for parameter in self.parameters])

    def bounds(self, smallest: float) -> tuple[Array, Array]:
        """Lower and upper bounds of the parameters at the centre of the data, each (p,), where the first target's
        smallest value is `smallest`."""
        lower = np.array([parameter.lower for parameter in self.parameters])
        upper = np.array([smallest if p.upper is None else p.upper for p in self.parameters])
        return lower, upper

    @cached_property
    def penalty(self) -> tuple[Array, Array, Array]:
        """Centre, standard deviation and weight (0: none) of the penalty on searched coordinates, (p,)."""
        expected = [parameter.expected or (0.0, np.inf) for parameter in self.parameters]
        centre, width = (np.array(values, float) for values in zip(*expected, strict=True))
        return centre, width, (PENALTY_RESIDUAL / width) ** 2

    @property
    def penalties(self) -> dict[str, dict[str, Any]]:
        """Parameter -> what its mild penalty expects, in its own units, and one standard deviation of that: a
        "difference", or a "factor" for a parameter whose logarithm is searched."""
        said = {}
        for parameter in self.parameters:
            if parameter.expected is not None:
                is_log = parameter.transform == "log"
                expected, scale = (float(np.exp(x)) if is_log else float(x) for x in parameter.expected)
                said[parameter.name] = {
                    "expected": expected,
                    "scale": scale,
                    "scale_is": "factor" if is_log else "difference",
                }
        return said

    def gradient(self, theta: Array, quantity: Callable[[Array], Array]) -> Array:
        """Derivative (p,) by the searched coordinates, at theta (p,), of an analytic quantity (..., p) -> (...,)."""
        steps = self.to_search(theta) + 1j * COMPLEX_STEP * np.eye(theta.size)
        return quantity(self.from_search(steps)).imag / COMPLEX_STEP

    def value_and_jacobian(self, theta: Array, logs: Columns) -> tuple[Array, Array]:
        """Targets (..., k n) and their derivative by theta (..., p, k n), by complex step if the law writes none."""
        return (self.jacobian or _by_complex_step(self.form))(theta, logs)


def _by_complex_step(form: Callable[[Array, Columns], Array]) -> Callable[..., tuple[Array, Array]]:
    """Derivatives exact to rounding (Squire and Trapp 1998, https://doi.org/10.1137/S003614459631241X)."""

    def value_and_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
        n_parameters = theta.shape[-1]
        steps = 1j * COMPLEX_STEP * np.eye(n_parameters)
        rows = [form(theta + steps[j], logs).imag / COMPLEX_STEP for j in range(n_parameters)]
        return form(theta, logs), np.stack(rows, axis=-2)

    return value_and_jacobian


def point_columns(law: Law, point: Mapping[str, Any]) -> dict[str, Array]:
    """The law's columns of one point, each (1,); raises InputError for a missing or non-positive value."""
    columns = {}
    for name in law.columns:
        check(name in point, name, None, f"law {law.name!r} needs its value")
        columns[name] = np.array([positive(name, point[name])])
    return columns


def positive(name: str, value: Any) -> float:
    """`value` as a float; raises InputError unless it is a positive number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(name, value, "a positive number") from None
    check(bool(np.isfinite(number) and number > 0), name, value, "a positive number")
    check(SMALLEST <= number <= LARGEST, name, value, f"a positive number from {SMALLEST:g} to {LARGEST:g}")
    return number

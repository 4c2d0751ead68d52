"""A fit as a JSON document, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbscale.errors import InputError
from lbscale.laws.effects import Effects
from lbscale.laws.registry import get
from lbscale.laws.text import as_array, plain
from lbscale.laws.uncertainty import Noise

if TYPE_CHECKING:
    from lbscale.laws.result import Fit

# Fields of a fit that its document holds as they are.
SAME = (
    "identified",
    "fixed",
    "profile_curvature",
    "interval_method",
    "objective",
    "loss",
    "delta",
    "asymmetry",
    "residual",
    "where",
    "n_rows",
    "n_dropped",
    "n_censored",
    "derived",
    "holdout",
    "convention",
    "search",
    "tried",
    "range",
    "warnings",
)


def document_of(fit: Fit) -> dict[str, Any]:
    """The fit as plain JSON values: no draws, no rows, null for what is not known."""
    law = fit.law
    found: dict[str, Any] = plain(
        {
            "law": law.name,
            "params": fit.params,
            "identified": fit.identified,
            "interval": fit.interval,
            "standard_error": dict(zip(law.names, fit.standard_error, strict=True)),
            "penalties": law.penalties,
            "units": {parameter.name: parameter.unit for parameter in law.parameters},
            "reference": dict(law.reference or {}),
            "paper": law.paper,
            "variance_components": fit.effects.said(),
            "objective_is": "sum over rows",
            "noise": asdict(fit.noise),
            **{name: getattr(fit, name) for name in SAME},
        }
    )
    return found


def write(fit: Fit, path: str | Path) -> None:
    """Write the document, with draws and rows, as JSON."""
    whole = {
        **document_of(fit),
        "draws": plain(fit.draws.tolist()),
        "effects": plain(asdict(fit.effects)),
        "rows": plain(fit.rows),
    }
    Path(path).write_text(json.dumps(whole, allow_nan=False), encoding="utf-8")


def read_fields(path: str | Path) -> dict[str, Any]:
    """The fields of the fit that `write` wrote; raises InputError for a file that is not a fit, or not all of one."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("fit", str(path), f"a JSON file written by fit ({error})") from error
    try:
        return _fields(saved)
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError("fit", str(path), f"a JSON file written by fit ({error!r})") from error


def _fields(saved: dict[str, Any]) -> dict[str, Any]:
    """The fields of a fit from its whole document; whatever error lookups raise where it is incomplete."""
    law = get(saved["law"]).at(saved["reference"])
    interval = saved["interval"]
    return {
        "law": law,
        "theta": as_array([saved["params"][name] for name in law.names]),
        "draws": as_array(saved["draws"]).reshape(-1, len(law.names)),
        "effects": Effects.restored(saved["effects"]),
        "standard_error": as_array([saved["standard_error"][name] for name in law.names]),
        "lower": as_array([interval[name][0] for name in law.names]),
        "upper": as_array([interval[name][1] for name in law.names]),
        "noise": Noise(**saved["noise"]),
        "rows": saved["rows"],
        **{name: saved[name] for name in SAME},
    }

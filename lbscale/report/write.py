"""Write a study's folder: table, laws, figures, page."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lbscale.report import figures as draw
from lbscale.report.style import short
from lbscale.report.verdict import verdict
from lbscale.report.verdict_text import registration
from lbscale.store import HEADLINE_COLUMNS

if TYPE_CHECKING:
    from lbscale.conduct import Conducted

_CAPTIONS = {
    "tuning": "Held-out loss against peak learning rate in every cell of size and tokens. A colour is a batch size; "
    "the lines are one law, fitted to all cells together.",
    "optimum": "The fitted optimum, its 95 % interval and its plateau, extended to twice the largest value trained. "
    "Dots are the best single runs, which the grid and the noise of a seed move about.",
    "surface": "Tuned loss against tokens. A point is a run, less the tuning excess that the law gives its settings.",
    "outcome": "The follow-up runs: what the law said before they were trained, and what came of it.",
}


def write_report(conducted: Conducted, folder: Path) -> dict[str, Any]:
    """Write table (CSV and parquet), laws (JSON), figures (PNG and SVG) and `index.html`; return the verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = verdict(conducted)
    table = conducted.table.assign(stage="study")
    if len(conducted.follow_up_table):
        table = _stacked(table, conducted.follow_up_table.assign(stage="follow_up"))
    table.to_csv(folder / "table.csv", index=False)
    table.to_parquet(folder / "table.parquet", index=False)
    conducted.curves.to_csv(folder / "curves.csv", index=False)
    (folder / "laws").mkdir(exist_ok=True)
    for name, fit in conducted.fits.items():
        fit.save(folder / "laws" / f"{name}.json")
    (folder / "verdict.json").write_text(json.dumps(outcome, indent=1, allow_nan=False) + "\n")
    drawn = _figures(conducted, outcome)
    vectors = {name: _save(figure, folder / "figures" / name) for name, figure in drawn.items()}
    (folder / "index.html").write_text(_page(conducted, outcome, table, vectors))
    return outcome


def _stacked(first: Any, second: Any) -> Any:
    import pandas as pd

    both = pd.DataFrame(first.to_dict("records") + second.to_dict("records"))
    return both[list(first.columns)]


def _figures(conducted: Conducted, outcome: Mapping[str, Any]) -> dict[str, Figure]:
    drawn: dict[str, Figure] = {}
    tuned = {name: fit for name, fit in conducted.fits.items() if fit.law.tuned}
    if outcome["follow_up"]:
        drawn["outcome"] = draw.outcome(outcome["follow_up"], next(iter(outcome["follow_up"]["recommended"]["laws"])))
    for name, fit in tuned.items():
        suffix = "" if len(tuned) == 1 else f"_{name}"
        drawn |= {f"optimum{suffix}": draw.optimum(fit), f"tuning{suffix}": draw.tuning(fit)}
        drawn[f"surface{suffix}"] = draw.surface(fit)
    if conducted.study.figures is not None:
        drawn |= conducted.study.figures(conducted.table, conducted.fits)
    return drawn


def _save(figure: Figure, path: Path) -> str:
    """Write PNG and SVG; return the SVG's element for the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=160)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    plt.close(figure)
    path.with_suffix(".svg").write_text(buffer.getvalue())
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _page(conducted: Conducted, outcome: Mapping[str, Any], table: Any, vectors: Mapping[str, str]) -> str:
    source = resources.files("lbscale.report").joinpath("page.html.jinja").read_text()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["short"] = short
    question, *rest = conducted.study.question.split("\n\n")
    shown = [*HEADLINE_COLUMNS, "stage"]
    return environment.from_string(source).render(
        study=conducted.study.name,
        question=" ".join(question.split()),
        background=rest,
        outcome=outcome,
        fits=conducted.fits,
        registration=registration,
        figures=[
            {
                "name": name,
                "svg": jinja2.utils.markupsafe.Markup(svg),
                "caption": _CAPTIONS.get(name.partition("_")[0], name),
            }
            for name, svg in vectors.items()
        ],
        columns=shown,
        rows=table[shown].sort_values(shown[:4]).to_dict("records"),
        facts=_facts(table),
    )


def _facts(table: Any) -> dict[str, str]:
    """What every number on the page was counted in, and what was held constant."""
    first = table.iloc[0]
    given = [name.removesuffix("_held") for name in table if name.endswith("_held")]
    plain = [name for name in ("weight_decay", "beta1", "beta2", "momentum") if name in table and name not in given]
    held = [f"{name} {first[name]:g}" for name in plain if table[name].nunique() == 1]
    by_given = {"coefficient": "weight_decay", "timescale": "decay_timescale_tokens"}
    decay = by_given[first["weight_decay_held"]]
    if table["weight_decay_held"].nunique() == 1 and table[decay].nunique() == 1:
        held.append(f"{decay} {first[decay]:g}")
    held += [f"the half-life of {name}" for name in given if name != "weight_decay"]
    return {
        "params": "non-embedding (the layers' matrices); other counts stand in the table",
        "loss": "nats per token on held-out documents; a token is a byte; the same rows for every run",
        "schedule": ", ".join(sorted(table["schedule"].unique())),
        "optimizer": ", ".join(sorted(table["optimizer"].unique())),
        "held constant across batch sizes": ", ".join(held) or "nothing",
        "rows": f"{first['seq_len']} tokens",
        "corpus": first["corpus"],
    }

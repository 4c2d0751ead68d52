"""A whole study, small: trained once, its follow-up decided once and before it is trained."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lbscale import conduct, sweep
from lbscale.conduct import Conducted
from lbscale.errors import InputError
from lbscale.plan import Plan
from lbscale.report import verdict, verdict_text, write_report
from lbscale.spec import Decoder, Run, run_key
from lbscale.study import Study

SHAPES = [Decoder(d_model=d, n_layers=1, n_heads=1, d_ff=2 * d) for d in (16, 24, 32)]


def study(base: dict[str, Any]) -> Study:
    runs = sweep.product(
        base, model=SHAPES, n_tokens=[3_840, 7_680, 15_360], learning_rate=[6e-3], batch_size_tokens=[128]
    )

    def follow_up(fits: Any) -> list[Run]:
        larger = Decoder(d_model=40, n_layers=1, n_heads=1, d_ff=80)
        return sweep.product(
            base, model=[larger], n_tokens=[15_360], learning_rate=[6e-3, 3e-3], batch_size_tokens=[128]
        )

    return Study("small", "Does a small study run?\n\nIt should.", tuple(runs), {"surface": "chinchilla"}, follow_up)


def planned(plans: list[Plan]) -> list[int]:
    return [len(plan.runs) for plan in plans]


def conducted_with(study: Study, folder: Path) -> tuple[Conducted, list[Plan]]:
    plans: list[Plan] = []
    result = conduct.run(study, folder, watch=lambda plan, progress: plans.append(plan) if progress is None else None)
    return result, plans


def test_a_study_is_trained_once_and_its_follow_up_decided_before(base: dict[str, Any], tmp_path: Path) -> None:
    asked = study(base)
    first, plans = conducted_with(asked, tmp_path)
    assert planned(plans) == [9, 2]
    registered = next((tmp_path / "small" / "registered").glob("*.json"))
    trained = [tmp_path / "small" / "runs" / key / "run.json" for key in first.follow_up_table["key"]]
    assert all(registered.stat().st_mtime_ns < path.stat().st_mtime_ns for path in trained)
    written = registered.read_bytes()

    again, plans = conducted_with(asked, tmp_path)
    assert planned(plans) == [0, 0]
    assert registered.read_bytes() == written
    assert again.table.equals(first.table)


def test_an_interrupted_study_goes_on_where_it_stopped(base: dict[str, Any], tmp_path: Path) -> None:
    asked = study(base)
    conducted_with(Study(asked.name, asked.question, asked.runs[:4]), tmp_path)
    result, plans = conducted_with(asked, tmp_path)
    assert planned(plans) == [5, 2]
    assert list(result.table["key"]) == [run_key(run) for run in asked.runs]


def test_the_report_writes_everything_and_says_how_it_went(base: dict[str, Any], tmp_path: Path) -> None:
    result, _ = conducted_with(study(base), tmp_path)
    folder = tmp_path / "small"
    outcome = write_report(result, folder)
    recommended = outcome["follow_up"]["recommended"]
    assert recommended["measured"] == result.follow_up_table["loss"].iloc[0]
    assert recommended["laws"]["surface"]["relative_error"] == pytest.approx(
        recommended["laws"]["surface"]["value"] / recommended["measured"] - 1
    )
    assert json.loads((folder / "verdict.json").read_text()) == outcome
    page = (folder / "index.html").read_text()
    assert "Does a small study run?" in page
    known = ("http://www.w3.org", "https://arxiv.org")  # names of XML dialects, and the law's paper
    assert [address for address in re.findall(r"https?://[^/\s\"]+", page) if address not in known] == []
    assert (folder / "table.parquet").exists() and (folder / "laws" / "surface.json").exists()
    text = verdict_text(result, outcome)
    assert f"{recommended['measured']:.4f}" in text and "baseline" in text
    assert "not identified" in text  # nine tiny runs cannot tell an irreducible loss
    recalled = conduct.recall(study(base), tmp_path)
    assert recalled.table.equals(result.table) and len(recalled.follow_up_table) == 2


def test_the_verdict_tells_missing_from_diverged_and_when_it_was_registered(
    base: dict[str, Any], tmp_path: Path
) -> None:
    result, _ = conducted_with(study(base), tmp_path)
    assert result.registered is not None
    assert "before any of these runs was trained" in verdict_text(result, verdict(result))
    table = result.follow_up_table
    lost = table.assign(status=["diverged", "finished"], loss=[None, table["loss"].iloc[1]])
    diverged = verdict(dataclasses.replace(result, follow_up_table=lost))
    assert diverged["follow_up"]["recommended"]["status"] == "diverged"
    assert "diverged" in verdict_text(result, diverged)
    missing = verdict(dataclasses.replace(result, follow_up_table=table.iloc[:1]))
    assert missing["follow_up"]["neighbours"][0]["status"] == "not trained"
    late = dataclasses.replace(result, registered={**result.registered, "trained_before": ["key"]})
    assert "when 1 of these runs had been trained" in verdict_text(late, verdict(late))


def test_nothing_recorded_is_said_so(base: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run of small is recorded"):
        conduct.recall(study(base), tmp_path)

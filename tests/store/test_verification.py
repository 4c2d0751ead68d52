"""Everything below a study's folder is read again; what is not whole is found, and nothing else."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from lbscale.errors import InputError
from lbscale.spec import Run, run_key
from lbscale.store import Files, Finding, Layouts, Result, Store, study_folders, verification, verify
from lbscale.store.record import dump, record_folders, seal


@pytest.fixture(params=["local", "memory"])
def study(request: pytest.FixtureRequest, tmp_path: Path, run: Run, result: Result) -> Files:
    """A study's folder with a run, two states and a registration, all whole."""
    store = Store(tmp_path / "study" if request.param == "local" else f"memory://{uuid.uuid4().hex}/study")
    store.write(run, result)
    store.register("decision", {"runs": []})
    Layouts(store.files).begin({}, {"lane": 1})
    Layouts(store.files).decide(1, "program", 2)
    seal(store.files, "states/a", {"index.json": b"{}", "arrays/0": b"0"})
    seal(store.files, "states/b/10", {"index.json": b"{}", "arrays/0": b"0"})
    return store.files


def findings(study: Files) -> list[tuple[str, str, bool]]:
    """Kind, name and whether broken, of each."""
    return [(finding.kind, finding.name, finding.broken) for finding in verify(study).findings]


def test_a_whole_study_has_no_findings(study: Files) -> None:
    verified = verify(study)
    assert verified.findings == ()
    assert verified.counts == {"schema": 1, "run": 1, "state": 2, "layout": 2, "registration": 1}


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    verified = verify(Files(tmp_path))
    assert verified.findings == () and set(verified.counts.values()) == {0}


def test_each_kind_of_damage_is_found_and_removal_mends_it(study: Files, run: Run) -> None:
    broken = {
        "store.json": "schema",
        f"runs/{run_key(run)}/result.json": "run",
        "states/b/10/arrays/0": "state",
        "layout/1/program.json": "layout",
        "layout/base-1.json": "layout",
        "registered/decision.json": "registration",
    }
    for name in broken:
        content = study.read(name)
        study.write(name, content[:3] + b"#" + content[4:])
    found = verify(study).findings
    assert [finding.kind for finding in found] == list(broken.values())
    assert all(finding.broken for finding in found)
    for finding, name in zip(found, broken, strict=True):
        (problem,) = finding.problems
        assert problem.startswith(study.path(name))
        study.remove(finding.name)
    assert findings(study) == []
    assert study.exists("states/a/arrays/0")


def test_what_an_interruption_left_is_unfinished(study: Files, run: Run) -> None:
    study.remove(f"runs/{run_key(run)}/manifest.json")
    study.remove("states/a/manifest.json")
    study.write("registered/decision.json", study.read("registered/decision.json")[:20])
    assert findings(study) == [
        ("run", f"runs/{run_key(run)}", False),
        ("state", "states/a", False),
        ("registration", "registered/decision.json", False),
    ]


def test_a_run_under_another_key_is_broken(study: Files, run: Run) -> None:
    for name in ("run.json", "result.json", "manifest.json"):
        study.write(f"runs/other/{name}", study.read(f"runs/{run_key(run)}/{name}"))
    (finding,) = verify(study).findings
    assert (finding.name, finding.broken) == ("runs/other", True)
    assert f"has the key {run_key(run)}" in finding.problems[0]


def test_what_a_newer_version_wrote_is_not_broken(study: Files, run: Run) -> None:
    """So that nothing of it is removed."""
    folder = f"runs/{run_key(run)}"
    document = json.loads(study.read(f"{folder}/run.json")) | {"schema": 99}
    seal(study, folder, {"run.json": dump(document), "result.json": study.read(f"{folder}/result.json")})
    assert findings(study) == []
    study.write("store.json", dump({"schema": 99}))
    with pytest.raises(InputError, match="reads up to schema"):
        verify(study)


def test_what_is_removed_meanwhile_is_no_finding(study: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process drops a state between the listing and the reading."""

    monkeypatch.setattr(verification, "record_folders", lambda files, folder: [*record_folders(files, folder), "gone"])
    assert findings(study) == []


def test_a_results_folder_holds_studies(study: Files) -> None:
    results = Files(study.path().removesuffix("/study"))
    results.write("committed/table.csv", b"")
    assert study_folders(results) == ["study"]
    assert study_folders(study) == [""]
    with pytest.raises(InputError, match="a results folder"):
        study_folders(Files(results.path("absent")))


def test_what_to_do_is_said() -> None:
    mends = {Finding(kind, "", (), True).mend for kind in ("run", "state", "registration", "schema")}
    assert len(mends) == 4 and all("`lbscale run`" in mend for mend in mends)

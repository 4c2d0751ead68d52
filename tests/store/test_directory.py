"""A run exists once its manifest does, and is read back as it was written or not at all."""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid

import pytest

from lbscale.errors import InputError
from lbscale.spec import Run, run_key
from lbscale.store import Result, Store
from lbscale.store.record import dump, seal


def test_what_was_written_is_read_back(store: Store, run: Run, result: Result) -> None:
    diverged = dataclasses.replace(result, status="diverged", loss=None, loss_se=None, bits_per_byte=None, curve=())
    other = dataclasses.replace(run, init_seed=9)
    store.write(run, result)
    store.write(other, diverged)
    assert store.keys() == sorted([run_key(run), run_key(other)])
    assert Store(store.root).read(run_key(run)) == (run, result)
    assert Store(store.root).read(run_key(other)) == (other, diverged)


def test_an_empty_store_writes_nothing(store: Store) -> None:
    assert store.keys() == []
    assert store.registered("decision") is None
    assert not store.root.exists()


def test_a_result_that_is_no_json_leaves_no_run(store: Store, run: Run, result: Result) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        store.write(run, dataclasses.replace(result, loss=float("nan")))
    assert store.keys() == []


def test_a_run_without_a_manifest_does_not_exist(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    (store.root / "runs" / run_key(run) / "manifest.json").unlink()
    assert store.keys() == []
    with pytest.raises(InputError, match="manifest"):
        store.read(run_key(run))


def test_a_run_can_be_written_over_what_an_interruption_left(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    folder = store.root / "runs" / run_key(run)
    (folder / "manifest.json").unlink()
    (folder / "result.json").write_text('{"status": "fin')
    store.write(run, result)
    assert store.read(run_key(run)) == (run, result)


@pytest.mark.parametrize("name", ["run.json", "result.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damage_is_found_and_named(store: Store, run: Run, result: Result, name: str, damage: str) -> None:
    store.write(run, result)
    path = store.root / "runs" / run_key(run) / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-20] if damage == "cut" else content.replace(b"4", b"5", 1))
    words = "is missing" if damage == "gone" else "does not match its checksum"
    with pytest.raises(InputError, match=words) as caught:
        store.read(run_key(run))
    assert (caught.value.field, caught.value.value) == ("run", run_key(run))
    assert str(path) in str(caught.value)


def test_a_damaged_manifest_is_found(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    (store.root / "runs" / run_key(run) / "manifest.json").write_text('{"run.js')
    with pytest.raises(InputError, match=r"manifest\.json"):
        store.read(run_key(run))


@pytest.mark.parametrize("schema", [3, "new", None])
def test_a_folder_of_a_newer_schema_is_refused(store: Store, run: Run, result: Result, schema: object) -> None:
    store.write(run, result)
    (store.root / "store.json").write_text(json.dumps({"schema": schema}))
    with pytest.raises(InputError, match=r"store\.schema: .* reads up to schema 2") as caught:
        Store(store.root)
    assert caught.value.value == schema


def test_a_store_may_be_moved(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    elsewhere = store.root.parent / "elsewhere"
    shutil.move(store.root, elsewhere)
    assert Store(elsewhere).read(run_key(run)) == (run, result)


def test_a_decision_is_registered_once(store: Store) -> None:
    assert store.register("decision", {"learning_rate": 0.01}) == {"learning_rate": 0.01}
    with pytest.raises(InputError, match="registered: 'decision' cannot be used; a decision is registered once"):
        store.register("decision", {"learning_rate": 0.02})
    assert Store(store.root).registered("decision") == {"learning_rate": 0.01}
    assert store.registered("another") is None


def test_one_of_two_stores_decides(store: Store) -> None:
    other = Store(store.root)
    store.register("decision", {"learning_rate": 0.01})
    with pytest.raises(InputError, match="a decision is registered once"):
        other.register("decision", {"learning_rate": 0.02})
    assert other.registered("decision") == {"learning_rate": 0.01}


def test_a_damaged_decision_is_refused(store: Store) -> None:
    store.register("decision", {"learning_rate": 0.01})
    path = store.root / "registered" / "decision.json"
    path.write_bytes(path.read_bytes().replace(b"0.01", b"0.02"))
    for act in (store.registered, lambda name: store.register(name, {})):
        with pytest.raises(InputError, match=f"file: '{path}'.* it is not as it was written"):
            act("decision")


def test_a_store_of_schema_1_is_read_and_written_on(store: Store, run: Run, result: Result) -> None:
    """Its runs are the same, and its registrations are plain documents."""
    store.write(run, result)
    (store.root / "store.json").write_text('{\n "schema": 1\n}\n')
    (store.root / "registered").mkdir()
    (store.root / "registered" / "old.json").write_bytes(dump({"schema": 1, "runs": []}))
    old = Store(store.root)
    assert old.read(run_key(run)) == (run, result)
    assert old.registered("old") == {"schema": 1, "runs": []}
    old.register("new", {"runs": []})
    assert json.loads((store.root / "store.json").read_text()) == {"schema": 2}
    assert Store(store.root).registered("new") == {"runs": []}


@pytest.mark.parametrize("length", range(15))
def test_a_schema_that_was_cut_short_is_written_again(store: Store, run: Run, result: Result, length: int) -> None:
    store.write(run, result)
    path = store.root / "store.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    Store(store.root).register("decision", {})
    assert path.read_bytes() == whole


def test_fields_of_a_newer_result_are_refused(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    folder = f"runs/{run_key(run)}"
    document = json.loads(store.files.read(f"{folder}/result.json")) | {"colour": "red"}
    seal(store.files, folder, {"run.json": store.files.read(f"{folder}/run.json"), "result.json": dump(document)})
    with pytest.raises(InputError, match="colour"):
        store.read(run_key(run))


def test_a_manifest_of_other_files_is_no_runs(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    seal(store.files, f"runs/{run_key(run)}", ["run.json"])
    assert store.whole_keys() == []
    with pytest.raises(InputError, match="names other files than a run's"):
        store.read(run_key(run))


def test_a_store_by_url_is_the_same(run: Run, result: Result) -> None:
    url = f"memory://{uuid.uuid4().hex}/results/study"
    store = Store(url)
    assert store.keys() == []
    store.write(run, result)
    assert store.keys() == store.whole_keys() == [run_key(run)]
    assert store.holds(run_key(run)) and not store.holds("other")
    assert Store(url).read(run_key(run)) == (run, result)

"""Which group sizes are tried and which is chosen, on machines made up; what is kept between processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.cache import cache_folder
from lbscale.parallel import Calibration, Timing, keep_calibration, kept_calibration
from lbscale.plan import Layout, Program
from lbscale.spec import Corpus, Decoder

MICRO = 64
LAYOUT = Layout(2, MICRO, 1)
MACHINE = {"backend": "cpu", "device_kind": "A CPU", "n_devices": 2, "jax": "0.9", "cores": 2}
MODEL = Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40)
PROGRAM = Program(MODEL, Corpus(name="text", fingerprint="f", seq_len=64), ("adamw", ()), MICRO)
FOREVER = 10**15


def timing(group_size: int, tokens_per_second: float, compile_seconds: float = 1.0) -> Timing:
    """A timing of that throughput, half of it spent on updates."""
    seconds = group_size * MICRO / tokens_per_second
    return Timing(group_size, seconds / 2, seconds / 2, 0.001, 0.002, compile_seconds, 0.5)


def calibrated(
    rates: list[float | None], most_together: int = 1_000, n_tokens: int = FOREVER, backend: str = "gpu"
) -> Calibration:
    """The calibration of a machine with these tokens a second at 1, 2, 4, ... lanes; None does not fit."""
    calibration = Calibration(MICRO, {})
    while (size := calibration.next_size(most_together, n_tokens, 2, backend)) is not None:
        assert size not in calibration.timings
        rate = rates[size.bit_length() - 1]
        calibration = calibration.with_timing(size, None if rate is None else timing(size, rate))
    return calibration


@pytest.mark.parametrize(
    ("rates", "tried", "chosen"),
    [
        ([100, 104, 500], [1, 2], 1),
        ([100, 180, 300, 310, 900], [1, 2, 4, 8], 4),
        ([100 * 2**k for k in range(9)], [1, 2, 4, 8, 16, 32, 64], 64),
        ([100, 200, None], [1, 2, 4], 2),
        ([None, 100], [1], 1),
    ],
)
def test_sizes_are_doubled_while_throughput_grows(rates: list[float | None], tried: list[int], chosen: int) -> None:
    calibration = calibrated(rates)
    assert sorted(calibration.timings) == tried
    assert calibration.group_size(1_000) == chosen
    measured = {size: rates[size.bit_length() - 1] or 0 for size in tried}
    assert calibration.tokens_per_second == pytest.approx(measured)


GROWING: list[float | None] = [1_000.0 * 1.5**k for k in range(12)]


def test_a_processor_takes_few_lanes() -> None:
    assert sorted(calibrated(GROWING, backend="cpu").timings) == [1, 2, 4]


@given(st.integers(1, 200))
def test_no_group_is_larger_than_what_could_fill_it(most_together: int) -> None:
    calibration = calibrated(GROWING, most_together)
    assert max(calibration.timings) == calibration.group_size(most_together) <= most_together
    assert calibration.group_size(most_together) > min(most_together, 64) / 2
    kept_from_a_larger_study = calibrated(GROWING)
    assert kept_from_a_larger_study.group_size(most_together) == calibration.group_size(most_together)


@pytest.mark.parametrize(("backend", "least_seconds"), [("cpu", 10), ("gpu", 2)])
def test_a_compilation_is_spent_where_it_is_little_beside_the_cohort(backend: str, least_seconds: int) -> None:
    for seconds in (least_seconds - 1, least_seconds + 1):  # in two slots of 1,000 tokens a second
        tried = calibrated(GROWING, n_tokens=2_000 * seconds, backend=backend).timings
        assert (2 in tried) == (seconds > least_seconds)


def test_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calibration = calibrated([100, 200, None])
    assert kept_calibration(PROGRAM, LAYOUT, MACHINE) == Calibration(MICRO, {})
    keep_calibration(calibration, PROGRAM, LAYOUT, MACHINE)
    assert kept_calibration(PROGRAM, LAYOUT, MACHINE) == calibration
    other_text = dataclasses.replace(PROGRAM, data=Corpus(name="other", fingerprint="g", seq_len=64))
    assert kept_calibration(other_text, LAYOUT.with_group_size(8), MACHINE) == calibration
    elsewhere = [
        (dataclasses.replace(PROGRAM, micro_batch_tokens=128), LAYOUT, MACHINE),
        (PROGRAM, dataclasses.replace(LAYOUT, remat="full"), MACHINE),
        (PROGRAM, LAYOUT, {**MACHINE, "jax": "0.10"}),
        (PROGRAM, LAYOUT, {**MACHINE, "cores": 4}),
        (PROGRAM, LAYOUT, {**MACHINE, "device_kind": "another"}),
    ]
    assert all(not kept_calibration(*other).timings for other in elsewhere)


@given(data=st.data())
def test_a_damaged_file_is_measured_again_or_reads_as_timings(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        keep_calibration(calibrated([100, 200, None]), PROGRAM, LAYOUT, MACHINE)
        (path,) = cache_folder("calibrations").glob("*/*.json")
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : data.draw(st.integers(at, len(content)))] = data.draw(st.binary(max_size=9))
        path.write_bytes(bytes(content))
        for size, found in kept_calibration(PROGRAM, LAYOUT, MACHINE).timings.items():
            assert size >= 1 and (found is None or found.step_seconds > 0)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_calibration(calibrated([100, 50]), PROGRAM, LAYOUT, MACHINE)
    assert not kept_calibration(PROGRAM, LAYOUT, MACHINE).timings

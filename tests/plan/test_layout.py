"""A layout as a document, and what each program sees of it."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.errors import InputError
from lbscale.plan import REMAT_POLICIES, Layout, Program, layout_document, layout_from_document, program_name
from lbscale.spec import Corpus, Decoder

MODEL = Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40)
PROGRAM = Program(MODEL, Corpus(name="text", fingerprint="f", seq_len=64), ("adamw", (("x", True),)), 128)
LAYOUTS = st.builds(
    Layout,
    lane=st.integers(1, 9),
    micro_batch_tokens=st.integers(1, 9_999),
    group_size=st.integers(1, 64),
    fsdp=st.integers(1, 4),
    partition_rules=st.sampled_from([None, (("head", ("fsdp", None)), (".*", ()))]),
    large_micro_batch_tokens=st.sampled_from([None, 256]),
    remat=st.sampled_from(REMAT_POLICIES),
    group_sizes=st.dictionaries(st.text("0123456789abcdef", min_size=1), st.integers(1, 64)).map(
        lambda sizes: tuple(sorted(sizes.items()))
    ),
)


@given(LAYOUTS)
def test_a_document_gives_the_layout_back(layout: Layout) -> None:
    document = json.loads(json.dumps(layout_document(layout)))
    assert layout_from_document(document, dict(layout.group_sizes)) == layout


def test_a_document_of_other_fields_is_refused() -> None:
    document = layout_document(Layout(1, 64, 1))
    with pytest.raises(InputError, match="the fields of a layout are needed"):
        layout_from_document({**document, "lanes": 3}, {})
    with pytest.raises(InputError, match="remat"):
        layout_from_document({**document, "remat": "some"}, {})


@given(LAYOUTS, st.integers(1, 64))
def test_a_program_sees_its_own_group_size_alone(layout: Layout, size: int) -> None:
    other = dataclasses.replace(PROGRAM, micro_batch_tokens=64)
    sized = dataclasses.replace(layout, group_sizes=(*layout.group_sizes, (program_name(PROGRAM), size)))
    assert sized.of(PROGRAM) == layout.with_group_size(size) and hash(sized.of(PROGRAM)) is not None
    assert sized.of(other) == layout.with_group_size(layout.group_size)
    assert sized.of(PROGRAM).of(other) == sized.of(PROGRAM)


def test_a_program_is_named_by_what_its_speed_depends_on() -> None:
    other_text = dataclasses.replace(PROGRAM, data=Corpus(name="other", fingerprint="g", seq_len=64))
    assert program_name(other_text) == program_name(PROGRAM)
    others = [
        dataclasses.replace(PROGRAM, data=Corpus(name="text", fingerprint="f", seq_len=128)),
        dataclasses.replace(PROGRAM, micro_batch_tokens=64),
        dataclasses.replace(PROGRAM, rule=("sgd", ())),
        dataclasses.replace(PROGRAM, model=dataclasses.replace(MODEL, d_ff=48)),
    ]
    assert len({program_name(program) for program in (PROGRAM, *others)}) == 5
    assert program_name(PROGRAM) == "328ec41ab8d2e850"

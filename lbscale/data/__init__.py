"""Corpora: documents -> tokens -> packed rows."""

from lbscale.data.packing import Rows, pack
from lbscale.data.source import PackedCorpus, check_vocabulary, corpus_spec, load, n_train_rows
from lbscale.data.standard_library import Documents

__all__ = ["Documents", "PackedCorpus", "Rows", "check_vocabulary", "corpus_spec", "load", "n_train_rows", "pack"]

"""Compilations that the cache on disk spares are counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import dataclasses, json, jax, jax.numpy as jnp
from lbscale.parallel import counted_compilations, keep_compilations
keep_compilations()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
with counted_compilations() as counted:
    jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
jax.jit(lambda x: jnp.cos(x) @ x)(jnp.ones((8, 8))).block_until_ready()
print(json.dumps(dataclasses.asdict(counted)))
"""


def _run(cache: Path) -> dict[str, float]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_a_second_process_reads_what_the_first_compiled(tmp_path: Path) -> None:
    first, second = _run(tmp_path), _run(tmp_path)
    assert first["n_from_cache"] == 0 and first["n_kept"] >= 1
    assert second["n_from_cache"] == first["n_kept"] and second["n_kept"] == 0

"""Compiled programs kept on disk between processes, and how often that spared a compilation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import jax

from lbscale.cache import cache_folder

_EVENTS = {"/jax/compilation_cache/cache_hits": "n_from_cache", "/jax/compilation_cache/cache_misses": "n_kept"}
_SECONDS = {
    "/jax/compilation_cache/compile_time_saved_sec": "seconds_saved",
    "/jax/core/compile/backend_compile_duration": "seconds_compiling",
}


@dataclass
class Compilations:
    """Programs read from the cache, programs compiled and kept in it, the seconds of compiling spared, and those that
    compiling and reading took. Programs too small to keep are in neither count."""

    n_from_cache: int = 0
    n_kept: int = 0
    seconds_saved: float = 0.0
    seconds_compiling: float = 0.0

    def __str__(self) -> str:
        spared = f", {self.seconds_saved:.0f} s spared" if self.n_from_cache else ""
        return f"{self.n_from_cache} read from the cache{spared}; {self.n_kept} compiled and kept in it"


def keep_compilations() -> None:
    """Keep compiled programs on disk between processes, where jax was not told a place of its own.

    A study's programs take seconds each to compile, and restarts, workers and later studies need the same ones.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder("compilations")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@contextlib.contextmanager
def counted_compilations() -> Iterator[Compilations]:
    """What the cache gave and took while the context is open."""
    counted = Compilations()

    def on_event(event: str, **_: str | int) -> None:
        if name := _EVENTS.get(event):
            setattr(counted, name, getattr(counted, name) + 1)

    def on_seconds(event: str, duration_secs: float, **_: str | int) -> None:
        if name := _SECONDS.get(event):
            setattr(counted, name, getattr(counted, name) + duration_secs)

    jax.monitoring.register_event_listener(on_event)
    jax.monitoring.register_event_duration_secs_listener(on_seconds)
    try:
        yield counted
    finally:
        jax.monitoring.unregister_event_listener(on_event)
        jax.monitoring.unregister_event_duration_listener(on_seconds)

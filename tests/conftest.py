"""All tests see two CPU devices, whatever the machine has, so that lanes are spread over devices in every test; no test
opens a window; and no example of a property is held to a time, since machines differ and tests share them."""

import os

from hypothesis import settings

# Before jax starts, and through the environment, so that subprocesses see the same.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
os.environ["MPLBACKEND"] = "agg"

settings.register_profile("lbscale", deadline=None)
settings.load_profile("lbscale")

"""All tests see two CPU devices, whatever the machine has, so that lanes are spread over devices in every test."""

import os

# Before jax starts, and through the environment, so that subprocesses see the same.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"

"""Carry out a plan: drive the trainer over its cohorts and write what comes out."""

from lbscale.execute.loop import Progress, execute

__all__ = ["Progress", "execute"]

"""How far a plan's forest is grown."""

from __future__ import annotations

from dataclasses import dataclass

from lbscale.execute.agenda import Agenda
from lbscale.execute.branches import Branches
from lbscale.execute.journal import Journal
from lbscale.plan import Plan


@dataclass(frozen=True)
class Course:
    """What may be seated next, the states to begin from, and what was read on the way."""

    agenda: Agenda
    branches: Branches
    journal: Journal

    @classmethod
    def of(cls, plan: Plan) -> Course:
        """Before anything is trained."""
        return cls(Agenda(plan), Branches(plan.stretches), Journal(plan))

"""Laws of loss and tuning: forms, fits with their uncertainty, hold-out, optima, recommendations."""

from lbscale.laws.answer import baselines, compute_optimal, recommend
from lbscale.laws.chinchilla import CHINCHILLA
from lbscale.laws.fit import fit
from lbscale.laws.form import Law, Parameter
from lbscale.laws.joint import JOINT
from lbscale.laws.prediction import Prediction
from lbscale.laws.registry import LAWS, get
from lbscale.laws.result import Fit
from lbscale.laws.table import read_table
from lbscale.laws.transfer import Transfer, learning_rate_transfer

__all__ = [
    "CHINCHILLA",
    "JOINT",
    "LAWS",
    "Fit",
    "Law",
    "Parameter",
    "Prediction",
    "Transfer",
    "baselines",
    "compute_optimal",
    "fit",
    "get",
    "learning_rate_transfer",
    "read_table",
    "recommend",
]

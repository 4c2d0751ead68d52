"""From results and laws to what a person reads: the verdict, the figures, the page."""

from lbscale.report import figures
from lbscale.report.law_figure import law_figure
from lbscale.report.ledger_figure import ledger_figure
from lbscale.report.track_figure import track_figure
from lbscale.report.verdict import verdict
from lbscale.report.verdict_text import verdict_text
from lbscale.report.versus_figure import versus_figure
from lbscale.report.write import write_report

__all__ = [
    "figures",
    "law_figure",
    "ledger_figure",
    "track_figure",
    "verdict",
    "verdict_text",
    "versus_figure",
    "write_report",
]

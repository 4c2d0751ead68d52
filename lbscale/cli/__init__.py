"""The command line: `lbscale VERB`. Numbers go to stdout, progress to stderr; bad input is one line and code 2."""

from lbscale.cli.main import main

__all__ = ["main"]

"""A page as one HTML file: style, script, figures and tables in it, and no address that a browser would load."""

from __future__ import annotations

import base64
import json
from importlib import resources

import jinja2
from markupsafe import Markup

from lbscale.report.blocks import Page
from lbscale.report.panel import Panel, panel_svg


def page_html(page: Page) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["svg"] = _svg
    environment.filters["image"] = _image
    return environment.from_string(_resource("page.html.jinja")).render(
        page=page,
        style=Markup(_resource("page.css")),
        script=Markup(_resource("page.js")),
        # Within a script element only "<" could end it.
        runs=Markup(json.dumps(page.runs, ensure_ascii=False).replace("<", "\\u003c")),
    )


def _resource(name: str) -> str:
    return resources.files("lbscale.report").joinpath(name).read_text(encoding="utf-8")


def _svg(panel: Panel, name: str) -> Markup:
    return Markup(panel_svg(panel, name))


def _image(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"

"""The status page: one document, no script, its style allowed by its digest."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, StrictUndefined

from .schemas import Ready

_FOLDER = resources.files(__package__).joinpath("templates")
STYLE = _FOLDER.joinpath("status.css").read_text("utf-8")
CSP = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy."""

_template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
    _FOLDER.joinpath("status.html").read_text("utf-8")
)


def status_page(state: Ready) -> str:
    """The page as HTML. Names no list, rule or account: it is shown to anybody who can connect."""
    return _template.render(state=state, style=STYLE)

"""The review page: one HTML file with its data, script and style."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent
SCRIPTS = ("model.js", "list.js", "main.js")
PARTS = ("review.html.j2", "review.css", *SCRIPTS)  # all files of a page except its data


def render(facts: dict[str, Any], total: int) -> str:
    """Render the page; its policy lets the browser run only our script, whatever the data contains.

    Args:
        facts: `facts.gather`, with `digest` and `segments.peaks`.
        total: number of segments of the corpus; the page may list fewer.
    """
    template = jinja2.Template(_text("review.html.j2"), autoescape=True, trim_blocks=True)
    script = "\n".join(_text(name) for name in SCRIPTS)
    style = _text("review.css")
    return template.render(
        corpus=facts["corpus"],
        listed=len(facts["segments"]["text"]),
        total=total,
        mos="mos_overall" in facts["segments"],
        data=in_page(facts),
        script=Markup(script),
        style=Markup(style),
        script_hash=_csp_hash(script),
        style_hash=_csp_hash(style),
    )


def in_page(value: Any) -> Markup:
    """`value` as JSON with `<` and `&` escaped, so that no text in it can close the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c"))


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

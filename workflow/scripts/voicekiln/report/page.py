"""The facts of a run as one self-contained HTML page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from voicekiln.families import facts as families
from voicekiln.report import charts

TEMPLATE = Path(__file__).with_name("run.html.j2")
WIDTHS = {"wide": 860, "narrow": 350}  # px; the page shows the one that fits
NBSP = "\u00a0"  # keeps a number and its unit on one line
MEASURES = (
    ("length_s", "length, seconds"),
    ("level_db", "level, dB re full scale (RMS)"),
    ("chars_per_s", "letters and digits per second"),
    ("snr_db", "signal-to-noise ratio, dB"),
    ("pitch_hz", "pitch, Hz"),
    ("mos_overall", "predicted MOS (DNSMOS), 1 to 5"),
)


class Environment(jinja2.Environment):
    """In `a.b`, items take precedence over methods: records have a key `update`."""

    def getattr(self, obj, attribute):
        return self.getitem(obj, attribute)


def render(facts: Mapping[str, Any]) -> str:
    """Render the page of a run; all values are escaped.

    Args:
        facts: `facts.gather`.
    """
    environment = Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "bytes": size,
        "percent": percent,
        "yaml": lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True),
        "waveform": charts.waveform,
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        **facts,
        totals=totals(facts["corpora"]),
        histograms=histograms(facts["segments"]),
        curves=curves(facts["training"], facts["choice"]),
        family=families.of(facts["settings"]["run"]["family"]),
    )


def duration(seconds: float) -> str:
    """A duration with about three digits: `4.2 s`, `5.59 min`, `12.3 h`."""
    if seconds < 60:
        return f"{seconds:.2f}{NBSP}s" if seconds < 10 else f"{seconds:.1f}{NBSP}s"
    minutes = seconds / 60
    if minutes < 120:
        return f"{minutes:.2f}{NBSP}min" if minutes < 10 else f"{minutes:.1f}{NBSP}min"
    hours = minutes / 60
    return f"{hours:.2f}{NBSP}h" if hours < 100 else f"{hours:,.0f}{NBSP}h"


def size(count: int) -> str:
    """A number of bytes with a unit."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count}{NBSP}bytes" if unit == "bytes" else f"{value:.1f}{NBSP}{unit}"


def percent(part: float, whole: float) -> str:
    """`part` of `whole`; values below 10 % have one decimal."""
    value = 100 * part / whole if whole else 0.0
    return f"{value:.0f}{NBSP}%" if value >= 10 or value == 0 else f"{value:.1f}{NBSP}%"


def totals(corpora: list[Mapping]) -> dict[str, Any] | None:
    """Seconds and counts of all corpora whose ledger has audio, or None."""
    ledgers = [corpus["ledger"] for corpus in corpora if corpus["funnel"]]
    if not ledgers:
        return None

    def seconds(pick):
        return sum(pick(ledger) / ledger["rate_hz"] for ledger in ledgers)

    return {
        "in_s": seconds(lambda ledger: ledger["samples_in"]),
        "train_s": seconds(lambda ledger: ledger["kept"]["train"]["samples"]),
        "val_s": seconds(lambda ledger: ledger["kept"]["val"]["samples"]),
        "non_speech_s": seconds(lambda ledger: ledger["non_speech"]),
        "lost_s": seconds(lambda ledger: sum(line["samples"] for line in ledger["lost"])),
        # the funnel's first line also counts byte-equal copies, whose samples it includes
        "recordings": sum(corpus["funnel"][0]["count"] for corpus in corpora if corpus["funnel"]),
        "unreadable": sum(ledger["unreadable"]["recordings"] for ledger in ledgers),
        "segments": sum(side["segments"] for ledger in ledgers for side in ledger["kept"].values()),
    }


def histograms(segments) -> list[dict[str, Any]]:
    """Charts of the segments' measures, each with the quartiles of the kept segments."""
    if segments is None:
        return []
    keep, side = segments["status"] == "keep", segments["split"].fillna("")
    drawn = []
    for column, name in MEASURES:
        values = segments[column].astype(float)
        # a segment without text has no speaking rate
        usable = values.notna() if column != "chars_per_s" else segments["chars"] > 0
        kept = values[keep & usable]
        groups = [
            charts.Group("training", values[usable & (side == "train")], "kept"),
            charts.Group("validation", values[usable & (side == "val")], "val"),
            charts.Group("dropped", values[~keep & usable], "lost"),
        ]
        if usable.any():
            drawn.append(
                {
                    "name": name,
                    "svg": charts.histogram(groups, name),
                    "kept": kept.quantile([0, 0.25, 0.5, 0.75, 1]).tolist() if len(kept) else None,
                }
            )
    return drawn


def curves(training: Mapping, choice: Mapping | None) -> dict[str, Markup | None]:
    """Charts of loss and learning rate, each wide and narrow; None if nothing was logged."""
    drawn: dict[str, Any] = {"loss": None, "learning_rate": None}
    train = charts.Series("training loss", training["loss"], "train")
    validation = charts.Series("validation loss", training["validation"], "val", dots=True)
    series = [one for one in (train, validation) if one.points]
    base = training["base"]
    mark = None
    if choice and choice["validation_loss"] is not None:
        loss = choice["validation_loss"]
        mark = (choice["update"], loss, f"chosen: {loss:.3f}")
    elif not choice and training["best"]:
        update, loss = training["best"]
        mark = (update, loss, f"best so far: {loss:.3f}")
    if series:
        drawn["loss"] = both_widths(
            series,
            level=None if base is None else (base, f"base: {base:.3f}"),
            mark=mark,
            name="update",
            label="Training and validation loss over updates",
        )
    if training["learning_rate"]:
        learning_rate = charts.Series("learning rate", training["learning_rate"], "rate")
        drawn["learning_rate"] = both_widths(
            [learning_rate], name="update", label="Learning rate over updates", from_zero=True
        )
    return drawn


def both_widths(series, **options) -> Markup:
    """A chart for large windows and one for small ones."""
    return Markup("").join(
        Markup('<div class="{}">{}</div>').format(css, charts.lines(series, width, **options))
        for css, width in WIDTHS.items()
    )

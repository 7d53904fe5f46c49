"""How the playground looks: colours, axes, numbers for the screen, the page around the plots.

The colours are those of `plots.style`; blue is the test error, orange the training error, in every plot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Div
from numpy.typing import NDArray

from ensemble.plots.style import COLOURS

__all__ = [
    "GREY",
    "INK",
    "PAGE",
    "TEST",
    "TRAIN",
    "WIDGETS",
    "legend_above",
    "plain_axes",
    "show_entry",
    "single",
    "source",
]

TEST, TRAIN = COLOURS[:2]
GREY, INK, FAINT = "#8a8f98", "#2b2f36", "#eceef1"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"


def single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return numbers in single precision, as a screen needs them, and NaN for what cannot be drawn."""
    with np.errstate(over="ignore"):
        small = np.asarray(values).astype(np.float32)
    return np.where(np.isfinite(small), small, np.float32(np.nan))


def source(name: str, *columns: str) -> Any:
    """Return an empty source that the browser changes without telling the server."""
    return ColumnDataSource({column: [] for column in columns}, name=name, syncable=False)


def text_of(**settings: Any) -> Any:
    """Return an element of text; formulas in it stay text, as Bokeh would fetch what sets them from another site."""
    return Div(disable_math=True, **settings)


def plain_axes(plot: Any) -> None:
    """Take away what is not read: frames, minor ticks, heavy grids."""
    plot.outline_line_color = None
    plot.background_fill_color = plot.border_fill_color = None
    plot.grid.grid_line_color = FAINT
    plot.axis.axis_line_color = "#c9ced6"
    plot.axis.major_tick_line_color = "#c9ced6"
    plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_color = INK
    plot.axis.major_label_text_font_size = "11px"
    plot.axis.axis_label_text_font_size = "12px"
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_color = INK
    plot.title.text_font_size = "13px"
    plot.title.text_color = INK
    plot.min_border_right = 12


def legend_above(plot: Any) -> None:
    """Put the legend where it covers nothing."""
    legend = plot.legend[0]
    legend.orientation, legend.padding, legend.margin, legend.spacing = "horizontal", 2, 0, 12
    legend.border_line_alpha, legend.label_text_font_size, legend.glyph_width = 0, "11px", 16
    legend.glyph_height, legend.label_height = 14, 14
    plot.add_layout(legend, "above")


def show_entry(plot: Any, label: str, on: bool) -> None:
    """Show or hide an entry of the legend."""
    for item in plot.legend[0].items:
        if item.label.value == label:
            item.visible = on


# Inside widgets, whose insides the page's own styles do not reach.
WIDGETS = f"""
    :host {{ font-family: {FONT}; font-size: 12.5px; color: {INK}; }}
    label, .bk-slider-title {{ font-size: 12px; color: {INK}; }}
    .bk-slider-value {{ font-weight: 600; color: {TEST}; }}
    .noUi-target {{ border: none; box-shadow: none; background: #dfe3e8; height: 4px; margin: 0 7px; }}
    .noUi-handle {{ width: 14px; height: 14px; border-radius: 50%; border: 2px solid {TEST}; background: white;
                    box-shadow: none; top: -5px; right: -7px; }}
    .noUi-handle::before, .noUi-handle::after {{ display: none; }}
    .noUi-horizontal .noUi-handle {{ width: 14px; height: 14px; top: -5px; right: -7px; }}
    .noUi-target[disabled] {{ opacity: 0.4; }}
    .noUi-handle:focus, .bk-input:focus, .bk-btn:focus-visible, input:focus-visible, textarea:focus {{
        outline: 2px solid {TEST}; outline-offset: 1px; }}
    .bk-input {{ font-size: 12.5px; padding: 0 6px; height: 27px; border-radius: 5px; }}
    .bk-btn {{ border-radius: 6px; font-size: 12.5px; padding: 4px 10px; background: white; color: {INK};
               border: 1px solid #c9ced6; }}
    .bk-btn:hover {{ border-color: {TEST}; color: {TEST}; }}
    .bk-btn-primary, .bk-btn-primary:hover {{ background: {TEST}; border-color: {TEST}; color: white; }}
"""

_PAGE = """
{% extends base %}
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  html, body { margin: 0; background: white; color: INK; font-family: FONT; }
  main { display: grid; grid-template-columns: {{ columns }}; gap: 0 18px; padding: 10px 16px 6px; max-width: 1500px; }
  header { grid-column: 1 / -1; display: flex; gap: 16px; align-items: flex-start; justify-content: space-between;
           border-bottom: 1px solid #e3e6ea; padding-bottom: 8px; margin-bottom: 8px; min-height: 44px; }
  h1 { font-size: 12px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase; color: TEST;
       margin: 0 0 2px; }
  footer { grid-column: 1 / -1; font-size: 12.5px; color: #5b626d; min-height: 18px; padding-top: 2px; }
  @media (max-width: 1330px) { main { grid-template-columns: {{ narrow }}; } header { flex-wrap: wrap; }
                               main > section:last-of-type { grid-column: -2 / -1; } }
  .lost { position: fixed; inset: 0 0 auto 0; background: INK; color: white; padding: 10px 16px; font-size: 14px;
          z-index: 99; }
  .lost[hidden] { display: none; }
</style>
{% endblock %}
{% block contents %}
<div class="lost" id="lost" role="alert" hidden>The playground has stopped. Start it again with
  <b>python -m ensemble play</b> and reload this page: the address holds all settings.</div>
<main>
  <header><div><h1>relu-ensemble playground</h1>{{ embed(roots.answer) }}</div>{{ embed(roots.share) }}</header>
  {% if controls %}
  <section aria-label="settings">{{ embed(roots.controls) }}{{ embed(roots.hidden) }}</section>
  {% endif %}
  <section aria-label="fits">{{ embed(roots.main) }}</section>
  <section aria-label="errors">{{ embed(roots.side) }}</section>
  <footer id="help" role="status" aria-live="polite"></footer>
</main>
<script>
  const help = (event) => {
    for (const one of event.composedPath()) {
      if (one.dataset?.help) { document.getElementById('help').textContent = one.dataset.help; return; }
    }
  };
  document.addEventListener('focusin', help);
  document.addEventListener('keyup', help);  // a focus that moves inside a widget's own tree is not told outside
  document.addEventListener('pointerover', help);
</script>
{% endblock %}
"""

# Jinja's own braces are left alone by replacing words.
PAGE = _PAGE.replace("INK", INK).replace("FONT", FONT).replace("TEST", TEST)

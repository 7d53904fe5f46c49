"""The controls: one widget for each setting, each with a sentence on what it does, all reachable by keyboard.

`read` gives the settings that they stand at, `write` moves them there; what is wrong is said beside the field.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import CategoricalSlider, Checkbox, FileInput, Select, Spinner, TextInput

from ensemble.play.look import WIDGETS, text_of
from ensemble.play.settings import BEST, CHOSEN, DRAWN, FILE, FORMULA, SOURCES, Settings

__all__ = ["Controls"]

WIDTH, GAP = 300, 12
HALF = (WIDTH - GAP) // 2
WORDS = {
    "reciprocal_sine": "-2 / (2 + sin x)", "quadratic": "x²", "half_sine": "half a sine", "chirp": "chirp",
    "absolute": "|x|", "soft_absolute": "√(x² + 1/4)", DRAWN: "draw your own", FORMULA: "type a formula",
    FILE: "load a CSV file", "moons": "two moons (2 inputs)", "spiral": "spiral (2 inputs)",
    "xor": "XOR (2 inputs)", "circles": "circles (2 inputs)", "gd": "gradient descent", "momentum": "momentum",
    "adam": "adam", "standard": "standard", "mup": "mu-P", "normal": "N(0, 0.1²)", "he": "He", "uniform": "uniform",
    "fan_in": "N(0, 1/inputs)",
}  # fmt: skip
SLIDERS = ("n", "noise", "width", "hidden_layers", "seeds", "epochs", "rate", "batch_size")
SELECTS = ("optimizer", "init", "parametrization")
BOXES = ("hidden_bias", "output_bias")


class Controls:
    """All widgets of one window.

    Parameters
    ----------
    settings : Settings
        Where they start.
    changed : callable
        Called when a student has moved one of them, not by `write`.
    loaded : callable
        Called with name and content, in base64, of a file that was chosen.

    Attributes
    ----------
    layout : bokeh layout
    columns : list of str
        Of the student's file; empty until one is loaded.
    """

    def __init__(
        self, settings: Settings, changed: Callable[[], None], loaded: Callable[[str, str], None]
    ) -> None:  # fmt: skip
        self._settings, self._changed, self._loaded, self._quiet = settings, changed, loaded, False
        self.columns: list[str] = []
        self.widgets: dict[str, Any] = {
            "source": _select(
                "target", [(name, WORDS.get(name, name)) for name in SOURCES],
                "What the networks learn: a function, your own curve or file, or labels of points.",
            ),
            "formula": TextInput(
                title="f(x) =", width=WIDTH, **_help("Formula", "Of x, such as sin(3x) + x/2; Enter shows it.")
            ),
            "low": Spinner(title="from x", width=HALF, step=1, **_help("From", "Where the formula's interval begins.")),
            "high": Spinner(title="to x", width=HALF, step=1, **_help("To", "Where the formula's interval ends.")),
            "x": _select("x column", [], "The column of the file that networks get as input.", HALF),
            "y": _select("y column", [], "The column of the file that networks learn.", HALF),
        }  # fmt: skip
        for name, choice in CHOSEN.items():
            sentence = f"{choice.title.capitalize()}: {choice.does}"
            if name in SLIDERS:
                texts = [word_of(name, value) for value in choice.values]
                self.widgets[name] = CategoricalSlider(
                    title=choice.title, categories=texts, value=texts[0], width=HALF, tooltips=False,
                    **_help("", sentence),
                )  # fmt: skip
            elif name in SELECTS:
                options = [(value, WORDS[value]) for value in choice.values]
                self.widgets[name] = _select(choice.title, options, sentence, HALF)
            else:
                self.widgets[name] = Checkbox(label=choice.title, width=HALF, **_help("", sentence))
        self.file = FileInput(
            title="CSV file", accept=".csv,.txt", width=WIDTH, name="file",
            **_help("CSV file", "Comma-separated, its first line names the columns; it does not leave this machine."),
        )  # fmt: skip
        self.problem = text_of(
            text="", width=WIDTH, name="problem", styles={"color": "#b3261e", "font-size": "12.5px"}, visible=False
        )
        self.hint = text_of(text="", width=WIDTH, styles={"font-size": "12.5px"}, name="hint")
        for name, widget in self.widgets.items():
            widget.name = name
            widget.on_change("active" if isinstance(widget, Checkbox) else "value", self._moved)
        self.file.on_change("filename", self._chosen)
        self.write(settings)
        self.layout = self._arranged()

    def read(self) -> Settings:
        """Return the settings that the controls stand at."""
        found: dict[str, Any] = {}
        for name, widget in self.widgets.items():
            if name in CHOSEN:
                value = widget.active if isinstance(widget, Checkbox) else widget.value
                choices = {
                    word_of(name, choice) if name in SLIDERS else choice: choice for choice in CHOSEN[name].values
                }
                found[name] = choices[value]
            elif name in ("low", "high"):
                found[name] = getattr(self._settings, name) if widget.value is None else float(widget.value)
            else:
                found[name] = widget.value
        return self._settings.changed(**found)

    def write(self, settings: Settings) -> None:
        """Move the controls to these settings; `changed` is not called."""
        self._settings, self._quiet = settings, True
        for name, widget in self.widgets.items():
            value = getattr(settings, name)
            if isinstance(widget, Checkbox):
                widget.active = value
            elif name in ("x", "y"):
                widget.update(options=self.columns, value=value)
            else:
                widget.value = word_of(name, value) if name in SLIDERS else value
        self._quiet = False
        self._show_fields()

    def offer(self, columns: list[str]) -> None:
        """Offer the columns of a file."""
        self.columns = columns
        x, y = (name if name in columns else columns[i] for i, name in enumerate((self._settings.x, self._settings.y)))
        self.write(self._settings.changed(x=x, y=y))

    def complain(self, sentence: str) -> None:
        """Show what is wrong beside the fields of the source; "" takes it away."""
        self.problem.update(text=sentence, visible=bool(sentence))

    def _moved(self, attribute: str, old: Any, new: Any) -> None:
        if not self._quiet:
            self._settings = self.read()
            self._show_fields()
            self._changed()

    def _chosen(self, attribute: str, old: Any, new: Any) -> None:
        if new:
            self._loaded(str(new), str(self.file.value))

    def _show_fields(self) -> None:
        """Show the fields that the source needs."""
        source = self._settings.source
        for name in ("formula", "low", "high"):
            self.widgets[name].visible = source == FORMULA
        for name in ("x", "y"):
            self.widgets[name].visible = source == FILE and bool(self.columns)
        self.file.visible = source == FILE
        again = f"The link was made with the file {self._settings.file}: choose it again."
        self.hint.text = html.escape({
            DRAWN: "Draw on the large plot with the mouse, from left to right; let go to train.",
            FILE: "" if self.columns else again if self._settings.file else "Its first line must name the columns.",
        }.get(source, ""))  # fmt: skip
        self.hint.visible = bool(self.hint.text)
        for name in ("n", "noise"):
            self.widgets[name].disabled = source == FILE

    def _arranged(self) -> Any:
        w = self.widgets

        def pairs(*names: str) -> list[Any]:
            there = [w[name] for name in names if name in w]
            return [row(*there[i : i + 2], spacing=GAP, margin=0) for i in range(0, len(there), 2)]

        return column(
            _head("Data"), w["source"], w["formula"], row(w["low"], w["high"], spacing=GAP), self.file,
            row(w["x"], w["y"], spacing=GAP), self.hint, self.problem, *pairs("n", "noise"),
            _head("Networks"), *pairs("width", "hidden_layers", "init", "parametrization", *BOXES),
            _head("Training"), *pairs("seeds", "epochs", "optimizer", "rate", "batch_size"),
            name="controls", width=WIDTH, spacing=5,
        )  # fmt: skip


def word_of(name: str, value: Any) -> str:
    """Return a value as a slider shows it."""
    if name == "rate" and value == BEST:
        return "best"
    if name == "batch_size" and value == 0:
        return "all"
    return f"{value:g}"


def _select(title: str, options: list[Any], sentence: str, width: int = WIDTH) -> Any:
    return Select(title=title, options=options, width=width, **_help(title.capitalize(), sentence))


def _help(title: str, sentence: str) -> dict[str, Any]:
    """Return the keywords of a widget that says what it does, in the line at the foot of the page."""
    text = f"{title}: {sentence}" if title and not sentence.startswith(title) else sentence
    return {"stylesheets": [WIDGETS], "html_attributes": {"data-help": text}, "margin": 0}


def _head(text: str) -> Any:
    return text_of(
        text=text, margin=(4, 0, 0, 0), height=16, width=WIDTH,
        styles={"font-weight": "600", "font-size": "12.5px", "border-bottom": "1px solid #e3e6ea"},
    )  # fmt: skip

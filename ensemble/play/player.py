"""The slider through the epochs, and its play button: they work in the browser alone, on saved pages too."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import row
from bokeh.models import CustomJS, CustomJSTickFormatter, Slider, Toggle

from ensemble.play.look import WIDGETS
from ensemble.play.picture import Picture

__all__ = ["Player"]

FRAME_MS = 140


class Player:
    """A play button and a slider whose value is a row of the views' frames.

    Parameters
    ----------
    views : sequence
        Each with `MOVE`, the code that shows row i, and `arguments`, what that code names.
    width : int
    """

    def __init__(self, views: list[Any], epochs: Any, width: int) -> None:
        self.epochs = epochs
        help_play = "Play: runs through the epochs of training."
        help_slider = "Epoch: how often the networks have seen all points, in the plots above and beside."
        self.button = Toggle(
            label="▶ play", width=86, name="play", stylesheets=[WIDGETS], html_attributes={"data-help": help_play}
        )
        self.slider = Slider(
            title="epoch", start=0, end=1, value=1, step=1, tooltips=False, width=width - 110, name="frame",
            stylesheets=[WIDGETS], html_attributes={"data-help": help_slider}, syncable=False,
            format=CustomJSTickFormatter(args={"epochs": epochs}, code="return `${epochs.data.epoch[tick] ?? ''}`"),
        )  # fmt: skip
        arguments = {"epochs": epochs, "slider": self.slider, "button": self.button}
        for view in views:
            arguments |= view.arguments()
        show = "const i = slider.value;\n"
        show += "\n".join(f"{{ {view.MOVE} }}" for view in views)
        self.slider.js_on_change("value", CustomJS(args=arguments, code=show))
        self.button.js_on_change("active", CustomJS(args=arguments, code=f"""
            const timers = (window.playground_timers ??= new Map());
            clearInterval(timers.get(button.id));
            button.label = button.active ? '⏸ pause' : '▶ play';
            if (button.active) {{
                if (slider.value >= slider.end) slider.value = 0;
                timers.set(button.id, setInterval(() => {{
                    if (slider.value >= slider.end) button.active = false;
                    else slider.value += 1;
                }}, {FRAME_MS}));
            }}
        """))  # fmt: skip
        # The browser alone knows where the slider stands: each new picture is shown at its last epoch.
        last = CustomJS(args={"slider": self.slider, "epochs": epochs, "button": self.button}, code="""
            button.active = false;
            slider.end = Math.max(epochs.data.epoch.length - 1, 1);
            slider.value = slider.end;
            slider.properties.title.change.emit();  // the text beside it is of the new epochs
        """)  # fmt: skip
        for source in (epochs, *(view.frames for view in views if hasattr(view, "frames"))):
            source.js_on_change("data", last)
        self.layout = row(self.button, self.slider, name="player")

    def show(self, picture: Picture) -> None:
        """Stand at the last epoch of a picture."""
        last = len(picture.frames) - 1
        self.button.active = False
        self.slider.update(end=max(last, 1), value=last)

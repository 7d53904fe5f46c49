"""A picture as about ten lines of Python that reproduce it.

What a student copies out of the window; the tests run it.
"""

from __future__ import annotations

from typing import Any

from ensemble.data import SHAPES, TARGETS
from ensemble.play.formula import parse
from ensemble.play.models import axes_of, loss_of
from ensemble.play.settings import DRAWN, FILE, FORMULA, Settings
from ensemble.play.source import drawn_of

__all__ = ["python"]


def python(settings: Settings) -> str:
    """Return a program that trains the same networks, prints their error and draws their fits."""
    axes = axes_of(settings, [settings.width])
    loss = "" if loss_of(settings) == "mse" else ', loss="cross_entropy"'
    lines = [
        "import matplotlib.pyplot as plt",
        "import numpy as np",
        "import ensemble",
        *(["from ensemble.data import sample_labels"] if settings.labelled else []),
        "",
        *_data(settings),
        f"specs = ensemble.grid({', '.join(f'{name}={_value(value)}' for name, value in axes.items())})",
        f"result = ensemble.train(specs, data, epochs={settings.epochs}{loss})",
    ]
    if len(axes["lr"]) > 1:
        lines += [
            "best = min(np.unique(specs.lr), key=lambda lr: np.median(result.val_loss[specs.lr == lr, -1]))",
            "result = result[specs.lr == best]",
        ]
    lines += [
        f'print("width {settings.width}: median test error", np.median(result.test_loss[:, -1]))',
        *_drawing(settings),
        "plt.show()",
    ]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        return repr(value[0])
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value).replace("range(0, ", "range(")


def _data(settings: Settings) -> list[str]:
    """Return the lines that make the data."""
    amount = f"n={settings.n}, noise={settings.noise:g}"
    if settings.source in SHAPES:
        return [f'data = sample_labels("{settings.source}", {amount})']
    if settings.source == FILE:
        return [f"data = ensemble.load_csv({settings.file!r}, x={settings.x!r}, y={settings.y!r})"]
    if settings.source == FORMULA:
        interval = f"interval=({settings.low:g}, {settings.high:g})"
        return [f"data = ensemble.sample(lambda x: {parse(settings.formula).code}, {amount}, {interval})"]
    if settings.source == DRAWN:
        low, high, knots = drawn_of(settings)
        return [
            f"drawn = {knots.tolist()}",
            f"knots = np.linspace({low!r}, {high!r}, {len(knots)})",
            f"data = ensemble.sample(lambda x: np.interp(x, knots, drawn), {amount}, interval=({low!r}, {high!r}))",
        ]
    assert settings.source in TARGETS
    return [f'data = ensemble.sample("{settings.source}", {amount})']


def _drawing(settings: Settings) -> list[str]:
    if settings.labelled:
        return [
            "x = np.stack(np.meshgrid(*[np.linspace(-1.8, 1.8, 100)] * 2), axis=-1)",
            f"for p in result.networks.predict(x.reshape(-1, 2)):  # {settings.seeds} boundaries",
            '    plt.contour(x[..., 0], x[..., 1], p.reshape(100, 100), levels=[0], colors="0.5")',
            'plt.scatter(*data.x_train.T, c=data.y_train, cmap="coolwarm", s=9)',
        ]
    return [
        "x = np.linspace(data.x_train.min(), data.x_train.max(), 500)",
        'plt.plot(data.x_train, data.y_train, ".", color="0.6")',
        'plt.plot(x, result.networks.predict(x).T, color="#0072B2", alpha=0.3)',
    ]

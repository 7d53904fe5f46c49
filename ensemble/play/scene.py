"""All plots of one window or saved page, and the player that moves them through the epochs."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import column

from ensemble.play.errors import LossView, WidthView
from ensemble.play.fits import FitView
from ensemble.play.picture import Picture
from ensemble.play.plane import PlaneView
from ensemble.play.player import Player
from ensemble.play.settings import DRAWN

__all__ = ["Scene"]

MAIN, SIDE, HEIGHT = 590, 390, 460


class Scene:
    """The plots; `main` and `side` are what goes into the page.

    Parameters
    ----------
    main : int
        Width of the large plot in pixels.
    """

    def __init__(self, main: int = MAIN) -> None:
        self.fits, self.plane = FitView(main, HEIGHT), PlaneView((main - 70) // 2)
        self.losses, self.widths = LossView(SIDE, HEIGHT // 2 + 10), WidthView(SIDE, HEIGHT // 2 + 40)
        self.player = Player([self.fits, self.plane, self.losses], self.losses.epochs, main)
        self.main = column(self.fits.figure, self.plane.layout, self.player.layout, name="main")
        self.side = column(self.losses.figure, self.widths.figure, name="side")
        self.plane.layout.visible = False

    def show(self, picture: Picture) -> None:
        """Draw all of a picture but the error against width, which is faded until `complete` draws it."""
        self.fade(False)
        labelled, drawn = picture.settings.labelled, picture.settings.source == DRAWN
        view: Any = self.plane if labelled else self.fits
        view.show(picture)
        self.fits.drawing(drawn)
        if drawn:
            self.fits.show_drawn(picture)
        self.fits.figure.visible, self.plane.layout.visible = not labelled, labelled
        self.losses.show(picture)
        self.player.show(picture)
        self.widths.figure.styles = {"opacity": "0.4"}

    def fade(self, on: bool) -> None:
        """Fade the plots while they show other settings than the controls."""
        self.main.styles = self.side.styles = {"opacity": "0.45" if on else "1"}

    def complete(self, picture: Picture) -> None:
        """Draw the error against width."""
        self.widths.show(picture)
        self.widths.figure.styles = {"opacity": "1"}

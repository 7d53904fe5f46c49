"""The playground: a local page on which a student trains hundreds of networks by moving sliders.

`server` serves it, a `session` is one window, `picture` what is computed, `scene` what is drawn.
"""

from ensemble.play.server import serve

__all__ = ["serve"]

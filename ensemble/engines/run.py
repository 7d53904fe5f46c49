"""One chunk of models, from where it starts to its rows of the result: what training maps over an executor."""

from __future__ import annotations

import threading

import numpy as np

from ensemble.data import Dataset
from ensemble.engines.checkpoint import Checkpoint
from ensemble.engines.chunk import Chunk, Rows, Settings, Start
from ensemble.engines.prepared import n_outputs, scale_of
from ensemble.engines.registry import REGISTRY
from ensemble.networks import initialize
from ensemble.specs import Specs

__all__ = ["run_chunk"]


def run_chunk(
    specs: Specs,
    data: Dataset,
    engine: str,
    settings: Settings,
    start: Start | None = None,
    stop: threading.Event | None = None,
    checkpoint: Checkpoint | None = None,
) -> Rows:
    """Train one chunk of models of one dataset and engine, and return their rows; a pure function of its arguments.

    Without a `start`, from the initial weights. With a `checkpoint`, a chunk that takes long leaves there how far it
    has come, and starts from there.

    Raises
    ------
    CancelledError
        `stop` was set; nothing of the chunk is kept but its checkpoint.
    """
    if start is None:
        scale = scale_of(data, settings.loss)
        scales = {} if scale is None else {name: scale for name in np.unique(specs.data).tolist()}
        start = Start(initialize(specs, data.n_inputs, scales, n_outputs(data, settings.loss)))
    else:
        start = start._replace(networks=start.networks.take(np.arange(len(specs))))
    run = Chunk(specs, data, settings, start, stop, checkpoint)
    REGISTRY[engine].train(run)
    return run.rows()

"""What optimizers remember between two steps, of many models: arrays by name, beside the networks that they belong to.

The one form of it: engines update it, checkpoints and run folders keep it, and a `Result` hands it on to going on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.networks import NetworkStack, weight_bytes
from ensemble.rules.optimizers import init, remembers
from ensemble.specs import Specs

__all__ = ["PER_PARAMETER", "State", "state_bytes"]

Array = NDArray[np.float64]

# The fields of optimizers.Moments: one number for each parameter, or some for each model.
PER_PARAMETER = ("first", "second")
PER_MODEL = ("powers",)


@dataclass(frozen=True, eq=False)
class State:
    """What the optimizers of M models remember. Both dicts are empty where none remembers anything, as with gd alone.

    Attributes
    ----------
    parameters : dict of NetworkStack by name
        What is remembered of each parameter, in the shapes of the networks: "first", the first moments of momentum and
        adam, and "second", adam's second ones. Zeros of models whose optimizer has no such.
    models : dict of (M, ...) float64 by name
        What is remembered of each model: "powers" (M, 2), adam's beta1^t and beta2^t after t steps.
    """

    parameters: Mapping[str, NetworkStack]
    models: Mapping[str, Array]

    @classmethod
    def fresh(cls, specs: Specs, n_inputs: int, n_outputs: int = 1) -> State:
        """Return the state before the first step."""
        if not remembers(specs.optimizer).any():
            return cls({}, {})
        start = init(len(specs), 0)
        return cls(
            {name: NetworkStack(specs, n_inputs, n_outputs=n_outputs) for name in PER_PARAMETER},
            {name: getattr(start, name) for name in PER_MODEL},
        )

    def arrays(self) -> dict[str, Array]:
        """Return all that is remembered by name, of parameters as the flat buffer of their stack: no copies."""
        return {name: stack.parameters for name, stack in self.parameters.items()} | dict(self.models)

    def fill(self, arrays: Mapping[str, Array]) -> None:
        """Take over what `arrays` has returned; a ValueError where an array is missing or has another shape."""
        for name, own in self.arrays().items():
            if name not in arrays or arrays[name].shape != own.shape or arrays[name].dtype != own.dtype:
                raise ValueError(f"the state's {name!r} is missing, or has another shape than its models need")
            own[...] = arrays[name]

    def take(self, index: NDArray[np.int64]) -> State:
        """Return the state of the models at `index`, copies."""
        parameters = {name: stack.take(index) for name, stack in self.parameters.items()}
        if not any(remembers(stack.specs.optimizer).any() for stack in parameters.values()):
            return State({}, {})
        return State(parameters, {name: values[index] for name, values in self.models.items()})

    def put(self, index: NDArray[np.int64], other: State) -> None:
        """Write the state of other models of the same settings over that of the models at `index`."""
        for name, stack in other.parameters.items():
            self.parameters[name].put(index, stack)
        for name, values in other.models.items():
            self.models[name][index] = values


def state_bytes(specs: Specs, n_inputs: int, n_outputs: int = 1) -> int:
    """Return the memory in bytes of the state of some models."""
    if not remembers(specs.optimizer).any():
        return 0
    parameters = int(weight_bytes(specs.width, n_inputs, specs.hidden_layers, n_outputs).sum())
    return len(PER_PARAMETER) * parameters + 16 * len(specs) * len(PER_MODEL)

"""Where the models of a run start: at fresh networks, at given ones, or where an earlier result ended.

The second step of training: what it returns says from which epoch on there is something to train, and what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Scale
from ensemble.engines import Rows, Settings, Start, scale_of
from ensemble.networks import NetworkStack
from ensemble.results import Origin, Result
from ensemble.rules.optimizers import ENDLESS, remembers
from ensemble.specs import Specs
from ensemble.store import difference, digests, made_here
from ensemble.training.request import Datasets, outputs_of

__all__ = ["Beginning", "beginning"]


@dataclass(frozen=True)
class Beginning:
    """Where the models of a run start, and what they are asked for from there on.

    Attributes
    ----------
    settings : Settings
        As asked for, joined with what the earlier result has recorded.
    origin : Origin
        Of the result to come.
    epoch : int
        The first epoch that is not trained yet; 0 unless a result is gone on with.
    initial : NetworkStack, Result or None
    """

    settings: Settings
    origin: Origin
    epoch: int = 0
    initial: NetworkStack | Result | None = None

    def start(self, index: NDArray[np.int64]) -> Start | None:
        """Return where the models at `index` start; None where their seeds say it."""
        if self.initial is None:
            return None
        if isinstance(self.initial, NetworkStack):
            return Start(self.initial.take(index))
        some = self.initial[index]
        rows = Rows(dict(some.losses), dict(some.accuracies), some.diverged_at, None, dict(some.snapshots), some.state)
        if self.epoch in self.settings.snapshots:
            rows.snapshots[self.epoch] = some.networks
        return Start(some.networks, self.epoch, rows)


def beginning(
    initial: NetworkStack | Result | None, specs: Specs, datasets: Datasets, engines: NDArray[np.str_],
    settings: Settings, named_epochs: bool,
) -> Beginning:  # fmt: skip
    """Return where models start.

    A ValueError where networks do not fit the specs or the units of their data, or a result cannot be gone on with to
    the bits of one run. `named_epochs`: whether the user named the epochs to record, so that all must be there.
    """
    data = {name: dataset.digest for name, dataset in datasets.items()}
    origin = Origin(settings.loss, engines, np.full(len(specs), ""), data, [])
    if initial is None:
        return Beginning(settings, origin)
    if isinstance(initial, Result):
        _check_same(initial, specs, origin)
        epoch = int(initial.epochs[-1])
        _check_end(initial, epoch, settings)
        joined = settings._replace(
            record=_joined("record", settings.record, initial.epochs, epoch, named_epochs),
            snapshots=tuple(_joined(
                "snapshots", np.array(settings.snapshots, dtype=np.int64),
                np.array([*initial.snapshots, *({epoch} & set(settings.snapshots))], dtype=np.int64), epoch, True,
            ).tolist()),
        )  # fmt: skip
        return Beginning(joined, origin._replace(initial=initial.origin.initial), epoch, initial)
    _check_networks(initial, specs, datasets, settings.loss)
    return Beginning(settings, origin._replace(initial=digests(initial)), 0, initial)


# ---- a result to go on from ----


def _check_same(initial: Result, specs: Specs, asked: Origin) -> None:
    """Require what gives the bits of one run: the same models, loss, engines and data."""
    if len(initial) != len(specs):
        _refuse(f"it holds {len(initial)} models, the specs {len(specs)}; result[mask] goes with specs[mask]")
    for name, values in specs.columns().items():
        differs = getattr(initial.specs, name) != values
        if differs.any():
            i = int(differs.argmax())
            was, now = (getattr(one, name)[i].item() for one in (initial.specs, specs))
            _refuse(f"specs[{i}] has {name} {now!r}, it was trained with {was!r}; initial=result.networks starts anew")
    found = initial.origin
    if found.loss != asked.loss:
        _refuse(f"it minimized {found.loss!r}, now loss is {asked.loss!r}")
    if (found.engine != asked.engine).any():
        i = int((found.engine != asked.engine).argmax())
        _refuse(
            f"specs[{i}] was trained by the engine {str(found.engine[i])!r}, now it would be "
            f"{str(asked.engine[i])!r}, whose last bits differ; pass engine={str(found.engine[i])!r}"
        )
    for name in asked.data:
        if found.data[name] != asked.data[name]:
            _refuse(f"the dataset {name!r} is not the one that it was trained on")
    for made in found.made:
        differs = difference(made, made_here())
        if differs:
            _refuse(f"it comes from a run folder and was made with {differs}, whose last bits may be others")


def _check_end(initial: Result, epoch: int, settings: Settings) -> None:
    """Require all that is needed at the epoch where the result ended."""
    if settings.epochs < epoch:
        _refuse(f"it is at epoch {epoch}, and epochs, the total, is {settings.epochs}")
    if initial.stack is None:
        _refuse("it has no networks: it was trained with keep_networks=False")
    specs = initial.specs
    bound = ~np.isin(specs.schedule, ENDLESS)
    if settings.epochs > epoch and bound.any():
        i = int(bound.argmax())
        _refuse(
            f"the schedule {str(specs.schedule[i])!r} of specs[{i}] depends on the number of epochs, which was "
            f"{epoch}; train all {settings.epochs} epochs in one run"
        )
    needs = remembers(specs.optimizer)
    if initial.state is None and needs.any():
        i = int(needs.argmax())
        _refuse(
            f"it has no state of the optimizer {str(specs.optimizer[i])!r} of specs[{i}]; train it with "
            "keep_state=True, or pass initial=result.networks to start without memory"
        )


def _joined(name: str, asked: NDArray[np.int64], known: NDArray[np.int64], epoch: int, must: bool) -> NDArray[np.int64]:
    """Return the epochs up to `epoch` that are known, and those asked for after it; a ValueError if one is missing."""
    missing = np.setdiff1d(asked[asked <= epoch], known)
    if must and len(missing):
        _refuse(f"{name} names epoch {missing[0]}, before its last, {epoch}, and it has not kept that one")
    return np.union1d(known, asked[asked > epoch])


def _refuse(why: str) -> NoReturn:
    raise ValueError(f"initial cannot be gone on with to the bits of one run: {why}")


# ---- networks to start from ----


def _check_networks(initial: NetworkStack, specs: Specs, datasets: Datasets, loss: str) -> None:
    """Raise a ValueError where the networks to start from do not fit the specs, or the units of their data."""
    n_inputs, n_outputs = next(iter(datasets.values())).n_inputs, outputs_of(datasets, loss)
    if not isinstance(initial, NetworkStack):
        raise ValueError(f"initial is a {type(initial).__name__}; a NetworkStack is needed, or a Result to go on from")
    columns = ("width", "hidden_layers")
    given, asked = ([getattr(one, name).tolist() for name in columns] for one in (initial.specs, specs))
    if initial.n_inputs != n_inputs or given != asked:
        has, need = (f"widths {one[0][:4]}..., hidden layers {one[1][:4]}..." for one in (given, asked))
        raise ValueError(
            f"initial holds {len(initial)} networks of {initial.n_inputs} inputs, {has}; "
            f"the specs need {len(specs)} of {n_inputs} inputs, {need}, in this order"
        )
    if initial.n_outputs != n_outputs:
        raise ValueError(f"initial holds networks of {initial.n_outputs} outputs, the data and loss need {n_outputs}")
    for there, here in sorted(set(zip(initial.specs.data.tolist(), specs.data.tolist(), strict=True))):
        found, needed = initial.scales.get(there), scale_of(datasets[here], loss)
        if not (found is needed is None or (found and needed and np.array_equal(found.values(), needed.values()))):
            raise ValueError(
                f"initial holds networks of data {_units(found)}, but the dataset {here!r} is {_units(needed)}: "
                "there the same weights are another function; networks of the same units are needed "
                "(`initialize` takes `scales`)"
            )
    for i in range(len(specs)):
        *hidden, output = initial.network(i, units="training").biases
        if (not specs.hidden_bias[i] and any(b.any() for b in hidden)) or (not specs.output_bias[i] and output.any()):
            raise ValueError(f"initial network {i} has a bias that its spec switches off")


def _units(scale: Scale | None) -> str:
    if scale is None:
        return "in its own units"
    means, deviations = (np.array2string(part, threshold=4, edgeitems=2) for part in (scale.x_mean, scale.x_std))
    return f"standardized (x: means {means}, deviations {deviations}; y: {scale.y_mean}, {scale.y_std})"

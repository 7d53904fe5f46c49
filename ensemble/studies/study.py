"""What all studies share: specs and data set up together, trained in one pass, and written to a folder.

A `Setup` is a study not yet run, so that a script can show its plan; `Setup.run` trains it and gives a `Study`.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ensemble import training
from ensemble.analysis import Bounds, Curve, Fit, LearningCurve, fit_of, variance_of
from ensemble.data import Dataset
from ensemble.results import Result
from ensemble.specs import Specs
from ensemble.studies import files, page, save
from ensemble.studies.inputs import described
from ensemble.system.provenance import installed, machine, source_digest, versions

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["Rows", "Setup", "Study"]

AnyStudy = TypeVar("AnyStudy", bound="Study")
Rows = list[dict[str, Any]]  # of a table

MANY = 8  # curves of a study whose pictures take longer than a helper process takes to start
OF_A_RUN = ("created", "trained", "training_seconds")  # what `study.json` says of the run, not of what it shows


@dataclass(frozen=True)
class Setup(Generic[AnyStudy]):
    """A study before training: its models, its data, and how long to train.

    Attributes
    ----------
    study : type
        The study that it becomes.
    specs : Specs
        All its models, trained in one pass.
    datasets : dict of Dataset
        By name; every one has a validation and a test part.
    epochs : int
        Passes over the training data.
    settings : dict
        What was asked for, as `study.json` will say it.
    notes : tuple of str
        What the reader should know about the data, such as how it was split.
    record, snapshots : sequence of int
        Epochs at which MSEs, and networks, are kept; `record=None` is the default of `train`.
    keep_state : bool
        Whether the run folder keeps what the optimizers remember, so that more epochs go on from there.
    """

    study: type[AnyStudy]
    specs: Specs
    datasets: dict[str, Dataset]
    epochs: int
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    record: Sequence[int] | None = None
    snapshots: Sequence[int] | None = None
    keep_state: bool = False

    stored = True  # whether its models are in a run folder one by one: others have no shards, and keep no state

    @property
    def digest(self) -> str:
        """Hash of all that decides the result: specs, data and epochs. `study.json` and the plots' metadata hold it."""
        content = {
            "study": self.study.name, "specs": self.specs.digest, "epochs": self.epochs, "settings": self.settings,
            "data": {name: dataset.digest for name, dataset in self.datasets.items()},
        }  # fmt: skip
        return hashlib.sha256(files.json_text(content).encode()).hexdigest()

    def plan(self) -> training.Plan:
        """Return what training would cost, without training."""
        return training.plan(self.specs, self.datasets, **self._how)

    def train(self, **where: Any) -> Result:
        """Train all models in one pass and return the bare result, as a shard of a study needs it."""
        return training.train(self.specs, self.datasets, **self._how, **where)

    @property
    def _how(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("epochs", "record", "snapshots", "keep_state")}

    def forget(self, store: str | Path) -> None:
        """Remove from a run folder what this training would take from there, and nothing else."""
        training.forget(self.specs, self.datasets, folder=store, **self._how)

    def run(
        self, *, threads: int | None = None, progress: bool | None = None, store: str | Path | None = None,
        executor: Executor | None = None,
    ) -> AnyStudy:  # fmt: skip
        """Train all models in one pass and return the study; arguments and errors are those of `ensemble.train`."""
        start = time.perf_counter()
        result = self.train(threads=threads, progress=progress, store=store, executor=executor)
        seconds = time.perf_counter() - start if result.trained else 0.0
        return self.study(self, result, seconds, None if store is None else Path(store))


@dataclass(frozen=True)
class Study(ABC):
    """A trained study; each subclass adds its curves, its tables and its outcome in words.

    Attributes
    ----------
    setup : Setup
    result : Result
        Of all models, in the order of the specs.
    training_seconds : float
        Wall time of the training pass; 0 where every model came from a run folder.
    folder : Path, optional
        The run folder, where what is possible on the data is kept too.
    """

    setup: Setup[Any]
    result: Result
    training_seconds: float
    folder: Path | None = None

    name = "study"
    question = ""

    @property
    def specs(self) -> Specs:
        """The study's models."""
        return self.setup.specs

    @property
    def datasets(self) -> dict[str, Dataset]:
        """The study's data by name."""
        return self.setup.datasets

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for."""
        return self.setup.settings

    @property
    def models(self) -> int:
        """How many models there are."""
        return len(self.specs)

    @property
    def diverged(self) -> int:
        """How many of them diverged."""
        return int((self.result.status == "diverged").sum())

    @property
    def trained(self) -> int:
        """How many were trained, and not taken from a run folder."""
        return self.result.trained

    @property
    def first(self) -> str:
        """Name of the first dataset, the default of methods that take one."""
        return next(iter(self.datasets))

    @abstractmethod
    def outcome(self) -> str:
        """Return a short table for the terminal."""

    def constant(self, data: str) -> bool:
        """Return whether y is constant in a dataset: then there is nothing to learn."""
        return variance_of(self.datasets[data], "train") == 0

    @abstractmethod
    def answer(self) -> str:
        """Return the answer to the study's question, in a sentence or two with its numbers."""

    @abstractmethod
    def summary_rows(self) -> Rows:
        """Return one row per curve point of the plots: what `summary.csv` holds."""

    @cached_property
    def summary(self) -> Rows:
        """The rows of `summary_rows`, made once: the table and the page hold them."""
        return self.summary_rows()

    def fitted(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots with the name of the part of the figure that shows it."""
        return []

    def panels(self) -> dict[str, list[Curve]]:
        """Return the curves of error against width that share a panel of the interactive page, by its name."""
        return {}

    def fit_panels(self) -> dict[str, list[Curve]]:
        """Return the curves whose fits the page shows epoch by epoch, by name; as a rule those of `panels`."""
        return self.panels()

    def histories(self) -> dict[str, list[LearningCurve]]:
        """Return errors against epoch that share a panel of the page, by its name."""
        return {}

    def maps(self) -> dict[str, Curve]:
        """Return curves whose validation error against the learning rate the page shows, by name."""
        return {f"{name}, {curve.label}": curve for name, curves in self.panels().items() for curve in curves}

    @property
    def bounds(self) -> Mapping[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        return {}

    def figures(self) -> dict[str, Figure]:
        """Return the study's figures by file name, without suffix, as `figures.py` in its folder draws them."""
        return dict(self.drawn())

    def drawn(self) -> Iterator[tuple[str, Figure]]:
        """Yield the study's figures with their names, each as soon as it is made."""
        beside = import_module(f"{type(self).__module__.rpartition('.')[0]}.figures")  # loads matplotlib
        yield from beside.figures(self)

    def show(self) -> None:
        """Open a window per figure and wait until they are closed."""
        from ensemble import plots

        plots.show(self.figures())

    def model_rows(self) -> Rows:
        """Return one row per model: every spec column, final MSEs, status; what `models.csv` holds."""
        columns: dict[str, ArrayLike] = dict(self.specs.columns())
        columns |= {f"{part}_loss": losses[:, -1] for part, losses in self.result.losses.items()}
        columns["status"] = self.result.status
        columns["diverged_at"] = self.result.diverged_at
        plain = {name: np.asarray(values).tolist() for name, values in columns.items()}
        return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]

    def point_rows(self) -> Rows:
        """Return the data that fits are drawn over, sample by sample: what `points.csv` holds."""
        rows = []
        for name, dataset in self.datasets.items():
            heads = ["x"] if dataset.n_inputs == 1 else [f"x{i}" for i in range(dataset.n_inputs)]
            for part, (x, y) in dataset.parts().items():
                for inputs, value in zip(x.tolist(), y.tolist(), strict=True):
                    rows.append({"data": name, "part": part, **dict(zip(heads, inputs, strict=True)), "y": value})
        return rows

    def tables(self) -> dict[str, Rows]:
        """Return the rows of every CSV file by its name, without suffix."""
        return {
            "models": self.model_rows(), "summary": self.summary,
            "fits": [row for part, fit in self.fitted() for row in fit.rows(part, self.result)],
            "points": self.point_rows(),
        }  # fmt: skip

    def texts(self) -> dict[str, str]:
        """Return texts of this study alone, by file name."""
        return {}

    def about(self) -> dict[str, Any]:
        """Return what `study.json` holds: configuration, data, versions, machine, wall time."""
        return {
            "study": self.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "configuration": self.setup.digest,
            "settings": self.settings,
            "models": self.models,
            "diverged": self.diverged,
            "trained": self.trained,
            "training_seconds": round(self.training_seconds, 3),
            "data": {name: described(dataset) for name, dataset in self.datasets.items()},
            "notes": self.setup.notes,
            "versions": versions("scipy", "matplotlib"),
            "machine": machine(),
        }

    def page(self) -> str:
        """Return the study as one interactive HTML page (extra ``report``), without its figures."""
        return page.illustrated(self._page(), {})

    def _page(self) -> str:
        return page.page(
            page.Shown(
                self.about(), self.question, self.answer(), self.summary, self.result, self.datasets, self.panels(),
                self.fit_panels(), self.histories(), self.maps(), self.bounds,
            )
        )  # fmt: skip

    def save(self, out: str | Path, formats: Sequence[str] = ("png",)) -> list[Path]:
        """Write the plots, the tables as CSV, the page where its extra is installed and, last, `study.json`.

        Parameters
        ----------
        out : path
            Folder, made where it is missing; files of the same name are replaced one by one, each whole.
        formats : sequence of str
            Of the plots: "png", "svg", "pdf".

        Returns
        -------
        list of Path
            The files, plots first.

        Raises
        ------
        ValueError
            The folder cannot be written, or a format is unknown.
        OSError
            A file cannot be written; the message names it.
        RuntimeError
            A figure cannot be drawn; the message names its file.
        """
        save.check_formats(formats)
        folder = files.prepare_folder(out)

        def texts() -> dict[str, str]:
            return self.texts() | ({page.FILE: self._page()} if page.available() else {})

        many = sum(map(len, self.panels().values())) >= MANY
        content = save.contents(self.drawn, self.tables, texts, formats, self.setup.digest, many=many)
        about = self.about() | {"answer": self.answer()}
        if not self.trained:  # what was said of the training stays
            about |= files.said_before(folder, self.setup.digest, ("trained", "training_seconds"))
        return files.write(folder, content, about, self._origin(formats))

    def saved(self, out: str | Path, formats: Sequence[str] = ("png",)) -> list[Path]:
        """Return what `save` returned in this folder before, where it would write the same again; else nothing.

        The same: what was asked for, its results, the formats, the code that draws, and the files since then.
        """
        return [] if self.trained else files.untouched(Path(out), self._origin(formats))

    def _origin(self, formats: Sequence[str]) -> str:
        """Return a hash of all that decides the files."""
        about = {name: value for name, value in self.about().items() if name not in OF_A_RUN}
        drawn_by = [source_digest(), installed(["bokeh"]) if page.available() else ""]
        digest = hashlib.sha256(files.json_text([about, formats, drawn_by]).encode())
        for losses in self.result.losses.values():
            digest.update(np.ascontiguousarray(losses).data)
        return digest.hexdigest()

    def fit(self, label: str, model: int, epoch: int | None = None) -> Fit:
        """Return the fitted curve of a model, a row of the specs, after the last epoch or at a snapshot; D = 1 only."""
        return fit_of(self.result, model, self.datasets[str(self.specs.data[model])], label, epoch)

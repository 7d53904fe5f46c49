"""What all studies share: specs and data set up together, trained in one pass, and written to a folder.

A `Setup` is a study not yet run, so that a script can show its plan; `Setup.run` trains it and gives a `Study`.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble import training
from ensemble.data import Dataset
from ensemble.results import Result
from ensemble.specs import Specs
from ensemble.studies import files

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["Fit", "Setup", "Study"]

AnyStudy = TypeVar("AnyStudy", bound="Study")


@dataclass(frozen=True)
class Fit:
    """One model's fitted curve: `prediction` (G,) at `x` (G,), both in the data's own units."""

    label: str
    model: int  # row of the study's specs
    epoch: int
    x: NDArray[np.float64]
    prediction: NDArray[np.float64]


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
        Number of full-batch steps.
    settings : dict
        What was asked for, as `study.json` will say it.
    notes : tuple of str
        What the reader should know about the data, such as how it was split.
    record, snapshots : sequence of int
        Epochs at which MSEs, and networks, are kept; `record=None` is the default of `train`.
    """

    study: type[AnyStudy]
    specs: Specs
    datasets: dict[str, Dataset]
    epochs: int
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    record: Sequence[int] | None = None
    snapshots: Sequence[int] | None = None

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
        return training.plan(
            self.specs, self.datasets, epochs=self.epochs, record=self.record, snapshots=self.snapshots
        )

    def train(self, **where: Any) -> Result:
        """Train all models in one pass and return the bare result, as a shard of a study needs it."""
        return training.train(
            self.specs, self.datasets, epochs=self.epochs, record=self.record, snapshots=self.snapshots, **where
        )

    def run(
        self, *, threads: int | None = None, progress: bool | None = None, store: str | Path | None = None,
        executor: Executor | None = None,
    ) -> AnyStudy:  # fmt: skip
        """Train all models in one pass and return the study; the arguments are those of `train`."""
        start = time.perf_counter()
        result = self.train(threads=threads, progress=progress, store=store, executor=executor)
        return self.study(self, result, time.perf_counter() - start)


@dataclass(frozen=True)
class Study(ABC):
    """A trained study; its kinds add the curves, the plots and the report.

    Attributes
    ----------
    setup : Setup
    result : Result
        Of all models, in the order of the specs.
    training_seconds : float
        Wall time of the training pass.
    """

    setup: Setup[Any]
    result: Result
    training_seconds: float

    name = "study"

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

    @abstractmethod
    def figures(self) -> dict[str, Figure]:
        """Return the study's figures by file name, without suffix; imports matplotlib."""

    @abstractmethod
    def summary_rows(self) -> list[dict[str, Any]]:
        """Return one row per curve point of the plots: what `summary.csv` holds."""

    @abstractmethod
    def all_fits(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots with the name of the figure part that it stands in."""

    @abstractmethod
    def report(self) -> str:
        """Return the outcome as a short table for the terminal."""

    def model_rows(self) -> list[dict[str, Any]]:
        """Return one row per model: every spec column, final MSEs, status; what `models.csv` holds."""
        columns: dict[str, ArrayLike] = dict(self.specs.columns())
        for part in ("train", "val", "test"):
            history = getattr(self.result, f"{part}_loss")
            if history is not None:
                columns[f"{part}_loss"] = history[:, -1]
        columns["status"] = self.result.status
        columns["diverged_at"] = self.result.diverged_at
        plain = {name: np.asarray(values).tolist() for name, values in columns.items()}
        return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]

    def fit_rows(self) -> list[dict[str, Any]]:
        """Return every plotted fitted curve, point by point: what `fits.csv` holds."""
        rows = []
        for part, fit in self.all_fits():
            spec = self.specs[fit.model]._asdict()
            head = {"part": part, "model": fit.model} | {
                name: spec[name] for name in ("data", "optimizer", "hidden_bias", "output_bias", "width", "lr", "seed")
            }
            for x, prediction in zip(fit.x.tolist(), fit.prediction.tolist(), strict=True):
                rows.append(head | {"epoch": fit.epoch, "x": x, "prediction": prediction})
        return rows

    def point_rows(self) -> list[dict[str, Any]]:
        """Return the data that fits are drawn over, sample by sample: what `points.csv` holds."""
        rows = []
        for name, dataset in self.datasets.items():
            for part, (x, y) in dataset.parts().items():
                for inputs, value in zip(x.tolist(), y.tolist(), strict=True):
                    cells = dict(zip(_input_columns(dataset), inputs, strict=True))
                    rows.append({"data": name, "part": part} | cells | {"y": value})
        return rows

    def more_tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return tables of this kind of study alone, rows by file name without suffix."""
        return {}

    def more_texts(self) -> dict[str, str]:
        """Return texts of this kind of study alone, by file name."""
        return {}

    def record(self) -> dict[str, Any]:
        """Return what `study.json` holds: configuration, data, versions, machine, wall time."""
        return {
            "study": self.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "configuration": self.setup.digest,
            "settings": self.settings,
            "models": len(self.specs),
            "diverged": int((self.result.status == "diverged").sum()),
            "training_seconds": round(self.training_seconds, 3),
            "data": {name: _describe(dataset) for name, dataset in self.datasets.items()},
            "notes": self.setup.notes,
            "versions": files.versions(),
            "machine": files.machine(),
        }

    def save(self, out: str | Path, formats: Sequence[str] = ("png",)) -> list[Path]:
        """Write the plots, `models.csv`, `summary.csv`, `fits.csv`, `points.csv` and, last, `study.json`.

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
        """
        from ensemble import plots  # the one import of matplotlib, only where something is drawn

        for suffix in formats:
            files.check_format(suffix)
        folder = files.prepare_folder(out)
        written = []
        for name, figure in self.figures().items():
            for suffix in formats:
                written.append(
                    files.write(folder / f"{name}.{suffix}", plots.render(figure, suffix, self.setup.digest))
                )
        tables = {
            "models": self.model_rows(), "summary": self.summary_rows(),
            "fits": self.fit_rows(), "points": self.point_rows(), **self.more_tables(),
        }  # fmt: skip
        for name, rows in tables.items():
            if rows:
                written.append(files.write(folder / f"{name}.csv", files.csv_text(rows)))
        written += [files.write(folder / name, text) for name, text in self.more_texts().items()]
        from ensemble.studies import page as report  # where its extra is installed, an interactive page too

        if report.available():
            written.append(files.write(folder / "report.html", report.page(self)))
        written.append(files.write(folder / "study.json", files.json_text(self.record())))
        return written

    def fit(self, label: str, model: int, epoch: int | None = None) -> Fit:
        """Return the curve of a model (a row of the specs) over its data's interval (D = 1), last or at a snapshot."""
        last = int(self.result.epochs[-1])
        networks = self.result.networks if epoch is None else self.result.snapshots[epoch]
        assert networks is not None
        dataset = self.datasets[str(self.specs.data[model])]
        low, high = dataset.x_train.min(), dataset.x_train.max()
        if dataset.target is not None:
            low, high = dataset.target.low, dataset.target.high
        x = np.linspace(low, high, 500)
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
            prediction = networks[model].predict(x)
        return Fit(label, model, last if epoch is None else epoch, x, prediction)

    def suffix(self, **parts: tuple[str, int]) -> str:
        """Return the end of a figure's file name: each part's name where there is more than one of its kind."""
        return "".join(f"-{files.safe_name(name)}" for name, count in parts.values() if count > 1)


def _input_columns(dataset: Dataset) -> list[str]:
    """Return the heads of the input columns in CSV files: "x", or "x0", "x1", ...; `study.json` has their names."""
    return ["x"] if dataset.n_inputs == 1 else [f"x{i}" for i in range(dataset.n_inputs)]


def _describe(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's identity for `study.json`."""
    sizes = {part: len(y) for part, (_, y) in dataset.parts().items()}
    return {
        "inputs": list(dataset.x_names), "output": dataset.y_name, "samples": sizes, "sha256": dataset.digest,
        "noise_variance": dataset.noise_variance, "formula": dataset.target.formula if dataset.target else None,
    }  # fmt: skip

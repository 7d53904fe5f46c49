"""The original's claims, each put to the test: a verdict by a stated rule, a number, and its interval.

One pass trains the original's recipe, all widths and learning rates on four targets, the arms without bias, and adam
with a falling rate; a second one trains longer. The verdicts are computed from the models, never written down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import limits
from ensemble.analysis import Curve, Deeper, bounds_of, choose, percent
from ensemble.data import sample
from ensemble.specs import grid
from ensemble.statistics import bootstrap_interval, compare, smallest_width
from ensemble.studies.claims import depth
from ensemble.studies.claims.claim import FAILS, HOLDS, OURS, PARTLY, Claim, interval_text, times_text, verdict
from ensemble.studies.inputs import seeds_of
from ensemble.studies.study import Rows, Setup, Study
from ensemble.studies.width.study import LRS, WIDTHS
from ensemble.training import train

__all__ = ["Claim", "ClaimsStudy", "claims_study", "verdict"]

# What the original's report says.
REPORTED = {50: 0.033, 100: 0.016, 200: 0.006, 500: 0.001}  # training MSE by epoch, of one seed
ROUNDING = 0.0005  # half a unit of their last digit
REPORTED_SHARE = 0.02  # of the initial loss, after 50 epochs
REPORTED_WIDTHS = {  # which widths its words allow
    "quadratic": ("about 16", 8, 32),
    "reciprocal_sine": ("several hundred", 200, 999),
    "chirp": ("thousands", 1000, 9999),
}
RECIPE: dict[str, Any] = {"optimizer": "gd", "lr": 0.1, "width": 640}

OTHER_SHARES = (0.01, 0.001)  # of the variance, beside the stated one
EPOCHS, LONGER = 500, 4000
COSINE_LRS = tuple(2.0**step for step in range(-6, -2))
BUILT = (*range(1, 17), 20, 24, 28, 32, 40, 48, 64)  # widths at which networks are built
ORIGINAL = "original"  # the original's data once more, for its own recipe


def claims_study(*, seeds: int | Iterable[int] = 16, noise: float = 0.01) -> Setup[ClaimsStudy]:
    """Return the test of the claims before training.

    Parameters
    ----------
    seeds : int or iterable of int
        How many seeds (0, 1, ...), or which.
    noise : float
        Height a of the noise a U[0, 1) on the targets, in units of y.

    Raises
    ------
    ValueError
        Fewer than 2 seeds, or a noise that is not allowed.
    """
    listed = seeds_of(seeds)
    names = ("reciprocal_sine", "quadratic", "half_sine", "chirp", "absolute", "sawtooth")
    datasets = {name: sample(name, noise=noise) for name in names}
    datasets[ORIGINAL] = datasets["reciprocal_sine"]
    widths, width = list(WIDTHS), RECIPE["width"]
    parts = [
        grid(data=ORIGINAL, seed=listed, **RECIPE),
        *(
            grid(data=list(names[:4]), optimizer=name, lr=LRS[name], width=widths, seed=listed)
            for name in ("gd", "adam")
        ),
        grid(data="absolute", optimizer="gd", lr=LRS["gd"], width=width, seed=listed),
        grid(data=["reciprocal_sine", "chirp", "absolute"], lr=LRS["gd"], width=width, seed=listed, hidden_bias=False),
        grid(data="reciprocal_sine", optimizer="adam", schedule="cosine", lr=COSINE_LRS, width=width, seed=listed),
        depth.specs_of(listed),
    ]
    settings: dict[str, Any] = {"seeds": listed, "noise": noise, "epochs": EPOCHS, "widths": widths}
    return Setup(ClaimsStudy, reduce(add, parts), datasets, EPOCHS, settings, record=[0, *REPORTED])


@dataclass(frozen=True)
class ClaimsStudy(Study):
    """The trained test of the claims."""

    name = "claims"
    question = "Do the claims of the original report hold?"

    def curve(self, data: str, optimizer: str = "gd", **settings: Any) -> Curve:
        """Return error against width with the best learning rate for each."""
        full = {"optimizer": optimizer, "schedule": "constant", "hidden_bias": True, "init": "normal"} | settings
        return choose(self.specs, self.result, optimizer, data, **full)

    @property
    def noise_floor(self) -> float:
        """Variance of the noise: what no model can beat on test data in the mean."""
        return float(self.settings["noise"]) ** 2 / 12

    @cached_property
    def stated(self) -> float:
        """The error that counts as a fit, as a share of the target's variance: the one that the report ended at."""
        return REPORTED[500] / float(np.var(self.datasets["reciprocal_sine"].y_train))

    @cached_property
    def history(self) -> NDArray[np.float64]:
        """Training MSE of the original's recipe, (S, E) at epochs 0, 50, 100, 200, 500."""
        return np.asarray(self.result.train_loss[np.flatnonzero(self.specs.data == ORIGINAL)])

    @cached_property
    def in_principle(self) -> dict[str, tuple[int | None, int | None]]:
        """By target: the smallest width that is not impossible for the stated error, and the smallest built."""
        found = {}
        for name in REPORTED_WIDTHS:
            dataset = self.datasets[name]
            error = self.stated * np.var(dataset.y_train)
            bounds = bounds_of(name, dataset, np.arange(1, max(BUILT) + 1), BUILT, self.folder)
            assert bounds is not None  # sampled, with one input
            possible, built = bounds.width[bounds.floor <= error], bounds.built_width[bounds.built <= error]
            found[name] = (int(possible[0]) if len(possible) else None, int(built[0]) if len(built) else None)
        return found

    @cached_property
    def longer(self) -> NDArray[np.float64]:
        """Test MSE after `LONGER` epochs of adam with cosine schedule, (S,), at the rate best on validation data."""
        lrs, seeds = COSINE_LRS, self.settings["seeds"]
        specs = grid(
            data="reciprocal_sine", optimizer="adam", schedule="cosine", lr=lrs, width=RECIPE["width"], seed=seeds
        )
        result = train(specs, self.datasets["reciprocal_sine"], epochs=LONGER, record=[], progress=False)
        return np.asarray(choose(specs, result, "adam", "reciprocal_sine").errors[0])

    @cached_property
    def claims(self) -> list[Claim]:
        """Return the table."""
        return [
            *self._errors_by_epoch(), self._share_after_50(), *self._widths(), self._half_sine(), *self._without_bias(),
            *self._together(), *self._depth(), *self._beyond(),
        ]  # fmt: skip

    def _errors_by_epoch(self) -> list[Claim]:
        rows = []
        for place, (epoch, reported) in enumerate(REPORTED.items(), start=1):
            errors = self.history[:, place]
            low, high = bootstrap_interval(errors)
            rows.append(
                Claim(
                    f"training MSE {reported:g} at epoch {epoch}",
                    verdict(bool(errors.min() - ROUNDING <= reported <= errors.max() + ROUNDING)),
                    f"{np.median(errors):.2g}", interval_text(low, high),
                    f"one seed was reported; ours reach from {errors.min():.2g} to {errors.max():.2g}",
                )
            )  # fmt: skip
        return rows

    def _share_after_50(self) -> Claim:
        shares = self.history[:, 1] / self.history[:, 0]
        low, high = bootstrap_interval(shares)
        return Claim(
            "after 50 epochs the loss is 2% of the initial",
            verdict(bool(low <= REPORTED_SHARE <= high), bool(shares.min() <= REPORTED_SHARE <= shares.max())),
            percent(float(np.median(shares))), interval_text(100 * low, 100 * high, "%"),
            f"seeds from {percent(shares.min())} to {percent(shares.max())}",
        )  # fmt: skip

    def smallest(self, data: str, optimizer: str, share: float | None = None) -> Any:
        """Return the smallest width whose median test MSE is a share (default: the stated one) of the variance."""
        curve = self.curve(data, optimizer)
        error = (self.stated if share is None else share) * float(np.var(self.datasets[data].y_train))
        return smallest_width(curve.width, curve.errors, error)

    def _widths(self) -> list[Claim]:
        rows = []
        for data, (words, low, high) in REPORTED_WIDTHS.items():
            gd, adam = self.smallest(data, "gd"), self.smallest(data, "adam")
            possible, built = self.in_principle[data]
            widest = self.settings["widths"][-1]
            if gd.width is None:  # not reached: the claim may still hold if it is about widths beyond the widest
                # Where a narrower network that is as good was built, what training lacks is not width.
                decided = verdict(False, high > widest and (built is None or built >= low))
                number = f"more than {widest}" + (f", but one of width {built} was built" if built else "")
            else:
                decided = verdict(low <= gd.width <= high, bool(gd.low <= high and gd.high >= low))
                number = str(gd.width)
            by_adam = f"{adam.width} {interval_text(adam.low, adam.high)}" if adam.width else f"more than {widest}"
            exists = f"one of width {built} was built" if built else f"none up to {max(BUILT)} was built"
            bound = f"impossible below {possible}" if possible else f"impossible up to {max(BUILT)}"
            others = []
            for share in OTHER_SHARES:
                found = self.smallest(data, "gd", share).width
                others.append(f"{found or f'more than {widest}'} for {100 * share:g}%")
            variance = float(np.var(self.datasets[data].y_train))
            left = [float(self.curve(data, name).quartiles[1, -1]) / variance for name in ("gd", "adam")]
            rows.append(
                Claim(
                    f"{data.replace('_', ' ')} needs width {words}", decided, number, interval_text(gd.low, gd.high),
                    f"test MSE at most {100 * self.stated:.1g}% of the variance with gd ({', '.join(others)}); adam: "
                    f"{by_adam}; in principle: {bound}, {exists}; at width {widest} gd leaves {percent(left[0])}, "
                    f"adam {percent(left[1])} of the variance",
                )
            )  # fmt: skip
        return rows

    def _half_sine(self) -> Claim:
        curve = self.curve("half_sine")
        errors = curve.errors[curve.width.tolist().index(RECIPE["width"])]
        variance = float(np.var(self.datasets["half_sine"].y_train))
        low, high = bootstrap_interval(errors)
        times = f"; {np.median(errors) / self.noise_floor:.0f} times the noise variance" if self.noise_floor else ""
        best = float(self.curve("half_sine", "adam").quartiles[1].min()) / variance
        return Claim(
            "half a period of the sine fits well",
            verdict(bool(high <= self.stated * variance), best <= self.stated),
            f"{percent(np.median(errors) / variance)} of the variance",
            interval_text(100 * low / variance, 100 * high / variance, "%"),
            f"gd, width {RECIPE['width']}, best rate{times}; adam at its best width: {percent(best)}",
        )

    def _without_bias(self) -> list[Claim]:
        rows = []
        for data in ("reciprocal_sine", "chirp", "absolute"):
            with_bias, without = self.curve(data), self.curve(data, hidden_bias=False)
            errors = with_bias.errors[with_bias.width.tolist().index(RECIPE["width"])]
            found = compare(without.errors[0], errors, without.seeds, with_bias.seeds)
            x, y = self.datasets[data].x_train[:, 0], self.datasets[data].y_train
            floor = limits.no_bias_floor(x, y) / float(np.var(y))
            low, high = np.exp(found.log_ratio_interval)
            rows.append(
                Claim(
                    f"without bias, complex functions are hard: {data.replace('_', ' ')}",
                    verdict(bool(low > 1 and floor > self.stated), bool(low > 1)),
                    f"{np.exp(found.median_log_ratio):.3g} times the error with hidden bias", interval_text(low, high),
                    f"exact floor without bias, any width: {100 * floor:.3g}% of the variance, so "
                    + ("impossible, not hard" if floor > self.stated else "it needs none"),
                )
            )  # fmt: skip
        return rows

    def _together(self) -> list[Claim]:
        curve = self.curve("reciprocal_sine")
        places = {width: place for place, width in enumerate(curve.width.tolist())}
        narrow, wide = places[32], places[1024]
        moves = curve.lr[narrow] / curve.lr[wide]
        at_narrow = curve.test_loss[wide, curve.lr_index[narrow]]
        found = compare(at_narrow, curve.errors[wide], curve.seeds, curve.seeds)
        low, high = np.exp(found.log_ratio_interval)
        early = np.median(self.result.val_loss[curve.models[places[640]], 1], axis=1)  # (L,) after 50 epochs
        early_lr = float(curve.lr_grid[int(np.argmin(early))])
        return [
            Claim(
                "width and rate must be adapted together", verdict(bool(low > 1), bool(moves > 1)),
                f"rate of width 32 at width 1024: {times_text(np.exp(found.median_log_ratio))}",
                interval_text(low, high),
                f"best gd rate {curve.lr[narrow]:.3g} at width 32, {curve.lr[wide]:.3g} at 1024; inf: diverged",
            ),
            Claim(
                "epochs and rate must be adapted together", verdict(early_lr != curve.lr[places[640]]),
                f"best gd rate at width 640: {early_lr:.3g} for 50 epochs, {curve.lr[places[640]]:.3g} for 500", "",
                "chosen on validation data, median over seeds",
            ),
        ]  # fmt: skip

    @cached_property
    def deeper(self) -> dict[tuple[str, str], Deeper]:
        """The best deeper network against one hidden layer of the same cost, by target and optimizer."""
        return {
            (data, name): depth.deeper_of(self.specs, self.result, self.datasets[data], data, name)
            for data in depth.TARGETS
            for name in depth.OPTIMIZERS
        }

    def _depth(self) -> list[Claim]:
        shallow = {}
        for data in depth.COMPLEX:
            one_layer = (self.specs.data == data) & (self.specs.hidden_layers == 1) & self.specs.hidden_bias
            specs, errors = self.specs[one_layer], self.result.test_loss[one_layer, -1]
            settings = np.stack([specs.width, specs.lr, specs.codes("optimizer"), specs.codes("init")])
            cells, which = np.unique(settings, axis=1, return_inverse=True)
            medians = [float(np.median(errors[which == cell])) for cell in range(cells.shape[1])]
            shallow[data] = min(medians) / float(np.var(self.datasets[data].parts()["test"][1]))
        return depth.claims_of(self.deeper, self.stated, shallow, self.one_layer_exists)

    @cached_property
    def one_layer_exists(self) -> dict[str, int | None]:
        """By complex target: the width of a network of one hidden layer that was built to the stated error."""
        x, y = (values for values in self.datasets["sawtooth"].parts()["train"])
        width = 2**4  # one unit for each piece
        error = float(np.mean((limits.constructive_bound(x, y, width).predict(x) - y) ** 2))
        built = width if error <= self.stated * float(np.var(y)) else None
        return {"chirp": self.in_principle["chirp"][1], "sawtooth": built}

    def _beyond(self) -> list[Claim]:
        rows = []
        short = self.curve("reciprocal_sine", "adam", schedule="cosine")
        for epochs, errors, target in ((EPOCHS, short.errors[0], 3e-5), (LONGER, self.longer, 1.25 * self.noise_floor)):
            low, high = bootstrap_interval(errors)
            times = f"{np.median(errors) / self.noise_floor:.2f} times the noise variance; " if self.noise_floor else ""
            rows.append(
                Claim(
                    f"{OURS} adam, cosine schedule, width 640, {epochs} epochs: test MSE at most {target:.3g}",
                    verdict(bool(high <= target), bool(np.median(errors) <= target)),
                    f"{np.median(errors):.3g}", interval_text(low, high),
                    f"{times}the report: {REPORTED[500]:g}",
                )
            )  # fmt: skip
        return rows

    def summary_rows(self) -> Rows:
        """Return the table of claims and the points of the picture."""
        rows: Rows = [{"figure": "claims", **asdict(claim)} for claim in self.claims]
        for epoch, errors in zip(self.result.epochs.tolist(), self.history.T, strict=True):
            rows += [
                {"figure": "summary", "measure": "train_loss", "epoch": epoch, "seed": seed, "value": value}
                for seed, value in zip(self.settings["seeds"], errors.tolist(), strict=True)
            ]
        for data in REPORTED_WIDTHS:
            for optimizer in ("gd", "adam"):
                found = self.smallest(data, optimizer)
                ends = {"ci_low": found.low, "ci_high": found.high}
                head = {"figure": "summary", "measure": "smallest_width", "data": data}
                rows.append(head | {"optimizer": optimizer, "value": found.width} | ends)
            for how, width in zip(("possible", "built"), self.in_principle[data], strict=True):
                rows.append({"figure": "summary", "measure": f"smallest_width_{how}", "data": data, "value": width})
        return rows

    def texts(self) -> dict[str, str]:
        """Return the table as Markdown, for a README."""
        lines = ["| claim | verdict | measured | 95% interval | |", "|---|---|---|---|---|"]
        for claim in self.claims:
            lines.append(f"| {claim.claim} | **{claim.verdict}** | {claim.number} | {claim.interval} | {claim.note} |")
        return {"claims.md": "\n".join(lines) + "\n"}

    def answer(self) -> str:
        """Return how many of the report's claims hold, and which do not, in two sentences."""
        reported = [claim for claim in self.claims if not claim.claim.startswith(OURS)]
        count = {words: sum(claim.verdict == words for claim in reported) for words in (HOLDS, PARTLY, FAILS)}
        failed = "; ".join(claim.claim for claim in reported if claim.verdict == FAILS)
        text = f"Of {len(reported)} claims of the report {count[HOLDS]} hold, {count[PARTLY]} hold in part and "
        return text + f"{count[FAILS]} do not" + (f": {failed}." if failed else ".")

    def outcome(self) -> str:
        """Return the table for the terminal."""
        lines = [f"The report's claims, {len(self.settings['seeds'])} seeds:"]
        for claim in self.claims:
            lines.append(f"  {claim.verdict:14} {claim.claim}: {claim.number} {claim.interval}".rstrip())
            lines.append(f"  {'':14}   {claim.note}")
        return "\n".join(lines)

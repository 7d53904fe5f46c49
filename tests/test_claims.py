"""The claims of the original report: rules on made-up numbers, the study at full and small size, and its script."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble import cli, limits
from ensemble.statistics import SmallestWidth
from ensemble.studies import claims_study
from ensemble.studies.claims import depth
from ensemble.studies.claims import study as claims

pytestmark = pytest.mark.jit_heavy


@pytest.fixture(scope="module")
def study():
    """Two seeds, few epochs and widths; everything else as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "WIDTHS", (4, 32, 640, 1024))
        patch.setattr(claims, "LRS", {"gd": (0.05, 0.1), "adam": (0.02, 0.05)})
        patch.setattr(claims, "LONGER", 20)
        patch.setattr(claims, "BUILT", (1, 2, 4))
        patch.setattr(depth, "RATES", {"gd": ((0.002,), (0.05, 0.1)), "adam": ((0.01,), (0.005, 0.01))})
        study = claims_study(seeds=3).run(progress=False)
        assert study.claims and study.longer.shape == (3,)
        yield study


def by_text(study, text):
    (found,) = [claim for claim in study.claims if text in claim.claim]
    return found


def test_numbers_are_recomputed_from_the_models(study):
    mine = study.specs[study.specs.data == "original"]
    assert len(mine) == 3 and set(mine.lr) == {0.1} and set(mine.width) == {640}
    errors = study.result.train_loss[study.specs.data == "original"]
    assert by_text(study, "at epoch 200").number == f"{np.median(errors[:, 3]):.2g}"
    share = np.median(errors[:, 1] / errors[:, 0])
    assert by_text(study, "2% of the initial").number == f"{100 * share:.2g}%"
    data = study.datasets["chirp"]
    floor = limits.no_bias_floor(data.x_train[:, 0], data.y_train) / np.var(data.y_train)
    assert f"{100 * floor:.3g}% of the variance" in by_text(study, "hard: chirp").note


def test_report_epochs_meet_the_range_of_the_seeds(study):
    history = np.tile([1.7, 0.033, 0.016, 0.006, 0.001], (3, 1))
    history[:, 0] = [1.5, 1.65, 1.8]  # shares of 2.2%, 2% and 1.8% after 50 epochs
    result = replace(study.result, losses=study.result.losses | {"train": study.result.train_loss.copy()})
    rows = study.specs.data == "original"
    result.train_loss[rows] = history
    assert [claim.verdict for claim in replace(study, result=result)._errors_by_epoch()] == ["holds"] * 4
    result.train_loss[rows] = 10 * history
    again = replace(study, result=result)
    assert [claim.verdict for claim in again._errors_by_epoch()] == ["does not hold"] * 4
    assert again._share_after_50().verdict == "holds"  # ten times both: the same share
    result.train_loss[rows, 1] *= 10
    assert replace(study, result=result)._share_after_50().verdict == "does not hold"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((300, 200, 400), ["does not hold", "holds", "does not hold"]),
        ((16, 16, 16), ["holds", "does not hold", "does not hold"]),
        ((64, 32, 256), ["holds in part", "holds in part", "does not hold"]),
        ((None, np.inf, np.inf), ["does not hold", "does not hold", "holds in part"]),
    ],
)
def test_widths_are_held_against_the_words(study, monkeypatch, found, expected):
    width, low, high = found
    monkeypatch.setattr(type(study), "smallest", lambda *_: SmallestWidth(width, low, high, 1.0, 0.1))
    assert [claim.verdict for claim in study._widths()] == expected


def test_floors_and_built_networks_enclose_the_smallest_width(study):
    for data, (possible, built) in study.in_principle.items():
        x, y = study.datasets[data].x_train[:, 0], study.datasets[data].y_train
        error = study.stated * np.var(y)
        if possible is not None:
            assert limits.width_floor(x, y, [possible])[0] <= error
            assert possible == 1 or limits.width_floor(x, y, [possible - 1])[0] > error
        if built is not None:
            network = limits.constructive_bound(x, y, built)
            assert np.mean((network.predict(x) - y) ** 2) <= error
            assert possible is not None and possible <= built


def test_depth_is_compared_at_the_computation_of_the_reports_network(study):
    for (data, optimizer), found in study.deeper.items():
        models = study.specs[found.curve.models.ravel()]
        assert set(models.data) == {data} and set(models.optimizer) == {optimizer}
        layers, (width,) = found.hidden_layers, set(models.width.tolist())
        assert layers > 1 and abs(2 * width + (layers - 1) * width**2 - 1280) < 60
        row = by_text(study, f"more than width: {data.replace('_', ' ')}")
        assert (f"{found.ratio:.3g} times" in row.number) == (optimizer == "gd")
        assert (found.words in row.note) == (optimizer == "adam")


@pytest.mark.parametrize(
    ("gd", "adam", "expected"),
    [
        ((0.5, 0.6, 0.1), (0.5, 0.6, 0.1), "holds"),
        ((0.5, 0.6, 0.9), (0.5, 0.6, 0.1), "holds"),
        ((0.5, 1.2, 0.1), (0.5, 0.6, 0.1), "holds in part"),
        ((0.5, 0.6, 0.9), (0.5, 0.6, 0.9), "does not hold"),
        ((1.1, 1.5, 0.1), (0.8, 1.2, 0.1), "does not hold"),
    ],
)
def test_depth_holds_where_intervals_lie_below_one_and_something_is_learned(study, gd, adam, expected):
    """Each optimizer: the interval of the ratio, and what is left of the variance."""

    def made_up(low, high, left):
        found = study.deeper["chirp", "gd"]
        comparison = found.comparison._replace(log_ratio_interval=(np.log(low), np.log(high)))
        return found._replace(comparison=comparison, left=left, deep_left=left)

    found = {(data, name): made_up(*each) for data in depth.TARGETS for name, each in (("gd", gd), ("adam", adam))}
    rows = depth.claims_of(found, 0.005, dict.fromkeys(depth.COMPLEX, 0.4), dict.fromkeys(depth.COMPLEX))
    assert [row.verdict for row in rows[:3]] == [expected] * 3


@pytest.mark.parametrize(
    ("deep_left", "one_layer", "exists", "expected"),
    [
        (0.001, 0.4, None, "holds"),
        (0.001, 0.4, 24, "holds in part"),
        (0.1, 0.4, 24, "holds in part"),
        (0.001, 0.002, None, "does not hold"),
        (0.9, 0.9, 16, "does not hold"),
    ],
)
def test_need_is_more_than_use(study, deep_left, one_layer, exists, expected):
    found = study.deeper["chirp", "gd"]
    comparison = found.comparison._replace(log_ratio_interval=(np.log(0.3), np.log(0.4)))
    found = found._replace(comparison=comparison, left=min(deep_left, one_layer), deep_left=deep_left)
    every = {(data, name): found for data in depth.TARGETS for name in depth.OPTIMIZERS}
    shallow, built = dict.fromkeys(depth.COMPLEX, one_layer), dict.fromkeys(depth.COMPLEX, exists)
    rows = depth.claims_of(every, 0.005, shallow, built)
    assert [row.verdict for row in rows[3:]] == [expected] * 2


def test_everything_is_written(study, tmp_path):
    names = {path.name for path in study.save(tmp_path)}
    assert {"summary.png", "claims.md", "summary.csv", "models.csv", "study.json"} <= names
    table = (tmp_path / "claims.md").read_text().splitlines()
    assert len(table) == 2 + len(study.claims)
    assert all(line.count("|") == 6 for line in table)
    for claim in study.claims:
        assert claim.verdict in ("holds", "holds in part", "does not hold")
        assert claim.claim in study.outcome()


def test_the_script_knows_the_claims(capsys):
    assert cli.main("fit_target", ["--claims", "--dry-run", "--json", "--seeds", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["study"] == "claims"
    assert cli.main("fit_target", ["--claims", "--lrs", "0.1"]) == 2
    assert capsys.readouterr().err == "fit_target: error: --lrs does not go with --claims\n"
    assert cli.main("fit_target", ["--claims", "--target", "chirp"]) == 2
    assert "does not go with --claims" in capsys.readouterr().err
    assert cli.main("fit_target", ["--claims", "--seeds", "1"]) == 2
    assert "at least 2 are needed" in capsys.readouterr().err


def test_without_noise_there_is_no_floor_to_compare_with():
    assert claims_study(seeds=2, noise=0.0).datasets["chirp"].noise_variance in (0.0, None)

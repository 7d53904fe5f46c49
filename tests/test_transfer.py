"""The transfer study: its coordinate check against plain NumPy, its curves and tables, its display and its script."""

import csv

import numpy as np
import pytest
from conftest import ROOT

import ensemble
from ensemble import plots
from ensemble.analysis import MOMENTS, QUANTITIES, CoordinateCheck, Curve, ridge_movement, transfer_price
from ensemble.plots import CoordinateCheckDisplay
from ensemble.plots.style import raised
from ensemble.rules import layers
from ensemble.studies import transfer_study
from ensemble.studies.transfer.study import RATES

pytestmark = pytest.mark.jit_heavy

SMALL = {"widths": [4, 8, 16], "seeds": 3, "lrs": [0.01, 0.04], "epochs": 20}


@pytest.fixture(scope="module")
def small():
    return transfer_study(**SMALL).run(progress=False)


@pytest.fixture(scope="module")
def steps():
    """Trained for as long as the coordinate check looks: its slopes do not need the 500 epochs of the maps."""
    return transfer_study(widths=[32, 64, 128, 256, 512], seeds=6, epochs=8, lrs=[2.0**-9]).run(progress=False)


def made_up(lr_best, test=1.0):
    """A curve of as many widths as best rates, of 2^0 ... 2^4; two seeds; `test` wherever no array is given."""
    shape = (len(lr_best), 5, 2)
    validation = np.ones(shape)
    for place, best in enumerate(lr_best):
        validation[place, :, :] = np.inf if best is None else 1.0
        if best is not None:
            validation[place, best] = 0.5
    models = np.arange(validation.size).reshape(shape)
    test = np.broadcast_to(test, shape)
    lrs = 2.0 ** np.arange(5)
    return Curve("d", "gd", {}, 2 ** np.arange(len(lr_best)), lrs, np.arange(2), models, validation, test, test)


# The coordinate check


@pytest.mark.parametrize("data", ["one input", "three inputs, standardized"])
def test_coordinate_check_against_plain_numpy(data):
    rng = np.random.default_rng(0)
    d = 1 if data == "one input" else 3
    x, y = rng.normal(size=(3, 12, d)), 5 + 2 * rng.normal(size=(3, 12))
    dataset = ensemble.Dataset(x[0], y[0], x[1], y[1], x[2], y[2], name="own", standardize=d > 1)
    study = transfer_study(dataset, widths=[2, 5], seeds=[3, 7], lrs=[0.01], epochs=1).run(progress=False)
    assert list(study.checks) == [
        ("own", optimizer, kind) for optimizer in ("gd", "adam") for kind in ("standard", "mup")
    ]
    inputs = dataset.x_train if dataset.scale is None else dataset.scale.inputs(dataset.x_train)
    specs = ensemble.grid(
        width=[2, 5], seed=[3, 7], optimizer=["gd", "adam"], parametrization=["standard", "mup"], init="fan_in",
        lr=0.0025, data="own",
    )  # fmt: skip
    runs = {n: ensemble.train(specs, {"own": dataset}, epochs=n, engine="numpy") for n in {0, *MOMENTS}}
    for (_, optimizer, kind), check in study.checks.items():
        assert check.lr == 0.0025
        assert check.values.shape == (len(QUANTITIES), len(MOMENTS), 2, 2)
        for (w, width), (s, seed), (e, epoch) in [
            (at_w, at_s, at_e)
            for at_w in enumerate([2, 5])
            for at_s in enumerate([3, 7])
            for at_e in enumerate(MOMENTS)
        ]:
            mine = (specs.width == width) & (specs.seed == seed) & (specs.optimizer == optimizer)
            (model,) = np.flatnonzero(mine & (specs.parametrization == kind))
            ends = [runs[n].networks.network(int(model), units="training") for n in (0, epoch)]
            z = [inputs @ net.weights[0] + net.biases[0] for net in ends]
            p = [layers.forward(inputs, net.weights, net.biases)[:, 0] for net in ends]
            expected = [np.sqrt((v**2).mean()) for v in (z[1], z[1] - z[0], p[1] - p[0])]
            np.testing.assert_allclose(check.values[:, e, w, s], expected, rtol=1e-8)


def test_the_first_steps_are_flat_in_width_under_mup_alone(steps):
    for optimizer in ("gd", "adam"):
        standard, mup = (steps.checks["reciprocal_sine", optimizer, kind] for kind in ("standard", "mup"))
        assert np.abs(mup.slope[0]).max() < 0.15
        first = standard.slope[0, :, 0]
        assert abs(first[0]) < 0.15  # the pre-activations themselves: D inputs, whatever the width
        assert 0.7 < first[2] < 1.2  # the output moves with the number of weights that move it
        # The gradient of a hidden unit falls with its output weight, as H^-1/2; adam does not see how large it is.
        np.testing.assert_allclose(first[1], -0.5 if optimizer == "gd" else 0, atol=0.2)
        low, high = standard.slope[1:]
        assert (low <= standard.slope[0]).all() and (standard.slope[0] <= high).all()


def test_slopes_of_a_power_law_are_its_exponent():
    width = np.array([4, 8, 16, 32])
    values = np.empty((3, 2, 4, 5))
    for q, power in enumerate((0.0, -0.5, 1.0)):
        values[q] = np.arange(1, 6) * (width**power)[:, None]
    check = CoordinateCheck("d", "gd", "mup", 0.1, width, np.array([1, 2]), np.arange(5), values)
    np.testing.assert_allclose(check.slope, np.broadcast_to([[0], [-0.5], [1]], (3, 3, 2)), atol=1e-12)
    np.testing.assert_allclose(check.quartiles[:, 0, 0, 0], [2, 3, 4])


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_a_slope_that_cannot_be_known_is_nan(bad):
    values = np.ones((3, 1, 2, 3))
    values[1, 0, 0, 0] = bad
    check = CoordinateCheck("d", "gd", "mup", 0.1, np.array([4, 8]), np.array([1]), np.arange(3), values)
    assert np.isnan(check.slope[:, 1]).all()
    np.testing.assert_array_equal(check.slope[:, [0, 2]], 0)
    one_width = CoordinateCheck("d", "gd", "mup", 0.1, np.array([4]), np.array([1]), np.arange(3), values[:, :, :1])
    assert np.isnan(one_width.slope).all()


# The ridge


def test_movement_of_the_ridge():
    assert ridge_movement(made_up([3, 2, 0])) == 3
    assert ridge_movement(made_up([1, 1, 1])) == 0
    assert ridge_movement(made_up([2, None, 1])) == 1  # every rate of the second width diverged
    assert np.isnan(ridge_movement(made_up([None])))


def test_price_of_the_narrowest_rate():
    test = np.ones((2, 5, 2))
    test[1, 3] = 6.0
    assert transfer_price(made_up([3, 1], test)) == 6
    test[1, 3] = np.inf
    assert transfer_price(made_up([3, 1], test)) == np.inf
    assert transfer_price(made_up([1, 1], test)) == 1


# The study


def test_each_curve_is_of_its_own_models(small):
    labels = [curve.label for curve in small.curves()]
    assert labels == ["gd, standard", "gd, mu-P", "adam, standard", "adam, mu-P"]
    for curve in small.curves():
        assert curve.models.shape == (3, 2, 3)
        for name, value in curve.settings.items():
            assert (getattr(small.specs, name)[curve.models] == value).all()
    assert (small.specs.init == "fan_in").all()


def test_depths_are_compared_at_the_narrowest_width(small):
    assert small.curves()[0].settings["hidden_layers"] == 1
    assert not any(curve.settings.get("hidden_layers", 1) > 1 for curve in small.curves())
    for curve in small.by_depth():
        assert (curve.axis, curve.across.tolist(), curve.width.tolist()) == ("hidden_layers", [1, 2, 4], [4, 4, 4])
        for place, depth in enumerate((1, 2, 4)):
            assert (small.specs.hidden_layers[curve.models[place]] == depth).all()
            assert (small.specs.width[curve.models[place]] == 4).all()
        factor = 2 ** ridge_movement(curve)
        assert factor == 1 or np.isnan(factor) or f"{factor:.3g}-fold" in small.answer()
    assert [row["hidden_layers"] for row in small.by_depth()[0].map_rows("m")] == [1, 1, 2, 2, 4, 4]
    for name in ("val_loss", "test_loss"):
        np.testing.assert_array_equal(getattr(small.by_depth()[0], name)[0], getattr(small.curves()[0], name)[0])


def test_one_depth_needs_no_maps_of_it():
    study = transfer_study(widths=[4], hidden_layers=[2], seeds=2, lrs=[0.01], optimizers=["gd"], epochs=2).run(
        progress=False
    )
    assert study.by_depth() == [] and set(study.specs.hidden_layers) == {2}
    assert set(study.figures()) == {"summary", "learning_rate_map", "coordinate_check"}


def test_default_grids_have_equally_many_rates():
    setup = transfer_study()
    assert len({len(rates) for kinds in RATES.values() for rates in kinds.values()}) == 1
    assert len(setup.specs) == 4 * (6 + 2) * 11 * 16  # six widths, and two more depths at the narrowest
    for optimizer, kinds in RATES.items():
        specs = transfer_study(optimizers=[optimizer], widths=[4], seeds=2).specs
        for kind, rates in kinds.items():
            assert tuple(np.unique(specs.lr[specs.parametrization == kind])) == rates


def test_everything_is_written(small, tmp_path):
    names = [path.name for path in small.save(tmp_path, formats=("svg",))]
    maps = ["learning_rate_map.svg", "learning_rate_by_depth.svg"]
    assert sorted(names[:4]) == sorted(["summary.svg", "coordinate_check.svg", *maps])
    left = [name for name in names[4:] if name != "report.html"]  # there only where its extra is installed
    assert left == ["models.csv", "summary.csv", "points.csv", "study.json"]
    with open(tmp_path / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [row for row in rows if row["figure"] == "learning_rate_map"]
    points = [row for row in rows if row["figure"] == "coordinate_check"]
    assert len(cells) == 4 * 3 * 2
    assert len(points) == 4 * len(QUANTITIES) * len(MOMENTS) * 3
    assert sum(int(row["chosen"]) for row in cells) == 4 * 3
    check = small.checks["reciprocal_sine", "adam", "mup"]
    (row,) = [
        row
        for row in points
        if (row["optimizer"], row["parametrization"], row["measure"]) == ("adam", "mup", "output_change")
        and (row["epoch"], row["width"]) == ("8", "16")
    ]
    assert float(row["median"]) == check.quartiles[1, 2, 3, 2]
    assert [float(row[name]) for name in ("slope", "slope_low", "slope_high")] == check.slope[:, 2, 3].tolist()


def test_the_outcome_has_rates_movement_and_slopes(small):
    outcome = small.outcome()
    for curve in small.curves():
        assert curve.label in outcome
        for i in range(3):
            assert f"{curve.quartiles[1, i]:.2e}" in outcome
        assert f"2^{ridge_movement(curve):g}" in outcome
    assert "* at the edge of its grid" in outcome  # with two rates, each is
    for check in small.checks.values():
        assert "{:.2f} [{:.2f}, {:.2f}]".format(*check.slope[:, 2, 3]) in outcome


def test_own_data_and_several_datasets(tmp_path):
    rng = np.random.default_rng(0)
    own = {name: ensemble.Dataset(rng.normal(size=(30, 2)), rng.normal(size=30), name=name) for name in ("a", "b")}
    study = transfer_study(own, widths=[2, 4], seeds=2, lrs=[0.01], optimizers=["momentum"], epochs=2).run(
        progress=False
    )
    assert {"summary-a", "summary-b"} < set(study.figures())
    assert study.outcome().count("momentum, mu-P") == 4
    assert study.answer().count("of momentum") == 4 == study.answer().count("(mu-P: not)")
    assert len(study.setup.notes) == 2


def test_every_model_may_diverge():
    settings = {"widths": [4, 8], "hidden_layers": [1], "lrs": [1e9], "optimizers": ["gd"], "epochs": 20}
    study = transfer_study(**settings, seeds=2).run(progress=False)
    assert (study.result.status == "diverged").all()
    assert "nan" in study.outcome()
    figures = study.figures()
    assert all("no best rate" in ax.get_title() for ax in figures["learning_rate_map"].axes)
    plots.render(figures["summary"], "png")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 1}, "at least 2 are needed"),
        ({"optimizers": ["sgd"]}, "'sgd'"),
        ({"widths": [4, 4]}, "widths names 4 twice"),
        ({"lrs": []}, "lrs is empty"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        transfer_study(**settings)


# The display


def test_the_display_draws_what_was_measured(small):
    display = CoordinateCheckDisplay(
        [small.checks["reciprocal_sine", "adam", kind] for kind in ("standard", "mup")], "preactivation_change"
    ).plot()
    for check, lines in zip(display.checks, display.lines_, strict=True):
        for line, median in zip(lines, check.quartiles[1, 1], strict=True):
            np.testing.assert_array_equal(line.get_ydata(), median)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["standard", "mu-P"]
    slopes = display.ax_.get_title().split("\n")[1].split(", ")
    for check, text, lines in zip(display.checks, slopes, display.lines_, strict=True):
        slope = f"{check.slope[0, 1, 0].round(2) + 0.0:.2f}"
        assert text == f"{check.label} ~ width{raised(slope)}"
        # What is said of is what is marked: the first step.
        assert [bool(line.get_marker()) for line in lines] == [True, False, False, False]
    title = display.ax_.get_legend().get_title().get_text()
    assert "median of 3 seeds" in title and "interquartile range" in title
    with pytest.raises(ValueError, match="allowed are preactivation, preactivation_change, output_change"):
        CoordinateCheckDisplay(display.checks, "loss")


def test_all_maps_share_one_scale_of_colours(small):
    meshes = [ax.collections[0] for ax in small.figures()["learning_rate_map"].axes[:4]]
    limits = [mesh.get_clim() for mesh in meshes]
    lowest = min(curve.validation_median.min() for curve in (*small.curves(), *small.by_depth()))
    assert set(limits) == {(lowest / np.var(small.datasets["reciprocal_sine"].y_val), 1.0)}


# The script


def test_the_script_plans_and_refuses(in_process, tmp_path):
    status, stdout, stderr = in_process("rate_transfer", "--dry-run", folder=tmp_path)
    assert (status, stderr) == (0, "")
    assert stdout.startswith("5,632 models")
    status, stdout, stderr = in_process("rate_transfer", "--optimizers", "sgd", folder=tmp_path)
    assert (status, stdout) == (2, "")
    assert stderr.startswith("rate_transfer: error: ") and "'sgd'" in stderr
    assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert len((ROOT / "scripts" / "rate_transfer.py").read_text().splitlines()) < 60


def test_the_script_runs_from_any_folder(in_process, unrendered, tmp_path):
    arguments = ["--widths", "4", "8", "--seeds", "2", "--lrs", "0.01", "--epochs", "5", "--optimizers", "gd"]
    status, stdout, stderr = in_process("rate_transfer", *arguments, folder=tmp_path)
    assert (status, stderr) == (0, "")
    assert "summary.png" in stdout
    assert (tmp_path / "results" / "rate_transfer" / "study.json").exists()

import csv
import errno
import json
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL

import ensemble
from ensemble import limits
from ensemble.analysis import choose, few, learning_curves
from ensemble.statistics import quartiles
from ensemble.studies import (
    bias_ablation,
    depth_study,
    double_descent,
    fit_target,
    trainability,
    transfer_study,
    width_study,
)
from ensemble.studies.files import csv_text, json_text, prepare_folder, safe_name
from ensemble.studies.inputs import as_datasets, noise_of, seeds_of, values_of

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels

CO2 = Path(__file__).parent / "data" / "mauna_loa_co2.csv"


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Medians and quartiles


def test_quartiles_agree_with_numpy_on_finite_errors():
    errors = np.random.default_rng(0).random((4, 5, 6))
    np.testing.assert_allclose(quartiles(errors), np.quantile(errors, [0.25, 0.5, 0.75], axis=-1), rtol=1e-14)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0, np.inf], [2.0, 3.0, 4.0]),
        ([1.0, 2.0, np.inf, np.inf], [1.75, np.inf, np.inf]),
        ([np.inf, np.inf], [np.inf, np.inf, np.inf]),
        ([7.0], [7.0, 7.0, 7.0]),
    ],
)
def test_diverged_models_count_as_infinite_in_quartiles(errors, expected):
    np.testing.assert_array_equal(quartiles(errors), expected)


# The choice of the learning rate


def test_learning_rate_is_chosen_on_validation_and_the_error_reported_on_test():
    """Every rate but one is best on test; the one that is best on validation is taken all the same."""
    study = width_study(**SMALL, optimizers=["gd"]).run(progress=False)
    val, test = np.full_like(study.result.val_loss, 2.0), np.full_like(study.result.test_loss, 0.25)
    slow = study.specs.lr == 0.02
    val[slow], test[slow] = 1.0, 0.5
    curve = replace(study, result=replace(study.result, losses={"train": val, "val": val, "test": test})).curves()[0]
    np.testing.assert_array_equal(curve.lr, [0.02, 0.02, 0.02])
    np.testing.assert_array_equal(curve.errors, np.full((3, 3), 0.5))


def test_curve_equals_a_plain_recomputation(width):
    specs, result = width.specs, width.result
    for curve in width.curves():
        for i, h in enumerate(curve.width):
            of_width = (specs.width == h) & (specs.optimizer == curve.label)
            medians = {lr: np.median(result.val_loss[of_width & (specs.lr == lr), -1]) for lr in (0.02, 0.1)}
            best = min(medians, key=medians.get)
            chosen = np.flatnonzero(of_width & (specs.lr == best))
            errors = result.test_loss[chosen, -1]
            assert curve.lr[i] == best
            np.testing.assert_array_equal(np.sort(curve.errors[i]), np.sort(errors))
            assert curve.quartiles[1, i] == np.median(errors)
            assert result.test_loss[curve.typical_models[i], -1] == np.median(errors)  # odd number of seeds


def test_a_rate_at_which_the_median_diverges_is_never_chosen():
    study = width_study(**SMALL | {"widths": [64], "lrs": [0.05, 50.0], "optimizers": ["gd"], "epochs": 60}).run(
        progress=False
    )
    (curve,) = study.curves()
    assert curve.lr == [0.05]
    assert np.isinf(curve.validation_median[0, 1])
    assert curve.diverged == [0]
    assert study.about()["diverged"] == 3


def test_all_diverged_is_reported_and_drawn(tmp_path):
    changes = {"widths": [64, 128], "seeds": 2, "lrs": [50.0, 80.0], "optimizers": ["gd"], "epochs": 60}
    study = width_study(**SMALL | changes).run(progress=False)
    (curve,) = study.curves()
    assert curve.diverged.tolist() == [2, 2]
    assert "inf" in study.outcome()
    study.save(tmp_path)
    assert rows_of(tmp_path / "models.csv")[0]["status"] == "diverged"
    rows = [row for row in rows_of(tmp_path / "summary.csv") if row["figure"] == "width_curves"]
    assert {row["median"] for row in rows if row["measure"] == "test_loss"} == {"inf"}


def test_choose_wants_a_full_grid_and_test_data(width):
    with pytest.raises(ValueError, match="no full grid"):
        choose(width.specs, width.result, "unknown", "no such data")
    with pytest.raises(ValueError, match="no full grid"):
        choose(width.specs, width.result, "both optimizers", "reciprocal_sine")
    bare = replace(width.result, losses={"train": width.result.train_loss})
    with pytest.raises(ValueError, match="validation and test"):
        choose(width.specs, bare, "gd", "reciprocal_sine", optimizer="gd")


def test_learning_curves_are_medians_of_histories(width):
    curve = width.curves()[0]
    (learning,) = learning_curves(curve, width.result, [8])
    histories = width.result.test_loss[curve.chosen_models[1]]
    np.testing.assert_array_equal(learning.epochs, width.result.epochs)
    np.testing.assert_array_equal(learning.quartiles[1], np.median(histories, axis=0))


# The files left behind


def test_models_csv_has_every_model_with_its_spec_and_errors(width, saved):
    rows = rows_of(saved[0] / "models.csv")
    assert len(rows) == len(width.specs) == 3 * 3 * 2 * 2
    for name, column in width.specs.columns().items():
        assert [row[name] for row in rows] == [str(value) for value in column.tolist()]
    for part in ("train", "val", "test"):
        written = [float(row[f"{part}_loss"]) for row in rows]
        np.testing.assert_array_equal(written, getattr(width.result, f"{part}_loss")[:, -1])
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["diverged_at"] for row in rows} == {"-1"}


def test_summary_csv_equals_medians_recomputed_from_models_csv(saved):
    """Both files alone suffice: choose the rate on the models' validation MSE, take the median of their test MSE."""
    groups = defaultdict(list)
    for row in rows_of(saved[0] / "models.csv"):
        groups[row["optimizer"], row["width"], row["lr"]].append((float(row["val_loss"]), float(row["test_loss"])))
    summary = rows_of(saved[0] / "summary.csv")
    curves = [row for row in summary if row["figure"] == "width_curves" and row["measure"] == "test_loss"]
    assert len(curves) == 3 * 2
    for row in curves:
        rates = {lr: np.array(groups[row["optimizer"], row["width"], lr]) for lr in ("0.02", "0.1")}
        best = min(rates, key=lambda lr: np.median(rates[lr][:, 0]))
        assert row["lr"] == best
        assert row["seeds"] == "3"
        expected = np.quantile(rates[best][:, 1], [0.25, 0.5, 0.75])
        found = [float(row[name]) for name in ("lower_quartile", "median", "upper_quartile")]
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    for row in (row for row in summary if row["figure"] == "learning_rate_map"):
        validation = np.array(groups[row["optimizer"], row["width"], row["lr"]])[:, 0]
        assert float(row["median"]) == np.median(validation)
    chosen = [row for row in summary if row["chosen"] == "1"]
    assert [(row["optimizer"], row["width"], row["lr"]) for row in chosen] == [
        (row["optimizer"], row["width"], row["lr"]) for row in curves
    ]


def test_fits_csv_is_what_the_networks_predict(width, saved):
    rows = rows_of(saved[0] / "fits.csv")
    by_model = defaultdict(list)
    for row in rows:
        by_model[int(row["model"])].append((float(row["x"]), float(row["prediction"])))
    assert len(by_model) == 2 * 3
    for model, points in by_model.items():
        x, prediction = np.array(points).T
        assert (x[0], x[-1]) == (-3, 3)
        np.testing.assert_array_equal(width.result.networks[model].predict(x), prediction)


def test_what_is_possible_is_found_while_models_train(monkeypatch, tmp_path):
    monkeypatch.setattr("ensemble.studies.width.study.MANY", 1)
    setup = width_study("quadratic", widths=[1, 2], seeds=2, lrs=[0.1], epochs=2)
    first, again = setup.run(store=tmp_path), setup.run(store=tmp_path)
    assert list(first.beside) == ["quadratic"] and not again.beside
    alone = setup.run()
    assert not alone.beside
    for study in (first, again):
        found, expected = study.bounds["quadratic"], alone.bounds["quadratic"]
        np.testing.assert_array_equal(found.floor, expected.floor)
        np.testing.assert_array_equal(found.built, expected.built)


def test_points_csv_is_the_data(width, saved):
    rows = [row for row in rows_of(saved[0] / "points.csv") if row["part"] == "train"]
    data = width.datasets["reciprocal_sine"]
    np.testing.assert_array_equal([float(row["x"]) for row in rows], data.x_train[:, 0])
    np.testing.assert_array_equal([float(row["y"]) for row in rows], data.y_train)


def test_study_json_says_what_was_run_and_where(width, saved):
    record = json.loads((saved[0] / "study.json").read_text())
    assert record["study"] == "width_study"
    assert record["settings"] == {
        "widths": [2, 8, 16], "hidden_layers": [1], "seeds": [0, 1, 2], "lrs": {"gd": [0.02, 0.1], "adam": [0.02, 0.1]},
        "optimizers": ["gd", "adam"], "epochs": 30, "noise": 0.01, "batch_size": 0,
    }  # fmt: skip
    assert record["data"]["reciprocal_sine"]["sha256"] == width.datasets["reciprocal_sine"].digest
    assert record["data"]["reciprocal_sine"]["samples"] == {"train": 420, "val": 180, "test": 180}
    assert record["models"] == 36
    assert record["configuration"] == width.setup.digest
    assert width.setup.digest.encode() in (saved[0] / "summary.png").read_bytes()
    assert width.setup.digest.encode() in (saved[0] / "summary.svg").read_bytes()
    assert record["training_seconds"] > 0
    assert {"python", "numpy", "numba", "relu-ensemble"} <= set(record["versions"])
    assert record["machine"]["cores"] >= 1


def test_every_file_is_listed_and_nothing_else_is_left(saved):
    out, written = saved
    assert {path.name for path in out.iterdir()} == {path.name for path in written}
    figures = ("summary", "width_curves", "fits", "learning_curves", "learning_rate_map")
    assert {f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")} <= {path.name for path in written}


def test_an_unknown_format_writes_nothing(width, tmp_path):
    with pytest.raises(ValueError, match="format 'gif' is unknown; allowed are png, svg, pdf"):
        width.save(tmp_path / "new", formats=("png", "gif"))
    assert not (tmp_path / "new").exists()


# Depth


def test_the_width_study_has_a_curve_per_depth(tmp_path, unrendered):
    study = width_study(**SMALL | {"hidden_layers": [1, 3], "widths": [2, 8], "optimizers": ["adam"]}).run(
        progress=False
    )
    assert [curve.label for curve in study.curves()] == ["adam, 1 layer", "adam, 3 layers"]
    for curve, depth in zip(study.curves(), (1, 3), strict=True):
        assert (study.specs.hidden_layers[curve.models] == depth).all()
    data = study.datasets["reciprocal_sine"]
    bounds = study.bounds["reciprocal_sine"]
    np.testing.assert_array_equal(bounds.floor, limits.width_floor(data.x_train, data.y_train, [2, 8], 3))
    assert {study.specs.hidden_layers[film.model] for film in study.films} == {1}
    study.save(tmp_path)
    rows = [row for row in rows_of(tmp_path / "summary.csv") if row["figure"] == "width_curves"]
    assert {row["hidden_layers"] for row in rows} == {"1", "3"}


def test_every_study_takes_deep_networks():
    settings = {"seeds": 2, "epochs": 3}
    deep = width_study("quadratic", widths=[4], hidden_layers=[2], lrs=[0.1], **settings).run(progress=False)
    assert deep.films == [] and len(deep.bounds["quadratic"].built) == 0
    assert "a ReLU network of 2 hidden layers" in deep.figures()["summary"].get_suptitle()
    bias = bias_ablation("quadratic", widths=[4], hidden_layers=2, lrs=[0.1], **settings).run(progress=False)
    fit = fit_target(width=4, hidden_layers=2, **settings).run(progress=False)
    for study in (deep, bias, fit):
        assert set(study.specs.hidden_layers) == {2}
        assert study.figures()


# The bias ablation


def test_arms_start_from_the_same_weights():
    """With zero epochs the result is the initial networks."""
    study = bias_ablation(widths=[8], seeds=2, lrs=[0.1], epochs=0).run(progress=False)
    arms = study.curves()
    assert [curve.label for curve in arms] == ["both biases", "hidden bias only", "output bias only", "no bias"]
    for seed in range(2):
        networks = [study.result.networks[int(curve.models[0, 0, seed])] for curve in arms]
        for net in networks:
            np.testing.assert_array_equal(net.weights[0], networks[0].weights[0])
            np.testing.assert_array_equal(net.weights[1], networks[0].weights[1])
        assert [bool(net.biases[0].any()) for net in networks] == [True, True, False, False]
        assert [bool(net.biases[1].any()) for net in networks] == [True, False, True, False]


def test_without_hidden_bias_no_model_beats_two_half_lines(bias):
    """The no-bias floor by least squares: a relu(x) + c relu(-x), with a constant where the output bias is on."""
    data = bias.datasets["reciprocal_sine"]
    x = data.x_train[:, 0]
    columns = [np.maximum(x, 0), np.maximum(-x, 0), np.ones_like(x)]
    for output_bias in (False, True):
        basis = np.stack(columns[: 2 + output_bias], axis=1)
        solution = np.linalg.lstsq(basis, data.y_train, rcond=None)[0]
        floor = np.mean((basis @ solution - data.y_train) ** 2)
        models = ~bias.specs.hidden_bias & (bias.specs.output_bias == output_bias)
        assert models.sum() == 18
        assert (bias.result.train_loss[models, -1] >= floor - 1e-12).all()


def test_bias_summary_names_the_arm(bias, tmp_path, unrendered):
    bias.save(tmp_path)
    assert all(f"{curve.quartiles[1, -1]:.2e}" in bias.outcome() for curve in bias.curves())
    every = rows_of(tmp_path / "summary.csv")
    rows = [row for row in every if row["figure"] == "error_by_arm"]
    assert len(rows) == 4 * 3
    assert {row["measure"] for row in every if row["figure"] == "limits"} <= {"train_loss", "train_mse_floor"}
    for curve in bias.curves():
        of_arm = [row for row in rows if row["arm"] == curve.label]
        assert {row["hidden_bias"] for row in of_arm} == {str(curve.settings["hidden_bias"])}
        np.testing.assert_array_equal([float(row["median"]) for row in of_arm], curve.quartiles[1])
    assert {"summary.png", "error_by_arm.png", "fits_by_arm.png"} <= {path.name for path in tmp_path.iterdir()}
    assert {row["part"] for row in rows_of(tmp_path / "fits.csv")} == {curve.label for curve in bias.curves()}


# The fit study


def test_the_fit_study_has_the_originals_epochs():
    setup = fit_target(width=4, seeds=1, epochs=500)
    assert list(setup.snapshots) == [0, 50, 100, 200, 500]
    assert set(setup.snapshots) <= set(setup.record)


def test_fit_table_is_the_median_over_seeds(fit):
    assert fit.moments == [0, 50, 60]
    table = {(row["epoch"], row["measure"]): row for row in fit.mse_rows()}
    for epoch in fit.moments:
        at = fit.result.epochs.tolist().index(epoch)
        for part in ("train", "val", "test"):
            history = getattr(fit.result, f"{part}_loss")
            row = table[epoch, f"{part}_loss"]
            assert row["median"] == pytest.approx(np.median(history[:, at]), rel=1e-14)
            assert row["shown"] == history[row["shown_seed"], at]
    assert f"{table[50, 'train_loss']['median']:.3g}" in fit.outcome()


def test_fits_are_those_of_the_snapshots(fit):
    curve = fit.curve()
    fits = fit.fits(curve)
    assert [one.epoch for one in fits] == [0, 50, 60]
    for one in fits:
        np.testing.assert_array_equal(one.prediction, fit.result.snapshots[one.epoch][one.model].predict(one.x))


def test_the_fit_study_saves_its_table(fit, tmp_path, unrendered):
    fit.save(tmp_path)
    assert {"fits.png", "learning_curves.png", "summary.csv"} <= {path.name for path in tmp_path.iterdir()}
    table = [row for row in rows_of(tmp_path / "summary.csv") if row["figure"] == "mse_table"]
    assert [float(row["median"]) for row in table] == [row["median"] for row in fit.mse_rows()]


# Data


def test_mauna_loa_width_study(tmp_path, undrawn):
    """Real measurements in their own units: wider is better, and a straight line is beaten."""
    data = ensemble.load_csv(CO2, x="decimal_year", y="co2_ppm")
    study = width_study(data, widths=[1, 16, 64], seeds=4, lrs=[0.1, 0.3], optimizers=["gd"]).run(progress=False)
    (curve,) = study.curves()
    errors = curve.quartiles[1]
    line = np.polyval(np.polyfit(data.x_train[:, 0] - 1980, data.y_train, 1), data.x_test[:, 0] - 1980)
    assert errors[2] < np.mean((line - data.y_test) ** 2) < errors[0]
    assert 1 < errors[2] < 7  # ppm^2: the seasons, which so smooth a fit leaves
    assert study.settings["noise"] is None
    (note,) = study.setup.notes
    assert f"{data.dropped_rows} rows with empty cells dropped" in note
    study.save(tmp_path)
    record = json.loads((tmp_path / "study.json").read_text())
    assert record["data"]["mauna_loa_co2"]["inputs"] == ["decimal_year"]
    assert record["data"]["mauna_loa_co2"]["formula"] is None


def test_several_inputs_have_no_fits_but_all_else(tmp_path, unrendered):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2))
    data = ensemble.Dataset(x, x @ [1.0, -1.0], name="plane")
    of_width = {"summary", "width_curves", "learning_curves", "learning_rate_map", "dead_units"}
    for run, figures in ((width_study, of_width), (bias_ablation, {"summary", "error_by_arm", "differences"})):
        study = run(**SMALL | {"data": data, "widths": [2, 3]}).run(progress=False)
        assert "parts that were missing drawn at random" in study.setup.notes[0]
        assert set(study.figures()) == figures
        assert study.fitted() == []
    study = fit_target(data, width=3, seeds=2, epochs=5).run(progress=False)
    study.save(tmp_path)
    assert not (tmp_path / "fits.csv").exists()
    assert {"x0", "x1", "y"} <= set(rows_of(tmp_path / "points.csv")[0])


def test_several_targets_in_one_pass():
    targets = ["quadratic", "half_sine"]
    study = width_study(**SMALL | {"data": targets}).run(progress=False)
    assert set(study.specs.data) == set(targets)
    assert len(study.figures()["summary"].axes) >= 2 * len(targets)  # and a third row where bounds are known
    alone = width_study(**SMALL | {"data": "half_sine"}).run(progress=False)
    np.testing.assert_array_equal(study.curves("half_sine")[1].errors, alone.curves()[1].errors)
    assert "quadratic: median" in study.outcome()
    assert {row["data"] for row in study.summary_rows()} == set(targets)
    several = bias_ablation(**SMALL | {"data": targets, "optimizers": ["gd", "adam"], "widths": [2]}).run(
        progress=False
    )
    assert {f"summary-{optimizer}" for optimizer in ("gd", "adam")} <= set(several.figures())


def test_a_constant_is_nothing_to_learn_in_every_study():
    data = ensemble.Dataset(np.linspace(0, 1, 40), np.full(40, 3.0), name="three")
    settings = {"seeds": 2, "epochs": 2, "lrs": [0.05]}
    for run, widths in ((width_study, [3]), (bias_ablation, [3]), (transfer_study, [8]), (depth_study, [16])):
        study = run(data, widths=widths, **settings).run(progress=False)
        (figure,) = study.figures().values()
        assert figure.get_suptitle() == "y is constant: there is nothing to learn"
        assert "nothing to learn" in study.answer() or "neither learns it" in study.answer()
    fit = fit_target(data, width=3, seeds=2, epochs=2).run(progress=False)
    assert "of the variance" not in fit.answer() and fit.figures()


def test_every_answer_is_in_the_record_and_has_its_number(width, bias, fit, saved):
    assert json.loads((saved[0] / "study.json").read_text())["answer"] == width.answer()
    reach = width.reach["reciprocal_sine"]
    for label, found in reach.widths.items():
        curve = next(curve for curve in width.curves() if curve.label == label)
        share = curve.quartiles[1] / np.var(width.datasets["reciprocal_sine"].y_test)
        reached = curve.width[share <= 0.01]
        assert found.width == (reached[0] if len(reached) else None)
        assert reach.left[label] == pytest.approx(share.min())
    assert any(label in width.answer() for label in ("gd", "adam"))
    assert bias.differences()[1].worth in bias.answer()
    share = np.median(fit.result.test_loss[:, -1]) / np.var(fit.datasets["reciprocal_sine"].y_test)
    assert f"{float(f'{100 * share:.2g}'):g}% of the variance" in fit.answer()


def test_what_is_possible_is_said_with_its_widths(width):
    data, bounds = width.datasets["reciprocal_sine"], width.bounds["reciprocal_sine"]
    found, error = width.needed["reciprocal_sine"], 0.01 * np.var(data.y_train)
    assert found.built == bounds.built_width[bounds.built <= error].min()
    assert f"in principle {found.built} are enough" in width.answer()
    harder = found.within(replace(bounds, floor=np.array([2 * error, error / 2, 0.0])), data)
    assert (harder.impossible, harder.built) == (2, found.built)
    assert harder.words.endswith(f"in principle {found.built} are enough, 2 are not.")


def test_dead_units_are_told_from_those_that_were_dead_before(width):
    for curve in width.curves():
        before, after = width.dead_at_start(curve), width.dead_units(curve)
        assert before.shape == after.shape
        x = width.datasets["reciprocal_sine"].x_train
        start = ensemble.train(width.specs[curve.chosen_models[0]], width.datasets, epochs=0, progress=False)
        for place in range(3):
            one = start.networks[place]
            dead = ((x @ one.weights[0] + one.biases[0]) <= 0).all(axis=0)
            assert before[0, place] == dead.mean()


def test_no_epochs_at_all_still_makes_every_figure():
    assert width_study(**SMALL | {"epochs": 0}).run(progress=False).figures()
    assert fit_target(width=4, seeds=1, epochs=0).run(progress=False).figures()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": []}, "widths is empty"),
        ({"widths": [4, 8, 4]}, "widths names 4 twice"),
        ({"widths": [0]}, "width 0 is not allowed"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [1, 1]}, "seeds names 1 twice"),
        ({"lrs": [-0.1]}, "lr -0.1 is not allowed"),
        ({"optimizers": ["sgd"]}, "optimizer 'sgd' is unknown; allowed are gd, momentum, adam"),
        ({"data": "sine"}, "unknown target 'sine'"),
        ({"data": {}}, "no data"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(arguments, message):
    with pytest.raises(ValueError, match=message):
        width_study(**arguments)


@pytest.mark.parametrize("study", [bias_ablation, depth_study, fit_target, transfer_study, width_study])
def test_every_study_takes_batches(study):
    setup = study(seeds=2, epochs=3, batch_size=32)
    assert set(setup.specs.batch_size.tolist()) == {32} and setup.settings["batch_size"] == 32
    assert "batches of 32: an epoch is 14 steps" in setup.notes
    assert study(seeds=2, epochs=3).digest != setup.digest
    assert study(seeds=2, epochs=3).notes == ()


@pytest.mark.parametrize("study", [double_descent, trainability])
def test_every_study_says_its_batches(study):
    assert any(note.startswith("batches of 8: an epoch is ") for note in study(batch_size=8).notes)


def test_inputs_made_ready():
    data = ensemble.sample("quadratic", n=50)
    datasets, notes = as_datasets(data, 0.01, 0)
    assert datasets == {"quadratic": data}
    assert notes == ()
    assert noise_of("quadratic", 0.5) == 0.5
    assert noise_of(data, 0.5) is None
    assert seeds_of(3) == seeds_of(range(3)) == seeds_of(np.int64(3)) == [0, 1, 2]
    assert values_of("lrs", (0.1, 0.2)) == [0.1, 0.2]


def test_few_widths_are_distinct_and_hold_the_largest():
    for n in range(1, 15):
        widths = [2**i for i in range(n)]
        for count in (1, 2, 3, 4):
            shown = few(widths, count)
            assert len(shown) == len(set(shown)) == min(n, count)
            assert set(shown) <= set(widths)
            assert count == 1 or widths[-1] in shown


# Writing


def test_a_disk_that_fills_while_plots_are_written_is_named_with_its_file_and_leaves_the_old_one(
    width, tmp_path, monkeypatch, undrawn
):
    width.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match=r"No space left on device.*summary.png"):
        width.save(tmp_path)
    monkeypatch.undo()
    assert "summary.png" in before
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_written_file_has_the_usual_permissions(saved, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    assert (saved[0] / "study.json").stat().st_mode == plain.stat().st_mode


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    for folder in (tmp_path / "results", tmp_path / "results" / "width_study"):
        with pytest.raises(ValueError, match="output folder .*results.* cannot be written"):
            prepare_folder(folder)
    with pytest.raises(ValueError, match="output folder .*cannot be written: embedded null byte"):
        prepare_folder("a\0b")


def test_text_of_tables_and_records():
    rows = [{"a": 0.1, "b": np.float64(np.inf)}, {"a": np.int64(2), "c": "x,y"}]
    assert csv_text(rows) == 'a,b,c\n0.1,inf,\n2,,"x,y"\n'
    formulas = [{"data": text} for text in ("=1+1", "+1", "-1", "@sum", "a=1")]
    assert csv_text(formulas).splitlines() == ["data", "'=1+1", "'+1", "'-1", "'@sum", "a=1"]
    assert csv_text([{"a": -1.0}]) == "a\n-1.0\n"
    content = json.loads(json_text({"a": np.inf, "b": [np.float64(1.5), np.nan], "c": (np.arange(2), "text")}))
    assert content == {"a": None, "b": [1.5, None], "c": [[0, 1], "text"]}
    assert safe_name("CO2 (ppm)/year") == "CO2_ppm_year"

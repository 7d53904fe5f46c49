"""The double-descent study: its teacher, its peak, its ways to train against plain NumPy, and what is left behind."""

import csv
import json

import numpy as np
import pytest

import ensemble
from ensemble import cli
from ensemble.data import sample_teacher
from ensemble.networks import initialize
from ensemble.statistics import peak_width
from ensemble.studies import double_descent, files
from ensemble.studies.descent.arms import DECAY, EARLY, END, Task
from ensemble.studies.descent.study import answer_of

SMALL = {
    "widths": [1, 3, 8], "draws": 3, "seeds": 2, "epochs": 30, "n": 16, "n_labelled": 24, "n_inputs": 4,
    "weight_decays": [0.1, 1.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def study():
    return double_descent(**SMALL).run(progress=False)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# The teacher


@pytest.mark.parametrize("seed", range(4))
def test_a_teacher_has_mean_0_and_variance_1(seed):
    data = sample_teacher(10, n_inputs=5, units=3, seed=seed, n_test=200_000)
    assert abs(data.y_test.mean()) < 0.02
    assert abs(data.y_test.var() - 1) < 0.04


def test_test_labels_are_exact_and_the_others_have_the_noise_asked_for():
    exact, noisy = (sample_teacher(4000, noise=noise, seed=3, n_test=50) for noise in (0.0, 0.5))
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(exact, f"x_{part}"), getattr(noisy, f"x_{part}"))
    np.testing.assert_array_equal(exact.y_test, noisy.y_test)
    for part in ("train", "val"):
        noise = getattr(noisy, f"y_{part}") - getattr(exact, f"y_{part}")
        assert abs(noise.std() - 0.5) < 0.03 and abs(noise.mean()) < 0.03


def test_labels_are_the_sign_and_some_are_flipped():
    outputs = sample_teacher(4000, noise=0.0, seed=1, n_test=60)
    exact, flipped = (sample_teacher(4000, noise=noise, classes=True, seed=1, n_test=60) for noise in (0.0, 0.2))
    np.testing.assert_array_equal(exact.y_train, outputs.y_train > 0)
    np.testing.assert_array_equal(flipped.y_test, exact.y_test)
    assert abs(np.mean(flipped.y_train != exact.y_train) - 0.2) < 0.03


def test_fewer_samples_are_the_first_of_more():
    few, many = sample_teacher(10, seed=2), sample_teacher(30, seed=2)
    np.testing.assert_array_equal(few.x_train, many.x_train[:10])
    np.testing.assert_array_equal(few.y_train, many.y_train[:10])
    assert sample_teacher(10, seed=3).digest != few.digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n must be"),
        ({"units": 0}, "units must be"),
        ({"noise": -1.0}, "noise must be"),
        ({"noise": 0.6, "classes": True}, "noise is 0.6; at most half"),
        ({"n": 10**12}, "a dataset of"),
    ],
)
def test_impossible_teachers_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        sample_teacher(**settings)


# The peak


def test_the_peak_is_the_width_of_the_greatest_median():
    rng = np.random.default_rng(0)
    errors = np.array([1.0, 2.0, 5.0, 2.0, 0.5])[:, None] * np.exp(0.1 * rng.normal(size=(5, 12)))
    found = peak_width([1, 2, 4, 8, 16], errors)
    assert found[:3] == (4, 4, 4)
    assert found.error == np.median(errors[2]) and found.inside == 1.0
    shuffled = peak_width([16, 2, 4, 8, 1], errors[[4, 1, 2, 3, 0]])
    assert shuffled == found
    flat = peak_width([1, 2, 4, 8, 16], np.exp(rng.normal(size=(5, 12))))
    assert flat.low < flat.high


def made_up(shape):
    """A task whose test error follows `shape` over widths: trained to the end, twice less stopped early or decayed."""
    rng = np.random.default_rng(1)
    noise = np.exp(0.05 * rng.normal(size=(8, len(shape), 2)))
    test = np.empty((8, len(shape), 2, 2, 3))
    test[..., 0, 2] = np.array(shape)[:, None] * noise
    test[..., 0, :2] = np.stack([4 * test[..., 0, 2], 0.5 * test[..., 0, 2]], axis=-1)
    test[..., 1, :] = 0.25 * test[..., 0, 2:]
    width = np.arange(1, 1 + len(shape))
    fits = np.broadcast_to((width >= 3)[None, :, None], noise.shape)
    return Task(
        "regression", "MSE", width, 10 * width + 1, np.array([0.0, 0.1]), np.array([0, 5, 10]), test, test, test,
        fits, 30,
    )  # fmt: skip


def test_double_descent_is_a_peak_with_less_on_both_sides():
    task = made_up([1.0, 2.0, 6.0, 2.0, 0.5])
    assert task.descends_twice
    assert (task.peak.width, task.narrow, task.shown) == (3, 0, [0, 2, 4])
    assert np.exp(task.fall.median_log_ratio) == pytest.approx(0.5 / 6, rel=0.1)
    assert np.exp(task.remedies[EARLY].median_log_ratio) == pytest.approx(0.5, rel=1e-12)
    assert np.exp(task.remedies[DECAY].median_log_ratio) == pytest.approx(0.25, rel=1e-12)
    assert (task.threshold.first, task.threshold.half) == (3, 3)
    words = answer_of(task)
    assert "peaks at width 3, 31 parameters for 30 samples" in words
    assert "width 3 (31 parameters) on" in words
    for shape in ([1, 2, 3, 4, 5.0], [5, 4, 3, 2, 1.0], [1, 1, 1.01, 1, 1.0]):
        assert "no double descent is seen" in answer_of(made_up(shape))


# The study


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("place", "name"), [(0, "regression"), (1, "classification"), (2, "classification")])
def test_arms_are_what_plain_numpy_says(study, place, name):
    task, specs, result = study.tasks[place], study.specs, study.result
    measured = {part: 1 - values if place == 1 else result.losses[part] for part, values in result.accuracies.items()}
    test, val = measured["test"], measured["val"]
    assert (specs.parametrization == "mup").all() and len({*specs.lr.tolist()}) == 1
    for draw in range(3):
        for at, width in enumerate(SMALL["widths"]):
            rows = (specs.data == f"{name}-{draw}") & (specs.width == width)
            plain = rows & (specs.weight_decay == 0)
            assert task.arms[END].errors[at, draw] == np.median(test[plain, -1])
            best = val[plain].argmin(axis=1)
            assert task.arms[EARLY].errors[at, draw] == np.median(test[plain][[0, 1], best])
            assert task.arms[EARLY].settings[at, draw] == np.median(result.epochs[best])
            decayed = {decay: rows & (specs.weight_decay == decay) for decay in (0.1, 1.0)}
            chosen = min(decayed, key=lambda decay: np.median(val[decayed[decay], -1]))
            assert task.arms[DECAY].settings[at, draw] == chosen
            assert task.arms[DECAY].errors[at, draw] == np.median(test[decayed[chosen], -1])
    mine = (specs.weight_decay == 0) & np.char.startswith(specs.data, name)
    fits = measured["train"][mine, -1] <= 0.0025 if place == 0 else result.train_accuracy[mine, -1] == 1
    np.testing.assert_array_equal(task.fits.ravel(), fits)


@pytest.mark.jit_heavy
def test_each_task_is_trained_with_its_loss(study):
    specs = study.specs
    kinds = [("regression", "mse", False, 0.5), ("classification", "cross_entropy", True, 0.2)]
    for name, loss, classes, noise in kinds:
        data = sample_teacher(24 if classes else 16, n_inputs=4, noise=noise, classes=classes, seed=1)
        mine = np.flatnonzero(specs.data == f"{name}-1")[::5]
        given = {"epochs": 30, "loss": loss, "record": study.setup.record}
        alone = ensemble.train(specs[mine], {f"{name}-1": data}, progress=False, **given)
        np.testing.assert_array_equal(alone.test_loss, study.result.test_loss[mine])
        np.testing.assert_array_equal(alone.diverged_at, study.result.diverged_at[mine])
        if classes:
            np.testing.assert_array_equal(alone.test_accuracy, study.result.test_accuracy[mine])
        else:
            assert np.isnan(study.result.test_accuracy[mine]).all()


def test_parameters_are_those_of_the_networks():
    setup = double_descent(**SMALL)
    study = setup.study(setup, None, 0.0)
    counts = [(4 + 2) * width + 1 for width in SMALL["widths"]]
    for width, count in zip(SMALL["widths"], counts, strict=True):
        net = initialize(setup.specs[setup.specs.width == width][:1], 4)[0]
        assert sum(a.size for a in (*net.weights, *net.biases)) == count
    assert study.parameters.tolist() == counts


@pytest.mark.jit_heavy
def test_everything_is_written(study, tmp_path):
    names = {path.name for path in study.save(tmp_path)}
    left = {"summary.png", "remedies.png", "models.csv", "summary.csv", "draws.csv", "study.json"}
    assert left <= names <= left | {"report.html"}
    task = study.tasks[1]
    wanted = {"arm": EARLY, "part": "test", "task": "classification", "measure": "error"}
    rows = [row for row in rows_of(tmp_path / "summary.csv") if wanted.items() <= row.items()]
    assert [float(row["median"]) for row in rows] == task.arms[EARLY].median.tolist()
    assert [int(row["parameters"]) for row in rows] == [7, 19, 49]
    assert len(rows_of(tmp_path / "draws.csv")) == 3 * 3 * 3 * 3
    assert len(rows_of(tmp_path / "models.csv")) == len(study.specs) == 2 * 3 * 3 * 2 * 3
    assert json.loads((tmp_path / "study.json").read_text())["answer"] == study.answer()


@pytest.mark.jit_heavy
def test_the_figure_marks_the_measured_threshold_and_the_parameters(study):
    figure = study.figures()["summary"]
    assert len(figure.axes) == 6
    (second,) = figure.axes[0].child_axes
    assert second.get_xlabel() == "parameters"
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    assert second.get_xlim() == pytest.approx((6 * low + 1, 6 * high + 1))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[:3] == [END, EARLY, DECAY]
    assert "as many parameters as samples" in words


@pytest.mark.jit_heavy
def test_every_model_may_diverge_and_arms_may_be_left_out(tmp_path):
    study = double_descent(**SMALL | {"lr": 1e80, "weight_decays": [], "widths": [2, 4]}).run(progress=False)
    assert (study.result.status == "diverged").all()
    assert list(study.tasks[0].arms) == [END, EARLY]
    study.save(tmp_path)
    assert "no double descent is seen" in study.answer()
    one = double_descent(**SMALL | {"widths": [3], "epochs": 2}).run(progress=False)
    one.save(tmp_path)
    assert "no double descent is seen" in one.answer()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 1}, "draws must be"),
        ({"widths": []}, "widths is empty"),
        ({"widths": [0]}, "width 0 is not allowed"),
        ({"weight_decays": [0.0]}, r"weight_decays is \[0.0\]; different numbers above 0"),
        ({"weight_decays": [1.0, 1.0]}, "different numbers above 0"),
        ({"optimizer": "sgd"}, "'sgd'"),
        ({"epochs": 0}, "epochs must be"),
        ({"noise": -0.1}, "noise must be"),
        ({"flips": 0.6}, "flips is 0.6; at most half"),
    ],
)
def test_bad_settings_are_named_before_anything_is_trained(settings, message):
    with pytest.raises(ValueError, match=message):
        double_descent(**settings)


@pytest.mark.jit_heavy
def test_the_command_trains_once_and_adds_what_is_new(tmp_path, capsys, undrawn):
    out = str(tmp_path / "out")
    given = ["--draws", "2", "--seeds", "1", "--epochs", "5", "--weight-decays", "0.5", "--out", out]
    assert cli.main("double_descent", [*given, "--widths", "1", "2"]) == 0
    said = capsys.readouterr().out
    assert "16 models trained" in said and said.splitlines()[-3].startswith("Regression: ")
    assert cli.module(["double-descent", *given, "--widths", "1", "2", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["models"], found["trained"]) == (24, 8)


@pytest.mark.jit_heavy
def test_shards_of_both_losses_become_one(tmp_path, capsys, undrawn):
    out = str(tmp_path)
    given = ["--draws", "2", "--seeds", "1", "--epochs", "5", "--weight-decays", "0.5", "--widths", "2", "--out", out]
    assert [cli.main("double_descent", [*given, "--shard", f"{k}/2"]) for k in (1, 2)] == [0, 0]
    assert cli.module(["merge", f"{out}/run-1-of-2", f"{out}/run-2-of-2", "--into", f"{out}/run"]) == 0
    assert cli.main("double_descent", given) == 0
    assert "8 models loaded" in capsys.readouterr().out
    whole = double_descent(widths=[2], draws=2, seeds=1, epochs=5, weight_decays=[0.5]).run(progress=False)
    assert (tmp_path / "models.csv").read_text() == files.csv_text(whole.model_rows())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lrs", "0.1", "0.2"], "--lrs is [0.1, 0.2]; double_descent takes one"),
        (["--target", "chirp"], "--target or --data does not go with double_descent"),
        (["--draws", "1"], "draws must be"),
        (
            ["--shard", "1/12", "--draws", "2", "--widths", "1", "--seeds", "1", "--quiet"],
            "no model of the classification",
        ),
        (["--weight-decays", "x"], "argument --weight-decays: invalid float value: 'x'"),
    ],
)
def test_wrong_arguments_end_in_one_line(arguments, message, capsys):
    assert cli.main("double_descent", arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("double_descent: error: ") and message in said.err


def test_the_plan_is_shown_without_training(capsys):
    assert cli.main("double_descent", ["--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("1,680 models x 3,000 epochs on 20 datasets")


@pytest.mark.slow
@pytest.mark.jit_heavy
def test_double_descent_is_there():
    """The phenomenon itself, at four widths and fewer draws than the defaults have."""
    study = double_descent(widths=[1, 5, 6, 50], draws=8, weight_decays=[1.0]).run(progress=False)
    assert all(task.descends_twice and task.peak.width in (5, 6) for task in study.tasks)

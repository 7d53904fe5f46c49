"""The depth study: equal computation, pieces, initial weights, the sawtooth, and what is left behind."""

import csv
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

import ensemble
from ensemble import cli, limits
from ensemble.analysis import (
    choose,
    count_pieces,
    deeper,
    equal_width,
    equal_widths,
    layer_spread,
    multiply_adds,
    piece_films,
)
from ensemble.networks import Network, initialize
from ensemble.plots import PieceCountDisplay, PieceFilmDisplay
from ensemble.studies import depth_study
from ensemble.studies.depth.beside import Sawtooth, half, teeth_of

SMALL = {"widths": [16, 64], "hidden_layers": [1, 3], "seeds": 4, "lrs": [0.02, 0.1], "epochs": 20}


@pytest.fixture(scope="module")
def study():
    return depth_study(["chirp", "sawtooth-3"], **SMALL).run(progress=False)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Computation


def test_multiply_adds_are_those_of_the_matrix_products():
    rng = np.random.default_rng(0)
    for width, depth, n_inputs in rng.integers(1, 9, (20, 3)).tolist():
        units = [n_inputs, *[width] * depth, 1]
        products = sum(rows * columns for rows, columns in itertools.pairwise(units))
        assert multiply_adds(width, depth, n_inputs) == products


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 9])
def test_the_width_of_equal_computation_is_the_nearest(depth):
    for spent in (1, 7, 20, 320, 1280, 5120, 10**9):
        width = equal_width(spent, depth)
        missed = abs(multiply_adds(width, depth) - spent)
        assert all(abs(multiply_adds(other, depth) - spent) >= missed for other in (max(1, width - 1), width + 1))


def test_widths_that_no_depth_can_tell_apart_are_refused():
    assert equal_widths([160], [1, 2, 3, 4]) == {1: [160], 2: [17], 3: [12], 4: [10]}
    with pytest.raises(ValueError, match=r"widths \[2, 3\] are too small for 4 hidden layers, .* would be \[1, 1\]"):
        depth_study("chirp", widths=[2, 3], hidden_layers=[1, 4])


@pytest.mark.jit_heavy
def test_every_depth_spends_about_the_same(study):
    for curve in study.curves("chirp"):
        assert curve.across.tolist() == [
            multiply_adds(int(width), curve.settings["hidden_layers"]) for width in curve.width
        ]
        np.testing.assert_allclose(curve.across, [32, 128], rtol=0.3)


# Against one hidden layer


@pytest.mark.jit_heavy
def test_the_deeper_network_is_chosen_on_validation_and_compared_on_test():
    specs = ensemble.grid(width=4, hidden_layers=[1, 2, 3], lr=[0.05, 0.1], seed=range(12))
    result = ensemble.train(specs, ensemble.sample("chirp", n=40), epochs=1, progress=False)
    for depth, val, test in ((1, 3.0, 1.0), (2, 1.0, 0.25), (3, 2.0, 0.125)):
        rows = specs.hidden_layers == depth
        result.losses["val"][rows], result.losses["test"][rows] = val, test * (1 + 0.01 * specs.seed[rows, None])
    curves = [choose(specs, result, str(depth), "data", hidden_layers=depth) for depth in (1, 2, 3)]
    found = deeper(curves, 0, variance=1.0)
    assert (found.hidden_layers, found.verdict) == (2, "more")
    assert found.ratio == pytest.approx(0.25, rel=1e-12)
    assert found.interval == pytest.approx((0.25, 0.25), rel=1e-12)
    assert deeper(curves, 0, variance=0.1).verdict == "nothing"
    assert deeper([curves[1], curves[0]], 0, variance=10.0).verdict == "less"
    assert deeper([curves[1], curves[1]], 0, variance=10.0).verdict == "as much"


# Pieces


def test_pieces_of_the_sawtooth_network_double_with_each_layer():
    x = np.linspace(0, 1, 2**9 + 1)[1:-1] + 1e-6  # no sample at a bend
    assert count_pieces(limits.sawtooth_network(5), x).tolist() == [2, 4, 8, 16, 32]


def test_pieces_are_where_slopes_change():
    """Between two neighbouring samples of a piece the slope of every unit is that of the next two."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=shape) for shape in ((1, 5), (5, 5), (5, 1))]
    network = Network(weights, [rng.normal(size=5), rng.normal(size=5), np.zeros(1)])
    x = np.linspace(-3, 3, 20001)
    h, found = x[:, None], []
    bends = np.zeros(len(x) - 2, dtype=bool)
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = np.maximum(h @ w + b, 0)
        bends |= (np.abs(np.diff(h, 2, axis=0)) > 1e-9).any(axis=1)
        found.append(1 + int((np.diff(np.flatnonzero(bends), prepend=-9) > 2).sum()))
    assert count_pieces(network, x).tolist() == found
    assert found[1] > found[0] > 2


@pytest.mark.jit_heavy
def test_films_of_pieces_end_at_the_trained_networks(study):
    (film,) = piece_films(np.array([3]), study.result, study.datasets)
    data = study.datasets[film.data]
    last = count_pieces(study.result.networks[3], np.sort(data.x_train[:, 0]))
    assert film.epochs[[0, -1]].tolist() == [0, 20]
    np.testing.assert_array_equal(film.pieces[-1], last)
    assert [row["pieces"] for row in film.rows()][-len(last) :] == last.tolist()
    display = PieceFilmDisplay(film).plot()
    np.testing.assert_array_equal(display.lines_[-1].get_ydata(), film.pieces[:, -1])


@pytest.mark.jit_heavy
def test_pieces_are_drawn_against_units(study):
    curves, counts = study.curves("chirp"), study.pieces["chirp"]
    display = PieceCountDisplay(curves, counts, 420).plot()
    for line, curve, found in zip(display.lines_, curves, counts, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), curve.width * curve.settings["hidden_layers"])
        np.testing.assert_array_equal(line.get_ydata(), np.median(found, axis=1))
        model = int(curve.chosen_models[1, 2])
        x = np.sort(study.datasets["chirp"].x_train[:, 0])
        assert found[1, 2] == count_pieces(study.result.networks[model], x)[-1]


# Initial weights


def test_the_spread_of_a_layer_is_that_of_its_units():
    specs = ensemble.grid(width=6, hidden_layers=2, init=["he", "normal"], seed=range(2))
    networks, x = initialize(specs), np.linspace(-1, 2, 50)[:, None]
    found = layer_spread(networks, x)
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found[:, 0], 1.0)
    net = networks[3]
    first = np.maximum(x @ net.weights[0] + net.biases[0], 0)
    assert found[3, 1] == pytest.approx(np.sqrt(np.mean(first.std(axis=0) ** 2)) / x.std(), rel=1e-12)
    assert found[3, 3] == pytest.approx(net.predict(x).std() / x.std(), rel=1e-12)
    assert (found[2:, 3] < 0.1 * found[:2, 3].min()).all()  # N(0, 0.1^2) lets little through


@pytest.mark.jit_heavy
def test_initial_weights_are_compared_at_the_same_computation(study):
    initial = study.initial
    assert initial.spent == 32
    assert {key[2] for key in initial.errors} == {"normal", "he", "uniform", "fan_in"}
    specs, result = study.specs, study.result
    for (data, optimizer, init), errors in initial.errors.items():
        rows = (specs.data == data) & (specs.optimizer == optimizer) & (specs.init == init)
        for depth, found in zip((1, 3), errors, strict=True):
            of_depth = rows & (specs.hidden_layers == depth) & (specs.width == equal_width(32, depth))
            best = min((0.02, 0.1), key=lambda lr: np.median(result.val_loss[of_depth & (specs.lr == lr), -1]))
            expected = result.test_loss[of_depth & (specs.lr == best), -1][:2]
            if init != "uniform":  # which has all four seeds, and may choose another rate with them
                np.testing.assert_array_equal(found, expected)
    assert min(initial.score(init) for init in initial.spread) >= 1
    assert half(range(16)) == list(range(8)) and half([5, 6]) == [5, 6]


# The sawtooth


@pytest.mark.jit_heavy
def test_the_sawtooth_is_found_and_its_easier_ones_are_trained(study):
    assert isinstance(study.sawtooth, Sawtooth)
    assert (study.sawtooth.name, study.sawtooth.k) == ("sawtooth-3", 3)
    assert list(study.datasets) == ["chirp", "sawtooth-3", "sawtooth-1", "sawtooth-2"]
    assert study.targets == ["chirp", "sawtooth-3"]
    assert teeth_of({"a": ensemble.sample("sawtooth-1", n=20), "b": ensemble.sample("chirp", n=20)}) is None
    variance = np.var(study.datasets["sawtooth-3"].y_test)
    deep = study.curves("sawtooth-3")[1]
    np.testing.assert_array_equal(study.sawtooth.left[3][2], deep.errors[0] / variance)


@pytest.mark.jit_heavy
def test_what_is_built_on_the_sawtooth_is_noise_alone_and_impossible_for_one_layer(study):
    found, data = study.sawtooth, study.datasets["sawtooth-3"]
    noise = np.mean((data.y_train - data.target(data.x_train[:, 0])) ** 2)
    assert found.built_error("train") == pytest.approx(noise, rel=1e-9)
    floor = dict(zip(found.floor.width.tolist(), found.floor.floor.tolist(), strict=True))
    assert floor[6] > 100 * found.built_error("train") > floor[7]
    for curve in found.curves:
        bound = limits.width_floor(data.x_train, data.y_train, curve.width, curve.settings["hidden_layers"])
        assert (curve.of("train_loss") >= bound[:, None] - 1e-12).all()


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("left", "learned", "words"), [
    ([0.5, 0.9, 1.0], 0, "not even one tooth"), ([0.001, 0.9, 1.0], 1, "up to 1 of 4"),
    ([0.1, 0.002, 1.0], 2, "up to 2 of 4"),
])  # fmt: skip
def test_the_sawtooths_that_are_learned_are_counted(study, left, learned, words):
    found = replace(study.sawtooth, left={1: np.full((3, 4), 2.0), 3: np.repeat(np.array(left)[:, None], 4, axis=1)})
    assert found.learned == learned
    assert words in found.answer


@pytest.mark.jit_heavy
def test_own_data_and_one_dataset_have_no_sawtooth(tmp_path):
    x = np.linspace(0, 1, 60)
    study = depth_study(ensemble.Dataset(x, x**2, name="own"), **SMALL | {"optimizers": ["gd"]}).run(progress=False)
    assert study.sawtooth is None
    assert set(study.figures()) == {"summary", "error_by_depth", "ratios", "fits", "pieces", "initial"}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    several = depth_study(ensemble.Dataset(x, x[:, 0], name="plane"), **SMALL | {"epochs": 3}).run(progress=False)
    assert set(several.figures()) == {"summary", "error_by_depth", "ratios", "initial"}
    assert several.curves()[0].across.tolist() == [48, 192]


# What is left behind


@pytest.mark.jit_heavy
def test_everything_is_written(study, tmp_path):
    names = {path.name for path in study.save(tmp_path)}
    figures = ("summary", "error_by_depth", "ratios", "fits", "pieces", "initial", "sawtooth")
    assert {f"{name}.png" for name in figures} | {"models.csv", "pieces.csv", "study.json"} <= names
    rows = rows_of(tmp_path / "summary.csv")
    curve = study.curves("chirp", "gd")[1]
    wanted = {"figure": "error_by_depth", "data": "chirp", "optimizer": "gd", "hidden_layers": "3"}
    mine = [row for row in rows if wanted.items() <= row.items()]
    assert [float(row["median"]) for row in mine] == curve.quartiles[1].tolist()
    assert [int(row["multiply_adds"]) for row in mine] == curve.across.tolist()
    ratios = [row for row in rows if row["measure"] == "ratio_to_1_hidden_layer"]
    assert len(ratios) == 2 * 2 * 2
    assert {"pieces_of_last_layer", "spread_of_layer", "train_mse_built", "test_share_of_variance"} <= {
        row["measure"] for row in rows
    }
    assert len(rows_of(tmp_path / "models.csv")) == len(study.specs)
    settings = json.loads((tmp_path / "study.json").read_text())["settings"]
    assert settings["widths_by_depth"] == {"1": [16, 64], "3": [3, 7]}


@pytest.mark.jit_heavy
def test_the_answer_has_every_target_in_it(study):
    text = study.answer()
    assert all(study.deeper(data).words in text for data in study.targets)
    assert text.startswith("For 128 multiply-adds per sample")
    assert text.endswith(study.sawtooth.answer)


@pytest.mark.jit_heavy
def test_every_model_may_diverge(tmp_path):
    study = depth_study("sawtooth-2", **SMALL | {"lrs": [1e6], "optimizers": ["gd"]}).run(progress=False)
    assert (study.result.status == "diverged").any()
    study.save(tmp_path)
    assert "inf" in study.outcome()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layers": [2]}, "the depth study compares two depths or more"),
        ({"hidden_layers": [0, 1]}, "hidden_layers 0 is not allowed"),
        ({"hidden_layers": [1, 1]}, "hidden_layers names 1 twice"),
        ({"widths": [0]}, "width 0 is not allowed"),
        ({"seeds": 1}, "at least 2 are needed"),
        ({"optimizers": ["sgd"]}, "optimizer 'sgd' is unknown"),
        ({"init": "zero"}, "init 'zero' is unknown"),
    ],
)
def test_bad_settings_are_named_before_anything_is_trained(settings, message):
    with pytest.raises(ValueError, match=message):
        depth_study("chirp", **settings)


@pytest.mark.jit_heavy
def test_the_script_lists_depths(tmp_path, capsys, undrawn):
    arguments = ["--target", "quadratic", "--widths", "16", "--hidden-layers", "1", "2", "--seeds", "2", "--lrs", "0.1"]
    out = str(tmp_path / "out")
    assert cli.main("depth_study", [*arguments, "--epochs", "5", "--optimizers", "gd", "--out", out]) == 0
    assert "For 32 multiply-adds per sample" in capsys.readouterr().out
    assert {row["hidden_layers"] for row in rows_of(tmp_path / "out" / "models.csv")} == {"1", "2"}
    assert cli.module(["depth-study", "--hidden-layers", "2"]) == 2
    assert "the depth study compares two depths or more" in capsys.readouterr().err

"""Dead units, kinks over epochs, and the mean of all seeds' predictions, against plain recomputation."""

import numpy as np
import pytest

import ensemble
from ensemble.analysis import AT_FIXED, dead_fraction
from ensemble.plots import DeadUnitDisplay, KinkFilmDisplay
from ensemble.statistics import bootstrap_interval, error_band
from ensemble.studies import width_study

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels


@pytest.fixture(scope="module")
def study():
    return width_study("half_sine", widths=[2, 8, 32], seeds=4, lrs=[0.02, 0.1], optimizers=["gd"], epochs=40).run(
        progress=False
    )


def test_dead_units_are_those_active_on_no_training_sample(study):
    (curve,) = study.curves()
    dead, x = study.dead_units(curve), study.datasets["half_sine"].x_train
    for place, model in np.ndenumerate(curve.chosen_models):
        network = study.result.networks[int(model)]
        (hidden, _), (bias, _) = network.weights, network.biases
        active = [(x @ hidden[:, j] + bias[j] > 0).any() for j in range(len(bias))]
        assert dead[place] == pytest.approx(1 - np.mean(active), abs=1e-15)
    display = DeadUnitDisplay([curve], [dead]).plot()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), np.median(dead, axis=1))


def test_dead_units_of_several_standardized_inputs():
    rng = np.random.default_rng(3)
    x = 5 + 100 * rng.standard_normal((50, 3))
    data = ensemble.Dataset(x, x @ [1.0, 2.0, 3.0], standardize=True)
    result = ensemble.train(ensemble.grid(width=[40], seed=range(3), data=data.name), data, epochs=3, progress=False)
    found = dead_fraction(result.networks, np.arange(3), data)
    for network, fraction in zip(result.networks, found, strict=True):
        assert fraction == pytest.approx(np.mean((x @ network.weights[0] + network.biases[0] <= 0).all(axis=0)))


def test_mean_prediction_is_one_predictor_made_of_all_seeds(study):
    (curve,) = study.curves()
    data = study.datasets["half_sine"]
    for place, models in enumerate(curve.chosen_models):
        mean = np.mean([study.result.networks[int(model)].predict(data.x_test) for model in models], axis=0)
        assert study.mean_prediction(curve)[place] == pytest.approx(np.mean((mean - data.y_test) ** 2), rel=1e-12)
    # a squared error is convex: the mean's is at most the mean of theirs
    assert (study.mean_prediction(curve) <= curve.errors.mean(axis=1) * (1 + 1e-12)).all()


def test_a_diverged_seed_leaves_the_mean_prediction_without_a_value():
    few = {"widths": [64], "seeds": 2, "lrs": [50.0], "optimizers": ["gd"], "epochs": 60}
    study = width_study("reciprocal_sine", **few).run(progress=False)
    assert study.mean_prediction(study.curves()[0]).tolist() == [np.inf]
    study.figures()


def test_films_end_at_the_kinks_of_the_trained_networks(study):
    (curve,) = study.curves()
    assert [film.width for film in study.films] == [2, 8, 32]
    for film in study.films:
        network = study.result.networks[film.model]
        np.testing.assert_array_equal(film.kinks[-1], -network.biases[0] / network.weights[0][0])
        np.testing.assert_array_equal(film.bend, np.abs(network.weights[0][0] * network.weights[1][:, 0]))
        assert film.epochs[0] == 0 and film.epochs[-1] == 40
        assert film.model in curve.chosen_models
        display = KinkFilmDisplay(film, (-3.0, 3.0)).plot()
        assert len(display.lines_.get_segments()) == film.width
    rows = study.tables()["kinks"]
    assert len(rows) == sum(film.kinks.size for film in study.films)


def test_fixed_rate_is_the_best_at_the_middle_width(study):
    (curve,) = study.curves()
    assert curve.width[curve.middle] == 8
    assert curve.fixed_lr == curve.lr[1]
    np.testing.assert_array_equal(curve.of(AT_FIXED)[1], curve.errors[1])


def test_a_rate_at_the_end_of_the_grid_is_marked(study):
    (curve,) = study.curves()
    assert curve.at_edge.all()  # of two rates each is an end
    assert "* the first or last" in study.outcome()


# Bands, in seaborn's words


def test_bands_against_plain_numpy():
    errors = np.random.default_rng(0).lognormal(size=(5, 12))
    (low, high), words = error_band(errors, "pi")
    np.testing.assert_allclose([low, high], np.quantile(errors, [0.25, 0.75], axis=1), rtol=1e-14)
    assert words == "spread (interquartile range)"
    (low, high), words = error_band(errors, ("pi", 80))
    np.testing.assert_allclose([low, high], np.quantile(errors, [0.1, 0.9], axis=1), rtol=1e-14)
    assert words == "spread (middle 80% of the seeds)"
    (low, high), words = error_band(errors)
    np.testing.assert_array_equal([low, high], bootstrap_interval(errors))
    assert words == "uncertainty (95% interval of the median)"


@pytest.mark.parametrize("errorbar", ["ci", "pi"])
def test_bands_survive_diverged_zero_and_constant_errors(errorbar):
    (low, high), _ = error_band([[np.inf] * 4, [1, 2, 3, np.inf], [0, 1, 2, 3], [0] * 4, [2.0] * 4], errorbar)
    assert not np.isnan(low).any() and not np.isnan(high).any()
    assert (low <= high).all()
    assert low[-1] == high[-1] == 2.0


@pytest.mark.parametrize(
    ("errors", "errorbar", "message"),
    [
        ([1.0, 2.0], "iqr", "errorbar is 'iqr'; it must be 'ci' or 'pi'"),
        ([1.0, 2.0], ("ci", 100), "a percentage above 0 and below 100"),
        ([1.0, 2.0], ("pi", -1), "must be a percentage above 0"),
        ([1.0], "ci", "at least 2 seeds"),
        ([1.0, np.nan], "pi", "an error must be"),
    ],
)
def test_bad_bands_are_named(errors, errorbar, message):
    with pytest.raises(ValueError, match=message):
        error_band(errors, errorbar)

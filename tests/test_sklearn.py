"""The scikit-learn regressor and the width curve, held to scikit-learn's own checks and to plain loops."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import ensemble

pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")

from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    ValidationCurveDisplay,
    cross_val_score,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ensemble.sklearn import ReluEnsembleClassifier, ReluEnsembleRegressor, width_curve

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels, and every test trains


def small(**settings):
    return ReluEnsembleRegressor(**{"n_models": 3, "width": 8, "epochs": 60, "lr": 0.03, "random_state": 0} | settings)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


def classifier(**settings):
    tiny = {"n_models": 2, "width": 8, "epochs": 60, "lr": 0.05, "random_state": 0}
    return ReluEnsembleClassifier(**tiny | settings)


@parametrize_with_checks(
    [
        small(),
        small(early_stopping=True, optimizer="momentum", n_models=2),
        classifier(),
        classifier(early_stopping=True),
    ]
)
def test_passes_every_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_predicts_the_mean_and_the_spread_of_its_networks(diabetes):
    X, y = diabetes
    model = small().fit(X, y)
    single = model.networks_.predict(X[:20])
    mean, std = model.predict(X[:20], return_std=True)
    np.testing.assert_allclose(mean, single.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, single.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X[:20]), mean)
    assert model.score(X, y) == r2_score(y, model.predict(X))
    assert small(n_models=1).fit(X, y).predict(X[:5], return_std=True)[1].tolist() == [0.0] * 5


def test_many_samples_are_predicted_block_by_block_to_the_same(diabetes, monkeypatch):
    X, y = diabetes
    model = small().fit(X, y)
    mean, std = model.predict(X, return_std=True)
    monkeypatch.setattr("ensemble.sklearn.ensembles._PREDICT_BYTES", 8 * 3 * 7)
    again = model.predict(X, return_std=True)
    np.testing.assert_allclose(again, (mean, std), rtol=1e-12)


def test_networks_are_those_that_train_makes_with_the_same_settings(diabetes):
    X, y = diabetes
    model = small(optimizer="momentum", weight_decay=0.01, hidden_bias=False).fit(X, y)
    specs = model.networks_.specs
    assert len(set(specs.seed.tolist())) == 3
    data = ensemble.Dataset(X, y, standardize=True)
    result = ensemble.train(specs, data, epochs=60, record=model.loss_epochs_)
    np.testing.assert_array_equal(result.networks.parameters, model.networks_.parameters)
    np.testing.assert_array_equal(model.loss_curve_, result.train_loss.mean(axis=0))
    assert model.n_iter_ == 60 and model.loss_epochs_[-1] == 60 and model.validation_curve_ is None
    assert specs.optimizer[0] == "momentum" and not specs.hidden_bias.any() and specs.weight_decay[0] == 0.01


def test_networks_of_several_hidden_layers(diabetes):
    X, y = diabetes
    model = ReluEnsembleRegressor(n_models=3, width=8, hidden_layers=3, epochs=60, lr=0.01, random_state=0).fit(X, y)
    assert [len(network.weights) for network in model.networks_] == [4] * 3
    assert model.score(X, y) > 0.3
    mean = np.mean([network.predict(X) for network in model.networks_], axis=0)
    np.testing.assert_allclose(model.predict(X), mean, rtol=1e-10)
    curve = width_curve(X, y, [2, 6], cv=2, n_seeds=2, epochs=20, hidden_layers=2, random_state=0)
    assert np.isfinite(curve.test_scores).all()


def test_depends_on_random_state_and_not_on_n_jobs(diabetes):
    X, y = diabetes
    first = small(early_stopping=True).fit(X, y).predict(X)
    np.testing.assert_array_equal(first, small(early_stopping=True, n_jobs=2).fit(X, y).predict(X))
    np.testing.assert_array_equal(
        first, small(early_stopping=True, random_state=np.random.RandomState(0)).fit(X, y).predict(X)
    )
    assert (first != small(early_stopping=True, random_state=1).fit(X, y).predict(X)).any()


def test_early_stopping_keeps_each_network_at_its_best_epoch_on_the_samples_set_aside(diabetes, monkeypatch):
    X, y = diabetes
    fitted = []
    original = ensemble.sklearn.ensembles.train
    monkeypatch.setattr(
        "ensemble.sklearn.ensembles.train", lambda specs, data, **kw: fitted.append(data) or original(specs, data, **kw)
    )
    model = small(early_stopping=True, validation_fraction=0.25, lr=0.1, epochs=200).fit(X, y)
    (data,) = fitted
    assert len(data.y_val) == round(0.25 * len(y)) and len(data.y_val) + len(data.y_train) == len(y)
    # A plain loop: train to each epoch that was recorded and take the best, for each network.
    for i in range(3):
        errors = {}
        for epoch in model.loss_epochs_.tolist():
            result = ensemble.train(
                model.networks_.specs[[i]], data, epochs=200, snapshots=[epoch], record=[epoch], progress=False
            )
            errors[epoch] = mean_squared_error(data.y_val, result.snapshots[epoch][0].predict(data.x_val))
        best = min(errors, key=errors.get)
        assert model.best_epoch_[i] == best and 0 < best < 200
        np.testing.assert_allclose(
            mean_squared_error(data.y_val, model.networks_[i].predict(data.x_val)), errors[best], rtol=1e-9
        )
    assert model.validation_curve_.shape == model.loss_epochs_.shape


def test_early_stopping_of_a_large_ensemble_keeps_fewer_networks(diabetes, monkeypatch):
    X, y = diabetes
    monkeypatch.setattr("ensemble.sklearn.ensembles._CHECKPOINT_BYTES", 0)
    model = small(early_stopping=True).fit(X, y)
    assert len(model.loss_epochs_) == 9  # 8 and epoch 0
    assert set(model.best_epoch_.tolist()) <= set(model.loss_epochs_.tolist())


def test_one_input_and_a_data_frame():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    data = ensemble.sample("quadratic", n=80)
    frame = pandas.DataFrame({"time": data.x_train[:, 0]})
    model = small(epochs=300).fit(frame, pandas.Series(data.y_train, name="level"))
    assert model.feature_names_in_.tolist() == ["time"] and model.n_features_in_ == 1
    assert model.score(pandas.DataFrame({"time": data.x_test[:, 0]}), data.y_test) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        model.predict(pandas.DataFrame({"level": data.x_test[:, 0]}))


def test_works_in_pipelines_searches_and_cross_validation(diabetes):
    X, y = diabetes
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(1, include_bias=False), small())
    search = GridSearchCV(pipeline, {"reluensembleregressor__width": [1, 8]}, cv=3).fit(X, y)
    assert search.best_params_["reluensembleregressor__width"] in (1, 8)
    scores = cross_val_score(small(), X, y, cv=3)
    np.testing.assert_array_equal(scores, cross_val_score(small(), X, y, cv=3))
    assert (scores > 0.3).all()


def test_is_cloned_pickled_and_set(diabetes):
    X, y = diabetes
    model = small().set_params(width=4, early_stopping=True)
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y)
    assert set(model.networks_.specs.width.tolist()) == {4}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


def test_networks_that_diverge_are_left_out(diabetes, monkeypatch):
    X, y = diabetes
    with pytest.raises(ValueError, match="all 3 networks diverged, the first after .* a smaller lr than 1000.0"):
        small(optimizer="gd", lr=1e3).fit(X, y)
    original = ensemble.sklearn.ensembles.train

    def train(specs, data, **options):
        result = original(specs, data, **options)
        result.diverged_at[1] = 5
        result.train_loss[1, 5:] = np.inf
        networks = result.networks
        networks.parameters[networks.starts[networks.slots[1]] :][: networks.starts[1]] = np.nan
        return result

    monkeypatch.setattr("ensemble.sklearn.ensembles.train", train)
    with pytest.warns(ConvergenceWarning, match="1 of 3 networks diverged"):
        model = small().fit(X, y)
    assert model.converged_.tolist() == [True, False, True] and np.isfinite(model.loss_curve_).all()
    np.testing.assert_allclose(model.predict(X), model.networks_.predict(X)[[0, 2]].mean(axis=0), rtol=1e-12)


def test_early_stopping_saves_networks_that_diverge_later(diabetes):
    X, y = diabetes
    model = small(optimizer="gd", lr=1e3, early_stopping=True).fit(X, y)
    assert model.converged_.all() and (model.best_epoch_ < 60).all() and np.isfinite(model.predict(X)).all()
    assert model.loss_curve_[-1] == np.inf  # all of them diverged, and the curve shows it


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_models": 0}, "n_models must be a whole number, 1 or more, not 0"),
        ({"n_models": 2.5}, "n_models must be a whole number, 1 or more, not 2.5"),
        ({"width": 0}, "width 0 is not allowed"),
        ({"width": [4, 8]}, "width .4, 8. holds several values"),
        ({"lr": -1.0}, "lr -1.0 is not allowed"),
        ({"optimizer": "lbfgs"}, "optimizer 'lbfgs' is unknown"),
        ({"epochs": -1}, "epochs must be a whole number, 0 or more, not -1"),
        ({"epochs": "many", "early_stopping": True}, "epochs must be a whole number, 0 or more, not 'many'"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction 1.0 is not allowed"),
        ({"early_stopping": True, "validation_fraction": "0.1"}, "validation_fraction must be .* not '0.1'"),
        ({"n_jobs": 0}, "n_jobs 0 is not allowed"),
        ({"n_jobs": 1.5}, "n_jobs must be a whole number"),
    ],
)
def test_parameters_that_are_not_allowed(diabetes, settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings).fit(*diabetes)


def test_early_stopping_needs_two_samples():
    with pytest.raises(ValueError, match="early_stopping needs 2 samples or more, but n_samples = 1"):
        small(early_stopping=True).fit([[1.0]], [1.0])


# ---- width curves ----


def test_width_curve_is_what_a_plain_loop_finds(diabetes):
    X, y = diabetes
    cv = KFold(3, shuffle=True, random_state=0)
    curve = width_curve(X, y, [2, 8], cv, n_seeds=2, lr=0.03, epochs=50, random_state=0)
    first = np.random.RandomState(0).randint(2**31 - 1)
    for w, width in enumerate([2, 8]):
        column = 0
        for fit, test in cv.split(X):
            for seed in (first, first + 1):
                spec = ensemble.grid(
                    width=width, seed=seed, lr=0.03, optimizer="adam", schedule="cosine", init="uniform",
                    output_bias=True,
                )  # fmt: skip
                data = ensemble.Dataset(X[fit], y[fit], standardize=True)
                network = ensemble.train(spec, data, epochs=50, progress=False).networks[0]
                for scores, rows in ((curve.train_scores, fit), (curve.test_scores, test)):
                    expected = -mean_squared_error(y[rows], network.predict(X[rows]))
                    np.testing.assert_allclose(scores[w, column], expected, rtol=1e-9)
                column += 1
    assert curve.param_range.tolist() == [2, 8] and curve.score_name == "neg_mean_squared_error"
    assert curve.lr.shape == (2, 3) and (curve.lr == 0.03).all()


@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "neg_root_mean_squared_error", "r2"])
def test_width_curve_is_the_validation_curve_of_single_networks(diabetes, scoring):
    X, y = diabetes
    curve = width_curve(
        X, y, [1, 4], 3, n_seeds=1, lr=0.03, epochs=40, init="he", scoring=scoring, random_state=5, n_jobs=2
    )
    single = ReluEnsembleRegressor(n_models=1, lr=0.03, epochs=40, init="he", random_state=5)
    expected = validation_curve(single, X, y, param_name="width", param_range=[1, 4], cv=3, scoring=scoring)
    np.testing.assert_allclose((curve.train_scores, curve.test_scores), expected, rtol=1e-9)


def test_several_rates_the_best_on_an_inner_part_is_taken_for_each_width_and_fold(diabetes):
    X, y = diabetes
    lrs = [1e-6, 0.03, 1e6]
    options = {"cv": 3, "n_seeds": 3, "epochs": 60, "optimizer": "gd", "random_state": 0}
    curve = width_curve(X, y, [2, 8], lr=lrs, **options)
    assert (curve.lr == 0.03).all()
    alone = width_curve(X, y, [2, 8], lr=0.03, **options)
    np.testing.assert_array_equal(curve.test_scores, alone.test_scores)
    np.testing.assert_array_equal(curve.train_scores, alone.train_scores)

    mixed = width_curve(X, y, [2, 8, 32], lr=[0.01, 0.03, 0.1], **options)
    for w in range(3):
        for k in range(3):
            one = width_curve(X, y, [2, 8, 32], lr=mixed.lr[w, k], **options)
            np.testing.assert_array_equal(
                mixed.test_scores[w, 3 * k : 3 * k + 3], one.test_scores[w, 3 * k : 3 * k + 3]
            )


def test_scores_of_networks_that_diverge_are_nan(diabetes):
    curve = width_curve(*diabetes, [2, 8], 3, n_seeds=2, optimizer="gd", lr=1e6, epochs=60)
    assert np.isnan(curve.test_scores).all() and curve.test_scores.shape == (2, 6)


def test_width_curve_is_drawn_by_scikit_learn(diabetes):
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    curve = width_curve(*diabetes, [1, 4, 16], 3, n_seeds=2, epochs=30, random_state=0)
    display = curve.display().plot(negate_score=True)
    again = ValidationCurveDisplay(
        param_name="width", param_range=curve.param_range, train_scores=curve.train_scores,
        test_scores=curve.test_scores, score_name=curve.score_name,
    ).plot()  # fmt: skip
    assert display.ax_.get_xlabel() == "width" and again.ax_.get_ylabel()
    np.testing.assert_allclose(display.lines_[1].get_ydata(), -curve.test_scores.mean(axis=1))
    pyplot.close("all")


def test_width_curve_takes_any_splitter():
    data = ensemble.sample("quadratic", n=60, test_fraction=0)
    groups = np.arange(60) % 4
    options = {"n_seeds": 2, "epochs": 20, "random_state": 0}
    assert width_curve(data.x_train, data.y_train, [4], GroupKFold(4), groups=groups, **options).lr.shape == (1, 4)
    splits = [(np.arange(60) < 40, np.arange(60) >= 40)]
    assert width_curve(data.x_train, data.y_train, 4, splits, **options).test_scores.shape == (1, 2)
    shuffled = ShuffleSplit(2, random_state=0)
    assert width_curve(data.x_train, data.y_train, [4], shuffled, lr=[0.1, 0.2], **options).lr.shape == (1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scoring": "accurate"}, "scoring 'accurate' is unknown"),
        ({"seed": 3}, "setting 'seed' is not allowed"),
        ({"init": ["he", "uniform"]}, "init .'he', 'uniform'. holds several values"),
        ({"depth": 3}, "unknown column 'depth'"),
        ({"n_seeds": 0}, "n_seeds must be a whole number, 1 or more, not 0"),
        ({"lr": [0.1, 0.2], "validation_fraction": 0.0}, "validation_fraction 0.0 is not allowed"),
    ],
)
def test_arguments_of_width_curve_that_are_not_allowed(diabetes, settings, message):
    with pytest.raises(ValueError, match=message):
        width_curve(*diabetes, [2, 4], 3, epochs=1, **settings)


# ---- classes, and several outputs ----


def sectors(classes, n=90, seed=0):
    """Return points of the plane, and the names of the sectors that they lie in."""
    x = np.random.default_rng(seed).normal(size=(n, 2))
    sector = np.floor((np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) + 0.5) * classes).astype(int)
    return x, np.array(["red", "green", "blue"])[sector]


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_the_mean_over_networks_and_the_likeliest_class_is_predicted(classes):
    X, y = sectors(classes)
    model = classifier(epochs=300).fit(X, y)
    assert model.classes_.tolist() == sorted(set(y))
    likely = model.predict_proba(X)
    np.testing.assert_allclose(likely, np.mean([one.predict_proba(X) for one in model.networks_], axis=0), rtol=1e-10)
    np.testing.assert_array_equal(model.predict(X), model.classes_[likely.argmax(axis=1)])
    assert model.score(X, y) > 0.9
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_early_stopping_leaves_a_sample_of_each_class_to_train_on():
    X, y = sectors(3, 12)
    y[:] = "red"
    y[0], y[1] = "green", "blue"
    for seed in range(8):
        model = classifier(early_stopping=True, validation_fraction=0.9, epochs=5, random_state=seed).fit(X, y)
        assert model.predict_proba(X).shape == (12, 3)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="y holds 1 class, 'red'; two or more are needed"):
        classifier().fit([[0.0], [1.0]], ["red", "red"])


def test_several_outputs_are_each_predicted_in_their_own_unit():
    x = np.linspace(-1, 1, 60)[:, None]
    y = np.hstack([x**2, 1000.0 * np.abs(x) + 5.0])
    model = small(epochs=400).fit(x, y)
    mean, std = model.predict(x, return_std=True)
    assert mean.shape == std.shape == y.shape and model.n_outputs_ == 2
    assert (r2_score(y, mean, multioutput="raw_values") > 0.9).all()
    assert small(epochs=5).fit(x, y[:, :1]).predict(x).shape == (60, 1)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "balanced_accuracy", "roc_auc"])
def test_a_width_curve_of_classes_is_the_validation_curve_of_single_networks(scoring):
    X, y = sectors(2)
    options = {"lr": 0.05, "epochs": 30}
    curve = width_curve(
        X, y, [1, 4], 3, n_seeds=1, scoring=scoring, classify=True, random_state=5, **options
    )  # fmt: skip
    single = ReluEnsembleClassifier(n_models=1, random_state=5, **options)
    expected = validation_curve(
        single, X, y, param_name="width", param_range=[1, 4], cv=3, scoring=scoring or "accuracy"
    )  # fmt: skip
    np.testing.assert_allclose((curve.train_scores, curve.test_scores), expected, rtol=1e-9)
    rates = width_curve(X, y, [2], 3, n_seeds=2, classify=True, lr=[1e-6, 0.05], epochs=60, random_state=0)
    assert (rates.lr == 0.05).all()


def test_a_width_curve_takes_any_scorer_of_scikit_learn(diabetes):
    X, y = diabetes
    curve = width_curve(X, y, [3], 3, n_seeds=1, epochs=20, scoring="neg_median_absolute_error", random_state=5)
    single = ReluEnsembleRegressor(n_models=1, lr=0.003, epochs=20, random_state=5)
    expected = validation_curve(
        single, X, y, param_name="width", param_range=[3], cv=3, scoring="neg_median_absolute_error"
    )  # fmt: skip
    np.testing.assert_allclose((curve.train_scores, curve.test_scores), expected, rtol=1e-9)


@pytest.mark.parametrize("missing", ["sklearn", "joblib"])
def test_a_missing_extra_is_named_with_its_command(missing):
    program = f"import sys; sys.modules[{missing!r}] = None; import ensemble; import ensemble.sklearn"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ.copy())
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: the estimators need the extra 'sklearn': pip install 'relu-ensemble[sklearn]'"

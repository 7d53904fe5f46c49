"""Floors and built networks beside the trained models of the studies."""

import numpy as np
import pytest

import ensemble
from ensemble import limits
from ensemble.analysis import bound_rows, bounds_of
from ensemble.plots import LimitDisplay
from ensemble.store import clear
from ensemble.studies import bias_ablation, width_study
from ensemble.system import archive


@pytest.fixture(scope="module")
def study():
    return width_study("reciprocal_sine", widths=[1, 4, 300], seeds=3, lrs=[0.03, 0.1], epochs=40).run(progress=False)


@pytest.mark.jit_heavy
def test_bounds_are_those_of_limits(study):
    (bounds,) = study.bounds.values()
    data = study.datasets[bounds.data]
    np.testing.assert_array_equal(bounds.floor, limits.width_floor(data.x_train, data.y_train, [1, 4, 300]))
    assert bounds.built_width.tolist() == [1, 4]
    assert (bounds.built >= bounds.floor[:2]).all() and (np.diff(bounds.built) <= 0).all()
    assert bounds.no_bias["no bias"] > bounds.no_bias["output bias only"] > bounds.floor[1]


@pytest.mark.jit_heavy
def test_no_trained_model_is_below_its_floor(study):
    for name, bounds in study.bounds.items():
        rows = study.specs.data == name
        floor = dict(zip(bounds.width.tolist(), bounds.floor.tolist(), strict=True))
        least = np.array([floor[width] for width in study.specs.width[rows].tolist()])
        assert (study.result.train_loss[rows] >= least[:, None] - 1e-12).all()


@pytest.mark.jit_heavy
def test_networks_without_hidden_bias_approach_their_floor_and_never_cross_it():
    study = bias_ablation("reciprocal_sine", widths=[2, 32], seeds=3, lrs=[0.05], epochs=400).run(progress=False)
    (bounds,) = study.bounds.values()
    for arm in ("no bias", "output bias only"):
        (curve,) = (c for c in study.curves() if c.label == arm)
        assert (study.result.train_loss[curve.models] >= bounds.no_bias[arm] - 1e-12).all()
        assert curve.of("train_loss")[-1].min() < 1.05 * bounds.no_bias[arm]


def test_several_inputs_and_many_samples_have_no_bounds():
    rng = np.random.default_rng(0)
    assert bounds_of("d", ensemble.Dataset(rng.normal(size=(9, 2)), rng.normal(size=9)), np.array([2])) is None
    assert bounds_of("d", ensemble.Dataset(rng.normal(size=2001), rng.normal(size=2001)), np.array([2])) is None


@pytest.mark.jit_heavy
def test_everything_drawn_is_in_the_rows(study):
    (bounds,) = study.bounds.values()
    rows = bound_rows("limits", bounds)
    display = LimitDisplay(study.curves(), bounds).plot()
    built = [row["median"] for row in rows if row["measure"] == "train_mse_built"]
    np.testing.assert_allclose(display.built_[0].get_ydata(), built)
    floors = {row["width"]: row["median"] for row in rows if row["measure"] == "train_mse_floor" and "width" in row}
    assert floors == dict(zip(bounds.width.tolist(), bounds.floor.tolist(), strict=True))
    medians = [r["median"] for r in study.summary_rows() if r["figure"] == "limits" and r["measure"] == "train_loss"]
    drawn = np.concatenate([line.get_ydata() for line in display.lines_])
    np.testing.assert_allclose(drawn, medians)
    assert display.ax_.get_ylabel() == "training MSE (y²)"
    assert "impossible at this width" in {text.get_text() for text in display.ax_.get_legend().get_texts()}


@pytest.mark.jit_heavy
def test_the_ablation_draws_the_floors_of_its_arms():
    study = bias_ablation("reciprocal_sine", widths=[4], seeds=2, lrs=[0.05], epochs=5).run(progress=False)
    (bounds,) = study.bounds.values()
    display = LimitDisplay(study.curves(), bounds, arms=list(bounds.no_bias)).plot()
    assert [line.get_ydata()[0] for line in display.no_bias_] == list(bounds.no_bias.values())
    assert display.built_ == []
    assert "limits" in study.figures()


def test_bounds_of_a_tiny_study():
    """Small enough for the run without compiling."""
    x = np.linspace(-1, 1, 12)
    data = ensemble.Dataset(x, x**2, x, x**2, x, x**2)
    study = width_study(data, widths=[1, 2], seeds=2, lrs=[0.05], optimizers=["gd"], epochs=3).run(progress=False)
    (bounds,) = study.bounds.values()
    assert (bounds.built >= bounds.floor - 1e-15).all() and (bounds.floor > 0).all()
    display = LimitDisplay(study.curves(), bounds, y_name="y").plot()
    np.testing.assert_allclose(display.built_[0].get_ydata(), bounds.built)
    assert "limits" in study.figures()
    assert {row["measure"] for row in study.summary_rows() if row["figure"] == "limits"} == {
        "train_loss", "train_mse_floor", "train_mse_built",
    }  # fmt: skip
    ablation = bias_ablation(data, widths=[2], seeds=2, lrs=[0.05], epochs=3).run(progress=False)
    assert "limits" in ablation.figures()
    assert {"no bias", "output bias only"} <= {row.get("arm") for row in ablation.summary_rows()}


def test_bounds_of_standardized_data_are_in_its_own_units():
    x = np.linspace(1990.0, 2001.0, 12)
    y = 300 + (x - 1995) ** 2
    bounds = bounds_of("d", ensemble.Dataset(x, y, standardize=True), np.array([1, 2]))
    centred = bounds_of("d", ensemble.Dataset((x - x.mean()) / x.std(), (y - y.mean()) / y.std()), np.array([1, 2]))
    np.testing.assert_allclose(bounds.floor, centred.floor * y.var(), rtol=1e-9)
    np.testing.assert_allclose(bounds.built, centred.built * y.var(), rtol=1e-6)
    np.testing.assert_allclose(list(bounds.no_bias.values()), np.array(list(centred.no_bias.values())) * y.var())


@pytest.mark.slow
def test_no_model_of_the_default_studies_is_below_its_floor():
    """Every model, at every recorded epoch: 19,712 of the width study, 28,672 of the ablation."""
    for study in (width_study().run(progress=False), bias_ablation().run(progress=False)):
        specs, result = study.specs, study.result
        for data, bounds in study.bounds.items():
            floor = bounds.floor[np.searchsorted(bounds.width, specs.width)]
            for arm, value in bounds.no_bias.items():
                floor = np.where(~specs.hidden_bias & (specs.output_bias == (arm != "no bias")), value, floor)
            # the width floor is that of networks without output bias, but a shift needs no kink: it holds for both
            of_data = specs.data == data
            assert (result.train_loss[of_data].min(axis=1) >= floor[of_data] * (1 - 1e-12)).all()


# --- kept beside the run ---------------------------------------------------------------------------------------------


@pytest.fixture
def searches(monkeypatch):
    """The widths of every search for built networks."""
    found = []

    def fake(x, y, widths):
        found.append(list(widths))
        return [ensemble.Network(([[1.0]], [[width / 10]]), ([0.0], [0.0])) for width in widths]

    monkeypatch.setattr("ensemble.limits.constructive_bounds", fake)
    return found


def same(one, other):
    np.testing.assert_array_equal(one.floor, other.floor)
    np.testing.assert_array_equal(one.built, other.built)
    assert one.no_bias == other.no_bias


def test_bounds_are_found_once_for_the_same_data_and_widths(searches, tmp_path):
    data, widths = ensemble.Dataset(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9) ** 2), np.array([1, 2])
    fresh = bounds_of("d", data, widths)
    first = bounds_of("d", data, widths, folder=tmp_path)
    again = bounds_of("other name", data, widths, folder=tmp_path)
    assert len(searches) == 2 and again.data == "other name"
    same(first, fresh)
    same(again, fresh)


def test_bounds_beside_a_run_stay_with_it_and_end_with_it(searches, tmp_path):
    data, specs = ensemble.Dataset(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9) ** 2), ensemble.grid(width=[1, 2])
    ensemble.train(specs, data, epochs=2, store=tmp_path)
    bounds_of("d", data, specs.width, folder=tmp_path)
    ensemble.train(specs, data, epochs=3, store=tmp_path)  # another request
    bounds_of("d", data, specs.width, folder=tmp_path)
    assert len(searches) == 1
    clear(tmp_path)
    assert not list(tmp_path.glob("*.npz"))
    bounds_of("d", data, specs.width, folder=tmp_path)  # no stranger's file that a new run would refuse
    assert ensemble.train(specs, data, epochs=2, store=tmp_path).trained == 2


def test_bounds_of_other_data_or_widths_are_others(searches, tmp_path):
    x, widths = np.linspace(-1, 1, 9), np.array([1, 2])
    data = ensemble.Dataset(x, x**2)
    for dataset, asked, built in (
        (data, widths, None), (ensemble.Dataset(x, x**3), widths, None), (data, np.array([1, 3]), None),
        (data, widths, [1]), (ensemble.Dataset(x, x**2, standardize=True), widths, None),
    ):  # fmt: skip
        same(bounds_of("d", dataset, asked, built, tmp_path), bounds_of("d", dataset, asked, built))
    assert len(searches) == 10 and len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-40],
        lambda content: content.replace(b"\x3f", b"\x40"),  # in the exponents of numbers
        lambda content: b"",
        lambda content: archive.dump({"floor": np.zeros(2), "built": np.zeros(2)}),
        lambda content: archive.dump({"floor": np.zeros(3), "built": np.zeros(2), "no_bias": np.zeros(2)}),
    ],
)
def test_a_damaged_file_of_bounds_is_found_again(searches, tmp_path, damage):
    data, widths = ensemble.Dataset(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9) ** 2), np.array([1, 2])
    first = bounds_of("d", data, widths, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    same(bounds_of("d", data, widths, folder=tmp_path), first)
    assert len(searches) == 2


def test_a_folder_that_cannot_be_written_costs_time_only(searches, tmp_path):
    data = ensemble.Dataset(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9) ** 2)
    same(bounds_of("d", data, np.array([1]), folder=tmp_path / "missing"), bounds_of("d", data, np.array([1])))


def test_a_study_keeps_its_bounds_in_the_run_folder(searches, tmp_path):
    setup = width_study("half_sine", widths=[1, 2], seeds=2, lrs=[0.1], optimizers=["gd"], epochs=2)
    first = setup.run(store=tmp_path, progress=False).bounds["half_sine"]
    same(setup.run(store=tmp_path, progress=False).bounds["half_sine"], first)
    assert len(searches) == 1 and len(list(tmp_path.glob("bounds-*.npz"))) == 1

"""The bias ablation: pairs, floors that are approached and never crossed, and the target that needs no bias."""

import numpy as np
import pytest

from ensemble.plots import PairedDifferenceDisplay
from ensemble.statistics import compare_over_widths
from ensemble.studies import bias_ablation
from ensemble.studies.bias import TARGETS

ARMS = ["both biases", "hidden bias only", "output bias only", "no bias"]


@pytest.fixture(scope="module")
def study():
    return bias_ablation(widths=[2, 8, 64], seeds=6, lrs=[0.02, 0.05, 0.1], epochs=400, progress=False)


def test_arms_start_from_the_same_weights_seed_by_seed(study):
    start = bias_ablation(TARGETS[:1], widths=[8], seeds=3, lrs=[0.1], epochs=0, progress=False)
    arms = [start.result.networks[curve.chosen[0]].stack(8).w1 for curve in start.curves()]
    for arm in arms[1:]:
        np.testing.assert_array_equal(arm, arms[0])


def test_no_model_without_hidden_bias_is_below_its_floor_and_wide_ones_come_near(study):
    for data in TARGETS:
        bounds = study.bounds[data]
        for curve in study.curves(data):
            assert (curve.train_mse >= bounds.floor[:, None, None] * (1 - 1e-12)).all()
            if curve.label in bounds.no_bias:
                floor = bounds.no_bias[curve.label]
                assert (curve.train_mse >= floor * (1 - 1e-12)).all()
                assert np.median(curve.train_errors[-1]) < 1.1 * floor


def test_the_absolute_value_needs_no_bias_and_the_original_does(study):
    noise = study.datasets["absolute"].noise_variance
    by_arm = {curve.label: curve for curve in study.curves("absolute")}
    assert by_arm["no bias"].quartiles[1, -1] < 3 * noise
    assert by_arm["no bias"].quartiles[1, -1] < by_arm["both biases"].quartiles[1, -1]
    last = {each.arm.label: each.comparisons[-1] for each in study.differences("reciprocal_sine")}
    assert last["no bias"].log_ratio_interval[0] > np.log(10)
    between = {each.arm.label: each.comparisons[-1] for each in study.differences("soft_absolute")}
    assert between["no bias"].log_ratio_interval[0] > 0
    floors = [study.bounds[data].no_bias["no bias"] for data in ("absolute", "soft_absolute", "reciprocal_sine")]
    assert floors == sorted(floors)


def test_differences_are_paired_and_stand_in_the_summary(study):
    rows = [row for row in study.summary_rows() if row["figure"] == "differences"]
    assert len(rows) == len(TARGETS) * 3 * 3
    for data in TARGETS:
        both = study.curves(data)[0]
        for each in study.differences(data):
            expected = compare_over_widths(each.arm.errors, both.errors, both.seeds, both.seeds)
            assert each.comparisons == expected
            found = [row for row in rows if row["data"] == data and row["arm"] == each.arm.label]
            ratios = np.median(each.arm.errors / both.errors, axis=1)
            for row, ratio, width in zip(found, ratios, (2, 8, 64), strict=True):
                assert row["width"] == width
                # the median of 6 log ratios lies between the two middle ratios, as their own median does
                assert row["median"] == pytest.approx(ratio, rel=0.5)
                assert row["ci_low"] <= row["median"] <= row["ci_high"]
                assert row["note"] == "few"


def test_difference_display(study):
    display = PairedDifferenceDisplay.from_study(study, "reciprocal_sine").plot()
    assert [line.get_label() for line in display.lines_] == ARMS[1:]
    for line, bars, each in zip(display.lines_, display.bars_, display.differences, strict=True):
        medians = np.exp([found.median_log_ratio for found in each.comparisons])
        np.testing.assert_allclose(line.get_ydata(), medians)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, np.exp([found.log_ratio_interval for found in each.comparisons]))
    title = display.ax_.get_legend().get_title().get_text()
    assert "uncertainty" in title and "few" in title


def test_with_few_seeds_nothing_is_marked():
    study = bias_ablation(TARGETS[:1], widths=[4], seeds=3, lrs=[0.05], epochs=50, progress=False)
    assert all(found.significant is None for each in study.differences() for found in each.comparisons)
    assert PairedDifferenceDisplay.from_study(study).plot().marks_ == []


def test_diverged_arms_are_drawn():
    study = bias_ablation(TARGETS[:1], widths=[64, 128], seeds=3, lrs=[50.0], epochs=60, progress=False)
    assert np.isinf(study.curves()[0].errors).all()
    study.figures()
    study.summary_rows()
    assert "times the error" in study.report()


def test_every_optimizer_has_its_own_figures():
    study = bias_ablation(
        "absolute", widths=[2], seeds=2, lrs=[0.05], optimizers=["gd", "adam"], epochs=3, progress=False
    )
    names = {"summary", "error_by_arm", "differences", "limits", "fits_by_arm"}
    assert set(study.figures()) == {f"{name}-{optimizer}" for name in names for optimizer in ("gd", "adam")}

import subprocess
import sys
import warnings
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ensemble.statistics import (
    bootstrap_interval,
    compare,
    compare_over_widths,
    fit_scaling,
    holm,
    quartiles,
    smallest_width,
    wilcoxon_exact,
)
from ensemble.statistics.resampling import quantiles, resample, widened
from ensemble.system.streams import RESAMPLING, generator

pytestmark = pytest.mark.jit_heavy  # nothing here calls a kernel
INF = np.inf
WIDTHS = np.array([4, 8, 16, 32, 64, 128, 256, 512])


def lognormal(shape, seed=0, sigma=0.5):
    return np.exp(sigma * np.random.default_rng(seed).standard_normal(shape))


def covered(interval, truth):
    return float(((interval.low <= truth) & (truth <= interval.high)).mean())


def study(a, b, c, seed=0, sigma=0.2, n=16, widths=WIDTHS):
    """Return errors a w^-b + c, (W, S), times log-normal noise, part of it shared by a seed's widths."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((len(widths), n)) + random.standard_normal(n)
    return (a * widths[:, None] ** -float(b) + c) * np.exp(sigma * noise)


# Quartiles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 16, 32])
def test_quartiles_agree_with_numpy(n):
    errors = lognormal((3, n), seed=n)
    np.testing.assert_allclose(quartiles(errors), np.quantile(errors, [0.25, 0.5, 0.75], axis=1), rtol=1e-14)
    np.testing.assert_array_equal(quartiles(errors)[1], np.median(errors, axis=1))


def test_diverged_models_stay_in_as_infinite():
    lower, median, upper = quartiles([[1, 2, 3, 4], [1, 2, 3, INF], [1, 2, INF, INF], [1, INF, INF, INF], [INF] * 4])
    assert median.tolist() == [2.5, 2.5, INF, INF, INF]
    assert lower.tolist() == [1.75, 1.75, 1.75, INF, INF]
    assert upper.tolist() == [3.25, INF, INF, INF, INF]


def test_a_quantile_between_both_infinities_is_the_nearer_of_them_and_zero_halfway():
    both = np.array([-INF, INF])
    assert quantiles(both, (0, 0.3, 0.5, 0.7, 1)).tolist() == [-INF, -INF, 0, INF, INF]
    assert quantiles(np.array([-INF, 3.0]), 0.7) == -INF
    assert quantiles(np.array([0.0, 0, INF]), (0.5, 0.6)).tolist() == [0, INF]


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([1, np.nan], r"errors\[1\] is nan; an error must be a finite number, or \+inf"),
        ([[1, 2], [3, -INF]], r"errors\[1, 1\] is -inf"),
        ([], r"errors has shape \(0,\); the last axis must hold at least 1 seed"),
        (3.0, r"errors has shape \(\)"),
    ],
)
def test_quartiles_refuse(errors, message):
    with pytest.raises(ValueError, match=message):
        quartiles(errors)


@given(st.lists(st.floats(0, 1e300) | st.just(INF), min_size=2, max_size=20))
def test_nothing_is_nan_and_nothing_warns_whatever_the_errors(errors):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lower, median, upper = quartiles(errors)
        low, high = bootstrap_interval(errors, resamples=100)
    assert lower <= median <= upper
    assert min(errors) <= low <= high <= max(errors)


# Intervals ------------------------------------------------------------------------------------------------------------


def test_interval_is_the_percentile_interval_of_scipy_at_the_widened_level():
    errors = lognormal((3, 16))
    found = bootstrap_interval(errors, level=0.9, resamples=500, seed=3)
    expected = scipy.stats.bootstrap(
        (errors,), np.median, axis=-1, vectorized=True, n_resamples=500, confidence_level=widened(0.9, 16),
        method="percentile", random_state=generator(3, RESAMPLING),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found.low, expected.low, rtol=1e-12)
    np.testing.assert_allclose(found.high, expected.high, rtol=1e-12)


def test_widened_level_by_hand():
    # n = 16: t quantile 2.13145 with 15 degrees of freedom, times sqrt(16 / 15) = 2.20135; Phi(-2.20135) = 0.013855
    assert widened(0.95, 16) == pytest.approx(1 - 2 * 0.013855, abs=4e-6)
    assert widened(0.95, 100_000) == pytest.approx(0.95, abs=2e-5)


def test_interval_encloses_the_plain_percentile_interval():
    errors = lognormal((50, 8), seed=1)
    wide, narrow = bootstrap_interval(errors), resample(errors, 0.95, 4000, 0)[0]
    assert (wide.low <= narrow.low).all() and (wide.high >= narrow.high).all()
    assert (wide.high - wide.low).mean() > 1.1 * (narrow.high - narrow.low).mean()


def test_the_same_seeds_are_drawn_for_all_rows_and_in_any_number_of_batches(monkeypatch):
    errors = lognormal((7, 12), seed=2)
    together = bootstrap_interval(errors, resamples=300)
    alone = [bootstrap_interval(row, resamples=300) for row in errors]
    assert together.low.tolist() == [interval.low for interval in alone]
    assert together.high.tolist() == [interval.high for interval in alone]
    monkeypatch.setattr("ensemble.statistics.resampling._BLOCK", 11 * errors.size)  # eleven resamples at a time
    assert bootstrap_interval(errors, resamples=300).low.tolist() == together.low.tolist()
    # A row that is twice another has an interval twice as far, since its resamples are the same.
    double = bootstrap_interval(2 * errors, resamples=300)
    assert double.low.tolist() == (2 * together.low).tolist()
    assert bootstrap_interval(errors, resamples=300, seed=1).low.tolist() != together.low.tolist()


def test_shapes_of_intervals():
    interval = bootstrap_interval(lognormal((2, 3, 9)))
    assert interval.low.shape == interval.high.shape == (2, 3)
    assert bootstrap_interval(lognormal(9)).low.shape == ()
    assert bootstrap_interval(np.empty((0, 9))).high.shape == (0,)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e-300, 1e300, INF])
@pytest.mark.parametrize("n", [2, 3, 7, 16])
def test_constant_errors_give_an_interval_of_zero_length(value, n):
    assert bootstrap_interval(np.full(n, value), resamples=200) == (value, value)


def test_diverged_models_make_ends_infinite():
    few = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, INF])
    half = np.array([1.0, 2, 3, 4, 5] + [INF] * 5)
    most = np.array([1.0] + [INF] * 9)
    for errors in (few, half, most):
        interval = bootstrap_interval(errors)
        assert not np.isnan(interval).any() and interval.low <= interval.high
    assert np.isfinite(bootstrap_interval(few).high)
    assert np.isfinite(bootstrap_interval(half).low) and bootstrap_interval(half).high == INF
    assert bootstrap_interval(most).low == INF


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"errors": [1.0]}, r"errors has shape \(1,\); the last axis must hold at least 2 seeds"),
        ({"errors": [1.0, np.nan]}, r"errors\[1\] is nan"),
        ({"level": 1.0}, "level is 1.0; it must lie between 0 and 1"),
        ({"level": np.nan}, "level is nan"),
        ({"resamples": 99}, "resamples must be a whole number, 100 or more, not 99"),
        ({"resamples": 1e3}, "resamples must be a whole number, 100 or more, not 1000.0"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, not -1"),
    ],
)
def test_bootstrap_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**({"errors": [1.0, 2.0, 3.0]} | arguments))


@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("n", [10, 16, 32])
def test_default_interval_covers_the_median_in_2000_studies(n, sigma):
    errors = lognormal((2000, n), seed=1000 + n, sigma=sigma)
    assert 0.93 <= covered(bootstrap_interval(errors, resamples=1000), 1.0) <= 0.97


@pytest.mark.parametrize("n", [6, 8])
def test_few_seeds_are_covered_too_often_rather_than_too_rarely(n):
    errors = lognormal((2000, n), seed=n, sigma=1.0)
    plain = covered(resample(errors, 0.95, 1000, 0)[0], 1.0)
    assert plain < 0.945 < 0.955 < covered(bootstrap_interval(errors, resamples=1000), 1.0)


def test_intervals_of_studies_with_diverged_models_cover():
    # A tenth of the models diverges: the true median moves to the 0.5 / 0.9 quantile of the others.
    random = np.random.default_rng(11)
    errors = np.where(random.random((2000, 16)) < 0.1, INF, random.exponential(size=(2000, 16)))
    truth = -np.log(1 - 0.5 / 0.9)
    assert 0.93 <= covered(bootstrap_interval(errors, resamples=1000), truth) <= 0.97


# Paired comparisons ---------------------------------------------------------------------------------------------------


def test_comparison_by_hand():
    comparison = compare([1, 2, 3, 4, 5, 6], [2, 4, 6, 8, 10, 12], range(6), range(6))
    assert comparison.n == 6 and comparison.note == "few"
    assert comparison.median_difference == -3.5
    assert comparison.median_log_ratio == pytest.approx(-np.log(2))
    assert comparison.log_ratio_interval == pytest.approx((-np.log(2), -np.log(2)))
    assert comparison.difference_interval[0] < -3.5 < comparison.difference_interval[1] < 0
    assert comparison.probability == 1
    assert comparison.p_value == comparison.p_adjusted == 2 / 2**6
    assert comparison.significant is True


def test_pairs_are_matched_by_seed():
    a, b = lognormal(12, seed=0), lognormal(12, seed=1)
    seeds = np.arange(12)
    expected = compare(a, b, seeds, seeds)
    order = np.random.default_rng(0).permutation(12)
    assert compare(a, b[order], seeds, seeds[order]) == expected
    assert compare(a[order], b, seeds[order], seeds) == expected
    more = compare(np.append(a, 5.0), np.append(7.0, b), np.append(seeds, 50), np.append(60, seeds))
    assert more == expected
    assert expected.n == 12 and expected.note == ""


def test_comparison_the_other_way_round_is_its_mirror_image():
    a, b = lognormal(11, seed=2), 1.2 * lognormal(11, seed=3)
    one, other = compare(a, b, range(11), range(11)), compare(b, a, range(11), range(11))
    assert other.median_difference == pytest.approx(-one.median_difference)
    assert other.log_ratio_interval == pytest.approx(tuple(-end for end in reversed(one.log_ratio_interval)))
    assert other.probability == pytest.approx(1 - one.probability)
    assert other.p_value == pytest.approx(one.p_value)


def test_intervals_of_a_comparison_are_those_of_the_paired_values():
    a, b = lognormal(14, seed=4), lognormal(14, seed=5)
    comparison = compare(a, b, range(14), range(14), level=0.9, resamples=700, seed=2)
    for interval, values in ((comparison.difference_interval, a - b), (comparison.log_ratio_interval, np.log(a / b))):
        expected = bootstrap_interval(values, level=0.9, resamples=700, seed=2)
        np.testing.assert_allclose(interval, expected, rtol=1e-12)


def test_a_diverged_model_loses_and_two_tie():
    a = np.array([1.0, 1, 1, 1, INF, INF, 1, 1])
    b = np.array([2.0, 2, 2, INF, 1, INF, 2, 2])
    comparison = compare(a, b, range(8), range(8))
    assert comparison.probability == (6 + 0.5) / 8
    assert not np.isnan([comparison.median_difference, *comparison.difference_interval, comparison.p_value]).any()
    assert comparison.median_difference == -1
    assert compare([INF] * 6, [1] * 6, range(6), range(6)).median_log_ratio == INF
    same = compare([INF] * 7, [INF] * 7, range(7), range(7))
    assert (same.median_difference, same.log_ratio_interval, same.probability, same.p_value) == (0, (0, 0), 0.5, 1)
    assert same.significant is False
    # The size of the finite pairs' differences does not matter to an infinite one: it has the largest rank.
    assert comparison.p_value == wilcoxon_exact([-1, -1, -1, -9, 9, 0, -1, -1])


def test_an_error_of_zero_beats_every_other():
    comparison = compare([0.0, 0, 0, 0, 0, 0, 1], [1.0, 0, 2, INF, 1, 1, 0], range(7), range(7))
    assert comparison.median_log_ratio == -INF and comparison.log_ratio_interval[0] == -INF
    assert comparison.probability == (5 + 0.5) / 7
    assert not np.isnan(comparison.log_ratio_interval).any()


def test_a_difference_halfway_between_both_infinities_is_zero():
    comparison = compare([1.0, INF], [INF, 1.0], [0, 1], [0, 1])
    assert comparison.median_difference == 0 and comparison.log_ratio_interval == (-INF, INF)


@pytest.mark.parametrize(
    ("n", "significant", "note"), [(2, None, "few"), (5, None, "few"), (6, True, "few"), (10, True, "")]
)
def test_too_few_pairs_are_not_judged(n, significant, note):
    comparison = compare(np.ones(n), np.full(n, 2.0), range(n), range(n))
    assert comparison.significant is significant and comparison.note == note


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2], [0, 1], [1, 2]), "a and b have 1 seeds in common; a paired comparison needs at least 2"),
        (([1, 2], [1, 2], [0, 0], [0, 1]), r"seeds_a is \[0, 0\]; it must name each seed once"),
        (([1, 2], [1, 2], [0, 1], [0, 1, 2]), r"seeds_b has shape \(3,\), but b has 2 errors"),
        (([1, np.nan], [1, 2], [0, 1], [0, 1]), r"a\[0, 1\] is nan; an error must be 0 or above, or \+inf"),
        (([1, 2], [1, -2], [0, 1], [0, 1]), r"b\[0, 1\] is -2"),
        (([[1, 2]], [1, 2], [0, 1], [0, 1]), r"a has shape \(1, 2\); compare takes one error per seed"),
    ],
)
def test_compare_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare(*arguments)


def test_comparison_over_widths_is_that_of_each_width_with_holm():
    a, b = study(1, 1, 0, seed=0), study(1.3, 1, 0, seed=1)
    together = compare_over_widths(a, b, range(16), range(16))
    alone = [compare(x, y, range(16), range(16)) for x, y in zip(a, b, strict=True)]
    adjusted = holm([comparison.p_value for comparison in alone])
    for one, other, p in zip(together, alone, adjusted, strict=True):
        assert one == other._replace(p_adjusted=p, significant=bool(p <= 0.05))
    assert (np.array([comparison.p_adjusted for comparison in together]) >= [c.p_value for c in alone]).all()


def test_comparison_over_widths_refuses():
    with pytest.raises(ValueError, match="a has 2 widths and b 3; both must have the same number"):
        compare_over_widths(np.ones((2, 4)), np.ones((3, 4)), range(4), range(4))
    with pytest.raises(ValueError, match=r"b has shape \(4,\); compare_over_widths takes widths by seeds"):
        compare_over_widths(np.ones((1, 4)), np.ones(4), range(4), range(4))


@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 16, 32])
def test_signed_rank_p_agrees_with_scipy(n):
    for seed in range(5):
        values = np.random.default_rng(seed).standard_normal(n) + 0.3
        expected = scipy.stats.wilcoxon(values, method="exact").pvalue
        assert wilcoxon_exact(values) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "values",
    [[1, 1, -1, 2, 2, -3], [0, 0, 1, 2, -3, 3, 3], [0, 1, 1, 1, 1, -1, 0], [INF, INF, -INF, 1, -2, 0], [0, 5], [-4]],
)
def test_signed_rank_p_with_ties_and_zeros_by_all_signs(values):
    values = np.array(values, dtype=float)
    ranks = scipy.stats.rankdata(np.abs(values))[values != 0]
    observed = ranks[values[values != 0] > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in product([0, 1], repeat=len(ranks))])
    expected = min(1, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
    assert wilcoxon_exact(values) == pytest.approx(expected)


def test_signed_rank_without_differences_and_with_bad_ones():
    assert wilcoxon_exact([0, 0, 0]) == wilcoxon_exact([]) == 1
    for bad in ([np.nan, 1], [[1, 2]]):
        with pytest.raises(ValueError, match="differences has shape"):
            wilcoxon_exact(bad)


def test_signed_rank_finds_nothing_too_often():
    random = np.random.default_rng(3)
    p = np.array([wilcoxon_exact(row) for row in random.standard_normal((2000, 10))])
    assert 0.03 < (p <= 0.05).mean() < 0.06


@pytest.mark.parametrize("decimals", [1, 15])
def test_signed_rank_p_of_hundreds_is_that_of_adding_rank_after_rank(decimals):
    values = (np.random.default_rng(4).standard_normal(300) + 0.2).round(decimals)
    ranks = (2 * scipy.stats.rankdata(np.abs(values))).astype(int)[values != 0]
    chances = np.zeros(ranks.sum() + 1)
    chances[0] = 1
    for rank in ranks:
        chances = 0.5 * (chances + np.append(np.zeros(rank), chances[:-rank]))
    observed = ranks[values[values != 0] > 0].sum()
    expected = 2 * min(chances[: observed + 1].sum(), chances[observed:].sum())
    assert wilcoxon_exact(values) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("decimals", [2, 15])
def test_signed_rank_p_of_2000_pairs_is_exact_and_near_the_normal_one(decimals):
    values = np.random.default_rng(5).standard_normal(2000).round(decimals)
    normal = scipy.stats.wilcoxon(values, method="approx", zero_method="pratt").pvalue
    assert wilcoxon_exact(values) == pytest.approx(normal, rel=1e-3)


def test_signed_rank_p_of_1000_pairs_that_all_differ_one_way_is_2_to_the_minus_999():
    """Beyond what a normal distribution or rounded sums could say."""
    assert wilcoxon_exact(np.arange(1, 1001)) == pytest.approx(2 * 0.5**1000, rel=1e-12)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]).tolist() == [1, 1]
    assert holm([0.2]).tolist() == [0.2]
    for bad in ([1.1], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(ValueError, match="it must be a list of values between 0 and 1"):
            holm(bad)


# Scaling --------------------------------------------------------------------------------------------------------------


def test_slope_is_that_of_a_line_through_the_logarithms_of_the_medians():
    errors = study(3, 1.5, 1e-3)
    fit = fit_scaling(WIDTHS, errors)
    assert fit.slope == pytest.approx(np.polyfit(np.log(WIDTHS), np.log(np.median(errors, axis=1)), 1)[0])
    assert fit.slope_interval[0] < fit.slope < fit.slope_interval[1]
    exact = fit_scaling(WIDTHS, np.repeat(study(3, 1.5, 0, sigma=0, n=1), 4, axis=1), resamples=100)
    assert [exact.slope, *exact.slope_interval] == pytest.approx([-1.5] * 3) and exact.warnings == ()


def test_slope_interval_is_from_resampled_seeds():
    errors = study(1, 1, 1e-3, n=8)
    fit = fit_scaling(WIDTHS, errors, level=0.9, resamples=150, seed=5)
    places = generator(5, RESAMPLING).integers(0, 8, size=(150, 8))
    slopes = [np.polyfit(np.log(WIDTHS), np.log(np.median(errors[:, place], axis=1)), 1)[0] for place in places]
    assert fit.slope_interval == pytest.approx(tuple(np.quantile(slopes, [0.05, 0.95])))


def test_slope_intervals_cover():
    widths, hits = WIDTHS[::2], 0
    for seed in range(500):
        low, high = fit_scaling(
            widths, study(1, 1, 0, seed=seed, widths=widths), resamples=100, seed=seed
        ).slope_interval
        hits += low <= -1 <= high
    assert 0.93 <= hits / 500 <= 0.98


def test_widths_may_come_in_any_order():
    errors = study(1, 1, 1e-3)
    order = np.random.default_rng(0).permutation(len(WIDTHS))
    assert fit_scaling(WIDTHS, errors) == fit_scaling(WIDTHS[order], errors[order])


def test_warnings_are_words():
    errors = study(1, 1, 0)
    assert fit_scaling(WIDTHS, errors).warnings == ()
    assert fit_scaling(WIDTHS[:4], errors[:4]).warnings == (
        "fewer than five widths: 4",
        "less than one decade of widths: 4 to 32",
    )
    assert fit_scaling([10, 20, 40, 80, 99], errors[:5]).warnings == ("less than one decade of widths: 10 to 99",)
    assert fit_scaling([10, 20, 40, 80, 100], errors[:5]).warnings == ()
    assert fit_scaling(WIDTHS, errors[::-1]).warnings == ("the error does not fall with width",)


def test_widths_without_a_finite_median_are_left_out_and_named():
    errors = study(1, 1, 0)
    errors[0, :9] = INF
    errors[3, :10] = 0
    fit = fit_scaling(WIDTHS, errors)
    assert fit.warnings == (
        "left out, since the median is infinite: width 4",
        "left out, since the median is 0: width 32",
    )
    used = np.array([False, True, True, False, True, True, True, True])
    assert fit[:2] == fit_scaling(WIDTHS[used], errors[used])[:2]


def test_resamples_in_which_a_median_is_infinite():
    errors = study(1, 1, 0)
    errors[2, :7] = INF  # finite as observed, infinite in many resamples
    fit = fit_scaling(WIDTHS, errors)
    assert fit.warnings == () and np.isfinite(fit.slope_interval).all()
    scarce = fit_scaling(WIDTHS[1:3], errors[1:3])
    assert any("resampled studies have too few usable widths" in words for words in scarce.warnings)
    assert np.isfinite(scarce.slope_interval).all()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_widths_give_no_slope_but_words(count):
    errors = study(1, 1, 0)
    errors[count:] = INF
    fit = fit_scaling(WIDTHS, errors, resamples=100)
    assert np.isnan([fit.slope, *fit.slope_interval]).all()
    assert fit.warnings[-1] == "no slope: it needs 2 widths"


def test_constant_errors_have_slope_zero():
    fit = fit_scaling(WIDTHS, np.full((len(WIDTHS), 5), 0.1), resamples=100)
    assert [fit.slope, *fit.slope_interval] == pytest.approx([0, 0, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("widths", "errors", "message"),
    [
        ([4, 4], np.ones((2, 3)), r"widths is \[4, 4\]; it must hold different whole numbers, 1 or above"),
        ([0, 4], np.ones((2, 3)), "widths is"),
        ([1.5, 4], np.ones((2, 3)), "widths is"),
        ([4, 8, 16], np.ones((2, 3)), r"widths has shape \(3,\) and errors \(2, 3\)"),
        ([4, 8], np.ones((2, 1)), r"errors has shape \(2, 1\); the last axis must hold at least 2 seeds"),
        ([4, 8], [[1, 2], [3, -1]], r"errors\[1, 1\] is -1.0; an error must be 0 or above, or \+inf"),
        ([], np.ones((0, 3)), r"widths has shape \(0,\)"),
    ],
)
def test_fit_and_smallest_width_refuse(widths, errors, message):
    with pytest.raises(ValueError, match=message):
        fit_scaling(widths, errors)
    with pytest.raises(ValueError, match=message):
        smallest_width(widths, errors, 0.1)


# The smallest width that suffices -------------------------------------------------------------------------------------


def test_smallest_width_by_hand():
    errors = np.array([[4.0, 4, 4], [2, 2, 9], [1, 1, 1], [3, 3, 3]])
    assert smallest_width([2, 4, 8, 16], errors, 2).width == 4
    assert smallest_width([16, 8, 4, 2], errors[::-1], 2).width == 4
    assert smallest_width([2, 4, 8, 16], errors, 1.9).width == 8
    assert smallest_width([2, 4, 8, 16], errors, 100)[:4] == (2, 2, 2, 1)
    assert smallest_width([2, 4, 8, 16], errors, 0.5)[:4] == (None, INF, INF, 0)
    assert smallest_width([2, 4], [[INF, INF], [INF, INF]], 0.5)[:4] == (None, INF, INF, 0)


def test_interval_of_smallest_width_is_from_resampled_seeds():
    errors = study(1, 1, 0, sigma=0.5, n=12)
    found = smallest_width(WIDTHS, errors, 0.025, resamples=400, seed=1)
    firsts = []
    for place in generator(1, RESAMPLING).integers(0, 12, size=(400, 12)):
        enough = np.median(errors[:, place], axis=1) <= 0.025
        firsts.append(WIDTHS[enough.argmax()] if enough.any() else INF)
    tail = (1 - widened(0.95, 12)) / 2
    assert found.low == np.quantile(firsts, tail, method="lower")
    assert found.high == np.quantile(firsts, 1 - tail, method="higher")
    assert found.low < found.high and found.low <= found.width <= found.high and found.reached == 1


def test_smallest_width_reached_in_some_resamples_only():
    errors = np.tile([[1.0, 1, 1, 1, 3, 3, 3, 3, 3]], (2, 1))
    found = smallest_width([4, 8], errors, 2)
    assert found.width is None and found.low == 4 and found.high == INF and 0 < found.reached < 1


@pytest.mark.parametrize("target", [np.nan, INF, -1])
def test_smallest_width_refuses_targets(target):
    with pytest.raises(ValueError, match=f"target is {target}; it must be a finite error, 0 or above"):
        smallest_width([4], [[1, 2]], target)


def test_scipy_is_not_imported_with_the_package():
    code = "import sys, ensemble.statistics; sys.exit('scipy.stats' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What the seeds say (intervals, paired comparisons, slope against width, smallest width), and box counts of sets."""

from ensemble.statistics.boxes import BoxDimension, box_counts, box_dimension, dimension_of, edge_of
from ensemble.statistics.intervals import Errorbar, bootstrap_interval, error_band, quartiles
from ensemble.statistics.paired import FEWEST, Comparison, compare, compare_over_widths, holm, wilcoxon_exact
from ensemble.statistics.peaks import PeakWidth, peak_width
from ensemble.statistics.resampling import FEW, Interval, few_note
from ensemble.statistics.scaling import ScalingFit, SmallestWidth, fit_scaling, smallest_width

__all__ = [
    "FEW",
    "FEWEST",
    "BoxDimension",
    "Comparison",
    "Errorbar",
    "Interval",
    "PeakWidth",
    "ScalingFit",
    "SmallestWidth",
    "bootstrap_interval",
    "box_counts",
    "box_dimension",
    "compare",
    "compare_over_widths",
    "dimension_of",
    "edge_of",
    "error_band",
    "few_note",
    "fit_scaling",
    "holm",
    "peak_width",
    "quartiles",
    "smallest_width",
    "wilcoxon_exact",
]

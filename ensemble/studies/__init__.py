"""Studies: specs, data, training, analysis and plots of one question each.

Each study is a function that trains in one pass and returns an object that knows its curves and how to save itself.
"""

from ensemble.analysis import Curve, LearningCurve
from ensemble.studies.bias.study import BiasStudy, bias_ablation, bias_setup
from ensemble.studies.claims.study import ClaimsStudy, claims_setup
from ensemble.studies.fit.study import FitStudy, fit_setup, fit_target
from ensemble.studies.study import Fit, Setup, Study
from ensemble.studies.transfer.study import CoordinateCheck, TransferStudy, transfer_setup, transfer_study
from ensemble.studies.width.study import WidthStudy, width_setup, width_study

__all__ = [
    "BiasStudy",
    "ClaimsStudy",
    "CoordinateCheck",
    "Curve",
    "Fit",
    "FitStudy",
    "LearningCurve",
    "Setup",
    "Study",
    "TransferStudy",
    "WidthStudy",
    "bias_ablation",
    "bias_setup",
    "claims_setup",
    "fit_setup",
    "fit_target",
    "transfer_setup",
    "transfer_study",
    "width_setup",
    "width_study",
]

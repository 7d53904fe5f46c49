"""Studies: specs, data, training, analysis and plots of one question each.

Each study is a function that trains in one pass and returns an object that knows its curves and how to save itself.
"""

from ensemble.studies.bias import BiasStudy, bias_ablation, bias_setup
from ensemble.studies.claims import ClaimsStudy, claims_setup
from ensemble.studies.curves import Curve, LearningCurve
from ensemble.studies.fit import FitStudy, fit_setup, fit_target
from ensemble.studies.study import Fit, Setup, Study
from ensemble.studies.transfer import CoordinateCheck, TransferStudy, transfer_setup, transfer_study
from ensemble.studies.width import WidthStudy, width_setup, width_study

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

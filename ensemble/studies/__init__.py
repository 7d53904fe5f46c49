"""Studies: specs, data, training, analysis and plots of one question each.

A study is a folder and a line of `STUDIES`. Its function returns a `Setup`, with the study's `plan()` and `run()`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ensemble.studies.bias.study import BiasStudy, bias_ablation
from ensemble.studies.claims.study import ClaimsStudy, claims_study
from ensemble.studies.depth.study import DepthStudy, depth_study
from ensemble.studies.descent.study import DescentStudy, double_descent
from ensemble.studies.fit.study import FitStudy, fit_target
from ensemble.studies.study import Setup, Study
from ensemble.studies.trainability.study import trainability
from ensemble.studies.trainability.trained import TrainabilityStudy
from ensemble.studies.transfer.study import TransferStudy, transfer_study
from ensemble.studies.width.study import WidthStudy, width_study

__all__ = [
    "STUDIES",
    "BiasStudy",
    "ClaimsStudy",
    "DepthStudy",
    "DescentStudy",
    "FitStudy",
    "Question",
    "Setup",
    "Study",
    "TrainabilityStudy",
    "TransferStudy",
    "WidthStudy",
    "bias_ablation",
    "claims_study",
    "depth_study",
    "double_descent",
    "fit_target",
    "trainability",
    "transfer_study",
    "width_study",
]


class Question(NamedTuple):
    """A line of `STUDIES`: the function that returns a study's setup, what the study asks, and arguments to try."""

    setup: Callable[..., Setup[Any]]
    words: str
    example: str


STUDIES = {
    "width_study": Question(
        width_study,
        "How wide must a two-layer ReLU network be? Test error against width, at the learning rate that suits each.",
        "--target chirp --seeds 32",
    ),
    "bias_ablation": Question(
        bias_ablation,
        "What are the biases of a two-layer ReLU network worth? Test error against width with each bias on and off.",
        "--widths 4 16 64",
    ),
    "depth_study": Question(
        depth_study,
        "Is the same computation better spent on depth than on width? Test error by depth at equal multiply-adds.",
        "--hidden-layers 1 2 4",
    ),
    "double_descent": Question(
        double_descent,
        "Where does the test error peak as networks get wide enough to learn noisy labels, and what removes it?",
        "--noise 1",
    ),
    "rate_transfer": Question(
        transfer_study,
        "Does the best learning rate move with the width, and does mu-P hold it still? Maps of both, first steps.",
        "--optimizers adam",
    ),
    "trainability": Question(
        trainability,
        "At which learning rates of its two layers does a network train? A map, a network a pixel, and its boundary.",
        "--pixels 256",
    ),
    "fit_target": Question(
        fit_target,
        "How does the fit come about? One width and learning rate, the fitted curve at a few epochs, and its MSEs.",
        "--data FILE.csv --x YEAR --y CO2",
    ),
    "claims": Question(
        claims_study,
        "Do the claims of the original report hold? Each with a verdict by a stated rule, a number and its interval.",
        "--seeds 8",
    ),
}

"""A scikit-learn classifier that is an ensemble of networks, all trained at once.

Predicts the mean over networks of the probability of each class; `ensembles` trains them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ensemble.sklearn.common import Array
from ensemble.sklearn.ensembles import ReluEnsemble

__all__ = ["ReluEnsembleClassifier"]


@dataclass(eq=False, repr=False)
class ReluEnsembleClassifier(ClassifierMixin, ReluEnsemble):  # type: ignore[misc]  # scikit-learn is untyped
    """Mean of ReLU networks that differ in their initial weights, trained on labels by cross-entropy, all at once.

    Inputs are standardized by the training data. Two classes take one output (logistic), more take one each (softmax).

    Parameters
    ----------
    n_models, width, hidden_layers, optimizer, lr, epochs, momentum, beta2, schedule, weight_decay, init, init_scale, \
    parametrization, hidden_bias, output_bias, early_stopping, validation_fraction, random_state, n_jobs
        As in `ReluEnsembleRegressor`, but that early stopping chooses by the cross-entropy of the samples set aside,
        and leaves at least one of each class to train on.

    Attributes
    ----------
    classes_ : (K,) ndarray
        The labels in y, sorted.
    networks_, converged_, loss_epochs_, best_epoch_, n_iter_, n_features_in_, feature_names_in_
        As in `ReluEnsembleRegressor`; the networks predict logits.
    loss_curve_, validation_curve_ : (E,) float64
        Mean cross-entropy of the networks that did not diverge, in nats.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ReluEnsembleClassifier(n_models=4, width=8, epochs=100, lr=0.03, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> ReluEnsembleClassifier:  # scikit-learn's name
        """Train the networks.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
        y : array_like, shape (N,)
            Labels of any kind that can be sorted.

        Returns
        -------
        ReluEnsembleClassifier
            Itself.

        Raises
        ------
        ValueError
            X or y that scikit-learn refuses, a single class, a parameter that is not allowed, too few samples for
            `early_stopping`, or no network whose weights stayed finite.

        Warns
        -----
        ConvergenceWarning
            Some networks diverged; predictions leave them out.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        classes = len(self.classes_)
        if classes < 2:
            raise ValueError(f"y holds 1 class, {self.classes_.tolist()[0]!r}; two or more are needed")
        outputs = 1 if classes == 2 else classes
        self._train(np.asarray(X), labels.astype(np.float64), "cross_entropy", outputs)
        return self

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return how likely each class is, the mean over networks, (N, K) in the order of `classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            X that scikit-learn refuses, or of another number of columns.
        """
        return self._moments(X, lambda networks, x: networks.predict_proba(x), False)[0]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest class of each sample, (N,); errors are those of `predict_proba`."""
        likely = self.predict_proba(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[likely]
        return found

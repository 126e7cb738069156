"""The private names of scikit-learn that are used here, and why; nowhere else are they.

Tried with scikit-learn 1.7.2 and 1.9.1. None of them has a public way. The one more is
`_parameter_constraints`, which estimators define and `validate_params` reads.
"""

from collections import ChainMap

# Constraints of parameters, whose errors are those of scikit-learn's own estimators.
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

# Whether a frame is asked for, which has two axes: images then become rows.
from sklearn.utils._set_output import _get_output_config as get_output_config

# partial_fit that knows its classes from the first call, with the usual errors.
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call as check_partial_fit_first_call,
)

# Names that a transformer was given, against those that it was fitted on.
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in

# Weights of samples, with the usual errors and numbers for one weight.
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_feature_names_in",
    "check_partial_fit_first_call",
    "check_sample_weight",
    "get_output_config",
    "one_of",
    "validate_params",
]


def validate_params(estimator):
    """Check the parameters of an estimator by its constraints, as `fit` does first."""
    estimator._validate_params()


def one_of(*registries):
    """The constraint of a name in registries, as they are when it is checked."""
    return StrOptions(ChainMap(*registries).keys())

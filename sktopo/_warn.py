"""Warnings that point at the user's own line (private)."""

import inspect
import os
import warnings

import sklearn
import torch

_INSIDE = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (__file__, sklearn.__file__, torch.__file__)
)


def warn_user(message, category=UserWarning):
    """Warn at the innermost line outside this package, scikit-learn and torch.

    Parameters
    ----------
    message : str
        What to say.
    category : type, default=UserWarning
        The kind of warning.
    """
    frame, level = inspect.currentframe(), 1
    while frame.f_back is not None and _is_inside(frame.f_back):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)


def _is_inside(frame):
    return os.path.abspath(frame.f_code.co_filename).startswith(_INSIDE)

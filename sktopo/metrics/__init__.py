"""Measures of grids, activations and representations (NumPy and SciPy only).

Each module lists its measures in its ``__all__``: they are what this package has.
"""

import inspect

from sktopo.metrics.activity import *
from sktopo.metrics.dimensionality import *
from sktopo.metrics.geometry import *
from sktopo.metrics.localization import *
from sktopo.metrics.selectivity import *
from sktopo.metrics.smoothness import *
from sktopo.metrics.tuning import *

__all__ = sorted(name for name, value in vars().items() if inspect.isfunction(value))

"""Displays, in the manner of scikit-learn's; they need the extra `plot`.

Each module lists its displays in its ``__all__``: they are what this package has.
"""

import inspect

from sktopo.plotting.correlations import *
from sktopo.plotting.curves import *
from sktopo.plotting.maps import *
from sktopo.plotting.similarity import *
from sktopo.plotting.trade_offs import *

__all__ = sorted(name for name, value in vars().items() if inspect.isclass(value))

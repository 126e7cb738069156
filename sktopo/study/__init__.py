"""Studies: many models over conditions, lams and seeds, measured and compared."""

from sktopo.study._results import StudyResults, load_results
from sktopo.study._study import TopographicStudy

__all__ = ["StudyResults", "TopographicStudy", "load_results"]

"""The public face as a typed user calls it: mypy reads this (`make types`).

Each `assert_type` is a type that a user relies on; nothing of it is run.
"""

from typing import assert_type

import numpy as np
import pandas as pd

from sktopo import (
    FrozenNetwork,
    TopographicCNNClassifier,
    TopographicEncoder,
    measure,
    measure_activations,
    select_results,
    unit_table,
)
from sktopo.grid import Grid
from sktopo.metrics import average_precision, correlation_by_distance
from sktopo.plotting import (
    CorrelationDistanceDisplay,
    ExpertMapDisplay,
    GridMapDisplay,
    LambdaCurveDisplay,
    RobustnessDisplay,
    TradeOffDisplay,
)
from sktopo.robustness import weight_noise_curve
from sktopo.scorers import TopographicScorer, make_smoothness_scorer
from sktopo.study import StudyResults, load_results


def train(X: np.ndarray, y: np.ndarray) -> TopographicCNNClassifier:
    model = TopographicCNNClassifier("as", lam=0.3, grid_shape=(4, 5), random_state=0)
    model.fit(X, y)
    assert_type(model.predict(X), np.ndarray)
    assert_type(model.predict_proba(X), np.ndarray)
    assert_type(model.activation_maps(X), np.ndarray)
    assert_type(model.history_, pd.DataFrame)
    model.save("model.safetensors")
    assert_type(TopographicEncoder(lam=1.0).fit(X).transform(X), np.ndarray)
    return TopographicCNNClassifier.load("model.safetensors")


def look(model: FrozenNetwork, X: np.ndarray, y: np.ndarray) -> None:
    table = measure(model, X, y, include=["performance"])
    assert_type(table, pd.DataFrame)
    assert_type(select_results(table, "accuracy"), pd.DataFrame)
    assert_type(unit_table(model, X, y), pd.DataFrame)
    A = model.transform(X)
    grid = Grid((4, 5), wrap=True)
    assert_type(grid.n_units, int)
    assert_type(measure_activations(A, grid, y), pd.DataFrame)
    assert_type(average_precision(A, y), np.ndarray)
    assert_type(correlation_by_distance(A, (4, 5)), pd.DataFrame)
    assert_type(weight_noise_curve(model, X, y, sigmas=[0.1]), pd.DataFrame)
    assert_type(make_smoothness_scorer(), TopographicScorer)


def draw(model: FrozenNetwork, X: np.ndarray, y: np.ndarray) -> None:
    maps = GridMapDisplay.from_estimator(model, X[:3], show_images=True, cmap="gray")
    assert_type(maps, GridMapDisplay)
    experts = ExpertMapDisplay.from_estimator(model, X, y, class_names=["a", "b"])
    assert_type(experts, ExpertMapDisplay)
    curve = CorrelationDistanceDisplay.from_estimator(model, X, name="WS", lw=2)
    assert_type(curve.plot(), CorrelationDistanceDisplay)
    noise = RobustnessDisplay.from_estimator(model, X, y, kind="image")
    assert_type(noise, RobustnessDisplay)


def read(folder: str) -> None:
    results = load_results(folder)
    assert_type(results, StudyResults)
    assert_type(results.table, pd.DataFrame)
    display = LambdaCurveDisplay(results.table, "accuracy", names=["none", "WS"])
    assert_type(display.plot(), LambdaCurveDisplay)
    trade_off = TradeOffDisplay.from_study(results, "morans_i", "accuracy")
    assert_type(trade_off, TradeOffDisplay)

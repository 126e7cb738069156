"""Two scores against each other: points, frontier, searches and studies."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("matplotlib")
from matplotlib import pyplot as plt
from matplotlib.cbook import STEP_LOOKUP_MAP

from sktopo import select_results
from sktopo.losses import ActivationSimilarity, WeightSimilarity
from sktopo.plotting import TradeOffDisplay
from sktopo.plotting.style import styles
from sktopo.study import TopographicStudy
from sktopo.study._results import StudyResults

X, Y = np.arange(24.0).reshape(12, 2), np.arange(12) % 2


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def points_of(rows, columns="condition lam x y"):
    return pd.DataFrame(rows, columns=columns.split())


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def joined(display):
    """The lines along lam: those of several points that are no frontier."""
    return [
        line
        for line in display.ax_.lines
        if line.get_marker() in ("", "None")
        and len(line.get_xdata()) > 1
        and line is not display.frontier_line_
        and line.get_linestyle() != ":"
    ]


# ------------------------------------------------------------------ the frontier


def test_the_frontier_is_what_no_point_beats():
    rows = [
        ("control", 0, 0.0, 1.0),
        ("ws", 1, 0.5, 0.9),
        ("ws", 3, 0.5, 0.8),  # as good in x only
        ("as", 1, 0.5, 0.9),  # a twin is not better
        ("as", 3, 0.9, 0.1),
        ("as", 4, 0.8, 0.1),
        ("as", 5, np.nan, 2.0),
    ]
    display = TradeOffDisplay(points_of(rows)).plot()
    expected = [True, True, False, True, True, False, False]
    assert display.points_["frontier"].tolist() == expected
    assert sorted(display.bars_) == [0, 1, 2, 3, 4, 5]
    filled = [
        bars.lines[0].get_markerfacecolor() != "white"
        for bars in display.bars_.values()
    ]
    assert filled == expected[:6]
    assert "1 of 7 points lack a score" in display.ax_.get_title()
    assert "frontier" not in display.points


@pytest.mark.parametrize("lower", [(), "x", ["y"], {"x", "y"}])
def test_frontiers_where_less_is_better(lower):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30))
    points = pd.DataFrame({"condition": "ws", "lam": 1.0, "x": x, "y": y})
    display = TradeOffDisplay(points, lower_is_better=lower).plot()
    signs = [-1 if axis in lower else 1 for axis in "xy"]
    better = points[["x", "y"]].to_numpy() * signs
    beaten = [any((other > own).all() for other in better) for own in better]
    assert display.points_["frontier"].tolist() == [not b for b in beaten]
    assert 1 < len(better) - sum(beaten) < 30
    # no corner of the border is better than the points that it joins
    line = display.frontier_line_
    corners = STEP_LOOKUP_MAP[line.get_drawstyle()](*line.get_data())
    for corner in np.array(corners).T * signs:
        assert (better >= corner).all(axis=1).any()
    for axis, label in (
        ("x", display.ax_.get_xlabel()),
        ("y", display.ax_.get_ylabel()),
    ):
        assert ("less is better" in label) == (axis in lower)


def test_wrong_points_and_axes():
    points = points_of([("ws", 1, 0.5, 0.9)])
    for wrong in ("accuracy", ["x", "z"], 3):
        with pytest.raises(ValueError, match=r"lower_is_better must hold 'x', 'y'"):
            TradeOffDisplay(points, lower_is_better=wrong).plot()
    with pytest.raises(ValueError, match=r"lack the columns \['lam', 'y'\]"):
        TradeOffDisplay(points[["condition", "x"]]).plot()
    with pytest.raises(ValueError, match=r"conditions lacks \['ws'\]"):
        TradeOffDisplay(points, conditions=["control"]).plot()
    assert plt.get_fignums() == []


# ------------------------------------------------------------------ what is drawn


def test_bars_reach_to_their_ends():
    points = points_of([("ws", 1, 0.5, 0.9), ("ws", 3, 0.6, 0.8)])
    ends = {"x_low": [0.4, np.nan], "x_high": [0.7, np.nan], "y_low": [0.85, 0.7]}
    display = TradeOffDisplay(points.assign(**ends, y_high=[1.0, 0.9])).plot()
    spans = [
        [lines.get_segments()[0][[0, 1], axis].tolist() for axis, lines in enumerate(b)]
        for b in (bars.lines[2] for bars in display.bars_.values())
    ]
    np.testing.assert_allclose(spans[0], [[0.4, 0.7], [0.85, 1.0]])
    np.testing.assert_allclose(spans[1], [[0.6, 0.6], [0.7, 0.9]])


def test_markers_grow_with_lam_and_lines_follow_it():
    rows = [("ws", 3, 0.3, 0.1), ("control", 0, 0, 1), ("ws", 0.1, 0.1, 0.7)]
    rows += [("ws", 1, 0.2, 0.5), ("as", 1, 0.4, 0.5)]
    display = TradeOffDisplay(points_of(rows)).plot()
    size = {
        row.lam: display.bars_[row.Index].lines[0].get_markersize()
        for row in display.points_.itertuples()
    }
    assert sorted(size, key=size.get) == [0, 0.1, 1, 3]
    (line,) = joined(display)
    assert line.get_xdata().tolist() == [0.1, 0.2, 0.3]
    assert line.get_color() == styles(["ws"])["ws"]["color"]
    assert legend_of(display) == [
        *("ws", "control", "as", "frontier of means (filled)"),
        *("lam 0.1", "lam 1", "lam 3"),
    ]
    alike = display.plot(ms=5)
    assert {b.lines[0].get_markersize() for b in alike.bars_.values()} == {5}
    assert not any(text.startswith("lam") for text in legend_of(alike))


def test_of_many_lams_the_legend_shows_three():
    lams = np.logspace(-2, 2, 9)
    points = pd.DataFrame({"condition": "ws", "lam": lams, "x": lams, "y": -lams})
    shown = legend_of(TradeOffDisplay(points).plot())
    assert shown[-3:] == ["lam 0.01", "lam 1", "lam 100"]


def test_the_control_is_marked():
    rows = [("none", np.nan, 0.2, 0.9), ("ws", 1, 0.5, 0.8)]
    display = TradeOffDisplay(points_of(rows), control="none").plot()
    first = display.bars_[0].lines[0]
    assert (first.get_color(), first.get_marker()) == ("0.35", "o")
    cross = [line for line in display.ax_.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in cross[:1]] == [0.2]
    assert [line.get_ydata()[0] for line in cross[1:]] == [0.9]
    twice = TradeOffDisplay(points_of([rows[0], *rows]), control="none").plot()
    assert not [line for line in twice.ax_.lines if line.get_linestyle() == ":"]


def test_colours_are_those_of_the_study_whatever_is_drawn():
    conditions = ["control", "ws", "as", "mine"]
    display = TradeOffDisplay(
        points_of([("mine", 1, 0.5, 0.8)]), conditions=conditions
    ).plot()
    line = display.bars_[0].lines[0]
    assert line.get_color() == styles(conditions)["mine"]["color"]


# ------------------------------------------------------------------ searches


class Toy(ClassifierMixin, BaseEstimator):
    """Scores that its parameters decide, and its number of images a little."""

    def __init__(self, topo_loss="ws", lam=1.0, lr=0.1):
        self.topo_loss = topo_loss
        self.lam = lam
        self.lr = lr

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.lowest_ = X.min()
        return self

    def predict(self, X):
        return np.zeros(len(X))


def toy_scores(estimator, X, y):
    toy = getattr(estimator, "steps", [[None, estimator]])[-1][1]
    if not isinstance(toy, Toy):
        return {"accuracy": 0.5, "map_smoothness": 0.0}
    lam = toy.lam * (toy.topo_loss is not None)
    fold = np.abs(X).sum() / 1e4
    return {"accuracy": toy.lr - 0.1 * lam + fold, "map_smoothness": lam + 2 * fold}


def toy_search(grid, estimator=None, scoring=toy_scores, **settings):
    search = GridSearchCV(
        Toy() if estimator is None else estimator,
        grid,
        scoring=scoring,
        refit=False,
        cv=3,
        error_score="raise",
        **settings,
    )
    return search.fit(X, Y)


GRID = [{"topo_loss": [None]}, {"topo_loss": ["ws", "as"], "lam": [0, 1, 3]}]


def test_candidates_of_a_search():
    search = toy_search(GRID)
    display = TradeOffDisplay.from_search(search, "map_smoothness", "accuracy")
    points, found = display.points, search.cv_results_
    for axis, name in (("x", "map_smoothness"), ("y", "accuracy")):
        mean, sd = found[f"mean_test_{name}"], found[f"std_test_{name}"]
        assert (sd > 0).all()
        np.testing.assert_array_equal(points[axis], mean)
        np.testing.assert_array_equal(points[f"{axis}_low"], mean - sd)
        np.testing.assert_array_equal(points[f"{axis}_high"], mean + sd)
    told = [("control", 0)]
    for params in found["params"][1:]:
        loss = params["topo_loss"] if params["lam"] else "control"
        told.append((loss, params["lam"]))
    assert list(zip(points["condition"], points["lam"])) == told
    assert (points["setting"] == "").all()
    assert display.ax_.get_xlabel() == "map smoothness"
    assert "mean and sd over 3 folds" in display.ax_.get_title()
    assert len(joined(display)) == 2


def test_only_candidates_of_one_setting_are_joined():
    search = toy_search({"lam": [1, 3], "lr": [0.1, 0.2]})
    display = TradeOffDisplay.from_search(search, "accuracy", "map_smoothness")
    points = display.points
    assert points["condition"].unique().tolist() == ["ws"]  # of the estimator
    assert sorted(set(points["setting"])) == ["lr=0.1", "lr=0.2"]
    assert len(joined(display)) == 2
    for line in joined(display):
        (lr,) = {
            search.cv_results_["params"][i]["lr"]
            for i in points.index[points["x"].isin(line.get_xdata())]
        }
        assert lr in (0.1, 0.2)
    search = RandomizedSearchCV(
        Toy(), {"lam": [1, 3], "lr": [0.1]}, scoring=toy_scores, refit=False, n_iter=2
    ).fit(X, Y)
    display = TradeOffDisplay.from_search(search, "accuracy", "map_smoothness")
    assert display.points["setting"].tolist() == ["", ""]  # one value tells nothing


def test_the_loss_is_found_in_pipelines_and_in_steps_that_are_searched():
    pipeline = make_pipeline(StandardScaler(), Toy(lam=2))
    grid = [
        {"toy__topo_loss": ["as", None]},
        {"toy": [Toy("laplacian", 3), LogisticRegression()]},
        {"toy": [Toy()], "toy__topo_loss": ["as"]},
    ]
    search = toy_search(grid, pipeline)
    display = TradeOffDisplay.from_search(search, "accuracy", "map_smoothness")
    told = list(zip(display.points["condition"], display.points["lam"]))
    assert told == [
        ("as", 2),
        ("control", 0),
        ("laplacian", 3),
        ("control", 0),
        ("as", 1),
    ]


def test_losses_that_are_no_names():
    losses = [WeightSimilarity, partial(ActivationSimilarity, distance="cosine")]
    search = toy_search({"topo_loss": losses})
    display = TradeOffDisplay.from_search(search, "accuracy", "map_smoothness")
    assert display.points["condition"].tolist() == [
        "WeightSimilarity",
        "ActivationSimilarity(distance=cosine)",
    ]


def test_candidates_that_failed_are_counted():
    def scores(estimator, X, y):
        nan = np.nan if estimator.lam == 3 else 0
        return {k: v + nan for k, v in toy_scores(estimator, X, y).items()}

    with pytest.warns(UserWarning, match="non-finite"):
        search = toy_search({"lam": [1, 2, 3]}, scoring=scores)
    display = TradeOffDisplay.from_search(search, "accuracy", "map_smoothness")
    assert "1 of 3 points lack a score" in display.ax_.get_title()
    assert sorted(display.bars_) == [0, 1]


def test_wrong_searches():
    search = toy_search({"lam": [1, 3]})
    with pytest.raises(ValueError, match="no score 'acuracy'; did you mean 'accuracy'"):
        TradeOffDisplay.from_search(search, "map_smoothness", "acuracy")
    single = toy_search({"lam": [1, 3]}, scoring="accuracy")
    with pytest.raises(ValueError, match=r"has one, \['score'\].*multi_scorer"):
        TradeOffDisplay.from_search(single, "accuracy", "score")
    with pytest.raises(NotFittedError, match="GridSearchCV"):
        TradeOffDisplay.from_search(GridSearchCV(Toy(), {}), "a", "b")
    for wrong in (Toy().fit(X, Y), search.cv_results_, None):
        with pytest.raises(TypeError, match="takes a fitted search with several"):
            TradeOffDisplay.from_search(wrong, "accuracy", "accuracy")
    assert plt.get_fignums() == []


# ------------------------------------------------------------------ studies


CONDITIONS = ["control", "ws", "as", "decay"]
MORANS_I = ("morans_i", {"neighborhood": "moore"})


def study_results(layers=False):
    """A study of four conditions, of which the last has no spatial loss."""
    rng, rows = np.random.default_rng(0), []
    for name, lam in [
        *(("control", 0), ("ws", 0.3), ("ws", 1), ("as", 0.3), ("as", 1)),
        ("decay", np.nan),
    ]:
        for seed in (100, 101, 102):
            model = (name, lam, seed)
            for layer in ("grid", "backbone.0")[: 1 + layers]:
                for kind in ("moore", "von_neumann"):
                    at = ("smoothness", "morans_i", f"neighborhood={kind}")
                    rows.append((*model, layer, *at, rng.normal()))
            rows.append((*model, "grid", "performance", "accuracy", "", rng.normal()))
    columns = "condition lam seed layer group measure parameter value"
    table = points_of(rows, columns).assign(n=10)
    table = table if layers else table.drop(columns="layer")
    conditions = dict.fromkeys(CONDITIONS)
    return StudyResults(table, None, conditions, {}, {}, None, None, {}, {})


@pytest.mark.parametrize("layers", [False, True])
def test_conditions_of_a_study(layers):
    results = study_results(layers)
    display = TradeOffDisplay.from_study(results, MORANS_I, "accuracy")
    points = display.points.set_index(["condition", "lam"])
    table = results.table.fillna({"lam": 0})
    if layers:
        table = table[table["layer"] == "grid"]
    for axis, (measure, at) in (("x", MORANS_I), ("y", ("accuracy", {}))):
        rows = select_results(table, measure, **at).groupby(["condition", "lam"])
        for key, values in rows["value"]:
            low, high = points.loc[key, [f"{axis}_low", f"{axis}_high"]]
            assert points.loc[key, axis] == pytest.approx(values.mean())
            half = 4.302652729911275 * values.std() / np.sqrt(3)  # t of 2 df
            assert (high - low) / 2 == pytest.approx(half)
    assert display.points["condition"].unique().tolist() == CONDITIONS
    assert display.ax_.get_xlabel() == "morans i\n(moore)"
    assert display.ax_.get_ylabel() == "accuracy"
    assert "mean and 95 % interval, n = 3 seeds" in display.ax_.get_title()
    looks = styles(CONDITIONS)
    colors = [bars.lines[0].get_color() for bars in display.bars_.values()]
    assert colors == [looks[name]["color"] for name in display.points["condition"]]


def test_a_layer_of_a_study_is_named():
    results = study_results(layers=True)
    at = {**MORANS_I[1], "layer": "backbone.0"}
    display = TradeOffDisplay.from_study(results, ("morans_i", at), MORANS_I)
    assert display.ax_.get_xlabel() == "morans i\n(moore, layer backbone.0)"
    assert display.ax_.get_ylabel() == "morans i\n(moore)"
    assert (display.points["x"] != display.points["y"]).all()
    assert results.plot("morans_i", **at).ax_.get_ylabel() == display.ax_.get_xlabel()


def test_a_study_that_was_run_and_one_that_was_not():
    results = study_results()
    study = TopographicStudy()
    with pytest.raises(ValueError, match=r"no results yet; call run\(\) first"):
        TradeOffDisplay.from_study(study, MORANS_I, "accuracy")
    study.results_, study.conditions_ = results.table, results.conditions
    of_study = TradeOffDisplay.from_study(study, MORANS_I, "accuracy")
    of_results = TradeOffDisplay.from_study(results, MORANS_I, "accuracy")
    pd.testing.assert_frame_equal(of_study.points, of_results.points)
    with pytest.raises(TypeError, match=r"from_study takes StudyResults.*DataFrame"):
        TradeOffDisplay.from_study(results.table, MORANS_I, "accuracy")


def test_models_without_a_value_are_counted():
    results = study_results()
    table = results.table
    lost = (table["condition"] == "ws") & (table["measure"] == "accuracy")
    table.loc[lost & (table["lam"] == 1), "value"] = np.nan
    table.loc[lost & (table["lam"] == 0.3) & (table["seed"] == 100), "value"] = np.nan
    absent = (table["condition"] == "as") & (table["measure"] == "accuracy")
    results.table = table[~absent]
    display = TradeOffDisplay.from_study(results, MORANS_I, "accuracy")
    title = display.ax_.get_title()
    assert "n = 2 to 3 seeds" in title
    assert "3 of 6 points lack a score" in title
    assert set(display.points_.loc[list(display.bars_), "condition"]) == {
        *("control", "ws", "decay")
    }


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ("acuracy", ValueError, "did you mean 'accuracy'"),
        ("morans_i", ValueError, r"several parameters.*neighborhood=moore"),
        (("morans_i", {"neighborhood": "more"}), ValueError, "did you mean 'moore'"),
        (
            ("morans_i", "moore"),
            TypeError,
            "x must be the name of a measure, or a pair",
        ),
        (3, TypeError, "x must be the name of a measure"),
    ],
)
def test_wrong_measures(asked, error, message):
    with pytest.raises(error, match=message):
        TradeOffDisplay.from_study(study_results(), asked, "accuracy")
    assert plt.get_fignums() == []

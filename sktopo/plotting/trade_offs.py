"""Displays of two scores against each other."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from sktopo._measures.results import as_pair, there_are
from sktopo._measures.words import select_labelled
from sktopo._numbers import elements
from sktopo.plotting._base import (
    as_label,
    called,
    entitle,
    known_conditions,
    legend,
    line_style,
    looks_of,
    seeds_in_words,
    summarise,
    write,
)
from sktopo.plotting.style import CONTROL, bare, drawing

__all__ = ["TradeOffDisplay"]

# Markers of no, the least and the largest lam, in points.
OF_NONE, SMALLEST, LARGEST = 4.0, 5.0, 9.0
# Of more lams than these the legend shows three.
MOST_LAMS = 6
FRONTIER = "black"
_MEAN = "mean_test_"


class TradeOffDisplay:
    """Two scores against each other, by loss and lam, and their frontier.

    Each condition has a colour; its markers grow with lam, and a thin line joins them
    in the order of lam. Dotted lines cross at the control, if it is one point.

    Filled markers are on the frontier: no other point has a better mean in one score
    and one as good in the other. It is found from the means alone and is no test: where
    bars overlap, noise may decide who is on it. Look for leads that the bars exceed,
    and check the few points that you choose on new seeds or images.

    Parameters
    ----------
    points : DataFrame
        A row a point: condition, lam (0 or nan: none), x and y. It may have x_low,
        x_high, y_low and y_high, where bars end (nan: no bar), and setting, a text:
        points are joined where condition and setting are the same.
    x_label, y_label : str, default="x", "y"
        Names of the scores.
    control : str, default="control"
        Name of the condition that is grey.
    conditions : sequence of str, default=None
        All conditions in their order, which decides their colours (but for those that
        were drawn in the figure before): give them where the points may lack some.
        None: those of the points.
    names : sequence of str, default=None
        What the legend calls the conditions, in their order. None: by their names.
    lower_is_better : {"x", "y"} or collection of them, default=()
        Axes of the scores of which less is better.
    note : str, default=None
        What is drawn, for the title, such as what the bars are. None: the number of
        points.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    frontier_line_ : Line2D
        The border of what the frontier's points are better than.
    bars_ : dict of int to ErrorbarContainer
        The marker and the bars of each point that is drawn, by its row in `points_`.
    points_ : DataFrame
        The points, with a column frontier: whether a point is on it. A point that lacks
        a score is not drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktopo.plotting import TradeOffDisplay
    >>> rows = [("control", 0, 0.0, 0.90), ("ws", 1, 0.5, 0.88), ("as", 1, 0.4, 0.80)]
    >>> points = pd.DataFrame(rows, columns=["condition", "lam", "x", "y"])
    >>> display = TradeOffDisplay(points, "Moran's I", "accuracy").plot()
    >>> display.points_["frontier"].tolist()
    [True, True, False]
    """

    def __init__(
        self,
        points: pd.DataFrame,
        x_label: str = "x",
        y_label: str = "y",
        *,
        control: str = "control",
        conditions=None,
        names=None,
        lower_is_better: Collection[str] = (),
        note: str | None = None,
    ):
        self.points = points
        self.x_label = x_label
        self.y_label = y_label
        self.control = control
        self.conditions = conditions
        self.names = names
        self.lower_is_better = lower_is_better
        self.note = note

    @classmethod
    def from_search(
        cls,
        search,
        x: str,
        y: str,
        *,
        names=None,
        lower_is_better: Collection[str] = (),
        ax=None,
        **kwargs,
    ) -> TradeOffDisplay:
        """Draw two scores of a search's candidates: means over folds.

        Bars are one standard deviation over folds to both sides, not intervals: folds
        share training images. A candidate's condition is its `topo_loss`, searched or
        not, at the end of a Pipeline, too; without a spatial loss, or with lam 0, it is
        "control". What else the search varies is the point's setting, such as
        "lr=0.01": it has no colour, but only candidates of one setting are joined.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or the like
            A fitted search with several scores, as `sktopo.scorers.multi_scorer` gives.
        x, y : str
            Names of two of its scores.
        names : sequence of str, default=None
            What the legend calls the conditions, in the order of the candidates. None:
            by their names.
        lower_is_better : {"x", "y"} or collection of them, default=()
            Axes of the scores of which less is better. Scorers are greater for better,
            also those that negate an error.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        TradeOffDisplay
            The display. The index of its `points` is the place of each candidate in
            ``search.cv_results_["params"]``.

        Raises
        ------
        TypeError
            If it is no search.
        NotFittedError
            If it is not fitted.
        ValueError
            If the search has one score only, or none of that name.

        Examples
        --------
        >>> from sklearn.model_selection import GridSearchCV
        >>> from sktopo import TopographicCNNClassifier
        >>> from sktopo.datasets import load_digits_images
        >>> from sktopo.plotting import TradeOffDisplay
        >>> from sktopo.scorers import multi_scorer
        >>> X, y = load_digits_images(return_X_y=True)
        >>> search = GridSearchCV(
        ...     TopographicCNNClassifier(max_epochs=1, grid_shape=(4, 4)),
        ...     {"lam": [0, 1]},
        ...     scoring=multi_scorer(["smoothness"]),
        ...     refit=False,
        ...     cv=2,
        ... ).fit(X[:200], y[:200])
        >>> display = TradeOffDisplay.from_search(search, "smoothness", "accuracy")
        >>> display.points["condition"].tolist()
        ['control', 'ws']
        """
        found = _searched(search)
        for score in (x, y):
            _check_score(found, score)
        points = pd.DataFrame(_candidates(search))
        for axis, score in (("x", x), ("y", y)):
            mean, sd = found[_MEAN + score], found[f"std_test_{score}"]
            points[axis] = mean
            points[f"{axis}_low"], points[f"{axis}_high"] = mean - sd, mean + sd
        labels = [score.replace("_", " ") for score in (x, y)]
        note = f"mean and sd over {search.n_splits_} folds"
        told = {"names": names, "lower_is_better": lower_is_better, "note": note}
        display = cls(points, *labels, **told)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_study(
        cls,
        results,
        x: str | tuple[str, dict],
        y: str | tuple[str, dict],
        *,
        names=None,
        lower_is_better: Collection[str] = (),
        ax=None,
        **kwargs,
    ) -> TradeOffDisplay:
        """Draw two measures of a study's conditions: means over seeds.

        Bars are Student-t 95 % intervals over seeds, of each measure by itself.

        Parameters
        ----------
        results : StudyResults or TopographicStudy
            What a study found.
        x, y : str or tuple of (str, dict)
            Names of two measures; or pairs of a name and the conditions that tell its
            rows from others, as for `sktopo.select_results`: ``("morans_i",
            {"neighborhood": "moore"})``. A "layer" is "grid" unless it is given.
        names : sequence of str, default=None
            What the legend calls the conditions of the study, in their order. None: by
            their names.
        lower_is_better : {"x", "y"} or collection of them, default=()
            Axes of the measures of which less is better.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        TradeOffDisplay
            The display.

        Raises
        ------
        TypeError
            If `results` is no study, or a measure is no name or pair.
        ValueError
            If the study was not run; if there is no such measure, or if it is one of
            several groups or was taken at several parameters.

        Examples
        --------
        >>> from sktopo import TopographicCNNClassifier
        >>> from sktopo.datasets import load_digits_images
        >>> from sktopo.plotting import TradeOffDisplay
        >>> from sktopo.study import TopographicStudy
        >>> X, y = load_digits_images(return_X_y=True)
        >>> study = TopographicStudy(
        ...     TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1),
        ...     topo_losses=["ws"], lams=[1], n_seeds=2,
        ...     include=["performance", "smoothness"], verbose=0,
        ... ).run(X[:300], y[:300], X[300:400], y[300:400])
        >>> smoothness = ("morans_i", {"neighborhood": "moore"})
        >>> display = TradeOffDisplay.from_study(study, smoothness, "accuracy")
        >>> display.points["condition"].tolist()
        ['control', 'ws']
        """
        table, conditions = _studied(results)
        labels, parts = [], []
        for axis, asked in (("x", x), ("y", y)):
            summary, label = _means(table, axis, asked)
            labels.append(label)
            parts.append(summary)
        points = pd.concat(parts, axis=1).reset_index()
        display = cls(
            points,
            *labels,
            conditions=conditions,
            names=names,
            lower_is_better=lower_is_better,
            note=seeds_in_words([*points["x_n"].dropna(), *points["y_n"].dropna()]),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> TradeOffDisplay:
        """Draw the points, their bars and the frontier.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Properties of all markers and of the lines that join them, as for `Line2D`.

        Returns
        -------
        TradeOffDisplay
            Itself.

        Raises
        ------
        ValueError
            If a column is missing, there is a condition beside `conditions`, there are
            not as many names as conditions, or `lower_is_better` names no axis.
        """
        lower = _axes_of(self.lower_is_better)
        self.points_ = points = _mark_frontier(_checked(self.points), lower)
        names = called(known_conditions(points, self.conditions), self.names)
        there, given = points[_has_both(points)], line_style({}, kwargs)
        label, size = given.pop("label"), _sizes(there["lam"])
        self.bars_ = {}
        with drawing(ax, (3.8, 3.2)) as ax:
            looks = looks_of(ax, names, self.control)
            self.frontier_line_ = _draw_frontier(ax, there, lower)
            _draw_cross(ax, there[there["condition"] == self.control])
            for name, part in there.groupby("condition", sort=False):
                style = {"linewidth": 0.8, **looks[name], **given}
                _join(ax, part, style)
                self.bars_ |= _draw_points(ax, part, style, size)
                style = {"markersize": 5, **style}  # for the legend
                ax.plot([], [], label=label or as_label(names[name]), **style)
            _tell_marks(ax, size, given)
            for axis, text in (("x", self.x_label), ("y", self.y_label)):
                text += "\n(less is better)" * (axis in lower)
                write(getattr(ax, f"{axis}axis").label, text, 36)
            legend(ax)
            entitle(ax, self._title(len(points), len(there)))
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _title(self, n_points, n_drawn):
        x, y = (" ".join(str(v).split()) for v in (self.x_label, self.y_label))
        told = f"n = {n_points} points" if self.note is None else self.note
        told = f"{y} against {x}\n{told}"
        lacking = n_points - n_drawn
        return told + f"\n{lacking} of {n_points} points lack a score" * bool(lacking)


# ------------------------------------------------------------------ points


def _axes_of(lower_is_better):
    """The axes of which less is better."""
    axes = elements(lower_is_better, "lower_is_better")
    if any(axis not in ("x", "y") for axis in axes):
        raise ValueError(
            f"lower_is_better must hold 'x', 'y' or both; got {lower_is_better!r}."
        )
    return axes


def _checked(points):
    """The points with all columns."""
    wanted = ["condition", "lam", "x", "y"]
    if missing := [name for name in wanted if name not in points]:
        raise ValueError(f"The points lack the columns {missing}.")
    ends = [f"{axis}_{end}" for axis in "xy" for end in ("low", "high")]
    absent = {name: np.nan for name in ends if name not in points}
    absent |= {"setting": ""} if "setting" not in points else {}
    points = points.assign(lam=points["lam"].astype(float).fillna(0), **absent)
    return points.astype(dict.fromkeys(["x", "y", *ends], float))


def _has_both(points):
    return np.isfinite(points[["x", "y"]]).all(axis=1)


def _mark_frontier(points, lower):
    """The points, with whether each is on the frontier of those that have both."""
    signs = [-1 if axis in lower else 1 for axis in "xy"]
    values = points[["x", "y"]].to_numpy() * signs
    values[~_has_both(points)] = -np.inf
    as_good = (values >= values[:, None]).all(axis=2)
    better = (values > values[:, None]).any(axis=2)
    beaten = (as_good & better).any(axis=1)
    return points.assign(frontier=~beaten & _has_both(points))


# ------------------------------------------------------------------ drawing


def _sizes(lams):
    """Size of the marker of each lam, on a logarithmic scale."""
    above = np.unique(lams[lams > 0])
    place = np.full(len(above), 0.5)
    if len(above) > 1:
        place = np.log(above / above[0]) / np.log(above[-1] / above[0])
    sizes = SMALLEST + (LARGEST - SMALLEST) * place
    return {0.0: OF_NONE, **dict(zip(above, sizes))}


def _draw_frontier(ax, points, lower):
    """The border of what the points on the frontier are better than, in steps."""
    at = points.loc[points["frontier"], ["x", "y"]].sort_values(["x", "y"])
    steps = "steps-post" if "x" in lower else "steps-pre"
    style = {"color": FRONTIER, "lw": 0.8, "drawstyle": steps, "zorder": 1}
    return ax.plot(at["x"], at["y"], **style)[0]


def _draw_cross(ax, control):
    """Lines through the control, if it is one point."""
    for row in control.itertuples() if len(control) == 1 else ():
        style = {"color": CONTROL, "lw": 0.7, "ls": ":", "zorder": 0}
        ax.axvline(row.x, **style)
        ax.axhline(row.y, **style)


def _join(ax, part, style):
    """Lines along lam, through the points of each setting."""
    for _, points in part.groupby("setting", sort=False):
        if points["lam"].nunique() > 1:
            at = points.sort_values("lam")
            ax.plot(at["x"], at["y"], **{"alpha": 0.6, **style, "marker": ""})


def _draw_points(ax, part, style, size):
    """The marker and the bars of each point."""
    bars = {}
    for row in part.itertuples():
        face = {} if row.frontier else {"markerfacecolor": "white"}
        whole = {"markersize": size[row.lam], **face, **style, "capsize": 0}
        reach = [_reach(row, axis) for axis in "yx"]
        bars[row.Index] = ax.errorbar(row.x, row.y, *reach, elinewidth=0.7, **whole)
        for lines in bars[row.Index].lines[2]:
            lines.set_alpha(0.55)
    return bars


def _reach(row, axis):
    """How far bars reach to both sides: nowhere if an end is nan."""
    at, low, high = (getattr(row, axis + end) for end in ("", "_low", "_high"))
    return np.maximum(np.nan_to_num([[at - low], [high - at]]), 0)


def _tell_marks(ax, size, given):
    """What the legend says of marks that all conditions share."""
    ax.plot([], [], color=FRONTIER, lw=0.8, label="frontier of means (filled)")
    lams = [lam for lam in size if lam > 0]
    if len(lams) > MOST_LAMS:
        lams = [lams[0], lams[len(lams) // 2], lams[-1]]
    if "markersize" in given:  # all are alike
        return
    style = {"color": "0.5", "marker": "o", "linestyle": "", "markerfacecolor": "0.85"}
    for lam in lams:
        ax.plot([], [], **style, markersize=size[lam], label=f"lam {lam:g}")


# ------------------------------------------------------------------ of a search


def _searched(search):
    """What a search found of several scores."""
    if not hasattr(search, "error_score"):
        raise TypeError(
            f"from_search takes a fitted search with several scores, such as a "
            f"GridSearchCV; got a {type(search).__name__}."
        )
    check_is_fitted(search, "cv_results_")
    return search.cv_results_


def _check_score(found, score):
    """Raise a ValueError unless a search has a score of that name, and others."""
    known = [name.removeprefix(_MEAN) for name in found if name.startswith(_MEAN)]
    if len(known) < 2:
        raise ValueError(
            f"A trade-off takes two scores, and the search has one, {known}. Search "
            f"with several, such as scoring=multi_scorer(['smoothness']) of "
            f"sktopo.scorers, which adds accuracy; halving searches take one only."
        )
    if score not in known:
        known = there_are("there are", score, known)
        raise ValueError(f"The search has no score {score!r}; {known}")


def _candidates(search):
    """Condition, lam and setting of each candidate."""
    tried = search.cv_results_["params"]
    others = [
        {k: str(v) for k, v in params.items() if _last(k) not in ("topo_loss", "lam")}
        for params in tried
    ]
    varied = {k for other in others for k in other if _varies(k, others)}
    for params, other in zip(tried, others):
        settings = {_last(k): v for k, v in _settings(search.estimator, params).items()}
        loss, lam = settings.get("topo_loss"), settings.get("lam") or 0.0
        spatial = loss is not None and lam > 0
        yield {
            "condition": _name_of(loss) if spatial else "control",
            "lam": lam if spatial else 0.0,
            "setting": ", ".join(f"{k}={v}" for k, v in other.items() if k in varied),
        }


def _last(parameter):
    """A parameter without the names of the steps that it is of."""
    return parameter.rpartition("__")[2]


def _varies(parameter, others):
    return len({other.get(parameter) for other in others}) > 1


def _settings(estimator, params):
    """All parameters of a candidate, also of estimators that are searched over."""
    found = estimator.get_params()
    for name in sorted(params):  # a step before what is set of it
        found[name] = value = params[name]
        if hasattr(value, "get_params"):
            found = {k: v for k, v in found.items() if not k.startswith(f"{name}__")}
            found |= {f"{name}__{k}": v for k, v in value.get_params().items()}
    return found


def _name_of(loss):
    """What a loss is called: a name, a class, or a partial of a class."""
    if isinstance(loss, partial):
        settings = ", ".join(f"{k}={v}" for k, v in loss.keywords.items())
        return f"{_name_of(loss.func)}({settings})"
    return loss if isinstance(loss, str) else getattr(loss, "__name__", str(loss))


# ------------------------------------------------------------------ of a study


def _studied(results):
    """The table and the names of the conditions of a study."""
    for table, conditions in (("table", "conditions"), ("results_", "conditions_")):
        if hasattr(results, table) and hasattr(results, conditions):
            table = getattr(results, table)
            named = [*getattr(results, conditions), *table["condition"]]
            return table, list(dict.fromkeys(named))  # subjects last
    if hasattr(results, "run"):
        raise ValueError("This study has no results yet; call run() first.")
    raise TypeError(
        f"from_study takes StudyResults, as of sktopo.study.load_results, or a "
        f"TopographicStudy that was run; got a {type(results).__name__}."
    )


def _means(table, axis, asked):
    """Mean, interval and number of seeds of each condition and lam; and the label."""
    pair = as_pair(asked)
    if pair is None:
        raise TypeError(
            f"{axis} must be the name of a measure, or a pair of a name and conditions "
            f"such as ('morans_i', {{'neighborhood': 'moore'}}); got {asked!r}."
        )
    rows, label = select_labelled(table, pair[0], **pair[1])
    found = summarise(rows.assign(lam=rows["lam"].fillna(0)))
    found = found.set_index(["condition", "lam"]).add_prefix(f"{axis}_")
    return found.rename(columns={f"{axis}_mean": axis}), label

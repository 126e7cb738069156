"""The page on what networks are taught by: its text and figure, made of the results.

    python docs/objectives_page.py

writes docs/objectives.rst, by docs/objectives/page.rst.jinja, and the figure beside
that. Every number of the page comes from the tables in docs/objectives; its own text
says with which commands those were made. With --pixels a logistic regression reads
labels from pixels, too, which takes minutes and needs Fashion-MNIST.
"""

import argparse
from pathlib import Path

import pandas as pd
import texts
from texts import (
    count_models,
    legend_below,
    mean_in_words,
    read_results,
    rendered,
    rows_of,
    save,
    short,
    table,
    with_interval,
)

from sktopo._measures.results import write_parameter
from sktopo.plotting.style import LINE_COLORS, bare, drawing
from sktopo.replication import load_comparison
from sktopo.replication._judging import UntestableError, consistency_slope
from sktopo.replication._objectives import OBJECTIVES, read_labels

HERE = Path(__file__).parent
FOLDER = HERE / "objectives"
PIXELS = FOLDER / "pixels.csv"
LABELS = {"cross_entropy": "cross entropy", "supcon": "SupCon", "simclr": "SimCLR"}
CONDITIONS = {
    "control": "control",
    "untrained": "untrained",
    "longer": "control, 24 epochs",
    "ws": "WS",
}
# What tables and the figure show: group, measure, parameter and words of each.
OUTCOMES = {
    "probe": ("linear_probe", "linear_probe", "", "linear probe"),
    "accuracy": texts.OUTCOMES["accuracy"],
    "morans_i": texts.OUTCOMES["morans_i"],
    "rook": (
        *("smoothness", "morans_i", write_parameter(neighborhood="von_neumann")),
        "Moran's I, rook",
    ),
    "distance_ratio": texts.OUTCOMES["distance_ratio"],
    "experts": ("selectivity", "n_experts", "", "experts"),
    "norm": texts.OUTCOMES["norm"],
}


class Taught:
    """What the page tells of one objective.

    Parameters
    ----------
    results : DataFrame
        The results of its study.
    pairs : DataFrame
        How alike two seeds are, as `StudyResults.seed_pairs` gives it.
    """

    def __init__(self, results, pairs):
        self.results, self.pairs = results, pairs
        self.n_models, self.n_seeds = count_models(results)

    def values(self, outcome):
        """A row a condition and lam, a column a seed; empty where not measured."""
        rows = rows_of(self.results, OUTCOMES[outcome])
        return rows.pivot_table("value", ["condition", "lam"], "seed", sort=False)

    def mean(self, outcome, condition, lam=0.0):
        """Mean over seeds and its interval, in words."""
        return mean_in_words(self.values(outcome).loc[(condition, lam)])

    def change(self, outcome, condition="ws", lam=1.0, to="control"):
        """Difference of the same seed from another condition at lam 0, in words."""
        values = self.values(outcome)
        return mean_in_words(
            values.loc[(condition, lam)] - values.loc[(to, 0.0)], sign=True
        )

    def beyond(self, outcome, value, condition="control", lam=0.0):
        """Difference from a number, in words."""
        return mean_in_words(self.values(outcome).loc[(condition, lam)] - value, True)

    def over_lams(self, outcome):
        """WS - control, of a seed the mean over its lams, in words."""
        values = self.values(outcome)
        difference = values.loc["ws"].mean() - values.loc[("control", 0.0)]
        return mean_in_words(difference, sign=True)

    def consistency(self):
        """Likeness of the seeds' dissimilarities at each lam of WS, in words."""
        means = self.pairs[self.pairs["condition"] == "ws"]
        means = means.groupby("lam")["correlation"].mean()
        return ", ".join(f"{short(m)} at lam {lam:g}" for lam, m in means.items())

    def falls(self):
        """Minus the slope of consistency on log lam, by jackknife, in words."""
        try:
            found, _ = consistency_slope(self.pairs)
        except UntestableError as reason:
            return f"not estimated ({reason})"
        return with_interval(found, "estimate", "low", "high", sign=True)

    def table(self):
        """A row a condition and lam, a column an outcome."""
        shown = [name for name in OUTCOMES if len(self.values(name))]
        rows = [
            (
                CONDITIONS[condition] + (f", lam {lam:g}" if lam else ""),
                *(self.mean(name, condition, lam) for name in shown),
                self.n_seeds,
            )
            for condition, lam in self.values("probe").index
        ]
        return table(["condition", *(OUTCOMES[n][-1] for n in shown), "n"], rows)


# ------------------------------------------------------------------ the figure


def draw(taught):
    """Outcomes against lam, a line an objective; each seed a point."""
    names = ["probe", "morans_i", "distance_ratio", "experts"]
    with drawing(None, (5.6, 5.2), (2, 2)) as axes:
        for ax, name in zip(axes.ravel(), names):
            for place, (objective, found) in enumerate(taught.items()):
                values = found.values(name)
                values = values.loc[["control", "ws"]].droplevel("condition")
                x = range(len(values))
                style = {"color": LINE_COLORS[place], "label": LABELS[objective]}
                ax.plot(x, values.mean(axis=1), "-", lw=1.5, **style)
                for seed in values:
                    ax.plot(x, values[seed], "o", ms=3, color=style["color"], alpha=0.6)
            ax.set_xticks(x, ["control", *(f"{lam:g}" for lam in values.index[1:])])
            ax.set_title(OUTCOMES[name][-1], fontsize="medium")
            bare(ax)
        for ax in axes[-1]:
            ax.set_xlabel("lam of WS")
        legend_below(ax, 3)
    return ax.figure


# ------------------------------------------------------------------ the page


def read():
    """What was found with each objective."""
    return {
        name: Taught(
            read_results(FOLDER / f"{name}.csv.gz"),
            pd.read_csv(FOLDER / f"seed_pairs_{name}.csv"),
        )
        for name in OBJECTIVES
    }


def page():
    """The text of the page, and what was found with each objective."""
    taught = read()
    pixels = pd.read_csv(PIXELS)["accuracy"].item()
    values = {"labels": LABELS, "pixels": pixels, "short": short}
    return rendered(FOLDER, **values, taught=taught), taught


def read_pixels():
    """What the same probe reads from pixels."""
    X, y, X_test, y_test = load_comparison()
    flat, flat_test = (images.reshape(len(images), -1) / 255 for images in (X, X_test))
    row = {"accuracy": read_labels(flat, y, flat_test, y_test), "n": len(y_test)}
    pd.DataFrame([row]).to_csv(PIXELS, index=False)


def main():
    parser = argparse.ArgumentParser(description="Make the page on objectives.")
    parser.add_argument("--pixels", action="store_true", help="read pixels, too")
    if parser.parse_args().pixels:
        read_pixels()
    text, taught = page()
    (HERE / "objectives.rst").write_text(text)
    save(draw(taught), FOLDER / "objectives.png")


if __name__ == "__main__":
    main()

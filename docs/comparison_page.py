"""The page on the comparison of losses: its text and figures, made of the results.

    python docs/comparison_page.py

writes docs/comparison.rst, by docs/comparison/page.rst.jinja, and the figures beside
that. Every number of the page comes from the tables in docs/comparison; its own text
says with which commands those were made.
"""

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
from texts import (
    legend_below,
    read_results,
    rendered,
    save,
    short,
    table,
    with_interval,
)

from sktopo.plotting import TradeOffDisplay
from sktopo.plotting.style import drawing
from sktopo.replication import (
    _contrasts,
    against_simpler,
    equal_smoothness,
    on_top,
    overview,
)
from sktopo.replication._comparison import BACKBONES, LOSSES, STRENGTH
from sktopo.replication._contrasts import CONTROL, OUTCOMES, PERTURBATIONS

HERE = Path(__file__).parent
FOLDER = HERE / "comparison"
LABELS = {
    "control": "control",
    "ws": "WS",
    "ws_cosine": "cosine WS",
    "as": "AS",
    "laplacian": "Laplacian",
    "spatial_correlation": "spatial correlation",
    "inverse_distance": "inverse distance",
    "ws_strong": "WS, strength 1",
    "adamw_0.01": "AdamW .01",
    "adamw_0.1": "AdamW .1",
    "white_noise": "trained with noise",
    "ws_adamw_0.01": "WS and AdamW .01",
    "ws_adamw_0.1": "WS and AdamW .1",
    "ws_white_noise": "WS and trained with noise",
}
FIGURES = {
    "frontier": ["accuracy"],
    "robustness": list(PERTURBATIONS),
    "experts": ["n_experts", "distance_ratio"],
}
LESS_IS_BETTER = {"distance_ratio"}


def label_of(condition, lam=np.nan):
    at = f", {short(lam, 2)}" if condition in LOSSES else ""
    return LABELS[condition] + at


class Numbers:
    """What the page tells of one comparison.

    Parameters
    ----------
    results : DataFrame
        The table of its study.
    """

    def __init__(self, results):
        self.simpler, self.on_top = against_simpler(results), on_top(results)
        self.smooth, self.all = equal_smoothness(results), overview(results)
        self.n = results["seed"].nunique()
        self.n_models = len(results[["condition", "lam", "seed"]].drop_duplicates())

    def _row(self, condition, lam, outcome):
        found = self.all.query(
            "condition == @condition and lam == @lam and outcome == @outcome"
        )
        return found.iloc[0]

    def mean(self, condition, lam, outcome):
        """Mean and interval of a condition."""
        return with_interval(self._row(condition, lam, outcome), "mean", "low", "high")

    def change(self, condition, lam, outcome):
        """Mean difference from the control, and its interval."""
        columns = ("difference", "difference_low", "difference_high")
        return with_interval(self._row(condition, lam, outcome), *columns, sign=True)

    def ahead_of_all(self):
        """The short answer to question 1, in a sentence or two."""
        rows = self.simpler[self.simpler["reading"] == "ahead"]
        if rows.empty:
            return (
                "**No.** Under none of these perturbations is any of the losses ahead "
                "of the control and of all simpler means"
            )
        under = rows.groupby("perturbation", sort=False)["condition"]
        ahead = [
            f"{' and '.join(map(self._with_smoothness, names))} under "
            f"{OUTCOMES[name].label}"
            for name, names in under
        ]
        others = [OUTCOMES[n].label for n in PERTURBATIONS if n not in under.groups]
        none = f"; none is under {', '.join(others)}" if others else ""
        return (
            f"**In part.** Ahead of the control and of all simpler means are "
            f"{', and '.join(ahead)}{none}. The least p of these, by Holm's method, is "
            f"{short(rows['p_holm'].min())}"
        )

    def _with_smoothness(self, condition):
        moran = self._row(condition, STRENGTH, "morans_i")["mean"]
        return f"{LABELS[condition]} (Moran's I {short(moran, 2)})"

    def answer(self, question):
        """How many rows of a question are read in each way, and which: a list."""
        rows = getattr(self, question)
        lines = []
        for reading in ("ahead", "behind", "open"):
            part = rows[rows["reading"] == reading]
            told = f"- {len(part)} of {len(rows)} are {reading}"
            if len(part) and reading != "open":
                told += f": {self._listed(part)}"
            lines.append(told + ".")
        return "\n".join(lines)

    def _listed(self, rows):
        """Rows of one perturbation and rival together, by how far they are from it."""
        lines = []
        for (perturbation, rival), part in rows.groupby(
            ["perturbation", "rival"], sort=False
        ):
            names = [LABELS[name] for name in part["condition"]]
            told = "all losses" if len(names) == len(LOSSES) else ", ".join(names)
            lines.append(
                f"{told} under {OUTCOMES[perturbation].label}, "
                f"{_range_or_interval(part)} from {LABELS[rival]}"
            )
        return "; ".join(lines)

    def question_table(self, question):
        """A row a condition and perturbation."""
        names = ["condition", "under", "strongest rival", "n", "difference"]
        rows = [
            (
                LABELS[row["condition"]],
                OUTCOMES[row["perturbation"]].label,
                LABELS[row["rival"]],
                row["n"],
                with_interval(row, "difference", "low", "high", sign=True),
                short(row["p_holm"]),
                row["reading"],
            )
            for row in getattr(self, question).to_dict("records")
        ]
        return table([*names, "p (Holm)", "reading"], rows)

    def overview_table(self, *names):
        """A row a condition and strength, a column an outcome."""
        rows = [
            (
                label_of(condition, lam),
                *(self.mean(condition, lam, name) for name in names),
                int(part["n"].min()),
            )
            for (condition, lam), part in self.all[
                self.all["outcome"].isin(names)
            ].groupby(["condition", "lam"], sort=False)
        ]
        return table(["condition", *(OUTCOMES[n].label for n in names), "n"], rows)

    def change_table(self, *names):
        """Differences from the control, one strength of each loss."""
        rows = []
        for condition, part in self.all.groupby("condition", sort=False):
            lam = STRENGTH if condition in LOSSES else part["lam"].iloc[0]
            if condition != CONTROL:
                cells = [self.change(condition, lam, name) for name in names]
                rows.append((label_of(condition, lam), *cells, self.n))
        return table(["condition", *(OUTCOMES[n].label for n in names), "n"], rows)

    def smooth_table(self, level, *names):
        """Outcomes of each loss at one value of Moran's I."""
        part = self.smooth[self.smooth["level"] == level]
        rows = []
        for condition, own in part.groupby("condition", sort=False):
            own = own.set_index("outcome")
            cells = [
                with_interval(own.loc[name], "mean", "low", "high") for name in names
            ]
            rows.append((LABELS[condition], *cells, own["n"].iloc[0]))
        return table(["loss", *(OUTCOMES[n].label for n in names), "n"], rows)


def _range_or_interval(rows):
    """The difference of one row with its interval, or the differences' range."""
    if len(rows) == 1:
        return with_interval(rows.iloc[0], "difference", "low", "high", sign=True)
    ends = rows["difference"].agg(["min", "max"])
    return " to ".join(short(end, sign=True) for end in ends)


# ------------------------------------------------------------------ figures


def trade_off(numbers, name):
    """The display of an outcome against Moran's I; bars are intervals over seeds."""
    parts = []
    for axis, outcome in (("x", "morans_i"), ("y", name)):
        rows = numbers.all[numbers.all["outcome"] == outcome]
        rows = rows.set_index(["condition", "lam"])[["mean", "low", "high"]]
        names = {"mean": axis, "low": f"{axis}_low", "high": f"{axis}_high"}
        parts.append(rows.rename(columns=names))
    points = pd.concat(parts, axis=1).reset_index().replace({"condition": LABELS})
    return TradeOffDisplay(
        points,
        "Moran's I",
        OUTCOMES[name].label,
        conditions=list(LABELS.values()),
        lower_is_better="y" if name in LESS_IS_BETTER else (),
        note=f"n = {numbers.n} seeds",
    )


def draw(numbers, names):
    """Outcomes against Moran's I: one, or several beside each other."""
    if len(names) == 1:
        with drawing(None, (5.5, 4)) as ax:
            trade_off(numbers, names[0]).plot(ax)
        return ax.figure
    n_columns = 2
    n_rows = -(-len(names) // n_columns)
    with drawing(None, (6, 2.5 * n_rows + 1.4), (n_rows, n_columns)) as axes:
        for ax, name in zip(axes.ravel(), names):
            trade_off(numbers, name).plot(ax)
            ax.get_legend().remove()
        legend_below(ax, 3)
    return ax.figure


# ------------------------------------------------------------------ the page


def read(name):
    """The results of one of the comparisons."""
    return read_results(FOLDER / f"{name}.csv.gz")


def cost_table():
    """Seconds a step beside the control's, a column a network."""
    wide = pd.read_csv(FOLDER / "cost.csv").pivot(
        index="condition", columns="backbone", values="ratio"
    )
    rows = [
        (LABELS[name], *(short(wide.loc[name, b], 2) for b in BACKBONES))
        for name in LABELS
        if name in wide.index
    ]
    return table(["condition", "small network", "default network"], rows)


def first_table():
    """The first numbers, and those of the same settings now."""
    found = pd.read_csv(FOLDER / "first_numbers.csv")
    rows = []
    for condition, part in found.groupby("condition", sort=False):
        now = part[["accuracy", "morans_i"]].agg(["mean", "min", "max"])
        cells = [
            f"{short(now.loc['mean', name], 2)} ({short(now.loc['min', name], 2)} to "
            f"{short(now.loc['max', name], 2)})"
            for name in now
        ]
        before = part[["accuracy_before", "morans_i_before"]].iloc[0]
        rows.append((LABELS[condition], *map(short, before, [2, 2]), *cells, len(part)))
    columns = ["condition", "accuracy before", "Moran's I before"]
    return table([*columns, "accuracy now", "Moran's I now", "n now"], rows)


def page():
    """The text of the page, and the numbers that it is made of."""
    there = [name for name in BACKBONES if (FOLDER / f"{name}.csv.gz").exists()]
    comparisons = {name: Numbers(read(name)) for name in there}
    text = rendered(
        FOLDER,
        plan="\n".join(inspect.getdoc(_contrasts).splitlines()[4:]),
        cost=cost_table(),
        first=first_table(),
        **comparisons,
    )
    return text, comparisons


def main():
    text, comparisons = page()
    (HERE / "comparison.rst").write_text(text)
    for name, outcomes in FIGURES.items():
        for which, numbers in comparisons.items():
            save(draw(numbers, outcomes), FOLDER / f"{name}_{which}.png")


if __name__ == "__main__":
    main()

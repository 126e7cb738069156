"""The page on the replication: its text and figures, made of the results.

    python docs/replication_page.py

writes docs/replication.rst, by docs/replication/page.rst.jinja, and the figures beside
that. Every number of the page comes from the tables in docs/replication; its own text
says with which commands those were made. With --store STORE, the folder of the study of
Fashion-MNIST, the figure of single models is drawn anew, too.
"""

import argparse
from pathlib import Path

import matplotlib.ticker
import numpy as np
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

from sktopo import select_results
from sktopo._measures.results import write_parameter
from sktopo.plotting import (
    CorrelationHistogramDisplay,
    GridMapDisplay,
    LambdaCurveDisplay,
)
from sktopo.plotting.style import bare, drawing, styles
from sktopo.study import load_results
from sktopo.study.statistics import mean_interval

HERE = Path(__file__).parent
FOLDER = HERE / "replication"
DATASETS = ("fashion_mnist", "mnist_5000")
LABELS = {
    "control": "control",
    "ws": "WS",
    "as": "AS",
    "as_untransposed": "AS untransposed",
    "ws_cosine": "WS, cosine",
    "ws_no_dropout": "WS, no dropout",
    "control_no_dropout": "control, no dropout",
    "as_squared_correlation": "AS, 1 - r^2",
    "inverse_distance": "inverse distance",
}
MAIN = ("control", "ws", "as", "as_untransposed")
# What AS may have been, beside the control and WS.
VARIANTS = (
    *("control", "ws", "as", "as_untransposed"),
    *("as_squared_correlation", "inverse_distance"),
)
VERDICTS = {
    "replicates": "C2",
    "differs": "C0",
    "reversed": "C3",
    "does not replicate": "C1",
    "undecided": "0.55",
}
_WEIGHT = {"noise": "weight", "layers": "head"}
SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)
# What tables and figures show: group, measure, parameter and words of each.
OUTCOMES = {
    "accuracy": texts.OUTCOMES["accuracy"],
    "morans_i": texts.OUTCOMES["morans_i"],
    "neighbours": (
        *("smoothness", "correlation", write_parameter(distance=1)),
        "r of neighbours",
    ),
    "dip": ("smoothness", "dip", "", "dip of pair correlations"),
    "stripes": (
        *("smoothness", "autocorrelation", write_parameter(axis="row", lag=2)),
        "stripes",
    ),
    "distance_ratio": texts.OUTCOMES["distance_ratio"],
    "std": (
        *("robustness", "accuracy_change"),
        write_parameter(**_WEIGHT, scale="std", mean_up_to=1.0),
        "change, weight noise, std",
    ),
    "absolute": (
        *("robustness", "accuracy_change"),
        write_parameter(**_WEIGHT, scale="absolute", mean_up_to=1.0),
        "change, weight noise, absolute",
    ),
    "image": (
        *("robustness", "accuracy_change"),
        write_parameter(noise="image", kind="all", mean_up_to=0.2),
        "change, image noise",
    ),
    "norm": texts.OUTCOMES["norm"],
}


# ------------------------------------------------------------------ what was found


class Found:
    """What the page tells of the study of one data set.

    Parameters
    ----------
    dataset : str
        Its name.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        ending = "" if dataset == DATASETS[0] else f"_{dataset}"
        self.results = read(f"results{ending}.csv.gz")
        self.claims = read(f"claims{ending}.csv")
        self.tests = self.claims[self.claims["kind"] == "test"]
        without = FOLDER / f"claims_without_pilot{ending}.csv"
        self.without = read(without.name) if without.exists() else None
        self.n_models, self.n_seeds = count_models(self.results)

    # -------------------------------------------------------------- claims

    def verdict(self, claim):
        return self._tests_of(claim)["verdict"].iloc[0]

    def _tests_of(self, claim):
        """The contrasts that a claim is judged by."""
        return self.tests[self.tests["claim"] == claim]

    def delta(self, claim, contrast=0):
        """The least effect that counts in a contrast."""
        return self._tests_of(claim)["delta"].iloc[contrast]

    def p(self, claim):
        """By Holm's method."""
        return p_in_words(self._tests_of(claim)["p_holm"].iloc[0])

    def line(self, claim, contrast=0, beside=""):
        """A contrast of a claim: estimate, interval and n, in words.

        Parameters
        ----------
        claim : str
            Its row.
        contrast : int, default=0
            Which of its contrasts.
        beside : str, default=""
            Another measure that is shown beside it.
        """
        rows = self.claims[self.claims["claim"] == claim]
        if beside:
            rows = rows[rows["text"].str.endswith(f": {beside}")]
        row = rows.iloc[contrast]
        if np.isnan(row["n"]):
            return f"{in_words(row['contrast'])} not run"
        estimate = with_interval(row, "estimate", "low", "high", sign=True)
        return f"{in_words(row['contrast'])} {estimate}, n = {row['n']:.0f}"

    def listed(self, *verdicts):
        """Claims with one of these verdicts, a line each."""
        found = self.tests[self.tests["verdict"].isin(verdicts)]
        lines = [
            f"- {claim}, {rows['text'].iloc[0]}: "
            + "; ".join(self.line(claim, i) for i in range(len(rows)))
            for claim, rows in found.groupby("claim", sort=False)
        ]
        return "\n".join(lines) or "- none"

    def count(self, *verdicts):
        found = self.tests.loc[self.tests["verdict"].isin(verdicts), "claim"]
        return found.nunique()

    @property
    def n_claims(self):
        return self.tests["claim"].nunique()

    def claims_table(self):
        """Every contrast that was tested."""
        without = {} if self.without is None else self.verdicts_without_pilot()
        rows = [
            (
                row["claim"],
                in_words(row["contrast"]),
                "-" if np.isnan(row["n"]) else f"{row['n']:.0f}",
                with_interval(row, "estimate", "low", "high", sign=True),
                short(row["delta"]),
                p_in_words(row["p_holm"]),
                row["verdict"],
                row["verdict_v1"] or "no row",
                *([without[row["claim"]]] if without else []),
            )
            for row in self.tests.to_dict("records")
        ]
        names = ["claim", "contrast", "n", "estimate", "delta", "p (Holm)", "verdict"]
        more = ["without the pilot's seeds"] if without else []
        return table([*names, "version 1", *more], rows)

    def moved(self, verdicts):
        """Claims that have another verdict elsewhere: which, from and to what.

        Parameters
        ----------
        verdicts : dict
            Verdicts by claim.
        """
        moved = [
            f"{claim} ({verdict} here, {verdicts[claim]} there)"
            for claim, verdict in self.verdicts().items()
            if claim in verdicts and not _is_same(verdict, verdicts[claim])
        ]
        return ", ".join(moved) or "none"

    def verdicts(self):
        return dict(zip(self.tests["claim"], self.tests["verdict"]))

    def verdicts_without_pilot(self):
        tests = self.without[self.without["kind"] == "test"]
        return dict(zip(tests["claim"], tests["verdict"]))

    def verdicts_of_version_1(self):
        rows = self.tests[self.tests["verdict_v1"] != ""]
        return dict(zip(rows["claim"], rows["verdict_v1"]))

    # -------------------------------------------------------------- means

    def rows(self, outcome):
        """The results of one of `OUTCOMES`."""
        return rows_of(self.results, OUTCOMES[outcome])

    def of_seeds(self, condition, outcome):
        """A value a seed: the mean over lam .3, 1 and 3, or at the only lam."""
        rows = self.rows(outcome)
        return rows[rows["condition"] == condition].groupby("seed")["value"].mean()

    def mean(self, condition, outcome):
        return mean_in_words(self.of_seeds(condition, outcome))

    def difference(self, outcome, first, second, lam):
        """Of two conditions at one lam, paired by seed, in words."""
        rows = self.rows(outcome)
        rows = rows[rows["lam"].sub(lam).abs() < 1e-6]
        a, b = (
            rows[rows["condition"] == name].set_index("seed")["value"]
            for name in (first, second)
        )
        difference = (a - b).dropna()
        words = in_words(f"{first} - {second}")
        return (
            f"{words} {mean_in_words(difference, sign=True)} at lam {lam:g}, n = "
            f"{len(difference)}"
        )

    def costs(self, condition):
        """Clean accuracy minus the control's at each lam, means over seeds."""
        rows = self.rows("accuracy")
        means = rows.groupby(["condition", "lam"])["value"].mean()
        differences = means[condition] - means["control"].iloc[0]
        return ", ".join(short(value, sign=True) for value in differences)

    def means_table(self, *outcomes, conditions=None):
        conditions = conditions or self.results["condition"].unique()
        rows = [
            (
                LABELS[condition],
                *(self.mean(condition, name) for name in outcomes),
                len(self.of_seeds(condition, outcomes[0])),
            )
            for condition in conditions
        ]
        words = [OUTCOMES[name][-1] for name in outcomes]
        return table(["condition", *words, "n"], rows)


def _is_same(verdict, other):
    """Whether two verdicts are one; version 1 had fewer words."""
    words_of_1 = {"differs": "replicates", "reversed": "does not replicate"}
    return other in (verdict, words_of_1.get(verdict))


def in_words(contrast):
    """WS - control, for ws - control, and minus the slope of WS, for - ws."""
    words = [LABELS.get(word, word) for word in contrast.split(" ")]
    if words[0] == "-":  # a slope against 0
        return f"minus the slope of {words[-1]}"
    return " ".join(words)


def p_in_words(p):
    if np.isnan(p):
        return "-"
    return "< .001" if p < 0.001 else short(p)


def read(name):
    """A table, whose text may be empty, and whose numbers may be missing."""
    table = read_results(FOLDER / name)
    numbers = ["n", "estimate", "low", "high", "delta", "p_holm"]
    there = [column for column in numbers if column in table]
    return table.assign(**{c: pd.to_numeric(table[c], "coerce") for c in there})


# ------------------------------------------------------------------ figures


def draw_claims(found):
    """Estimates and intervals in units of delta, a line a contrast."""
    rows = found.tests[found.tests["delta"] > 0]
    rows = rows[rows["contrast"] != "control"]  # how near to 1, not how far from 0
    rows = rows.iloc[::-1].reset_index(drop=True)
    values = rows[["estimate", "low", "high"]].div(rows["delta"], axis=0)
    with drawing(None, (4.6, 0.21 * len(rows) + 1)) as ax:
        for verdict, color in VERDICTS.items():
            there = np.flatnonzero(rows["verdict"] == verdict)
            if len(there):
                part = values.iloc[there]
                ax.hlines(there, part["low"], part["high"], color=color, lw=1.5)
                ax.plot(part["estimate"], there, "o", color=color, ms=4, label=verdict)
        ax.axvspan(-1, 1, color="0.92", zorder=0)
        ax.axvline(0, color="0.6", lw=0.8, zorder=1)
        ax.set_xscale("symlog", linthresh=2)
        ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        labels = rows["claim"] + "  " + rows["contrast"].map(in_words)
        labels = labels.str.replace(" at lam 1", "")
        ax.set_yticks(range(len(rows)), labels, fontsize="small")
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.set_xlabel(
            "estimate / delta (log scale beyond 2);\nto the right: as claimed"
        )
        bare(ax)
        legend_below(ax, 2)
    return ax.figure


def draw_curves(found, names):
    """Measures against lam, the conditions that were run at each of them."""
    shape = (-(-len(names) // 2), 2)
    with drawing(None, (5.4, 2.6 * shape[0]), shape) as axes:
        for ax, name in zip(np.ravel(axes), names):
            rows = found.rows(name)
            rows = rows[rows["condition"].isin(MAIN)].replace({"condition": LABELS})
            words, shown = OUTCOMES[name][-1], [LABELS[c] for c in MAIN]
            LambdaCurveDisplay(rows, words, conditions=shown).plot(ax)
            ax.set_title("")
            ax.set_xlabel("lam")
            ax.yaxis.label.set_size("small")
            ax.get_legend().remove()
        legend_below(ax, 4)
    return ax.figure


def draw_scales(found):
    """Change under weight noise of either scale: means over seeds, and intervals."""
    looks = styles(LABELS)
    titles = {"std": "sigma, of each layer's own spread", "absolute": "sigma as it is"}
    with drawing(None, (5.4, 2.9), (1, 2)) as axes:
        for ax, scale in zip(axes.flat, titles):
            for name in MAIN:
                curve = noise_curve(found.results, name, scale)
                style = {**looks[name], "markersize": 4, "label": LABELS[name]}
                ax.plot(curve.index, curve["mean"], **style)
                band = {"color": looks[name]["color"], "alpha": 0.15, "lw": 0}
                ax.fill_between(curve.index, curve["low"], curve["high"], **band)
            ax.set_xscale("log")
            ax.set_xticks(SIGMAS, [f"{sigma:g}" for sigma in SIGMAS])
            ax.minorticks_off()
            ax.set_xlabel(titles[scale])
            ax.set_ylabel("accuracy change")
            bare(ax)
        legend_below(ax, 4)
    return ax.figure


def at_sigma(scale, sigma):
    """The parameter of weight noise of the head."""
    return write_parameter(**_WEIGHT, scale=scale, sigma=sigma)


def noise_curve(results, condition, scale):
    """Mean over seeds and interval at each sigma; of a seed the mean over lam."""
    sigmas = {at_sigma(scale, sigma): sigma for sigma in SIGMAS}
    rows = select_results(results, measure="accuracy_change", condition=condition)
    rows = rows.assign(sigma=rows["parameter"].map(sigmas)).dropna(subset="sigma")
    wide = rows.pivot_table(index="sigma", columns="seed", values="value")
    return mean_interval(wide.to_numpy()).set_index(wide.index)


def draw_maps(models):
    """The responses of one model a condition to the same image."""
    with drawing(None, (5.4, 5.8), (3, 3)) as axes:
        for ax, (title, kept) in zip(axes.ravel(), models.items()):
            A = kept["activations"][:1]
            GridMapDisplay.from_activations(A, (11, 11), titles=[title], ax=ax)
    return ax.figure


def draw_correlations(models):
    """Correlations of all pairs of units of one model a condition."""
    with drawing(None, (5.4, 5), (3, 3)) as axes:
        for ax, (title, kept) in zip(axes.ravel(), models.items()):
            CorrelationHistogramDisplay(kept["correlations"]).plot(ax)
            ax.set(xlabel="", ylabel="")
            ax.set_title(title, fontsize="small")
        ax.figure.supxlabel("correlation of two units (r)", fontsize="small")
        ax.figure.supylabel("share of all pairs", fontsize="small")
    return ax.figure


def models_of(store):
    """What is kept of one model a condition, seed 103, at lam 1."""
    kept = load_results(store).responses
    return {
        label: kept[name, lam, 103]
        for name, label in LABELS.items()
        for lam in (0.0, 1.0)
        if (name, lam, 103) in kept
    }


# ------------------------------------------------------------------ the page


FIGURES = {
    "claims": draw_claims,
    "smoothness": lambda found: draw_curves(
        found, ["morans_i", "neighbours", "dip", "distance_ratio"]
    ),
    "robustness": lambda found: draw_curves(
        found, ["accuracy", "std", "absolute", "image"]
    ),
    "scales": draw_scales,
}
OF_MODELS = {"maps": draw_maps, "correlations": draw_correlations}


def render(found):
    """The text of the page, of what was found in each data set."""
    fashion, mnist = (found[name] for name in DATASETS)
    return rendered(
        HERE / "replication",
        fashion=fashion,
        mnist=mnist,
        short=short,
        variants=VARIANTS,
    )


def page():
    """The text of the page, and what was found on Fashion-MNIST."""
    found = {name: Found(name) for name in DATASETS}
    return render(found), found["fashion_mnist"]


def main():
    parser = argparse.ArgumentParser(description="Make the page on the replication.")
    parser.add_argument("--store", type=Path, help="folder of the study, for its maps")
    store = parser.parse_args().store
    text, found = page()
    (HERE / "replication.rst").write_text(text)
    figures = {name: draw(found) for name, draw in FIGURES.items()}
    if store:
        figures |= {name: draw(models_of(store)) for name, draw in OF_MODELS.items()}
    for name, figure in figures.items():
        save(figure, FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()

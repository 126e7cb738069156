"""The page on speed and memory: its text and figure, made of the results.

    python docs/benchmarks_page.py

writes docs/benchmarks.rst, by docs/benchmarks/page.rst.jinja, and the figure beside
that. Every number of the page comes from docs/benchmarks/results.json, which
benchmarks/bench.py writes.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator
from texts import legend_below, rendered, save, short, table

from sktopo.plotting.style import LINE_COLORS, bare, drawing

HERE = Path(__file__).parent
FOLDER = HERE / "benchmarks"
RESULTS = FOLDER / "results.json"
# What grows: the topic of its rows, the name of its axis, and what is done.
GROWTH = {
    "images": ("images", "an epoch"),
    "units": ("units of the grid", "a step"),
    "channels": ("channels of an image", "a step"),
}
# Each line of the figure, in the order of the colours.
LINES = ("ours", "published loop", "plain skorch", "tight loop", "without WS")
UNITS = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "MiB": ((1, "MiB"),)}


# ------------------------------------------------------------------ text


def ratio_in_words(ratio):
    """A ratio as the page writes it: 1/230, .26, 1.02, 12.3; - if there is none."""
    if ratio < 0.1:
        return f"1/{1 / ratio:.0f}"
    return short(ratio, 2)


def amount(value, unit):
    """Three digits of an amount, in the unit that fits it: 11.6 ms."""
    fits = [pair for pair in UNITS[unit] if value >= pair[0]]
    scale, name = (fits or UNITS[unit][-1:])[0]
    value /= scale
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} {name}"


class Numbers:
    """What the page tells of the results.

    Parameters
    ----------
    results : dict
        What `benchmarks/bench.py` wrote.
    """

    def __init__(self, results):
        self.rows = pd.DataFrame(results["rows"])
        self.rows["wanted"] = self.rows["wanted"].astype(float)  # None is nan
        self.date, self.quick = results["date"], results["quick"]
        self.machine, self.versions = results["machine"], results["versions"]
        self.size = results["size"]

    def of(self, *topics):
        """The rows of some topics."""
        return self.rows[self.rows["topic"].isin(topics)]

    def ratio(self, topic, what, rival):
        """Ours over a rival's, in words; a dash where it was not taken."""
        found = self.of(topic).query("what.str.contains(@what) and rival == @rival")
        return ratio_in_words(found["ratio"].iloc[0] if len(found) else np.nan)

    def table(self, *topics):
        """A row a contestant and rival."""
        return self._table(self.of(*topics))

    def missed(self):
        """What takes more than was wanted: a table, or a sentence."""
        wanted = self.rows["wanted"].notna()
        missed = self.rows[self.rows["ratio"] > self.rows["wanted"]]
        told = f"{wanted.sum() - len(missed)} of {wanted.sum()} ratios are so"
        if missed.empty:
            return f"{told}."
        return f"{told}, all but:\n\n{self._table(missed)}"

    def _table(self, rows):
        cells = [
            (
                row["what"],
                amount(row["ours"], row["unit"]),
                row["rival"],
                ratio_in_words(row["ratio"]),
                ratio_in_words(row["wanted"]),
                row["turns"],
            )
            for row in rows.to_dict("records")
        ]
        return table(["what", "ours", "beside", "ratio", "at most", "turns"], cells)


# ------------------------------------------------------------------ the figure


def draw(numbers):
    """Time against what grows, in units of ours at the smallest; a line a rival."""
    with drawing(None, (3.9, 8.4), (len(GROWTH), 1)) as axes:
        for ax, (topic, (name, what)) in zip(axes.ravel(), GROWTH.items()):
            rows = numbers.of(topic).astype({"at": int})
            ours = rows.drop_duplicates("at").set_index("at")["ours"]
            lines = {"ours": ours} | {
                rival: part.set_index("at")["theirs"]
                for rival, part in rows.groupby("rival", sort=False)
            }
            for label, color in zip(LINES, LINE_COLORS):
                if label in lines:
                    style = {"marker": "o", "ms": 3.5, "label": label, "color": color}
                    ax.loglog(lines[label] / ours.iloc[0], **style)
            ax.set(xlabel=name, ylabel=f"{what} / ours at {ours.index[0]:,}")
            at_names = [f"{at:,}" for at in ours.index]
            ax.set_xticks(ours.index, at_names, fontsize="small")
            ax.set_xticks([], minor=True)
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:,g}")
            ax.yaxis.set_minor_locator(NullLocator())
            ax.grid(alpha=0.3)
            bare(ax)
        legend_below(axes.ravel()[1], 2)
    return ax.figure


# ------------------------------------------------------------------ the page


def page(path=RESULTS):
    """The text of the page, and the numbers that it is made of."""
    numbers = Numbers(json.loads(path.read_text()))
    return rendered(FOLDER, numbers=numbers), numbers


def main():
    text, numbers = page()
    (HERE / "benchmarks.rst").write_text(text)
    save(draw(numbers), FOLDER / "scaling.png", dpi=200)


if __name__ == "__main__":
    main()

"""What the pages that are made of results share: reading, numbers, tables, legends."""

import jinja2
import numpy as np
import pandas as pd

from sktopo._measures.results import write_parameter
from sktopo.plotting.style import pyplot
from sktopo.study.statistics import mean_interval

# What every study has: group, measure, parameter and words of each.
OUTCOMES = {
    "accuracy": ("performance", "accuracy", "", "clean accuracy"),
    "morans_i": (
        *("smoothness", "morans_i", write_parameter(neighborhood="moore")),
        "Moran's I",
    ),
    "distance_ratio": (
        *("localization", "distance_ratio", write_parameter(threshold=0.5)),
        "distance of pairs r >= .5 / chance",
    ),
    "norm": ("activity", "weight_norm", "", "weight norm"),
}
CELL = ["condition", "lam", "seed"]


def count_models(results):
    """Numbers of models, and of seeds."""
    models = results[CELL].drop_duplicates()
    return len(models), models["seed"].nunique()


def read_results(path):
    """The results of a study, in which parameters may be empty."""
    return pd.read_csv(path, keep_default_na=False, na_values={"value": [""]})


def rows_of(results, outcome):
    """The rows of one group, measure and parameter; further parts are words."""
    keys = zip(("group", "measure", "parameter"), outcome)
    return results[np.logical_and.reduce([results[k] == value for k, value in keys])]


def rendered(folder, **values):
    """The page of the templates in a folder."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.rst.jinja").render(**values)


# ------------------------------------------------------------------ text


def short(value, digits=3, sign=False):
    """A number as the page writes it: .848, -.050, 12.3, .0023."""
    if np.isnan(value):
        return "-"
    digits = digits if abs(value) < 10 else 1
    digits += 0 < abs(value) < 0.01
    text = f"{value:{'+' * sign}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def with_interval(row, value, low, high, sign=False):
    """A number and its interval, which one seed has not."""
    if np.isnan(row[low]):
        return short(row[value], sign=sign)
    ends = f"{short(row[low], sign=sign)}, {short(row[high], sign=sign)}"
    return f"{short(row[value], sign=sign)} [{ends}]"


def mean_in_words(values, sign=False):
    """The mean of a value a seed, and its interval."""
    found = mean_interval(np.asarray(values, float)[None]).iloc[0]
    return with_interval(found, "mean", "low", "high", sign)


def table(columns, rows):
    """A simple table of reStructuredText."""
    lines = [list(columns), *([str(cell) for cell in row] for row in rows)]
    # a dash alone would start a list
    lines = [["\\-" if cell == "-" else cell for cell in line] for line in lines]
    widths = [max(map(len, cells)) for cells in zip(*lines)]
    rule = " ".join("=" * width for width in widths)
    texts = [
        " ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        for line in lines
    ]
    return "\n".join([rule, texts[0], rule, *texts[1:], rule])


# ------------------------------------------------------------------ figures


def legend_below(ax, n_columns):
    """One legend for the whole figure, below it, of what these axes show."""
    handles = ax.get_legend_handles_labels()
    style = {"ncols": n_columns, "frameon": False, "fontsize": "small"}
    ax.figure.legend(*handles, loc="outside lower center", **style)


def save(figure, path, dpi=140):
    """Write a figure, and let it go."""
    figure.savefig(path, dpi=dpi)
    close(figure)


def close(figure):
    pyplot().close(figure)

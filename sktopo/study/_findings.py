"""Sections of the report on what the study found (private)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sktopo.plotting.style import palette, styles
from sktopo.study import _figures as figures
from sktopo.study._blocks import (
    ClassKey,
    Difference,
    DifferenceRow,
    Differences,
    Figure,
    Figures,
    Key,
    Lines,
    NotShownError,
    Table,
    Text,
    Winner,
    Winners,
    count,
    in_cell,
    n_equals,
)
from sktopo.study._panels import (
    ACCURACY,
    BY_DISTANCE,
    CURVES,
    IMAGE_NOISE,
    MOST_OWN,
    SMOOTHNESS,
    TRADE_OFFS,
    WEIGHT_NOISE,
    find_panels,
    of_first_layer,
    own_panels,
    rows_of,
    taken_at,
)
from sktopo.study.statistics import mean_interval

CONTROL = "control"
CELL = ["condition", "lam", "seed"]


# ------------------------------------------------------------------ what all share


def draw(figure, title, taken_at="", caption=""):
    """A figure as a part of the page."""
    return Figure(title, taken_at, figures.as_image(figure), caption)


def looks_of(results):
    """Colour, marker and line of each condition, the same in the whole page."""
    names = [*results.conditions, *results.table["condition"].unique()]
    return styles(names, CONTROL)


def key_of(results):
    looks, there = looks_of(results), set(results.table["condition"])
    entries = [(n, figures.swatch(**looks[n])) for n in looks if n in there]
    return Key(entries)


def with_missing(blocks, missing):
    """Blocks, and a line for each panel that is not among them."""
    return [*blocks, Lines("Not drawn", missing)] if missing else blocks


def why(missing):
    """One reason for panels that are all missing."""
    return "; ".join(dict.fromkeys(reason for _, reason in missing))


def examples(results):
    """One model a condition: the first seed, the lam nearest to 1."""
    found = {}
    for condition, lam, seed in results.responses:
        far = abs(np.log(max(np.nan_to_num(lam), 1e-9))), seed
        if condition not in found or far < found[condition][0]:
            found[condition] = far, (condition, lam, seed)
    if not found:
        raise NotShownError("no responses are kept")
    return [cell for _, cell in found.values()]


def told(cell):
    """Title of a figure of one model, and which of its condition it is."""
    condition, lam, seed = cell
    return condition, ", ".join([f"lam {lam:g}"] * bool(lam > 0) + [f"seed {seed}"])


# ------------------------------------------------------------------ against lam


def measures(results):
    """Each measure against lam."""
    own = own_panels(results.table)
    found, missing = find_panels(results.table, [*CURVES, *own[:MOST_OWN]])
    if left := own[MOST_OWN:]:
        missing.append((f"{len(left)} further measures", "see the data"))
    if not found:
        raise NotShownError("no model has a value of any measure that is drawn")
    conditions, shown, at_0 = list(looks_of(results)), [], set()
    for panel, rows in found:
        figure, caption = figures.curve(panel, rows, conditions)
        shown.append(draw(figure, panel.title, panel.taken_at, caption))
        at_0 |= set(rows.loc[rows["lam"] == 0, "condition"])
    text = (
        "Means over n seeds with Student-t 95 % intervals; the grey line and band are "
        "the control. Each interval is of a condition by itself; differences from the "
        "control, which pair the seeds, follow below."
    )
    if at_0 - {CONTROL}:
        text += " Conditions without a spatial loss stand at lam 0."
    blocks = [Text(text), key_of(results), Figures(shown)]
    return with_missing(blocks, missing)


def differences(results):
    """Paired differences from the control of what is drawn against lam."""
    if CONTROL not in set(results.table["condition"]):
        raise NotShownError("there is no control to compare with")
    compared = results.compare(CONTROL)
    compared = compared.assign(value=compared["difference"])
    panels = [*CURVES, *own_panels(compared)[:MOST_OWN]]
    found, _ = find_panels(compared, panels)
    if not found:
        raise NotShownError("no measure has a value in the control and another model")
    there = pd.concat([rows for _, rows in found])
    arms = there.groupby("condition", sort=False)["lam"].unique().map(sorted)
    looks = looks_of(results)
    text = (
        "Mean difference from the control of the same seed, with its Student-t 95 % "
        "interval, n pairs; bold where that leaves out 0. Each is of its row alone: "
        "none is adjusted for how many there are. p values are in the data."
    )
    conditions = [
        (name, figures.swatch(**looks[name]), [f"{lam:g}" for lam in lams])
        for name, lams in arms.items()
    ]
    places = [(name, lam) for name, lams in arms.items() for lam in lams]
    rows = [_difference_row(panel, part, places) for panel, part in found]
    return [Text(text), Differences(conditions, rows)]


def _difference_row(panel, rows, places):
    by_place = {(row.condition, row.lam): row for row in rows.itertuples()}
    cells = [_difference(by_place.get(place)) for place in places]
    return DifferenceRow(panel.title, panel.taken_at, n_equals(rows["n"]), cells)


def _difference(row):
    if row is None:
        return None
    known = not np.isnan(row.low)
    interval = f"{row.low:.3g} to {row.high:.3g}" if known else "one pair"
    leaves_out_0 = known and not row.low <= 0 <= row.high
    mean = round(row.difference, 12) + 0.0  # without what rounding leaves of 0
    return Difference(f"{mean:+.3g}", interval, leaves_out_0)


# ------------------------------------------------------------------ noise


def weight_noise(results):
    found, missing = find_panels(results.table, WEIGHT_NOISE)
    if not found:
        raise NotShownError(why(missing))
    looks = looks_of(results)
    shown = [
        draw(figures.noise_curves(*part, looks), part[0].title, part[0].taken_at)
        for part in found
    ]
    text = (
        "Accuracy with perturbed weights of grid and readout, minus the clean "
        "accuracy: the mean over seeds and lam, and as a band the least and the "
        "largest mean of a lam."
    )
    blocks = [Text(text), key_of(results), Figures(shown, wide=True)]
    return with_missing(blocks, missing)


def image_noise(results):
    """Which condition is most accurate under each noise, lam chosen on other seeds."""
    noisy = _accuracy_under_image_noise(results)
    seeds = sorted(noisy["seed"].unique())
    choosing, scoring = seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]
    if (noisy.groupby("condition")["lam"].nunique() == 1).all():
        choosing, scoring = seeds, seeds  # there is nothing to choose
    elif len(seeds) < 2:
        raise NotShownError("it needs two seeds: one to choose lam, one to score it")
    chosen = noisy[noisy["seed"].isin(choosing)]
    chosen = chosen.groupby(["condition", "lam"])["accuracy"].mean()
    chosen = chosen.groupby("condition", sort=False).idxmax()
    scored = noisy[noisy["seed"].isin(scoring)].set_index(["condition", "lam"])
    scored = scored[scored.index.isin(chosen)].reset_index()
    names = ", ".join(f"{name} {lam:g}" for name, lam in chosen if lam > 0)
    how = f"Models of {count(len(scoring), 'seed')}"
    how += f", at the only lam ({names})." if names else "."
    if scoring != choosing:
        how = (
            f"For each condition lam was chosen on {count(len(choosing), 'seed')}, by "
            f"the mean accuracy over all noises ({names}); scored are the other "
            f"{count(len(scoring), 'seed')}."
        )
    text = (
        f"{how} Accuracy of the best, and its lead on the control of the same seed. "
        f"Grey, with \u2248: within noise, since the lead's 95 % interval over seeds "
        f"holds 0 or there is one seed only. The best is chosen on the seeds that "
        f"score it, and none of the leads is adjusted for how many there are."
    )
    keys = ["kind", "level", "seed", "condition"]
    by_seed = scored.set_index(keys)["accuracy"].unstack("condition")
    return [Text(text), _winners(by_seed, looks_of(results))]


def _accuracy_under_image_noise(results):
    """A row a model, kind and level of noise."""
    clean = of_first_layer(rows_of(results.table, ACCURACY))
    noisy = of_first_layer(rows_of(results.table, IMAGE_NOISE))
    if clean.empty or noisy.empty:
        raise NotShownError("not measured")
    kind, level = taken_at(noisy, "kind"), taken_at(noisy, "level")
    noisy = noisy.assign(kind=kind, level=level).dropna(subset="level")
    noisy = noisy.merge(clean[[*CELL, "value"]], on=CELL, suffixes=("", "_clean"))
    noisy["accuracy"] = noisy["value"] + noisy["value_clean"]
    noisy = noisy.dropna(subset="accuracy")
    if noisy.empty:
        raise NotShownError("no model has a value")
    return noisy


def _winners(table, looks):
    """The best of each kind and level.

    Parameters
    ----------
    table : DataFrame
        Accuracy: a row a kind, level and seed, a column a condition.
    looks : dict
        How each condition is drawn.

    Returns
    -------
    Winners
        The block.
    """
    found = {}
    for place, rows in table.groupby(level=["kind", "level"]):
        means = rows.mean()
        name = means.idxmax()
        lead = rows[name] - rows.get(CONTROL, np.nan)
        lead = mean_interval(lead.to_numpy(float)[None]).iloc[0]
        told = name != CONTROL and not np.isnan(lead["mean"])
        found[place] = Winner(
            name,
            figures.swatch(**looks[name]),
            f"{means[name]:.3f}",
            f"{lead['mean']:+.3f}" if told else "",
            within_noise=bool(told and not lead["low"] > 0),
        )
    levels = sorted({level for _, level in found})
    rows = [
        (kind.replace("_", " "), [found.get((kind, level)) for level in levels])
        for kind in dict.fromkeys(kind for kind, _ in found)
    ]
    return Winners([f"{level:g}" for level in levels], rows)


# ------------------------------------------------------------------ the grid


def maps(results):
    shown = []
    for cell in examples(results):
        responses = results.responses[cell]
        labels = results.labels[responses["rows"]]
        _, rows = np.unique(labels, return_index=True)
        rows, shape = rows[:4], results.grid_shape(cell[0])
        figure = figures.maps(responses["activations"][rows], shape, labels[rows])
        shown.append(draw(figure, *told(cell), f"{shape[0]} x {shape[1]} units"))
    text = (
        "Responses of the grid before the ReLU to the first test image of up to four "
        "classes, one model of each condition. One seed shows what maps look like, "
        "and no effect."
    )
    return [Text(text), Figures(shown)]


def experts(results):
    shown = []
    for cell in examples(results):
        responses, shape = results.responses[cell], results.grid_shape(cell[0])
        figure, caption = figures.experts(responses, shape, results.classes)
        shown.append(draw(figure, *told(cell), caption))
    text = (
        "Units whose response detects a class with an average precision of .5 or more "
        f"and above the class's share of the {len(results.labels):,} images, in the "
        "models whose maps are shown. Grey: no expert."
    )
    classes, colors = results.classes, palette(len(results.classes))
    tested = np.isin(classes, results.labels)
    names = [f"{c}{'' if has else ' (no image)'}" for c, has in zip(classes, tested)]
    return [Text(text), ClassKey(list(zip(names, colors))), Figures(shown)]


def correlations(results):
    looks, cells = looks_of(results), examples(results)
    pairs = {cell[0]: results.responses[cell]["correlations"] for cell in cells}
    figure = figures.histograms(pairs, looks)
    title = "Correlations of all pairs of units"
    shown = [draw(figure, title, "one model of each condition")]
    found, missing = find_panels(results.table, [BY_DISTANCE])
    chosen = [(condition, np.nan_to_num(lam)) for condition, lam, _ in cells]
    for panel, rows in found:
        by_lam = rows.set_index(["condition", "lam"])
        rows = by_lam[by_lam.index.isin(chosen)].reset_index()
        figure = figures.distance_curves(panel, rows, looks)
        n = n_equals(rows.groupby("condition")["seed"].nunique())
        caption = f"mean and 95 % interval, drawn within -1 and 1; {n}"
        shown.append(draw(figure, panel.title, panel.taken_at, caption))
    lams = ", ".join(f"{condition} {lam:g}" for condition, lam in chosen if lam > 0)
    text = f"At the lam nearest to 1 ({lams})." if lams else "Models without a lam."
    blocks = [Text(text), key_of(results), Figures(shown, wide=True)]
    return with_missing(blocks, missing)


# ------------------------------------------------------------------ between measures


def trade_offs(results):
    columns = {}
    for panel in (SMOOTHNESS, *TRADE_OFFS):
        rows = of_first_layer(rows_of(results.table, panel))
        columns[panel.title] = rows.set_index(CELL)["value"]
    table = pd.DataFrame(columns).reset_index(names=CELL)
    looks, shown, missing = looks_of(results), [], []
    for panel in TRADE_OFFS:
        points = table.dropna(subset=[SMOOTHNESS.title, panel.title])
        title = f"{panel.title} against {SMOOTHNESS.title}"
        if points.empty:
            missing.append((title, "no model has values of both"))
            continue
        figure = figures.scatter(SMOOTHNESS, panel, points, looks)
        shown.append(draw(figure, title, panel.taken_at))
    if not shown:
        raise NotShownError(why(missing))
    blocks = [Text("A point is a model."), key_of(results), Figures(shown)]
    return with_missing(blocks, missing)


def consistency(results):
    table = results.consistency()
    if table.empty:
        raise NotShownError("it needs two seeds of a condition and lam")
    text = (
        "Pearson's r between the dissimilarity matrices of two seeds, mean over pairs "
        "of n seeds, with a 95 % interval by jackknife over seeds: of responses to up "
        "to 100 test images of each class, of class means, of responses after the "
        "ReLU, and of the readout's rows."
    )
    rows, names = {}, list(table["representation"].unique())
    for row in table.itertuples():
        start = [row.condition, f"{row.lam:g}", row.n_seeds]
        nothing = ["\u2013"] * len(names)
        cells = rows.setdefault((row.condition, row.lam), start + nothing)
        place = len(start) + names.index(row.representation)
        cells[place] = in_cell(row.mean)
        if not np.isnan(row.low):
            cells[place] += f" ({row.low:.3g} to {row.high:.3g})"
    numbers = ["lam", "n", *(name.replace("_", " ") for name in names)]
    columns = ["condition", *numbers]
    table = Table("Consistency over seeds", columns, list(rows.values()), numbers)
    return [Text(text), table]


# In the order of the page.
SECTIONS = (
    ("Measures against lam", measures),
    ("Differences from the control", differences),
    ("Weight noise", weight_noise),
    ("Image noise: who is most accurate", image_noise),
    ("Maps", maps),
    ("Expert units", experts),
    ("Correlation structure", correlations),
    ("Accuracy, smoothness and robustness", trade_offs),
    ("Consistency over seeds", consistency),
)

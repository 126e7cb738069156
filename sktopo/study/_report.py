"""A study as one self-contained HTML page (private; needs the extra `plot`)."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import html
import io
import re

import numpy as np
import pandas as pd

from sktopo._files import write_atomically
from sktopo._measures.results import read_parameter, select_results
from sktopo.plotting import (
    CorrelationHistogramDisplay,
    ExpertMapDisplay,
    GridMapDisplay,
    LambdaCurveDisplay,
)
from sktopo.plotting._base import (
    as_label,
    as_text,
    bare,
    drawing,
    legend,
    plain,
    pyplot,
    styles,
)
from sktopo.plotting.maps import best_class
from sktopo.study._plan import Cell
from sktopo.study._statistics import mean_interval

# Means over all strengths of noise.
WEIGHT_NOISE = {
    "group": "robustness",
    "noise": "weight",
    "layers": "head",
    "scale": "std",
    "mean_up_to": 1.0,
}
IMAGE_NOISE = {"group": "robustness", "noise": "image", "mean_up_to": 0.2}
ACCURACY = ("accuracy", {"group": "performance"})
MORANS_I = ("morans_i", {"group": "smoothness", "neighborhood": "moore"})
# What is drawn against lam: title, measure, and what its rows have.
CURVES = (
    ("accuracy", *ACCURACY),
    ("Moran's I of the maps", *MORANS_I),
    (
        "r of neighbouring units",
        "correlation",
        {"group": "smoothness", "distance": 1},
    ),
    ("dip of pair correlations", "dip", {"group": "smoothness"}),
    (
        "distance of pairs with r ≥ .5 / chance",
        "distance_ratio",
        {"group": "localization", "threshold": 0.5},
    ),
    ("expert units", "n_experts", {"group": "selectivity"}),
    (
        "distance of experts / chance",
        "experts_distance_ratio",
        {"group": "selectivity"},
    ),
    ("accuracy change, weight noise", "accuracy_change", WEIGHT_NOISE),
    ("accuracy change, image noise", "accuracy_change", IMAGE_NOISE),
    ("variance of activations", "variance", {"group": "activity"}),
    ("weight norm", "weight_norm", {"group": "activity"}),
    (
        "participation ratio",
        "participation_ratio",
        {"group": "dimensionality", "of": "activations", "matrix": "covariance"},
    ),
)
# What the trade-offs are drawn of, the first against each of the others.
AXES = {
    "Moran's I of the maps": MORANS_I,
    "accuracy": ACCURACY,
    "accuracy under weight noise": ("accuracy_under_noise", WEIGHT_NOISE),
    "accuracy under image noise": ("accuracy_under_noise", IMAGE_NOISE),
}
# Markers of the figures as characters.
MARKS = dict(zip("osD^vPX*", "\u25cf\u25a0\u25c6\u25b2\u25bc\u271a\u2716\u2605"))
STYLE = """
:root { color-scheme: light; --line: #d8dee4; --soft: #57606a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 1.2rem; color: #1f2328;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .3rem 0; }
h1, p, figcaption { overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .4rem; border-bottom: 1px solid var(--line); }
p, figcaption { max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
td .soft { font-size: inherit; }
.figures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.figures.wide {
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { width: 100%; height: auto; display: block; }
.key span { display: inline-block; margin-right: 1.2em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
td.text { min-width: 14rem; }
.verdict { white-space: nowrap; border-radius: 1em; padding: 0 .6em;
  background: #eaeef2; }
.replicates { background: #d2f4dc; } .does-not-replicate { background: #ffdfd6; }
.reversed { background: #f6c7d3; } .differs { background: #ffe3b8; }
.undecided { background: #fff3c4; } .not-testable-guard { background: #e4dcf5; }
a.button { display: inline-block; padding: .35rem .9rem; border: 1px solid var(--line);
  border-radius: .4rem; text-decoration: none; color: #0a58ca; }
summary { cursor: pointer; margin: .6rem 0; }
"""


def write_report(study, path, title=None, claims=None):
    """See `StudyResults.report`."""
    plt = pyplot()
    before = set(plt.get_fignums())
    try:
        page = _page(study, title, claims)
    finally:  # those of a section that failed, too
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    write_atomically(path, page.encode())


def _page(study, title, claims):
    title = "Topographic study" + (f" of {title}" if title else "")
    sections = [
        _settings(study),
        _claims(claims),
        _curves(study),
        _weight_noise(study),
        _winners(study),
        _maps(study),
        _correlations(study),
        _trade_offs(study),
        _consistency(study),
        _data(study),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


# ------------------------------------------------------------------ pieces of a page


def _section(title, text, *parts):
    return "\n".join([f"<h2>{title}</h2>", f"<p>{text}</p>" if text else "", *parts])


def _table(table, numbers=(), text=()):
    """A table that scrolls by itself; strings are escaped."""
    kinds = {**dict.fromkeys(numbers, "number"), **dict.fromkeys(text, "text")}
    css = {name: f' class="{kinds[name]}"' if name in kinds else "" for name in table}
    head = "".join(f"<th{css[name]}>{html.escape(str(name))}</th>" for name in table)
    rows = []
    for row in table.itertuples(index=False):
        cells = [f"<td{css[name]}>{_cell(v)}</td>" for name, v in zip(table, row)]
        rows.append("<tr>" + "".join(cells) + "</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value):
    if isinstance(value, _Markup):
        return str(value)
    if isinstance(value, float):
        return "&ndash;" if np.isnan(value) else f"{value:.3g}"
    return html.escape(str(value))


class _Markup(str):
    """Text that is HTML already."""


def _figure(figure, caption, alt):
    """A figure as an image inside the page; the caption's text is escaped."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=170, bbox_inches="tight")
    pyplot().close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _figures(figures, wide=False):
    return (
        f'<div class="figures{" wide" if wide else ""}">'
        + "\n".join(figures)
        + "</div>"
    )


def _style(study, condition, **more):
    """Colour, marker and line of a condition, the same in all figures of a study."""
    style = styles(study.conditions)[condition]
    return {"markersize": 4, **style, "label": as_label(condition), **more}


def _key(study):
    """Which condition has which colour and marker, for figures without a legend."""
    from matplotlib.colors import to_hex

    parts = []
    for name in _arms(study):
        style = styles(study.conditions)[name]
        color, mark = to_hex(style["color"]), MARKS[style["marker"]]
        parts.append(
            f'<span><b style="color:{color}">{mark}</b> {html.escape(name)}</span>'
        )
    return f'<p class="key">{" ".join(parts)}</p>'


def _verdict(verdict):
    """A verdict with a class made of its words."""
    if not isinstance(verdict, str) or not verdict:
        return ""
    css = re.sub("[^a-z]+", "-", verdict.lower()).strip("-")
    return _Markup(f'<span class="verdict {css}">{html.escape(verdict)}</span>')


def _of(results, measure, conditions):
    """Rows of the results, none where there are none."""
    try:
        return select_results(results, measure, **conditions)
    except ValueError:
        return results.iloc[:0]


def _arms(study):
    """Conditions that are compared in pictures: the control, and those with a loss."""
    lams = study.table.groupby("condition", sort=False)["lam"].max()
    return [name for name, lam in lams.items() if name == "control" or lam > 0]


# ------------------------------------------------------------------ sections


def _settings(study):
    results = study.table
    seeds = sorted(results["seed"].unique())
    models = results[["condition", "lam", "seed"]].drop_duplicates()
    counts = models.groupby("condition", sort=False)
    rows = []
    for name, settings in study.conditions.items():
        if name not in counts.groups:
            continue
        part = counts.get_group(name)
        text = ", ".join(f"{k}={_plain(v)}" for k, v in settings.items() if k != "lam")
        lams = ", ".join(f"{lam:g}" for lam in sorted(part["lam"].unique()))
        rows.append((name, text, lams, part["seed"].nunique(), len(part)))
    columns = ["condition", "settings", "lam", "seeds", "models"]
    base = {name: _plain(value) for name, value in study.base.items()}
    settings = pd.DataFrame(base.items(), columns=["parameter", "value"])
    versions = ", ".join(f"{name} {v}" for name, v in study.versions.items())
    n = study.n_images
    text = (
        f"{len(models)} models, seeds {seeds[0]} to {seeds[-1]}, trained on "
        f"{n['train']:,} images and measured on {n['test']:,} others. Models of one "
        f"seed share initialisation, order of the data and noisy test images; "
        f"differences are taken within seeds."
    )
    failed = ""
    if len(study.failures):
        failed = (
            f"<p><strong>{len(study.failures)} models failed</strong> and are left "
            f"out:</p>{_table(study.failures)}"
        )
    return _section(
        "What was run",
        text,
        failed,
        _table(pd.DataFrame(rows, columns=columns), numbers=["seeds", "models"]),
        "<details><summary>Parameters that all conditions share, and versions</summary>"
        f"{_table(settings)}<p class='soft'>{html.escape(versions)}</p></details>",
    )


def _plain(value):
    """A described setting as people write it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict) and "callable" in value:
        settings = value.get("keywords") or value.get("settings") or {}
        given = [_plain(part) for part in value.get("arguments", ())]
        given += [f"{name}={_plain(part)}" for name, part in settings.items()]
        name = value.get("function", value)["callable"]
        return f"{name}({', '.join(given)})" if given else name
    if isinstance(value, dict) and len(value) == 1:
        ((_, content),) = value.items()
        value = tuple(content) if isinstance(content, list) else content
    return str(value)


def _claims(table):
    if table is None:
        return ""
    rows = pd.DataFrame(
        {
            "claim": table["claim"],
            "verdict": [_verdict(verdict) for verdict in table["verdict"]],
            "what": [
                _Markup(
                    f"<strong>{html.escape(row.contrast)}</strong>: "
                    f"{html.escape(row.text)}<div class='soft'>"
                    f"{html.escape(row.note)}</div>"
                )
                for row in table.itertuples()
            ],
            "estimate": [
                _Markup(f"{_cell(row.estimate)} [{_cell(row.low)}, {_cell(row.high)}]")
                for row in table.itertuples()
            ],
            "delta": table["delta"],
            "p": table["p_t"],
            "p Holm": table["p_holm"],
            "p sign flip": table["p_sign_flip"],
            "n": [f"{n:.0f}" if n > 0 else "" for n in table["n"]],
        },
        dtype=object,  # a column of strings would not keep what is markup apart
    )
    numbers = ["estimate", "delta", "p", "p Holm", "p sign flip", "n"]
    is_test = table["kind"] == "test"
    beside = rows.loc[~is_test, ["claim", "what", "estimate", "p", "n"]]
    return _section(
        html.escape(table.attrs["title"]),
        html.escape(table.attrs["text"]),
        _table(rows[is_test], numbers, ["what"]),
        "<details><summary>Beside them, without verdicts: other measures, and variants "
        f"of AS</summary>{_table(beside, numbers, ['what'])}</details>",
    )


def _curves(study):
    results = study.table
    figures = []
    for title, measure, conditions in CURVES:
        table = _of(results, measure, conditions)
        table = table[table["condition"].isin(_arms(study))]
        if table["value"].notna().sum() == 0:
            continue
        with drawing(None, figsize=(4, 3.1)) as ax:
            LambdaCurveDisplay(
                table.dropna(subset="value"), title, conditions=list(study.conditions)
            ).plot(ax)
            ax.get_legend().remove()
        figures.append(_figure(ax.figure, "", f"{title} against lam"))
    text = (
        "Means over seeds with Student-t 95 % intervals; the grey line and band are "
        "the control. These intervals are of each condition by itself: differences "
        "from the control, which pair the seeds, are in the table of claims and in "
        "the data."
    )
    return _section("Measures against lam", text, _key(study), _figures(figures))


def _weight_noise(study):
    figures = []
    for scale in ("std", "absolute"):
        where = {"group": "robustness", "noise": "weight", "layers": "head"}
        table = _of(study.table, "accuracy_change", where | {"scale": scale})
        taken_at = table["parameter"].map(read_parameter)
        table = table.assign(sigma=[part.get("sigma") for part in taken_at])
        table = table.dropna(subset=["value", "sigma"])
        if table.empty:
            continue
        figure = _draw_weight_noise(study, table, scale)
        figures.append(_figure(figure, "", f"accuracy under weight noise, {scale}"))
    if not figures:
        return ""
    text = (
        "Accuracy with perturbed weights of grid and readout, minus the clean "
        "accuracy: the mean over seeds and lam, and as a band the least and the "
        "largest mean of a lam."
    )
    return _section("Weight noise", text, _figures(figures, wide=True))


def _draw_weight_noise(study, table, scale):
    units = {"std": "in standard deviations of the layer", "absolute": "absolute"}
    sigmas = sorted(table["sigma"].unique())
    with drawing(None, figsize=(5, 3.4)) as ax:
        for name in _arms(study):
            part = table[table["condition"] == name]
            means = part.groupby(["lam", "sigma"])["value"].mean().unstack("lam")
            style = _style(study, name)
            ax.plot(means.index, means.mean(axis=1), **style)
            low, high = means.min(axis=1), means.max(axis=1)
            color = style["color"]
            ax.fill_between(means.index, low, high, color=color, alpha=0.15, lw=0)
        ax.set_xscale("log")
        ax.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
        ax.minorticks_off()
        ax.set_xlabel(f"weight noise, sigma ({units[scale]})")
        ax.set_ylabel("accuracy change")
        legend(ax)
        bare(ax)
    return ax.figure


def _winners(study):
    """Which condition is most accurate under each noise, lam chosen on other seeds."""
    title = "Image noise: who is most accurate"
    results = study.table
    clean = _of(results, *ACCURACY)
    image_noise = {"group": "robustness", "noise": "image"}
    noisy = _of(results, "accuracy_change", image_noise)
    taken_at = noisy["parameter"].map(read_parameter)
    noisy = noisy.assign(
        kind=[part["kind"] for part in taken_at],
        level=[part.get("level") for part in taken_at],
    ).dropna(subset="level")
    if clean.empty or noisy.empty:
        return ""
    keys = ["condition", "lam", "seed"]
    noisy = noisy.merge(clean[[*keys, "value"]], on=keys, suffixes=("", "_clean"))
    noisy["accuracy"] = noisy["value"] + noisy["value_clean"]
    noisy = noisy.dropna(subset="accuracy")
    if noisy.empty:
        return ""
    seeds = sorted(noisy["seed"].unique())
    if len(seeds) < 2:
        return _section(title, "Needs two seeds: one to choose lam, one to score it.")
    noisy = noisy[noisy["condition"].isin(_arms(study))]
    choosing, scoring = seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]
    if (noisy.groupby("condition")["lam"].nunique() == 1).all():
        choosing, scoring = seeds, seeds  # there is nothing to choose
    chosen = noisy[noisy["seed"].isin(choosing)]
    chosen = chosen.groupby(["condition", "lam"])["accuracy"].mean()
    chosen = chosen.groupby("condition").idxmax()
    scored = noisy[noisy["seed"].isin(scoring)]
    scored = pd.concat(
        [scored[(scored["condition"] == c) & (scored["lam"] == m)] for c, m in chosen]
    )
    means = scored.groupby(["kind", "level", "condition"])["accuracy"].mean()
    table = means.unstack("condition")
    figure = _draw_winners(study, table)
    names = ", ".join(f"{c} {m:g}" for c, m in chosen if c != "control")
    how = f"There is one lam only ({names}); models of {len(scoring)} seeds."
    if scoring != choosing:
        how = (
            f"lam was chosen on {len(choosing)} of the seeds, by the mean accuracy "
            f"over all noises ({names}), and the models were scored on the other "
            f"{len(scoring)}."
        )
    text = (
        f"{html.escape(how)} Numbers: accuracy of the best, and its lead on the "
        f"control. Leads are not tested here."
    )
    figure = _figure(figure, "", "the most accurate condition under each noise")
    return _section(title, text, _figures([figure], wide=True))


def _draw_winners(study, table):
    winners = table.idxmax(axis=1).unstack("level")
    best = table.max(axis=1).unstack("level")
    control = table.get("control", np.nan)
    lead = (table.max(axis=1) - control).unstack("level")
    with drawing(None, figsize=(6.4, 2.9)) as ax:
        ax.set_xlim(-0.5, winners.shape[1] - 0.5)
        ax.set_ylim(winners.shape[0] - 0.5, -0.5)
        for i, j in np.ndindex(winners.shape):
            name = winners.iloc[i, j]
            if name not in study.conditions:  # none was measured there
                continue
            color = _style(study, name)["color"]
            box = pyplot().Rectangle(
                (j - 0.48, i - 0.46), 0.96, 0.92, color=color, alpha=0.3
            )
            ax.add_patch(box)
            text = f"{best.iloc[i, j]:.2f} ({lead.iloc[i, j]:+.2f})"
            text = f"{as_text(name, 16)}\n{text}"
            place = {"ha": "center", "va": "center", "fontsize": 7}
            ax.text(j, i, text, **place, **plain(name))
        levels, kinds = winners.columns, winners.index
        ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        ax.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        ax.set_xlabel("level (share of the value range)")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return ax.figure


def _example_cells(study):
    """One model a condition: the first seed, the lam nearest to 1."""
    cells = {}
    for cell in (Cell(*key) for key in study.responses):
        best = cells.get(cell.condition)
        if cell.condition in _arms(study) and (
            best is None
            or (abs(np.log(max(cell.lam, 1e-9))), cell.seed)
            < (abs(np.log(max(best.lam, 1e-9))), best.seed)
        ):
            cells[cell.condition] = cell
    return cells.values()


def _maps(study):
    maps, experts = [], []
    for cell in _example_cells(study):
        responses = study.responses[dataclasses.astuple(cell)]
        shape = study.grid_shape(cell.condition)
        labels = study.labels[responses["rows"]]
        _, rows = np.unique(labels, return_index=True)
        rows = rows[:4]
        display = GridMapDisplay.from_activations(
            responses["activations"][rows], shape, titles=labels[rows]
        )
        maps.append(_figure(display.figure_, str(cell), f"maps of {cell}"))
        precision = responses["average_precision"]
        display = ExpertMapDisplay(
            best_class(responses["experts"].astype(bool), precision),
            shape,
            study.classes,
            threshold=0.5,
            n_images=len(study.labels),
            absent=np.flatnonzero(np.isnan(precision).all(axis=0)),
        ).plot()
        experts.append(_figure(display.figure_, str(cell), f"experts of {cell}"))
    text = (
        "Responses of the grid before the ReLU to the first test image of up to four "
        "classes, one model of each condition. One seed shows what maps look like, "
        "and no effect."
    )
    experts_text = (
        "Units whose response detects a class with an average precision of .5 or more "
        "and above the class's share of images, in the same models."
    )
    return _section("Maps", text, _figures(maps, wide=True)) + _section(
        "Expert units", experts_text, _figures(experts)
    )


def _correlations(study):
    with drawing(None, figsize=(5, 3.4)) as ax:
        for cell in _example_cells(study):
            style = _style(study, cell.condition)
            CorrelationHistogramDisplay(
                study.responses[dataclasses.astuple(cell)]["correlations"],
                cell.condition,
            ).plot(ax, color=style["color"], linestyle=style["linestyle"])
        ax.set_ylabel("share of the pairs of a model")
        ax.set_title("")
    figures = [_figure(ax.figure, "One model of each condition.", "pair correlations")]
    table = _of(study.table, "correlation", {"group": "smoothness"})
    if table["value"].notna().any():
        figure = _draw_correlations(study, table)
        caption = f"Mean and 95 % interval over {table['seed'].nunique()} seeds."
        figures.append(_figure(figure, caption, "correlation against distance"))
    return _section("Correlation structure", "", _figures(figures, wide=True))


def _draw_correlations(study, table):
    taken_at = table["parameter"].map(read_parameter)
    table = table.assign(distance=[part["distance"] for part in taken_at])
    with drawing(None, figsize=(5, 3.4)) as ax:
        for cell in _example_cells(study):
            part = table[
                (table["condition"] == cell.condition) & (table["lam"] == cell.lam)
            ]
            wide = part.pivot(index="distance", columns="seed", values="value")
            found = mean_interval(wide.to_numpy(dtype=float))
            label = cell.condition + (f", lam {cell.lam:g}" if cell.lam else "")
            style = _style(study, cell.condition, markersize=3, label=as_label(label))
            ax.plot(wide.index, found["mean"], **style)
            low, high, color = found["low"], found["high"], style["color"]
            ax.fill_between(wide.index, low, high, color=color, alpha=0.15, lw=0)
        ax.axhline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_ylim(-1, 1)
        ax.set_xlabel("distance on the grid")
        ax.set_ylabel("mean correlation of unit pairs")
        legend(ax)
        bare(ax)
    return ax.figure


def _trade_offs(study):
    results, keys = study.table, ["condition", "lam", "seed"]
    columns = {
        name: _of(results, *where).set_index(keys)["value"]
        for name, where in AXES.items()
    }
    table = pd.DataFrame(columns).reset_index(names=keys)
    x, *others = AXES
    figures = []
    for y in others:
        points = table.dropna(subset=[x, y])
        if points.empty:
            continue
        with drawing(None, figsize=(4, 3.1)) as ax:
            for name in _arms(study):
                part = points[points["condition"] == name]
                style = _style(study, name, linestyle="none")
                ax.plot(part[x], part[y], **style)
            ax.set_xlabel(x)
            ax.set_ylabel(y)
            bare(ax)
        figures.append(_figure(ax.figure, "", f"{y} against {x}"))
    if not figures:
        return ""
    title, text = "Accuracy, smoothness and robustness", "A point is a model."
    return _section(title, text, _key(study), _figures(figures))


def _consistency(study):
    table = study.consistency()
    if table.empty:
        return ""
    text = (
        "Pearson's r between the dissimilarity matrices of two seeds, mean over pairs, "
        "with a 95 % interval by jackknife over seeds."
    )
    numbers = ["lam", "mean", "standard error", "low", "high", "n seeds", "n rows"]
    table = table.rename(columns=lambda name: name.replace("_", " "))
    return _section("Consistency over seeds", text, _table(table, numbers))


def _data(study):
    parts = {"results": study.table, "summary": study.summary()}
    parts["comparison with the control"] = study.compare()
    links = []
    for name, table in parts.items():
        data = gzip.compress(table.to_csv(index=False).encode(), mtime=0)
        file = name.split()[0] + ".csv.gz"
        text = base64.b64encode(data).decode()
        links.append(
            f'<a class="button" download="{file}" '
            f'href="data:application/gzip;base64,{text}">'
            f"{name} ({len(table):,} rows)</a>"
        )
    text = (
        "Every measure of every model (condition, lam, seed, group, measure, "
        "parameter, value, n); means and intervals over seeds; and paired differences "
        "with their p values, each of its row alone."
    )
    return _section("Data", text, "<p>" + " ".join(links) + "</p>")

"""A study as one self-contained HTML page (private; needs the extra `plot`).

What the page says is computed as plain data; how it looks is in the folder `templates`.
"""

from __future__ import annotations

import base64
import gzip

import jinja2
import pandas as pd

from sktopo._files import write_atomically
from sktopo.plotting.style import pyplot
from sktopo.study._blocks import (
    Claim,
    Claims,
    Details,
    Downloads,
    Lines,
    NotShownError,
    Section,
    Table,
    Text,
    count,
    in_cell,
)
from sktopo.study._findings import CELL, CONTROL, SECTIONS

NOT_TESTABLE = "not testable"
# Columns of the claims: those of numbers, and what the page calls them.
NUMBERS = {
    "delta": "delta",
    "p_t": "p",
    "p_holm": "p Holm",
    "p_sign_flip": "p sign flip",
}


def write_report(results, path, title=None, claims=None):
    """Write what a study found as one HTML page.

    Parameters
    ----------
    results : StudyResults
        What it found.
    path : str or path-like
        Where to write.
    title : str, default=None
        Name of the data set, for the title.
    claims : DataFrame, default=None
        Claims with their verdicts, as `sktopo.replication.claims` gives them; `attrs`
        may hold a title and a text that explains them. None: no such section.
    """
    if claims is not None and not {"kind", "verdict"} <= set(
        getattr(claims, "columns", ())
    ):
        raise TypeError(
            f"claims must be the table of sktopo.replication.claims(results); got a "
            f"{type(claims).__name__}"
            f"{' of other columns' if hasattr(claims, 'columns') else ''}."
        )
    plt = pyplot()
    before = set(plt.get_fignums())
    try:
        page = _page(results, title, claims)
    finally:  # those of a section that failed, too
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    write_atomically(path, page.encode())


def _page(results, title, claims):
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sktopo.study"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["in_cell"] = in_cell
    return environment.get_template("page.html").render(
        title="Topographic study" + (f" of {title}" if title else ""),
        what_was_run=_what_was_run(results),
        failed=_failed(results),
        sections=list(_sections(results, claims)),
    )


def _sections(results, claims):
    """What was found comes first, then how; claims only where they are given."""
    not_shown = []
    for title, blocks_of in SECTIONS:
        try:
            yield Section(title, blocks_of(results))
        except NotShownError as reason:
            not_shown.append((title, str(reason)))
    if not_shown:
        yield Section("Not shown", [Lines("", not_shown)])
    yield Section("Settings and versions", _settings(results))
    if claims is not None:
        title = claims.attrs.get("title", "Claims")
        yield Section(title, _claims(claims), "claims")
    yield Section("Data", _data(results, claims))


# ------------------------------------------------------------------ what was run


def _what_was_run(results):
    cells, n = results.table[CELL].drop_duplicates(), results.n_images
    lams = [f"{lam:g}" for lam in sorted(cells["lam"].unique()) if lam > 0]
    seeds = cells["seed"].unique()
    parts = [count(cells["condition"].nunique(), "condition")]
    parts += [f"lam {', '.join(lams)}"] if lams else []
    if "layer" in results.table:
        parts.append(f"layers {', '.join(map(str, results.table['layer'].unique()))}")
    parts += [f"{count(len(seeds), 'seed')} from {seeds.min()} on"]
    return (
        f"{count(len(cells), 'model')}: {'; '.join(parts)}. Trained on {n['train']:,} "
        f"images, measured on {n['test']:,} others."
    )


def _failed(results):
    n = len(results.failures)
    return f"{count(n, 'model')} failed and {'is' if n == 1 else 'are'} left out" * (
        n > 0
    )


def _settings(results):
    text = (
        "Models of one seed share initialisation, order of the data and noisy test "
        "images; differences are taken within seeds."
    )
    conditions = _conditions(results)
    blocks = [Text(text), Table.of("Conditions", conditions, ["seeds", "models"])]
    if failed := _failed(results):
        blocks += [Text(f"{failed}:"), Table.of("Models that failed", results.failures)]
    shared = [(name, _plain(value)) for name, value in results.base.items()]
    shared = Table("Parameters", ["parameter", "value"], shared)
    blocks.append(Details("Parameters that all conditions share", [shared]))
    versions = ", ".join(f"{name} {v}" for name, v in results.versions.items())
    return [*blocks, Text(f"Versions: {versions}.")]


def _conditions(results):
    models = results.table[CELL].drop_duplicates()
    rows = []
    for name, part in models.groupby("condition", sort=False):
        settings = results.conditions.get(name, {})
        text = ", ".join(f"{k}={_plain(v)}" for k, v in settings.items() if k != "lam")
        lams = ", ".join(f"{lam:g}" for lam in sorted(part["lam"].unique()))
        rows.append((name, text, lams, part["seed"].nunique(), len(part)))
    columns = ["condition", "settings", "lam", "seeds", "models"]
    return pd.DataFrame(rows, columns=columns)


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


# ------------------------------------------------------------------ claims and data


def _claims(claims):
    """What was judged, a line for what was not, and what stands beside them."""
    is_test = claims["kind"] == "test"
    not_testable = is_test & (claims["verdict"] == NOT_TESTABLE)
    text = claims.attrs.get("text")
    blocks = [Text(text)] if text else []
    judged = claims[is_test & ~not_testable]
    if len(judged):
        blocks.append(_claims_table("Claims with verdicts", judged, True))
    lines = [
        (f"{name} {part['text'].iloc[0]}", _reasons(part["note"]))
        for name, part in claims[not_testable].groupby("claim", sort=False)
    ]
    if lines:
        blocks.append(Lines("Not testable with what was run", lines))
    beside = claims[~is_test]
    if len(beside):
        table = _claims_table("Without verdicts", beside, False)
        blocks.append(Details("Beside them, without verdicts", [table]))
    return blocks


def _reasons(notes):
    """What the notes of several rows say, each once."""
    return "; ".join(dict.fromkeys("; ".join(notes).split("; ")))


def _claims_table(label, table, has_verdicts):
    numbers = NUMBERS if has_verdicts else {"p_t": NUMBERS["p_t"]}
    rows = [
        Claim(
            row.claim,
            row.verdict if isinstance(row.verdict, str) else "",
            row.contrast,
            row.text,
            row.note,
            f"{in_cell(row.estimate)} [{in_cell(row.low)}, {in_cell(row.high)}]",
            [in_cell(getattr(row, name)) for name in numbers],
            f"{row.n:.0f}" if row.n > 0 else "",
        )
        for row in table.itertuples()
    ]
    return Claims(label, list(numbers.values()), rows, has_verdicts)


def _data(results, claims):
    parts = {"results": results.table, "summary": results.summary()}
    if CONTROL in set(results.table["condition"]):
        parts["comparison with the control"] = results.compare(CONTROL)
    if claims is not None:
        parts["claims"] = claims
    files = []
    for name, table in parts.items():
        packed = gzip.compress(table.to_csv(index=False).encode(), mtime=0)
        address = "data:application/gzip;base64," + base64.b64encode(packed).decode()
        what = f"{name} ({len(table):,} rows)"
        files.append((what, f"{name.split()[0]}.csv.gz", address))
    text = (
        "Every measure of every model (condition, lam, seed, group, measure, "
        "parameter, value, n); means and intervals over seeds; and paired differences "
        "with their p values, each of its row alone; compressed CSV."
    )
    return [Text(text), Downloads(files)]

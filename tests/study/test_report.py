"""The report and the plots of a study: right whatever names, gaps and errors it has."""

import base64
import copy
import dataclasses
import gzip
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from sktopo import TopographicCNNClassifier, metrics
from sktopo._measures.registry import GROUPS
from sktopo._measures.results import select_one
from sktopo.plotting import ExpertMapDisplay, GridMapDisplay
from sktopo.plotting.style import styles
from sktopo.replication import claims
from sktopo.study import TopographicStudy, _figures, _findings, _panels, _report

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.usefixtures("coarse_figures")

NAMES = ["a$b", "$\\alpha", "_x", "50%", "<b>&\"'", "line\nend", "ü", "x" * 90, "a\\b"]
ABSENT = 3  # digits below are in no test set here


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    X_test, y_test = X[300:500], y[300:500]
    there = y_test >= ABSENT
    return X[:300], y[:300], X_test[there], y_test[there]


def quick_study(grid_shape=(3, 4), **changed):
    estimator = TopographicCNNClassifier(grid_shape=grid_shape, max_epochs=1, lr=3e-3)
    settings = {"topo_losses": ["ws"], "lams": [1], "n_seeds": 2, "verbose": 0}
    return TopographicStudy(estimator, **{**settings, **changed})


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A study with all measures, whose test set lacks three classes."""
    return quick_study(store=tmp_path_factory.mktemp("store")).run(*data)


@pytest.fixture
def study(whole):
    """What it found."""
    return whole._results()


@pytest.mark.parametrize("given", [True, "yes", pd.DataFrame({"x": [1]})])
def test_claims_that_are_none(given, study, tmp_path):
    with pytest.raises(TypeError, match="claims must be the table of sktopo"):
        study.report(tmp_path / "report.html", claims=given)
    with pytest.raises(TypeError, match="results must be a TopographicStudy"):
        claims(study.table)
    assert not list(tmp_path.iterdir())


def renamed(study, names, lams=(1,)):
    """The study with its condition "ws" under other names, as if all had been run."""
    found = copy.copy(study)
    control = study.table[study.table["condition"] == "control"]
    ws = study.table[study.table["condition"] == "ws"]
    arms = [(name, float(lam)) for name in names for lam in lams]
    tables = [control, *(ws.assign(condition=name, lam=lam) for name, lam in arms)]
    found.table = pd.concat(tables, ignore_index=True)
    conditions = {"control": {"topo_loss": None}}
    conditions |= {name: {"topo_loss": "ws"} for name in names}
    found.conditions = conditions
    found.responses = {
        (name, lam, seed): responses
        for name, lam in [("control", 0.0), *arms]
        for (condition, _, seed), responses in study.responses.items()
        if (condition == "control") == (name == "control")
    }
    return found


@pytest.fixture
def figures(monkeypatch):
    """What the report draws: for each figure, its looks by name and all its texts."""
    seen = []

    def look(figure, title, taken_at="", caption=""):
        looks, texts = {}, [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
        for ax in figure.axes:
            assert ax.get_legend() is None  # nothing lies on what is drawn
            lines = {line.get_label(): line for line in ax.lines}
            for box in ax.containers:
                if box.get_label() and hasattr(box, "lines"):
                    lines[box.get_label()] = box.lines[0]
            for label, line in lines.items():
                look = (line.get_color(), line.get_marker(), line.get_linestyle())
                looks.setdefault(label, set()).add(look)
        seen.append((title, looks, texts))
        plt.close(figure)
        return _findings.Figure(title, taken_at, "data:image/png;base64,", caption)

    monkeypatch.setattr(_findings, "draw", look)
    return seen


@pytest.fixture
def laid_out(figures, monkeypatch):
    """The same, when all has found its place."""
    look = _findings.draw

    def draw(figure, *told):
        figure.draw_without_rendering()
        return look(figure, *told)

    monkeypatch.setattr(_findings, "draw", draw)
    return figures


def show_only(monkeypatch, *titles):
    """Leave the other sections out, as they take long."""
    sections = dict(_findings.SECTIONS)
    chosen = tuple((title, sections[title]) for title in titles)
    monkeypatch.setattr(_report, "SECTIONS", chosen)


class Page(HTMLParser):
    """What a page asks for, whether its tags are closed, and its texts by section."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.links, self.open, self.titles = [], [], [], []
        self.places, self.downloads, self.texts, self.keys = {}, {}, {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.sources += [attrs[name] for name in ("src", "srcset") if name in attrs]
        if "download" in attrs:
            self.downloads[attrs["download"]] = attrs["href"]
        elif "href" in attrs:
            self.links.append(attrs["href"])
        if "id" in attrs:
            assert attrs["id"] not in self.places
            self.places[attrs["id"]] = self.texts[attrs["id"]] = []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        elif self.open[-1] == "li" and tag == "img":
            self.keys.append([attrs["src"], ""])
            self.open[-1] = "li with image"

    def handle_endtag(self, tag):
        assert self.open.pop().split()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)
        if self.open and self.open[-1] == "li with image":
            self.keys[-1][1] += data
        if self.texts and data.strip() and "section" in self.open:
            list(self.texts.values())[-1].append(data.strip())


def read(path):
    return Page(Path(path).read_text())


def pixels(source):
    """An image within the page."""
    packed = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    return plt.imread(io.BytesIO(packed), format="png")


# ------------------------------------------------------------------ the page


TITLES = [
    *("Measures against lam", "Differences from the control", "Weight noise"),
    *("Image noise: who is most accurate", "Maps", "Expert units"),
    *("Correlation structure", "Accuracy, smoothness and robustness"),
    "Consistency over seeds",
]


def test_without_claims_a_report_does_not_speak_of_them(study, figures, tmp_path):
    study.report(tmp_path / "plain.html", "my digits")
    plain = (tmp_path / "plain.html").read_text()
    assert "<h1>Topographic study of my digits</h1>" in plain
    assert Page(plain).titles == [*TITLES, "Settings and versions", "Data"]
    assert "laim" not in plain


def test_report_is_one_page_with_its_data(study, tmp_path):
    study = renamed(study, ["ws", "<b>bold</b>"], lams=[1, 3])
    study.report(tmp_path / "report.html", claims=claims(study, "fashion_mnist"))
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    last = ["Settings and versions", "The paper's claims", "Data"]
    assert page.titles == [*TITLES, *last]
    # the list of contents leads to each, in their order
    assert page.links == [f"#{place}" for place in page.places]
    assert len(page.links) == len(page.titles)
    assert text.index("<nav") < text.index("<section")
    assert len(page.sources) > 20
    assert all(s.startswith("data:image/png;base64,") for s in page.sources)
    assert list(page.downloads) == [
        f"{name}.csv.gz" for name in ("results", "summary", "comparison", "claims")
    ]
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "<script" not in text
    assert "<b>bold" not in text
    packed = page.downloads["results.csv.gz"]
    packed = packed.removeprefix("data:application/gzip;base64,")
    table = pd.read_csv(
        io.BytesIO(gzip.decompress(base64.b64decode(packed))),
        keep_default_na=False,
        na_values={"value": [""]},
    )
    pd.testing.assert_frame_equal(table, study.table, rtol=1e-12)


def test_what_is_not_shown_takes_a_line(data, tmp_path):
    study = quick_study(n_seeds=1, include=["performance"]).run(*data)
    study.report(tmp_path / "report.html")
    page = read(tmp_path / "report.html")
    shown = ["Measures against lam", "Differences from the control", "Maps"]
    shown += ["Expert units", "Correlation structure"]
    last = ["Not shown", "Settings and versions", "Data"]
    assert page.titles == [*shown, *last]
    told = page.texts["not-shown"][1:]
    assert dict(zip(told[::2], told[1::2])) == {
        "Weight noise": ": not measured",
        "Image noise: who is most accurate": ": not measured",
        "Accuracy, smoothness and robustness": ": no model has values of both",
        "Consistency over seeds": ": it needs two seeds of a condition and lam",
    }
    lines = page.texts["measures-against-lam"]
    assert "Dip of pair correlations" in lines[lines.index("Not drawn:") :]
    assert "one pair" in page.texts["differences-from-the-control"]


def test_every_panel_is_a_measure_of_a_model(study):
    """None is missing in a study with all measures, nor two of one title."""
    panels = [*_panels.CURVES, *_panels.WEIGHT_NOISE, *_panels.TRADE_OFFS]
    panels += [_panels.IMAGE_NOISE, _panels.BY_DISTANCE]
    for panel in panels:
        rows = _panels.rows_of(study.table, panel)
        assert len(rows)
        assert rows["value"].dropna().between(*panel.bounds).all()
    assert len({panel.title for panel in _panels.CURVES}) == len(_panels.CURVES)
    # a group that had none would be drawn whole, as own measures are
    assert {panel.conditions["group"] for panel in _panels.CURVES} == set(GROUPS)
    for panel in _panels.CURVES:  # one value a model
        rows = _panels.rows_of(study.table, panel)
        assert not rows.duplicated(["condition", "lam", "seed"]).any()


# ------------------------------------------------------------------ own measures


def own_rows(study, group, **changed):
    own = study.table[study.table["measure"] == "weight_norm"]
    return own.assign(group=group, **{"measure": group, "parameter": "", **changed})


@pytest.fixture
def few_own(monkeypatch):
    """How many own measures are drawn at most: a few."""
    assert _panels.MOST_OWN > 4
    monkeypatch.setattr(_findings, "MOST_OWN", 4)
    return 4


def test_own_measures_have_a_panel_each_by_their_names(
    study, figures, monkeypatch, tmp_path
):
    show_only(monkeypatch, *TITLES[:2])
    own = [
        own_rows(study, "my_dip$ <b>"),
        own_rows(study, "by_class", measure="right", parameter="class=3"),
        own_rows(study, "by_class", measure="right", parameter="class=4"),
        own_rows(study, "mine", measure="accuracy"),
    ]
    study.table = pd.concat([study.table, *own], ignore_index=True)
    study.report(tmp_path / "report.html")
    page = read(tmp_path / "report.html")
    n_ours = len(_panels.CURVES)
    titles = [title for title, _, _ in figures]
    wanted = ["my_dip$ <b>", "by_class: right", "by_class: right", "mine: accuracy"]
    assert titles[n_ours : n_ours + 4] == wanted
    section = page.texts["measures-against-lam"]
    assert {"my_dip$ <b>", "class 3", "class 4", "mine: accuracy"} <= set(section)
    assert wanted[0] in "".join(page.texts["differences-from-the-control"])
    axis = figures[n_ours][2]
    assert "my_dip$ <b>" in axis


def test_many_own_measures_are_left_to_the_data(
    study, figures, few_own, monkeypatch, tmp_path
):
    show_only(monkeypatch, TITLES[0])
    own = [own_rows(study, "unit", parameter=f"unit={i}") for i in range(few_own + 10)]
    study.table = pd.concat([study.table, *own], ignore_index=True)
    study.report(tmp_path / "report.html")
    titles = [title for title, _, _ in figures]
    assert titles.count("unit") == few_own
    section = "".join(read(tmp_path / "report.html").texts["measures-against-lam"])
    assert "10 further measures: see the data" in section


# ------------------------------------------------------------------ what is drawn


def test_conditions_without_lam_are_drawn_left_of_the_others(
    study, laid_out, monkeypatch, tmp_path
):
    show_only(monkeypatch, TITLES[0])
    other = study.table[study.table["condition"] == "ws"]
    other = other.assign(condition="trained elsewhere", lam=np.nan)
    study.table = pd.concat([study.table, other], ignore_index=True)
    study.report(tmp_path / "report.html")
    title, looks, texts = laid_out[0]
    assert title == "Accuracy"
    look = styles(["control", "ws", "trained elsewhere"])["trained elsewhere"]
    ((color, marker, _),) = looks["trained elsewhere"]
    assert (color, marker) == (look["color"], look["marker"])
    assert list(dict.fromkeys(t for t in texts if t in ("0", "1"))) == ["0", "1"]
    text = (tmp_path / "report.html").read_text()
    assert "stand at lam 0" in text


def test_intervals_are_cut_at_the_bounds_and_it_is_told(study):
    panel = dataclasses.replace(_panels.ACCURACY)
    rows = _panels.rows_of(study.table, panel)
    rows = rows.assign(value=np.where(rows["seed"] == 100, 1.0, 0.9))
    figure, caption = _figures.curve(panel, rows, ["control", "ws"])
    assert "drawn no further than 1" in caption
    (ax,) = figure.axes
    (segments,) = [box.lines[2][0].get_segments() for box in ax.containers]
    assert max(segment[:, 1].max() for segment in segments) == 1
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    assert band.ymax == pytest.approx(1)
    rows = rows.assign(value=rows["value"] - 0.5)
    _, caption = _figures.curve(panel, rows.assign(value=0.5), ["control", "ws"])
    assert caption == "n = 2"


def test_differences_are_those_of_compare(study, tmp_path):
    (_, blocks) = _findings.differences(study)
    rows = {row.title: row for row in blocks.rows}
    compared = study.compare().set_index(["measure", "parameter"])
    names = [(name, list(lams)) for name, _, lams in blocks.conditions]
    assert names == [("ws", ["1"])]
    for panel, parameter in (
        (_panels.ACCURACY, ""),
        (_panels.MORANS_I, "neighborhood=moore"),
    ):
        (cell,) = rows[panel.title].cells
        wanted = compared.loc[(panel.measure, parameter)]
        assert float(cell.mean) == pytest.approx(wanted["difference"], rel=5e-3)
        low, high = map(float, cell.interval.split(" to "))
        assert (low, high) == pytest.approx((wanted["low"], wanted["high"]), rel=5e-3)
        assert cell.leaves_out_0 == (not low <= 0 <= high)


def test_layers_have_a_panel_each(study):
    table = study.table.assign(layer="grid")
    other = table[table["group"] == "smoothness"].assign(layer="conv2", value=0.5)
    table = pd.concat([table, other], ignore_index=True)
    found, missing = _panels.find_panels(table, [_panels.ACCURACY, _panels.MORANS_I])
    assert missing == []
    assert [(panel.title, panel.taken_at) for panel, _ in found] == [
        ("Accuracy", ""),
        ("Moran's I of the maps", "Moore neighbourhood, layer grid"),
        ("Moran's I of the maps", "Moore neighbourhood, layer conv2"),
    ]
    assert found[2][1]["value"].eq(0.5).all()
    study.table = table
    assert "; layers grid, conv2; " in _report._what_was_run(study)
    first = _panels.of_first_layer(_panels.rows_of(table, _panels.MORANS_I))
    assert set(first["layer"]) == {"grid"}


def test_the_winner_is_the_most_accurate_condition(study):
    table = study.table[study.table["group"].isin(["performance", "robustness"])]
    noisy = table["measure"] == "accuracy_change"
    value = np.where(table["condition"] == "ws", -0.1, -0.2)
    value = np.where(noisy, value, 0.9)
    study.table = table.assign(value=value)
    (text, winners) = _findings.image_noise(study)
    assert "2 seeds, at the only lam (ws 1)" in text.text
    assert winners.levels == ["0.01", "0.05", "0.1", "0.15", "0.2"]
    assert sorted(kind for kind, _ in winners.rows) == [
        *("pink", "salt and pepper", "white")
    ]
    for _, cells in winners.rows:
        for cell in cells:
            assert (cell.name, cell.accuracy, cell.lead) == ("ws", "0.800", "+0.100")
            assert not cell.within_noise  # the same in both seeds


def test_a_lead_that_seeds_do_not_show_is_marked(study, tmp_path):
    table = study.table[study.table["group"].isin(["performance", "robustness"])]
    noisy = table["measure"] == "accuracy_change"
    ws, first = table["condition"] == "ws", table["seed"] == table["seed"].min()
    lead = np.where(first, 0.1, -0.02)  # another sign in the other seed
    study.table = table.assign(value=np.where(noisy, -0.2 + ws * lead, 0.9))
    _, winners = _findings.image_noise(study)
    cells = [cell for _, row in winners.rows for cell in row]
    assert {(cell.lead, cell.within_noise) for cell in cells} == {("+0.040", True)}
    study.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("+0.040 \u2248") == len(cells)


# ------------------------------------------------------------------ classes


def test_experts_and_maps_are_those_of_the_right_classes(
    study, whole, data, figures, monkeypatch, tmp_path
):
    drawn = []
    for display in (ExpertMapDisplay, GridMapDisplay):
        plot = display.plot

        def recorded(self, *args, _plot=plot, **kwargs):
            drawn.append(self)
            return _plot(self, *args, **kwargs)

        monkeypatch.setattr(display, "plot", recorded)
    show_only(monkeypatch, "Maps", "Expert units")
    study.report(tmp_path / "report.html")
    X, y = data[2:]
    experts = [display for display in drawn if isinstance(display, ExpertMapDisplay)]
    maps = [display for display in drawn if isinstance(display, GridMapDisplay)]
    for display, condition in zip(experts, ("control", "ws"), strict=True):
        model = whole.load_model(condition)
        activations = model.transform(X)
        wanted = metrics.expert_units(activations, y, classes=model.classes_)
        assert display.class_names == [str(i) for i in range(10)]
        assert display.absent == list(range(ABSENT))
        assert np.array_equal(display.classes >= 0, wanted.any(axis=1))
        assert not np.isin(display.classes, range(ABSENT)).any()
        for unit in np.flatnonzero(display.classes >= 0):
            assert wanted[unit, display.classes[unit]]
    for display, condition in zip(maps, ("control", "ws"), strict=True):
        first = [np.flatnonzero(y == int(title))[0] for title in display.titles]
        assert display.titles == ["3", "4", "5", "6"]
        wanted = whole.load_model(condition).activation_maps(X[first])
        np.testing.assert_allclose(display.maps, wanted, atol=1e-5)


# ------------------------------------------------------------------ colours and names


def test_each_condition_has_one_colour_everywhere(study, figures, tmp_path):
    many = renamed(study, [f"condition {i}" for i in range(9)])
    wanted = {name: look["color"] for name, look in styles(many.conditions).items()}
    assert len(set(wanted.values())) == 10
    # a measure that the first condition lacks
    lacking = many.table["condition"] == "condition 0"
    of_variance = many.table["measure"] == "variance"
    many.table.loc[lacking & of_variance, "value"] = np.nan
    many.report(tmp_path / "report.html")
    drawn = dict.fromkeys(wanted, 0)
    looks_of = styles(many.conditions)
    for _, looks, _ in figures:
        for name, found in looks.items():
            if name in wanted:
                ((color, marker, line),) = found
                look = looks_of[name]
                assert color == wanted[name]
                assert marker in (look["marker"], "None")
                assert line in (look["linestyle"], "None")
                drawn[name] += 1
    assert min(drawn.values()) > 10
    page = read(tmp_path / "report.html")
    keys = {(name.strip(), source) for source, name in page.keys}
    assert len(keys) == 10  # each section shows the same
    for name, source in keys:
        image = pixels(source)
        inked = image[..., :3][(image[..., :3] < 0.98).any(axis=-1)]
        color = matplotlib.colors.to_rgb(wanted[name])
        assert np.abs(inked - color).sum(axis=1).min() < 0.05
    display = many.plot("variance")
    colors = {
        box.get_label(): box.lines[0].get_color() for box in display.ax_.containers
    }
    assert colors.items() <= wanted.items()
    assert "condition 8" in colors


def test_names_are_shown_as_they_are(study, laid_out, tmp_path):
    odd = renamed(study, NAMES)
    odd.classes = np.array([*NAMES, "<i>"])
    odd.labels = np.array([NAMES[label - 1] for label in study.labels])
    odd.failures = pd.DataFrame(
        [("<b>", 1.0, 100, "<script>")], columns=["condition", "lam", "seed", "error"]
    )
    odd.report(tmp_path / "report.html", "<i> $x_$ & a_b")
    page = (tmp_path / "report.html").read_text()
    assert "<h1>Topographic study of &lt;i&gt; $x_$ &amp; a_b</h1>" in page
    assert not re.search(r"<(b|i|script)>", page)
    assert "&lt;span" not in page  # our own markup is not escaped
    assert "&amp;lt;" not in page
    shown = "\n".join(text for _, _, texts in laid_out for text in texts)
    for name in sorted(NAMES[2:])[:4]:  # the first classes of the test images
        assert name[:28] in shown
    names = {name.strip() for _, name in Page(page).keys}
    classes = Page(page).texts["expert-units"]
    for name in NAMES:
        assert f"<td>{escape(name)}</td>" in page
        assert name in names
        assert any(text in (name, f"{name} (no image)") for text in classes)
    display = odd.plot("accuracy")
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend[:7] == ["control", *NAMES[:6]]
    display.figure_.canvas.draw()


def test_a_measures_own_name_is_its_label(study):
    own = study.table[study.table["measure"] == "dip"]
    own = own.assign(group="mine", measure="my_dip$", parameter="a_b $c$")
    study.table = pd.concat([study.table, own], ignore_index=True)
    display = study.plot("my_dip$")
    assert display.ax_.get_ylabel() == "my_dip$\n(a_b $c$)"
    display.figure_.canvas.draw()
    assert (
        study.plot("morans_i", neighborhood="moore").ax_.get_ylabel()
        == "morans i\n(moore)"
    )


def test_a_legend_calls_conditions_as_it_is_told(study):
    names = [f"condition {i}" for i, _ in enumerate(study.conditions)]
    display = study.plot("accuracy", names=names)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == names
    with pytest.raises(ValueError, match=f"each of {len(names)} conditions; got 1"):
        study.plot("accuracy", names=["one"])


# ------------------------------------------------------------------ groups


def test_groups_are_not_averaged(study):
    results = study.table
    own = results[(results["measure"] == "accuracy") & (results["parameter"] == "")]
    own = own.assign(group="mine", value=100.0)
    study.table = pd.concat([results, own], ignore_index=True)
    with pytest.raises(ValueError, match=r"several groups.*\['performance', 'mine'\]"):
        study.plot("accuracy")
    wanted = study.summary().set_index(["condition", "group", "measure", "parameter"])
    for group in ("performance", "mine"):
        drawn = study.plot("accuracy", group=group).summary_
        for row in drawn.itertuples():
            mean = wanted.loc[(row.condition, group, "accuracy", ""), "mean"]
            assert row.mean == pytest.approx(mean)
    _, ax = plt.subplots()
    assert study.plot("accuracy", "", ax, group="mine").ax_ is ax
    assert study.plot("dip", group=None).ax_.get_ylabel() == "dip"


def test_own_measures_do_not_get_into_the_figures_of_others(
    study, few_own, monkeypatch
):
    """Every row, under another group and with a value that would be seen."""
    sections = [function for _, function in _findings.SECTIONS]
    assert len(sections) >= 7
    drawn = []

    def look(figure, *told):
        values = [line.get_xydata().tolist() for ax in figure.axes for line in ax.lines]
        texts = [text.get_text() for ax in figure.axes for text in ax.texts]
        drawn.append((told, values, texts))
        plt.close(figure)
        return told

    def is_ours(title):
        return not title.startswith("mine: ")

    def seen():
        drawn.clear()
        _, (_, compared), *others = [function(study) for function in sections]
        rows = [row for row in compared.rows if is_ours(row.title)]
        figures = [figure for figure in drawn if is_ours(figure[0][0])]
        return [repr(part) for part in (rows, figures, others)]

    monkeypatch.setattr(_findings, "draw", look)
    alone = seen()
    assert len(drawn) > 15
    own = study.table.assign(group="mine", value=1e6)
    study.table = pd.concat([study.table, own], ignore_index=True)
    assert seen() == alone
    assert sum(not is_ours(told[0]) for told, *_ in drawn) == few_own


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"measure": "moran"}, "No measure 'moran'; did you mean 'morans_i'"),
        ({"measure": "acuracy"}, "No measure 'acuracy'; did you mean 'accuracy'"),
        ({"measure": 3}, "No measure 3; there are 'accuracy'"),
        (
            {"measure": "morans_i", "parameter": "more"},
            "No row of 'morans_i' has parameter='more'; parameter is 'neighborhood=",
        ),
        ({"measure": "accuracy", "group": "perform"}, "did you mean 'performance'"),
        (
            {"measure": "morans_i", "neighborhood": "more"},
            "No row of 'morans_i' has neighborhood='more'; did you mean 'moore'",
        ),
        (
            {"measure": "morans_i", "distance": 1},
            "has a 'distance': they are told apart by the columns condition, lam, "
            "seed, group, measure, and by neighborhood.",
        ),
        (
            {"measure": "dip", "group": "performance"},
            "No row of 'dip' has group='performance'; group is 'smoothness'.",
        ),
        ({"measure": "morans_i"}, "several parameters; name what tells the one"),
    ],
)
def test_wrong_names_get_names_like_them(study, asked, hint):
    with pytest.raises(ValueError, match=re.escape(hint)) as error:
        study.plot(**asked)
    assert "array(" not in str(error.value)
    assert "\n" not in str(error.value)
    assert plt.get_fignums() == []


def test_the_only_parameter_is_found(study):
    rows = select_one(study.table, "accuracy")
    assert set(rows["group"]) == {"performance"}
    assert len(rows) == 4
    rows = select_one(
        study.table,
        "accuracy_under_noise",
        noise="weight",
        scale="std",
        layers="head",
        mean_up_to=1,
    )
    assert set(rows["group"]) == {"robustness"}


# ------------------------------------------------------------------ what is not there


def without_values(study):
    study.table = study.table.assign(value=np.nan)


def one_seed(study):
    study.table = study.table[study.table["seed"] == 100]
    cells = study.responses.items()
    study.responses = {key: found for key, found in cells if key[2] == 100}


def control_only(study):
    study.table = study.table[study.table["condition"] == "control"]
    cells = study.responses.items()
    found = {key: r for key, r in cells if key[0] == "control"}
    study.responses = found


def no_experts_and_no_pairs(study):
    study.responses = {
        key: {
            **found,
            "experts": np.zeros_like(found["experts"]),
            "average_precision": np.full_like(found["average_precision"], np.nan),
            "correlations": found["correlations"][:0],
        }
        for key, found in study.responses.items()
    }


def one_condition_without_values(study):
    of_ws = study.table["condition"] == "ws"
    study.table = study.table.assign(value=study.table["value"].mask(of_ws))


@pytest.mark.parametrize(
    "change",
    [
        without_values,
        one_seed,
        control_only,
        no_experts_and_no_pairs,
        one_condition_without_values,
    ],
)
def test_report_of_a_study_that_lacks_things(study, change, laid_out, tmp_path):
    change(study)
    study.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")
    assert laid_out


@pytest.mark.parametrize(
    "settings",
    [
        {"grid_shape": (1, 1), "topo_losses": [], "include": "all"},
        {"include": [], "measures": {"mine": lambda clf, X, y: 1.0}},
        {"include": [], "measures": {"mine": lambda clf, X, y: float("nan")}},
    ],
)
def test_report_of_small_studies(settings, data, laid_out, tmp_path):
    study = quick_study(**{"n_seeds": 1, **settings}).run(*data)
    assert study.results_["value"].dtype == float
    assert study.results_["n"].dtype == int
    study.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")


# ------------------------------------------------------------------ what fails


PLACES = [
    *(title for title, _ in _findings.SECTIONS),
    *("_settings", "_claims", "_data", "write_atomically", None),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_report_leaves_no_figure_open_and_a_failed_one_the_old_file(
    place, study, monkeypatch, tmp_path
):
    def fail(*args):
        plt.figure()
        raise RuntimeError("on purpose")

    path = tmp_path / "report.html"
    path.write_text("old")
    mine = plt.figure()

    def draws(results):
        plt.figure()
        return []

    # all are really drawn where none fails, but for two that take long
    long = ("Measures against lam", "Maps")
    sections = dict(_findings.SECTIONS)
    sections |= dict.fromkeys(long if place is None else list(sections), draws)
    if place in sections:
        sections[place] = fail
    elif place is not None:
        monkeypatch.setattr(_report, place, fail)
    monkeypatch.setattr(_report, "SECTIONS", tuple(sections.items()))
    given = claims(study)
    if place is None:
        study.report(path, claims=given)
        assert path.read_text() != "old"
    else:
        with pytest.raises(RuntimeError, match="on purpose"):
            study.report(path, claims=given)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
    if place != "write_atomically":
        assert plt.get_fignums() == [mine.number]


# ------------------------------------------------------------------ verdicts


VERDICTS = {
    "replicates": "replicates",
    "reversed": "reversed",
    "differs": "differs",
    "does not replicate": "does-not-replicate",
    "undecided": "undecided",
    "not testable": "not-testable",
    "not testable (guard)": "not-testable-guard",
    '"><script>': "script",
}


def page_of(study, table, tmp_path, monkeypatch):
    """The page with claims, without what takes long."""
    monkeypatch.setattr(_report, "SECTIONS", ())
    study.report(tmp_path / "report.html", claims=table)
    return (tmp_path / "report.html").read_text()


def test_verdicts_are_words_and_classes(study, tmp_path, monkeypatch):
    table = claims(study).iloc[: len(VERDICTS) + 2].copy()
    table["kind"] = "test"
    table["verdict"] = pd.Series([*VERDICTS, np.nan, ""], dtype=object).to_numpy()
    page = page_of(study, table, tmp_path, monkeypatch)
    found = re.findall(r'<span class="verdict ([^"]*)">([^<]*)</span>', page)
    shown = {words: css for words, css in VERDICTS.items() if words != "not testable"}
    assert found == [(css, escape(words)) for words, css in shown.items()]
    for css in list(shown.values())[:-1]:
        assert f".{css} {{" in page


def test_what_is_not_testable_takes_one_line_a_claim(study, tmp_path, monkeypatch):
    table = claims(study)
    tests = table[table["kind"] == "test"]
    assert set(tests["verdict"]) == {"not testable"}
    page = page_of(study, table, tmp_path, monkeypatch)
    assert table.attrs["text"][:40] in page
    section = page[page.index('id="claims"') :]
    lines = section[: section.index("</ul>")].split("<li>")[1:]
    assert len(lines) == tests["claim"].nunique()
    assert "verdict" not in section[: section.index("<details>")]
    for line, (name, part) in zip(lines, tests.groupby("claim", sort=False)):
        assert line.startswith(f"<strong>{name} ")
        for reason in "; ".join(part["note"]).split("; "):
            assert line.count(str(escape(reason))) >= 1
        reasons = line[line.index("</strong>: ") :].removesuffix("</li>\n").split("; ")
        assert len(set(reasons)) == len(reasons)
    # what stands beside them, without verdicts, is folded
    details = section[section.index("<details>") :]
    assert details.count("<tr>") == (table["kind"] == "beside").sum() + 1


def test_claims_may_lack_a_title_and_a_text(study, tmp_path, monkeypatch):
    table = claims(study)
    table.attrs.clear()
    page = page_of(study, table, tmp_path, monkeypatch)
    assert "Claims" in Page(page).titles
    assert "The paper" not in page


def test_intervals_of_consistency_are_shown_as_given(study, monkeypatch):
    table = study.consistency().assign(mean=0.5, low=0.25, high=0.5625)
    monkeypatch.setattr(study, "consistency", lambda: table, raising=False)
    _, shown = _findings.consistency(study)
    cells = [cell for row in shown.rows for cell in row[3:]]
    assert cells == ["0.5 (0.25 to 0.562)"] * len(table)
    table = table.assign(low=np.nan, high=np.nan)
    _, shown = _findings.consistency(study)
    assert {cell for row in shown.rows for cell in row[3:]} == {"0.5"}

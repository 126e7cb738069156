"""The report and the plots of a study: right whatever names, gaps and errors it has."""

import copy
import inspect
import io
import re

import numpy as np
import pandas as pd
import pytest

from sktopo import TopographicCNNClassifier, metrics
from sktopo._measures.results import select_one
from sktopo.plotting import ExpertMapDisplay, GridMapDisplay
from sktopo.plotting._base import styles
from sktopo.replication import claims
from sktopo.study import TopographicStudy, _report

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")

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


def renamed(study, names):
    """The study with its condition "ws" under other names, as if all had been run."""
    found = copy.copy(study)
    control = study.table[study.table["condition"] == "control"]
    ws = study.table[study.table["condition"] == "ws"]
    tables = [control, *(ws.assign(condition=name) for name in names)]
    found.table = pd.concat(tables, ignore_index=True)
    conditions = {"control": {"topo_loss": None}}
    conditions |= {name: {"topo_loss": "ws"} for name in names}
    found.conditions = conditions
    found.responses = {
        (name, lam, seed): responses
        for name in conditions
        for (condition, lam, seed), responses in study.responses.items()
        if (condition == "control") == (name == "control")
    }
    return found


@pytest.fixture
def figures(monkeypatch):
    """What the report draws: for each figure, its colours by name and all its texts."""
    seen = []

    def look(figure, caption, alt):
        figure.savefig(io.BytesIO(), format="png", dpi=30)
        looks, texts = {}, [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
        for ax in figure.axes:
            for line in ax.lines:
                looks.setdefault(line.get_label(), set()).add(line.get_color())
            for box in ax.containers:
                if box.get_label() and hasattr(box, "lines"):
                    color = box.lines[0].get_color()
                    looks.setdefault(box.get_label(), set()).add(color)
        seen.append((alt, looks, texts))
        plt.close(figure)
        return f"<figure>{_report.html.escape(caption)}</figure>"

    monkeypatch.setattr(_report, "_figure", look)
    return seen


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
    for _, looks, _ in figures:
        for label, colors in looks.items():
            name = label.split(", lam")[0]
            if name in wanted:
                assert colors == {wanted[name]}
                drawn[name] += 1
    assert min(drawn.values()) > 10
    page = (tmp_path / "report.html").read_text()
    keys = dict(re.findall(r'<b style="color:(#\w+)">.</b> (condition \d)<', page))
    assert keys == {
        matplotlib.colors.to_hex(c): name
        for name, c in wanted.items()
        if name != "control"
    }
    display = many.plot("variance")
    colors = {
        box.get_label(): box.lines[0].get_color() for box in display.ax_.containers
    }
    assert colors.items() <= wanted.items()
    assert "condition 8" in colors


def test_names_are_shown_as_they_are(study, figures, tmp_path):
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
    shown = "\n".join(text for _, _, texts in figures for text in texts)
    for name in NAMES:
        assert f"<td>{_report.html.escape(name)}</td>" in page
        assert name[:28] in shown
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


def test_own_measures_do_not_get_into_the_reports_figures(study, monkeypatch):
    """Every row, under another group and with a value that would be seen."""
    sections = [
        function
        for name, function in vars(_report).items()
        if inspect.isfunction(function)
        and list(inspect.signature(function).parameters) == ["study"]
        and name not in ("_data", "_settings", "_arms", "_example_cells")
    ]
    assert len(sections) >= 7
    drawn = []

    def look(figure, caption, alt):
        for ax in figure.axes:
            drawn.extend(line.get_xydata().tolist() for line in ax.lines)
            drawn.extend(text.get_text() for text in ax.texts)
        plt.close(figure)
        return ""

    monkeypatch.setattr(_report, "_figure", look)
    alone = [repr(function(study)) for function in sections] + [repr(drawn)]
    assert len(drawn) > 30
    drawn.clear()
    own = study.table.assign(group="mine", value=1e6)
    study.table = pd.concat([study.table, own], ignore_index=True)
    assert [repr(function(study)) for function in sections] + [repr(drawn)] == alone


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
def test_report_of_a_study_that_lacks_things(study, change, figures, tmp_path):
    change(study)
    study.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")
    assert figures


@pytest.mark.parametrize(
    "settings",
    [
        {"grid_shape": (1, 1), "topo_losses": [], "include": "all"},
        {"include": [], "measures": {"mine": lambda clf, X, y: 1.0}},
        {"include": [], "measures": {"mine": lambda clf, X, y: float("nan")}},
    ],
)
def test_report_of_small_studies(settings, data, figures, tmp_path):
    study = quick_study(**{"n_seeds": 1, **settings}).run(*data)
    assert study.results_["value"].dtype == float
    assert study.results_["n"].dtype == int
    study.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")


# ------------------------------------------------------------------ what fails


def sections():
    return [
        name
        for name, function in vars(_report).items()
        if inspect.isfunction(function)
        and list(inspect.signature(function).parameters)[:1] == ["study"]
        and f"{name}(study" in inspect.getsource(_report._page)
    ]


PLACES = [*sections(), "_claims", "write_atomically", None]


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
    monkeypatch.setattr(_report, "_curves", lambda study: "")
    monkeypatch.setattr(_report, "_maps", lambda study: "")
    if place is None:
        study.report(path)
        assert path.read_text() != "old"
    else:
        monkeypatch.setattr(_report, place, fail)
        with pytest.raises(RuntimeError, match="on purpose"):
            study.report(path)
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


def test_verdicts_are_words_and_classes(study):
    table = claims(study).iloc[: len(VERDICTS) + 2].copy()
    table["kind"] = "test"
    table["verdict"] = pd.Series([*VERDICTS, np.nan, ""], dtype=object).to_numpy()
    page = _report._claims(table)
    found = re.findall(r'<span class="verdict ([^"]*)">([^<]*)</span>', page)
    assert found == [
        (css, _report.html.escape(words)) for words, css in VERDICTS.items()
    ]
    for css in list(VERDICTS.values())[:-1]:
        assert css == "not-testable" or f".{css} {{" in _report.STYLE


def test_intervals_of_consistency_are_drawn_as_given(study, monkeypatch):
    table = study.consistency().assign(mean=0.5, low=0.25, high=0.5625)
    monkeypatch.setattr(study, "consistency", lambda: table, raising=False)
    page = _report._consistency(study)
    assert page.count('<td class="number">0.25</td>') == len(table)
    assert page.count('<td class="number">0.562</td>') == len(table)

"""What holds for every display, whatever names, data and axes it is given."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.patches import Patch
from matplotlib.text import Text

from sktopo import metrics, plotting
from sktopo.plotting import style

# Those that could hide what another does stand alone.
NAMES = ["$\\alpha", "$x_$", "_x", "a$b 50% <b>&\"'\nü a\\b#{"]
LONG = "a name that goes on and on " * 8
RNG = np.random.default_rng(0)
A, Y = RNG.normal(size=(60, 12)), np.arange(60) % 3
RADII = np.linspace(0, 1, 60)
SHAPE = (3, 4)


def lam_table(names, lams=(0.3, 1.0), seeds=3):
    rows = [("control", 0.0, seed, RNG.normal()) for seed in range(seeds)]
    for name in names:
        rows += [(name, m, s, RNG.normal()) for m in lams for s in range(seeds)]
    return pd.DataFrame(rows, columns=["condition", "lam", "seed", "value"])


def robustness_curve():
    levels = np.repeat([0.1, 0.5, 1.0], 4)
    curve = pd.DataFrame({"sigma": levels, "accuracy": RNG.uniform(size=12)})
    curve.attrs["n_images"] = 60
    return curve


def trade_off_points(names, lams=(0.3, 1.0)):
    rows = [("control", 0.0), *((name, lam) for name in names for lam in lams)]
    points = pd.DataFrame(rows, columns=["condition", "lam"])
    for axis in "xy":
        mean = RNG.normal(size=len(points))
        bars = {f"{axis}_low": mean - 0.1, f"{axis}_high": mean + 0.2}
        points = points.assign(**{axis: mean, **bars})
    return points


# Each display with a name of the user's wherever it shows one.
DISPLAYS = {
    "CorrelationDistanceDisplay": lambda name, **k: (
        plotting.CorrelationDistanceDisplay.from_activations(A, SHAPE, name=name, **k)
    ),
    "CorrelationHistogramDisplay": lambda name, **k: (
        plotting.CorrelationHistogramDisplay.from_activations(A, name=name, **k)
    ),
    "DifferenceByDistanceDisplay": lambda name, **k: (
        plotting.DifferenceByDistanceDisplay.from_values(
            A[0], SHAPE, name=name, label=name, **k
        )
    ),
    "EccentricityDisplay": lambda name, **k: (
        plotting.EccentricityDisplay.from_activations(A, RADII, name=name, **k)
    ),
    "ExpertMapDisplay": lambda name, **k: plotting.ExpertMapDisplay.from_activations(
        A, Y, SHAPE, class_names=[name, "b", "c"], **k
    ),
    "GridMapDisplay": lambda name, **k: plotting.GridMapDisplay.from_activations(
        A[:3], SHAPE, titles=[name, "b", "c"], label=name, **k
    ),
    "LambdaCurveDisplay": lambda name, **k: plotting.LambdaCurveDisplay(
        lam_table([name, "as"]), label=name
    ).plot(**k),
    "OrientationMapDisplay": lambda name, **k: plotting.OrientationMapDisplay(
        np.linspace(0, 170, 12), np.ones(12), SHAPE
    ).plot(**k),
    "RSMDisplay": lambda name, **k: plotting.RSMDisplay.from_rows(
        A[:3], names=[name, "b", "c"], label=name, **k
    ),
    "RobustnessDisplay": lambda name, **k: plotting.RobustnessDisplay(
        robustness_curve(), name
    ).plot(**k),
    "TradeOffDisplay": lambda name, **k: plotting.TradeOffDisplay(
        trade_off_points([name, "as"]), name, name
    ).plot(**k),
}
# Those of one condition each.
OF_ONE = [
    name
    for name in DISPLAYS
    if "name" in inspect.signature(getattr(plotting, name)).parameters
]
IMAGES = ("ExpertMapDisplay", "GridMapDisplay", "OrientationMapDisplay", "RSMDisplay")
CURVES = [name for name in DISPLAYS if name not in IMAGES]
each_display = pytest.mark.parametrize("kind", DISPLAYS)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text()]


def axes_of(kind):
    """Axes of a user's, in a figure without any layout."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 5))
    return figure, axes if kind == "GridMapDisplay" else axes[1]


def outside(figure):
    """How far what is drawn reaches beyond its figure, in inches at any side."""
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)


def test_the_list_is_complete():
    assert sorted(DISPLAYS) == sorted(plotting.__all__)


@each_display
def test_what_draws_gives_the_display(kind):
    display = DISPLAYS[kind]("WS")
    assert type(display) is getattr(plotting, kind)
    figure, ax = axes_of(kind)
    assert display.plot(ax=ax) is display
    assert display.figure_ is figure


# ------------------------------------------------------------------ text


@pytest.mark.parametrize("name", NAMES)
@each_display
def test_what_a_user_named_is_drawn_as_it_is(kind, name):
    display = DISPLAYS[kind](name)
    assert outside(display.figure_) < 0.01
    if kind == "OrientationMapDisplay":  # shows no names
        return
    shown = [text for text in texts(display.figure_) if name in text.get_text()]
    assert shown
    for text in shown:
        assert "$" not in name or not text.get_parse_math()


@each_display
def test_long_and_unprintable_names_leave_room_for_the_picture(kind):
    for name in (LONG, "x" * 300, "tab\tbell\a", "\n" * 3):
        display = DISPLAYS[kind](name)
        assert outside(display.figure_) < 0.01
        for ax in np.atleast_1d(display.ax_):
            assert ax.get_window_extent().width > 70
        plt.close("all")


@each_display
def test_every_display_has_a_title(kind):
    display = DISPLAYS[kind]("WS")
    axes = np.atleast_1d(display.ax_)
    assert display.figure_.get_suptitle() or all(ax.get_title() for ax in axes)
    if kind != "GridMapDisplay":
        _, ax = plt.subplots()
        title = DISPLAYS[kind]("WS", ax=ax).ax_.get_title()
        assert title
        assert DISPLAYS[kind]("WS", ax=ax).ax_.get_title() == title
        ax.set_title("mine")
        assert DISPLAYS[kind]("WS", ax=ax).ax_.get_title() == "mine"


def test_the_title_of_several_curves_holds_for_all():
    _, ax = plt.subplots()
    title = "difference of units by distance"
    for values, told in ((A[0], 1), (A[1], 0), (A[2], 0)):
        plotting.DifferenceByDistanceDisplay.from_values(values, SHAPE, ax=ax)
        assert ax.get_title().startswith(title)
        assert ax.get_title().count("smoothness") == told
    DISPLAYS["EccentricityDisplay"]("a", ax=ax)
    assert ax.get_title().startswith("units against eccentricity")


def test_titles_name_what_is_drawn():
    curve = plotting.LambdaCurveDisplay(lam_table(["a"]), "index\n(of tuning)").plot()
    assert curve.ax_.get_title().startswith("index (of tuning) against lam\n")
    points = trade_off_points(["a"])
    display = plotting.TradeOffDisplay(points, "smoothness", "accuracy").plot()
    assert display.ax_.get_title() == "accuracy against smoothness\nn = 3 points"


def test_titles_and_labels_of_the_users_own_can_be_markup():
    display = DISPLAYS["LambdaCurveDisplay"]("plain")
    display.ax_.set_title(r"$\alpha$")
    display.ax_.set_ylabel(r"$\beta$")
    for text in (display.ax_.title, display.ax_.yaxis.label):
        assert text.get_parse_math()
    _, ax = plt.subplots()
    ax.plot([0, 1], label=r"$\gamma$")
    DISPLAYS["CorrelationDistanceDisplay"]("_x", ax=ax)
    mine, ours = ax.get_legend().get_texts()
    assert mine.get_text() == r"$\gamma$"
    assert mine.get_parse_math()
    assert ours.get_text() == "_x"


def test_two_curves_of_one_axes_keep_their_names():
    _, ax = plt.subplots()
    for name in ("_x", "$a$", "b"):
        DISPLAYS["CorrelationDistanceDisplay"](name, ax=ax)
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["_x", "$a$", "b"]


# ------------------------------------------------------------------ room


@each_display
def test_legends_lie_in_the_figure_and_not_on_the_data(kind):
    displays = [DISPLAYS[kind]("a name of some length")]
    figure, ax = axes_of(kind)
    displays.append(DISPLAYS[kind]("WS", ax=ax))
    assert figure.get_size_inches().tolist() == [12, 5]
    for display in displays:
        assert outside(display.figure_) < 0.01
        for ax in np.atleast_1d(display.ax_):
            if ax.get_legend() is not None:
                legend = ax.get_legend().get_window_extent()
                assert not legend.overlaps(ax.get_window_extent())


def test_the_legend_of_many_classes_is_whole(tmp_path):
    for n in (10, 11, 40):
        names = [f"class number {i}" for i in range(n)]
        classes = np.arange(121) % (n + 1) - 1
        display = plotting.ExpertMapDisplay(classes, (11, 11), names).plot()
        assert len(display.ax_.get_legend().get_texts()) == n + 1
        assert outside(display.figure_) < 0.01


@pytest.mark.parametrize("layout", [None, "constrained", "compressed", "tight"])
def test_layouts_of_the_user_leave_room_for_legends(layout):
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout=layout)
    DISPLAYS["ExpertMapDisplay"]("a", ax=axes[0, 0])
    DISPLAYS["LambdaCurveDisplay"]("a", ax=axes[0, 1])
    DISPLAYS["EccentricityDisplay"]("a", ax=axes[1, 0])
    assert outside(figure) < 0.01


@each_display
def test_a_display_that_fails_leaves_no_figure_open(kind):
    before = plt.get_fignums()
    wrong = {"cmap": "no such map"} if kind in IMAGES else {"color": "no such color"}
    if kind == "OrientationMapDisplay":
        wrong = {"interpolation": "no such"}
    with pytest.raises(ValueError, match="no such"):
        DISPLAYS[kind]("WS", **wrong)
    with pytest.raises((AttributeError, TypeError)):
        DISPLAYS[kind]("WS", no_such_property=1)
    if kind in CURVES:
        for both in ({"c": "red", "color": "blue"}, {"lw": 1, "linewidth": 2}):
            with pytest.raises(TypeError, match="Got both"):
                DISPLAYS[kind]("WS", **both)
    else:
        for limits in ({"vmin": 0}, {"vmax": 1}, {"vmin": 0, "vmax": 1}):
            with pytest.raises(ValueError, match="Give norm, or vmin and vmax"):
                DISPLAYS[kind]("WS", norm=Normalize(0, 1), **limits)
    assert plt.get_fignums() == before


# ------------------------------------------------------------------ matplotlib's words


def lines_of(display):
    if hasattr(display, "lines_"):
        return list(display.lines_.values())
    if hasattr(display, "line_"):
        return [display.line_]
    return [box.lines[0] for box in display.ax_.containers if box.lines]


ALIASES = {
    "c": ("color", "red"),
    "lw": ("linewidth", 3),
    "ls": ("linestyle", "--"),
    "aa": ("antialiased", False),
    "ms": ("markersize", 7),
    "mfc": ("markerfacecolor", "blue"),
    "mec": ("markeredgecolor", "green"),
    "mew": ("markeredgewidth", 2),
    "ds": ("drawstyle", "steps-post"),
    "marker": ("marker", "s"),
    "alpha": ("alpha", 0.3),
}
SHORT = {alias: value for alias, (_, value) in ALIASES.items()}
WHOLE = dict(ALIASES.values())


@pytest.mark.parametrize("given", [SHORT, WHOLE])
@pytest.mark.parametrize("kind", CURVES)
def test_curves_know_every_alias(kind, given):
    if kind == "CorrelationHistogramDisplay":
        given = {k: v for k, v in given.items() if k[0] not in "dm"}
        patch = DISPLAYS[kind]("WS", **given).ax_.patches[0]
        assert patch.get_edgecolor() == to_rgba("red", alpha=0.3)
        assert not patch.get_antialiased()
        assert patch.get_linewidth() == 3
        assert patch.get_linestyle() != "-"
        return
    lines = lines_of(DISPLAYS[kind]("WS", **given))
    assert lines
    for line in lines:
        assert {name: getattr(line, f"get_{name}")() for name in WHOLE} == WHOLE


def test_format_of_error_bars():
    for fmt, color in (("s--", "#0072B2"), ("rs", "r")):
        line = lines_of(DISPLAYS["LambdaCurveDisplay"]("ws", fmt=fmt))[0]
        assert (line.get_marker(), line.get_color()) == ("s", color)
    DISPLAYS["LambdaCurveDisplay"]("ws", fmt="none")


@pytest.mark.parametrize("kind", IMAGES)
def test_images_take_a_norm(kind):
    norm = Normalize(-3, 3)
    display = DISPLAYS[kind]("WS", norm=norm)
    for ax in np.atleast_1d(display.ax_):
        assert ax.images[0].norm is norm
        assert ax.images[0].get_clim() == (-3, 3)
    DISPLAYS[kind]("WS", norm="linear").figure_.canvas.draw()
    DISPLAYS[kind]("WS", cmap="cividis", vmin=-1, vmax=2, alpha=0.5)


def test_maps_of_one_figure_share_a_norm_without_limits():
    maps = np.arange(1, 25.0).reshape(2, 3, 4)
    for norm in (LogNorm(), "log"):
        display = plotting.GridMapDisplay(maps).plot(norm=norm)
        first, second = (ax.images[0] for ax in display.ax_)
        assert first.norm is second.norm
        assert first.get_clim() == (1, 24)


def test_the_legend_of_experts_has_the_colours_of_the_map():
    display = plotting.ExpertMapDisplay([0, -1, 1, 1], (2, 2), ["a", "b"])
    ax = display.plot(cmap="viridis").ax_
    image = ax.images[0]
    colors = [box.get_facecolor() for box in ax.get_legend().get_patches()]
    assert np.allclose(colors, image.to_rgba(np.array([0, 1, -1])))


def test_bars_stand_as_the_orientation_says_on_any_axes():
    for origin in ("upper", "lower"):
        display = plotting.OrientationMapDisplay([45.0], [1], (1, 1)).plot(
            origin=origin
        )
        (x0, x1), (y0, y1) = display.ax_.transData.transform(
            display.ax_.lines[0].get_xydata()
        ).T
        assert (x1 - x0) * (y1 - y0) > 0


def test_hues_and_saturation_of_orientations_are_the_users():
    preferred, strength = [0, 45, 90, 135], [0.2, 0.4, 0.4, 0.1]
    display = plotting.OrientationMapDisplay(preferred, strength, (1, 4))
    drawn = display.plot(cmap="twilight", vmin=0.1, vmax=0.4).ax_.images[0]
    hues = plt.get_cmap("twilight")([0, 0.25, 0.5, 0.75])[:, :3]
    weight = np.array([[1 / 3], [1], [1], [0]])
    expected = weight * hues + (1 - weight) * 0.85
    np.testing.assert_allclose(drawn.get_array()[0], expected)
    same = display.plot(cmap="twilight", norm=Normalize(0.1, 0.4)).ax_.images[0]
    np.testing.assert_array_equal(same.get_array(), drawn.get_array())
    scale = display.figure_.axes[-1].collections[-1]
    assert scale.get_cmap().name == "twilight"


# ------------------------------------------------------------------ colours


def looks_on(ax):
    """Colour of each curve, by what the legend calls it."""
    handles, labels = ax.get_legend_handles_labels()
    colors = [
        box.get_edgecolor() if isinstance(box, Patch) else box.get_color()
        for box in (getattr(h, "lines", None) or [h] for h in handles)
        for box in box[:1]
    ]
    return {label: to_rgba(color) for label, color in zip(labels, colors)}


@pytest.mark.parametrize("kind", OF_ONE)
def test_a_condition_has_one_colour_in_all_displays(kind):
    expected = style.styles(["ws", "as"])
    expected = {name: to_rgba(look["color"]) for name, look in expected.items()}
    _, (first, second, third) = plt.subplots(1, 3)
    for name in ("control", "ws", "as"):
        DISPLAYS[kind](name, ax=first)
    assert looks_on(first) == expected
    # in any order, and some alone
    DISPLAYS[kind]("as", ax=second)
    assert looks_on(second) == {"as": expected["as"]}
    plotting.LambdaCurveDisplay(lam_table(["as", "mine"])).plot(ax=third)
    of_mine = to_rgba(style.styles(["ws", "as", "mine"])["mine"]["color"])
    assert looks_on(third) == {
        "control": expected["control"],
        "as": expected["as"],
        "mine": of_mine,
    }


def test_curves_without_a_name_have_a_colour_each_and_the_same_in_all_axes():
    _, axes = plt.subplots(1, 2)
    for ax in axes:
        lines = [DISPLAYS["EccentricityDisplay"](None, ax=ax).line_ for _ in range(2)]
        assert [line.get_color() for line in lines] == list(style.LINE_COLORS[:2])
    assert axes[0].get_legend() is None


def test_kinds_of_noise_have_a_line_each_and_the_colour_of_their_model():
    curve = pd.concat(
        pd.DataFrame({"level": [0.1, 0.2], "kind": kind, "accuracy": [0.9, 0.8]})
        for kind in ("white", "salt_and_pepper")
    )
    _, ax = plt.subplots()
    for name in ("control", "ws"):
        lines = plotting.RobustnessDisplay(curve, name).plot(ax=ax).lines_.values()
        assert {line.get_color() for line in lines} == {
            style.styles(["ws"])[name]["color"]
        }
        for of_line in ("linestyle", "marker"):
            assert len({getattr(line, f"get_{of_line}")() for line in lines}) == 2
    assert list(looks_on(ax))[2:] == ["ws, white", "ws, salt and pepper"]
    lines = plotting.RobustnessDisplay(curve).plot().lines_.values()
    assert len({line.get_color() for line in lines}) == 2


# ------------------------------------------------------------------ images


@pytest.mark.parametrize("scale", [1, 1 / 16, -255.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_drawn_above_their_maps(channels, scale):
    images = scale * RNG.integers(0, 17, size=(3, channels, 6, 5))
    if channels == 1 and scale == 1:
        images = images.astype(np.uint8)
    display = plotting.GridMapDisplay.from_activations(
        A[:3], SHAPE, images=images, titles=list("abc")
    )
    low, high = images.min(), images.max()
    for image, above, ax, title in zip(images, display.image_ax_, display.ax_, "abc"):
        drawn = above.images[0]
        expected = (np.moveaxis(image.astype(float), 0, -1) - low) / (high - low)
        if channels == 1:
            expected = expected[..., 0]
            assert drawn.get_cmap().name == "gray"
            assert drawn.get_clim() == (0, 1)
        np.testing.assert_allclose(drawn.get_array(), expected, atol=1e-12)
        assert (above.get_title(), ax.get_title()) == (title, "")
    assert outside(display.figure_) < 0.01
    for above, ax in zip(display.image_ax_, display.ax_):
        over, under = above.get_window_extent(), ax.get_window_extent()
        assert over.y0 > under.y1
        assert (over.x0 + over.x1) / 2 == pytest.approx(
            (under.x0 + under.x1) / 2, abs=2
        )
    assert "below each image" in display.figure_.get_suptitle()


@pytest.mark.parametrize("n", [1, 7])
def test_images_of_an_estimator(n, fitted, digits):
    X = digits[0][1200 : 1200 + n]
    method = plotting.GridMapDisplay.from_estimator
    for estimator, given in (
        (fitted, X),
        (fitted, X.reshape(n, -1)),
        (fitted, X[:, 0]),
    ):
        display = method(estimator, given, show_images=True)
        drawn = [ax.images[0].get_array() for ax in display.image_ax_]
        np.testing.assert_allclose(drawn, (X[:, 0] - X.min()) / np.ptp(X))
        assert len(display.figure_.axes) == 2 * n + 1
        assert outside(display.figure_) < 0.01
        plt.close("all")
    plain = method(fitted, X)
    assert plain.image_ax_ is None
    assert np.array_equal(plain.maps, display.maps)


def test_images_on_axes_of_the_user():
    images = np.zeros((2, 4, 4))  # of one value
    display = plotting.GridMapDisplay(A[:2].reshape(2, *SHAPE), images=images)
    figure, axes = plt.subplots(2, 2)
    assert display.plot(ax=axes).image_ax_.tolist() == axes[0].tolist()
    assert display.ax_.tolist() == axes[1].tolist()
    assert outside(figure) < 0.01
    with pytest.raises(ValueError, match="as many before them for the images; got 2"):
        display.plot(ax=axes[0])
    for wrong in (images[:1], np.zeros((2, 2, 4, 4))):
        with pytest.raises(ValueError, match="images must be one for each of 2 maps"):
            plotting.GridMapDisplay(A[:2].reshape(2, *SHAPE), images=wrong)


# ------------------------------------------------------------------ names


def from_methods(kind):
    display = getattr(plotting, kind)
    return [getattr(display, name) for name in dir(display) if name.startswith("from_")]


@each_display
def test_constructor_and_from_methods_take_the_same_names(kind):
    words = {"name", "names", "class_names", "titles", "label"}
    own = set(inspect.signature(getattr(plotting, kind)).parameters)
    for method in from_methods(kind):
        assert set(inspect.signature(method).parameters) & words == own & words


def wrong_names():
    table, matrix = lam_table(["a"]), np.eye(3)
    yield "names", lambda n: plotting.RSMDisplay(matrix, n)
    yield "names", lambda n: plotting.RSMDisplay.from_rows(matrix, names=n)
    yield "class_names", lambda n: plotting.RSMDisplay(matrix, class_names=n)
    yield "titles", lambda n: plotting.GridMapDisplay(A.reshape(-1, 3, 4), n)
    yield (
        "class_names",
        lambda n: plotting.ExpertMapDisplay.from_activations(
            A, Y, SHAPE, class_names=n
        ),
    )
    yield "names", lambda n: plotting.LambdaCurveDisplay(table, names=n).plot()
    points = trade_off_points(["a"])
    yield "names", lambda n: plotting.TradeOffDisplay(points, names=n).plot()


@pytest.mark.parametrize(("word", "make"), wrong_names())
def test_a_wrong_number_of_names_is_told(word, make):
    for names in (["only one"], list("abcdefgh"), "abc"):
        with pytest.raises(ValueError, match=rf"{word} must hold one name for each"):
            make(names)
    assert plt.get_fignums() == []


def test_names_of_rows_and_classes(fitted):
    matrix = metrics.representational_similarity(fitted.readout_weights_)
    names = [f"digit {i}" for i in range(10)]
    for word in ("names", "class_names"):
        for display in (
            plotting.RSMDisplay(matrix, **{word: names}).plot(),
            plotting.RSMDisplay.from_rows(fitted.readout_weights_, **{word: names}),
            plotting.RSMDisplay.from_estimator(fitted, **{word: names}),
        ):
            assert [t.get_text() for t in display.ax_.get_xticklabels()] == names
    with pytest.raises(ValueError, match="names or class_names"):
        plotting.RSMDisplay(matrix, names, class_names=names)
    with pytest.raises(ValueError, match=r"square; got \(2, 3\)"):
        plotting.RSMDisplay(np.ones((2, 3)))
    table = lam_table(["a", "b"])
    display = plotting.LambdaCurveDisplay(table, names=["none", "WS", "AS"]).plot()
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown == ["none", "WS", "AS"]
    points = trade_off_points(["a", "b"])
    display = plotting.TradeOffDisplay(points, names=["none", "WS", "AS"]).plot()
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown[:3] == ["none", "WS", "AS"]
    one = plotting.ExpertMapDisplay([0, -1], (1, 2), "only one")
    assert one.class_names == ["only one"]


# ------------------------------------------------------------------ estimators


def wrapped(fitted, X, y):
    """The classifier behind a step that fails without images, and in other wrappers."""
    halve = FunctionTransformer(lambda X: np.asarray(X) / 2).fit(X)
    pipeline = make_pipeline(halve, fitted)
    yield pipeline
    yield make_pipeline(fitted)
    yield FrozenEstimator(fitted)
    yield FrozenEstimator(pipeline)
    search = GridSearchCV(fitted, {})
    search.best_estimator_ = pipeline
    yield search


@pytest.mark.parametrize(
    "kind",
    [kind for kind in DISPLAYS if hasattr(getattr(plotting, kind), "from_estimator")],
)
def test_every_kind_of_estimator_works(kind, fitted, digits):
    X, y = digits[0][1200:1260], digits[1][1200:1260]
    method = getattr(plotting, kind).from_estimator
    wanted = {"X": X[:4] if kind == "GridMapDisplay" else X, "y": y}
    known = inspect.signature(method).parameters
    given = {name: v for name, v in wanted.items() if name in known}
    for estimator in wrapped(fitted, X, y):
        assert method(estimator, **given).figure_.axes
        plt.close("all")


def test_a_pipeline_is_probed_as_its_classifier(fitted, digits):
    X, y = digits[0][1200:1260], digits[1][1200:1260]
    alone = plotting.EccentricityDisplay.from_estimator(fitted)
    rsm = plotting.RSMDisplay.from_estimator(fitted)
    for estimator in wrapped(fitted, X, y):
        found = plotting.EccentricityDisplay.from_estimator(estimator)
        assert np.array_equal(found.relative_, alone.relative_)
        found = plotting.RSMDisplay.from_estimator(estimator)
        assert np.array_equal(found.matrix, rsm.matrix)
    with pytest.raises(TypeError, match="TopographicCNNClassifier"):
        plotting.RSMDisplay.from_estimator(make_pipeline(FunctionTransformer()))


# ------------------------------------------------------------------ values


def test_experts_keep_their_class_where_y_lacks_classes(fitted, digits):
    X, y = digits[0][1200:], digits[1][1200:]
    X, y = X[y > 2], y[y > 2]
    display = plotting.ExpertMapDisplay.from_estimator(fitted, X, y)
    experts = metrics.expert_units(fitted.transform(X), y, classes=fitted.classes_)
    assert np.array_equal(display.classes >= 0, experts.any(axis=1))
    for unit, index in enumerate(display.classes):
        assert index < 0 or experts[unit, index]
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown[:3] == ["0 (no image)", "1 (no image)", "2 (no image)"]
    counts = [f"{c} ({(display.classes == c).sum()})" for c in range(3, 10)]
    assert shown[3:-1] == counts
    alone = plotting.ExpertMapDisplay.from_activations(
        fitted.transform(X), y, fitted.grid_.shape
    )
    assert alone.class_names == [str(c) for c in range(3, 10)]
    drawn = np.where(alone.classes < 0, -1, alone.classes + 3)
    assert np.array_equal(drawn, display.classes)


def test_experts_are_those_of_expert_units_at_every_tie():
    B = RNG.integers(0, 3, size=(24, 30)).astype(float)
    B[:, 0] = 1  # constant
    y = np.arange(24) % 2
    for threshold in np.unique(metrics.average_precision(B, y)):
        display = plotting.ExpertMapDisplay.from_activations(
            B, y, (5, 6), threshold=float(threshold)
        )
        experts = metrics.expert_units(B, y, float(threshold))
        assert np.array_equal(display.classes >= 0, experts.any(axis=1))
        plt.close("all")


def test_indices_without_a_name_are_refused():
    with pytest.raises(ValueError, match=r"indices of 2 class_names.*\[0, 2\]"):
        plotting.ExpertMapDisplay([0, 2], (1, 2), ["a", "b"])
    with pytest.raises(ValueError, match="one index for each of 4 units"):
        plotting.ExpertMapDisplay([0, 1], (2, 2), ["a", "b"])
    with pytest.raises(ValueError, match=r"conditions lacks \['b'\]"):
        plotting.LambdaCurveDisplay(lam_table("b"), conditions=["control"]).plot()
    with pytest.raises(ValueError, match="with one map or more"):
        plotting.GridMapDisplay(np.empty((0, 3, 4)))


def test_eccentricity_is_relative_to_each_units_own_responses():
    ramp = np.linspace(1, 2, 60)
    units = np.stack([ramp, 1000 * ramp, -5 * ramp, np.ones(60)], axis=1)
    display = plotting.EccentricityDisplay.from_activations(
        units + 7, RADII, blank=[7, 7, 7, 8]
    )
    first, second, third, silent = display.relative_
    np.testing.assert_allclose(second, first)
    np.testing.assert_allclose(third, first)
    assert np.isnan(silent).all()
    assert first.mean() == pytest.approx(1)
    np.testing.assert_allclose(display.line_.get_ydata(), first)
    assert "3 of 4 units" in display.ax_.get_title()
    nothing = plotting.EccentricityDisplay.from_activations(
        np.ones((60, 2)), RADII, blank=1
    )
    assert "0 of 2 units" in nothing.ax_.get_title()
    nothing.figure_.canvas.draw()


def luminance(color):
    """As a grey, 0 to 1."""
    return float(np.dot(to_rgba(color)[:3], (0.299, 0.587, 0.114)))


@pytest.mark.parametrize("n", [1, 7, 9, 13, 20, 60])
def test_every_condition_has_a_colour_of_its_own(n):
    names = [f"condition {i}" for i in range(n)]
    looks = style.styles(["control", *names])
    assert len({to_rgba(looks[name]["color"]) for name in looks}) == n + 1
    assert to_rgba(looks["control"]["color"]) == to_rgba("0.35")
    for i, name in enumerate(names):
        # the same whoever else is there
        assert style.styles(names[: i + 1])[name] == looks[name]
        for other in names[:i]:
            same = {k: looks[name][k] == looks[other][k] for k in looks[name]}
            assert not same["color"]
    # without colours, too, as far as markers and lines go
    without = {(look["marker"], look["linestyle"]) for look in looks.values()}
    assert len(without) >= min(n, 36)
    assert looks["control"]["marker"] not in {looks[name]["marker"] for name in names}
    assert all(luminance(looks[name]["color"]) < 0.7 for name in names)
    if n > 7:
        first, eighth = looks[names[0]], looks[names[7]]
        assert first["marker"] != eighth["marker"]
        assert first["linestyle"] != eighth["linestyle"]
    assert len(set(style.palette(n))) == n
    display = plotting.LambdaCurveDisplay(lam_table(names)).plot()
    colors = [box.lines[0].get_color() for box in display.ax_.containers]
    assert colors == [looks[name]["color"] for name in names]
    # a condition that has no value takes no colour from others
    table = lam_table(names)
    table = table[table["condition"] != names[0]]
    some = plotting.LambdaCurveDisplay(table, conditions=["control", *names]).plot()
    assert [box.lines[0].get_color() for box in some.ax_.containers] == colors[1:]


def test_conditions_stay_near_their_lam_however_many():
    names = [f"condition {i}" for i in range(30)]
    display = plotting.LambdaCurveDisplay(lam_table(names, lams=(0.3, 0.5))).plot()
    for box in display.ax_.containers:
        lams = np.asarray(box.lines[0].get_xdata(), dtype=float)
        np.testing.assert_allclose(lams, (0.3, 0.5), rtol=0.13)


def test_intervals_end_at_the_bounds_and_the_summary_has_them_whole():
    values = {"control": (0.9, 1.0), "a": (0.8, 1.0), "b": (0.0, 0.1), "c": (1.0, 1.0)}
    rows = [
        (k, 1.0, seed, v) for k, pair in values.items() for seed, v in enumerate(pair)
    ]
    table = pd.DataFrame(rows, columns=["condition", "lam", "seed", "value"])
    display = plotting.LambdaCurveDisplay(table, bounds=(0, 1)).plot()
    plain = plotting.LambdaCurveDisplay(table).plot()
    pd.testing.assert_frame_equal(display.summary_, plain.summary_)
    assert display.summary_["high"].max() > 1
    drawn = {
        box.get_label(): box.lines[2][0].get_segments()[0][:, 1]
        for box in display.ax_.containers
    }
    whole = display.summary_.set_index("condition")
    for name in "ab":
        ends = whole.loc[name, ["low", "high"]].astype(float).clip(0, 1)
        np.testing.assert_allclose(drawn[name], ends)
    np.testing.assert_allclose(drawn["c"], 1)
    (band,) = display.ax_.patches
    low, high = (
        band.get_extents().transformed(display.ax_.transData.inverted()).intervaly
    )
    assert high == pytest.approx(1)
    assert low == pytest.approx(max(0, whole.loc["control", "low"]), abs=1e-6)


@pytest.mark.parametrize("none", [0.0, np.nan])
def test_conditions_without_lam_stand_left_of_the_others(none):
    table = lam_table(["a", "b"])
    table = table[(table["condition"] != "b") | (table["lam"] == 0.3)]
    table.loc[table["condition"] == "b", "lam"] = none
    display = plotting.LambdaCurveDisplay(table).plot()
    a, b = (np.asarray(box.lines[0].get_xdata()) for box in display.ax_.containers)
    assert len(b) == 1
    assert b.max() < a.min() * 0.7
    ticks = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert ticks == ["0", "0.3", "1"]
    left, right = display.ax_.get_xlim()
    assert left < b.min()
    assert a.max() < right
    alone = plotting.LambdaCurveDisplay(lam_table(["b"], lams=[0.0])).plot()
    assert [text.get_text() for text in alone.ax_.get_xticklabels()] == ["0"]


def test_several_values_of_a_model_are_not_averaged():
    table = lam_table(["a"])
    twice = pd.concat(
        [table.assign(group="performance"), table.assign(group="mine", value=0.5)]
    )
    with pytest.raises(ValueError, match=r"one value.*'group': \['performance', 'mine"):
        plotting.LambdaCurveDisplay(twice).plot()
    assert plt.get_fignums() == []
    # a control that is told once for each lam is one model
    control = table[table["condition"] == "control"]
    told = pd.concat([table, control.assign(lam=1.0)])
    display = plotting.LambdaCurveDisplay(told).plot()
    assert display.summary_["n"].tolist() == [3, 3, 3]


@pytest.mark.parametrize("value", [np.nan, None])
def test_a_measure_without_any_value(value):
    table = lam_table(["a"]).assign(value=value)
    display = plotting.LambdaCurveDisplay(table).plot()
    display.figure_.canvas.draw()
    assert display.ax_.get_title() == "value against lam\nno model has a value"


@pytest.mark.parametrize(
    "make",
    [
        lambda: plotting.CorrelationHistogramDisplay([]).plot(),
        lambda: plotting.OrientationMapDisplay([np.nan] * 4, [0] * 4, (2, 2)).plot(),
        lambda: plotting.OrientationMapDisplay(
            [10, 20, 30, np.nan], [np.nan] * 4, (2, 2)
        ).plot(),
        lambda: plotting.GridMapDisplay.from_values([np.nan], (1, 1)),
        lambda: plotting.ExpertMapDisplay([-1] * 4, (2, 2), ["a"]).plot(),
        lambda: plotting.RSMDisplay(np.full((3, 3), np.nan)).plot(),
        lambda: plotting.RobustnessDisplay(robustness_curve()[:0]).plot(),
        lambda: plotting.LambdaCurveDisplay(lam_table([])).plot(),
        lambda: plotting.LambdaCurveDisplay(lam_table([])[:0]).plot(),
        lambda: plotting.LambdaCurveDisplay(lam_table(["a"], seeds=1)).plot(),
        lambda: plotting.TradeOffDisplay(trade_off_points(["a"])[:0]).plot(),
        lambda: plotting.TradeOffDisplay(trade_off_points(["a"]).assign(x=None)).plot(),
    ],
)
def test_displays_of_nothing(make):
    display = make()
    assert outside(display.figure_) < 0.01


def test_masked_values_and_tensors():
    import torch

    masked = np.ma.masked_greater(np.arange(4.0), 2)
    for make in (
        lambda v: plotting.GridMapDisplay.from_values(v, (2, 2)),
        lambda v: plotting.GridMapDisplay(v.reshape(1, 2, 2)),
        lambda v: plotting.CorrelationHistogramDisplay(v / 4),
        lambda v: plotting.OrientationMapDisplay(v, np.ones(4), (2, 2)),
        lambda v: plotting.RSMDisplay(v.reshape(2, 2)),
    ):
        with pytest.raises(ValueError, match="masked"):
            make(masked)
        make(torch.arange(4.0, requires_grad=True))
        make(torch.arange(4.0, dtype=torch.bfloat16))

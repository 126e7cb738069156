"""Each display is drawn, and what was drawn is read back."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot as plt

from sktopo import metrics, plotting, stimuli
from sktopo.plotting.style import hue_circle
from sktopo.robustness import image_noise_curve, pruning_curve, weight_noise_curve


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def held_out(digits):
    X, y = digits
    return X[1200:], y[1200:]


def test_grid_maps_of_images(fitted, held_out):
    X, y = held_out
    display = plotting.GridMapDisplay.from_estimator(fitted, X[:3], titles=y[:3])
    maps = fitted.activation_maps(X[:3])
    assert len(display.ax_) == 3
    for ax, values, label in zip(display.ax_, maps, y):
        assert np.array_equal(ax.images[0].get_array(), values)
        assert ax.get_title() == str(label)
        low, high = ax.images[0].get_clim()
        assert -low == high == pytest.approx(np.abs(maps).max())
    bar = display.figure_.axes[-1]
    assert bar.get_ylabel() == "response (pre-ReLU)"
    same = plotting.GridMapDisplay.from_activations(fitted.transform(X[:3]), (11, 11))
    assert np.array_equal(same.maps, display.maps)


def test_grid_maps_of_values_and_given_axes():
    values = np.arange(12.0)
    values[3] = np.nan
    _, ax = plt.subplots()
    display = plotting.GridMapDisplay.from_values(values, (3, 4), label="d'", ax=ax)
    assert display.ax_[0] is ax
    assert ax.images[0].get_clim() == (0, 11)
    assert display.figure_.axes[-1].get_ylabel() == "d'"
    with pytest.raises(ValueError, match="as many axes; got 1"):
        plotting.GridMapDisplay(np.ones((2, 3, 4))).plot(ax)
    with pytest.raises(ValueError, match=r"each of 4 units .* got 12"):
        plotting.GridMapDisplay.from_values(values, (2, 2))
    with pytest.raises(ValueError, match="A has 12 units"):
        plotting.GridMapDisplay.from_activations(np.ones((1, 12)), (2, 2))


def test_maps_without_any_value_are_grey():
    display = plotting.GridMapDisplay.from_values([np.nan] * 12, (3, 4))
    assert display.ax_[0].images[0].get_array().mask.all()
    with pytest.raises(ValueError, match="needs 4 orientations"):
        plotting.OrientationMapDisplay([1, 2, 3], [1, 1, 1], (2, 2)).plot()


def test_expert_map(fitted, held_out):
    X, y = held_out
    display = plotting.ExpertMapDisplay.from_estimator(fitted, X, y, threshold=0.6)
    experts = metrics.expert_units(fitted.transform(X), y, 0.6)
    drawn = display.ax_.images[0].get_array().ravel()
    assert np.array_equal(drawn >= 0, experts.any(axis=1))
    assert all(experts[unit, label] for unit, label in enumerate(drawn) if label >= 0)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(texts) == 11
    assert texts[-1] == f"no expert ({(drawn < 0).sum()})"
    grey = display.ax_.images[0].to_rgba(np.array([-1]))[0]
    np.testing.assert_allclose(grey[:3], 0.85, atol=0.01)


def test_orientation_map(fitted, held_out):
    display = plotting.OrientationMapDisplay.from_estimator(fitted, held_out[0])
    known = ~np.isnan(display.preferred)
    image = display.ax_.images[0].get_array().reshape(-1, 3)
    np.testing.assert_allclose(image[~known], 0.85)
    assert len(display.ax_.lines) == known.sum()
    title = f"preferred orientations\n{known.sum()} of 121 units prefer one"
    assert display.ax_.get_title() == title
    bar = display.figure_.axes[-1]
    assert bar.get_ylabel() == "preferred orientation (degrees)"
    # bars stand as the orientation says: 90 degrees is upright
    upright = plotting.OrientationMapDisplay([90.0, 0.0], [1, 1], (1, 2)).plot()
    (x0, x1), (y0, y1) = upright.ax_.lines[0].get_data()
    assert abs(x1 - x0) < 1e-9 < abs(y1 - y0)
    (x0, x1), (y0, y1) = upright.ax_.lines[1].get_data()
    assert abs(y1 - y0) < 1e-9 < abs(x1 - x0)


def test_hues_are_cyclic_and_equally_light():
    colors = hue_circle(np.linspace(0, 1, 100))
    np.testing.assert_allclose(colors[0], colors[-1], atol=1e-9)
    linear = np.where(
        colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert np.ptp(luminance) < 0.03
    assert np.abs(np.diff(colors, axis=0)).max() < 0.06


def test_correlation_against_distance(fitted, held_out):
    X, _ = held_out
    A = fitted.transform(X)
    display = plotting.CorrelationDistanceDisplay.from_estimator(fitted, X, name="WS")
    table = metrics.correlation_by_distance(A, (11, 11))
    assert np.array_equal(display.line_.get_xdata(), table["distance"])
    np.testing.assert_allclose(display.line_.get_ydata(), table["correlation"])
    assert display.ax_.get_xlabel() == "distance on the grid (steps)"
    assert display.ax_.get_legend().get_texts()[0].get_text() == "WS"
    null = metrics.correlation_by_distance(A, (11, 11), n_permutations=3)
    with_null = plotting.CorrelationDistanceDisplay(null).plot(display.ax_)
    assert any(
        np.array_equal(line.get_ydata(), null["null_mean"])
        for line in with_null.ax_.lines
    )


def test_correlation_histogram(fitted, held_out):
    X, _ = held_out
    display = plotting.CorrelationHistogramDisplay.from_estimator(fitted, X)
    r = np.corrcoef(fitted.transform(X), rowvar=False)[np.triu_indices(121, k=1)]
    counts, _ = np.histogram(r, np.linspace(-1, 1, 41))
    np.testing.assert_allclose(display.counts_ * 7260, counts, atol=2)
    assert display.ax_.get_ylabel() == "share of 7260 pairs"
    assert display.ax_.get_xlim() == (-1, 1)


@pytest.mark.parametrize(
    ("kind", "curve", "axis"),
    [
        ("weight", weight_noise_curve, "sigma"),
        ("image", image_noise_curve, "level"),
        ("pruning", pruning_curve, "fraction"),
    ],
)
def test_robustness(kind, curve, axis, fitted, held_out):
    X, y = held_out
    display = plotting.RobustnessDisplay.from_estimator(
        fitted, X, y, kind=kind, name="WS"
    )
    table = curve(fitted, X, y, random_state=0)
    by = {"level": "kind", "fraction": "order"}.get(axis)
    for name, line in display.lines_.items():
        part = table if by is None else table[table[by] == name]
        mean = part.groupby(axis)["accuracy"].mean()
        np.testing.assert_allclose(line.get_xdata(), mean.index)
        np.testing.assert_allclose(line.get_ydata(), mean)
        assert line.get_label().startswith("WS")
    assert display.ax_.get_ylabel() == f"accuracy (n = {len(y)})"
    assert len(display.ax_.collections) == (1 if kind == "weight" else 0)
    with pytest.raises(ValueError, match="'image', 'pruning', 'weight'"):
        plotting.RobustnessDisplay.from_estimator(fitted, X, y, kind="noise")
    with pytest.raises(ValueError, match="Not a robustness curve"):
        plotting.RobustnessDisplay(pd.DataFrame({"x": [1]})).plot()


def test_eccentricity(fitted):
    display = plotting.EccentricityDisplay.from_estimator(fitted, name="WS")
    images, table = stimuli.eccentricity_probes((8, 8), (0, 16))
    profile = metrics.eccentricity_profile(
        fitted.transform(images), table["eccentricity"]
    )
    rings = profile.n > 0
    np.testing.assert_allclose(display.line_.get_xdata(), profile.radius[rings])
    rest = fitted.transform(stimuli.blank((8, 8), (0, 16)))[0]
    change = np.abs(profile.profile[:, rings] - rest[:, None])
    relative = change / change.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(display.relative_, relative, rtol=1e-4)
    np.testing.assert_allclose(
        display.line_.get_ydata(), relative.mean(axis=0), rtol=1e-4
    )
    assert "121 of 121 units" in display.ax_.get_title()


def test_rsm(fitted):
    display = plotting.RSMDisplay.from_estimator(fitted)
    R = metrics.representational_similarity(fitted.readout_weights_)
    np.testing.assert_allclose(display.image_.get_array(), R)
    assert display.image_.get_clim() == (-1, 1)
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert labels == [str(i) for i in range(10)]
    r = plotting.RSMDisplay.from_rows(np.eye(4), metric="correlation")
    assert r.figure_.axes[-1].get_ylabel() == "correlation (r)"


def test_difference_by_distance():
    result = metrics.difference_by_distance(np.arange(6.0), (1, 6))
    display = plotting.DifferenceByDistanceDisplay(
        result, "difference (degrees)"
    ).plot()
    assert display.line_.get_ydata().tolist() == [1, 2, 3, 4, 5]
    assert display.ax_.get_ylabel() == "difference (degrees)"
    title = "difference of units by distance\nsmoothness 0.80, n = 6 units"
    assert display.ax_.get_title() == title
    assert display.ax_.get_ylim()[0] == 0
    # a second curve in the same axes is seen whole
    higher = metrics.difference_by_distance(3 * np.arange(6.0), (1, 6))
    plotting.DifferenceByDistanceDisplay(higher, "difference").plot(display.ax_)
    display.figure_.canvas.draw()
    assert display.ax_.get_ylim()[0] == 0
    assert display.ax_.get_ylim()[1] >= 15
    same = plotting.DifferenceByDistanceDisplay.from_values(np.arange(6.0), (1, 6))
    assert same.line_.get_ydata().tolist() == [1, 2, 3, 4, 5]


def test_lambda_curve(rng):
    rows = [("control", 0.0, seed, rng.normal()) for seed in range(4)]
    for name in ("WS", "AS"):
        rows += [(name, lam, s, rng.normal()) for lam in (1.0, 0.3) for s in range(4)]
    table = pd.DataFrame(rows, columns=["condition", "lam", "seed", "value"])
    display = plotting.LambdaCurveDisplay(table, "Moran's I").plot()
    summary = display.summary_.set_index(["condition", "lam"])
    values = table[(table["condition"] == "WS") & (table["lam"] == 0.3)]["value"]
    half = student_t.ppf(0.975, 3) * values.std() / 2
    found = summary.loc[("WS", 0.3)]
    assert found["mean"] == pytest.approx(values.mean())
    assert found["high"] - found["mean"] == pytest.approx(half)
    assert found["n"] == 4
    places = [c.lines[0].get_xdata().tolist() for c in display.ax_.containers]
    for found, lam in zip(zip(*places), (0.3, 1.0)):  # side by side
        assert found == pytest.approx([lam, lam], rel=0.03)
        assert found[0] < found[1]
    assert display.ax_.get_ylabel() == "Moran's I"
    title = "Moran's I against lam\nmean and 95 % interval, n = 4 seeds"
    assert display.ax_.get_title() == title
    with pytest.raises(ValueError, match=r"lacks the columns \['seed'\]"):
        plotting.LambdaCurveDisplay(table.drop(columns="seed")).plot()


def test_without_matplotlib_the_package_imports_and_a_display_names_the_extra():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import sktopo, numpy as np\n"
        "from sktopo import plotting\n"
        "try:\n"
        "    plotting.RSMDisplay.from_rows(np.eye(3))\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "sktopo[plot]" in run.stdout

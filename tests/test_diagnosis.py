"""What is said of a fit whose spatial loss was met by cheating, and of no other."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sktopo import TopographicCNNClassifier
from sktopo._diagnosis import (
    find_cheats,
    mean_correlation,
    neighbor_cosine,
    warn_of_failures,
)
from sktopo._training import Term
from sktopo.losses import ActivationSimilarity, WeightSimilarity

N, SIDE, SHAPE = 128, 6, (4, 5)
N_INPUTS, N_UNITS = SIDE * SIDE, 20


def flat(image_shape):
    """The backbone whose features are the pixels."""
    return nn.Flatten()


@pytest.fixture(scope="module")
def images():
    """Images whose pixels do not correlate at all, of mean 0 and length 1."""
    values = np.random.default_rng(0).standard_normal((N, N_INPUTS))
    pixels, _ = np.linalg.qr(values - values.mean(axis=0))
    return pixels.astype(np.float32).reshape(N, 1, SIDE, SIDE)


@pytest.fixture(scope="module")
def trained(images):
    clf = TopographicCNNClassifier(
        backbone=flat,
        grid_shape=SHAPE,
        standardize=False,
        max_epochs=1,
        random_state=0,
    )
    return clf.fit(images, np.arange(N) % 2)


@pytest.fixture
def model(trained):
    """A model to be changed; `set_weights` says what its units read."""
    return copy.deepcopy(trained)


def set_weights(model, weights, start=None):
    """Give the grid these weights, and the norm that they had at the start."""
    with torch.no_grad():
        model.module_.grid.weight.copy_(torch.from_numpy(np.asarray(weights)))
    start = np.linalg.norm(weights) if start is None else start
    model.net_.initial_norms = {"grid": start}


def alike(cosine, shared=N_INPUTS - 1):
    """Weights of units of length 1, each pair of which has this cosine.

    It lies in one input that all read; the rest of each unit is an input of its own.
    """
    weights = np.eye(N_UNITS, N_INPUTS) * np.sqrt(1 - cosine)
    weights[:, shared] = np.sqrt(cosine)
    return weights


def whats(model, images):
    return [finding.what for finding in find_cheats(model, images)]


# --------------------------------------------------------------------------- collapse


@pytest.mark.parametrize("r", [0.0, 0.3, 0.94, 0.96, 1.0])
def test_a_sheet_of_one_map(r, model, images):
    set_weights(model, alike(r))
    found = whats(model, images)
    assert len(found) == (r > 0.95)
    if found:
        assert f"'grid': mean r = {r:.3f} over all pairs of 20 units" in found[0]
        assert "to 128 training images" in found[0]


def test_constant_units_have_no_part_in_r(rng):
    z = rng.standard_normal((50, 1))
    responses = np.hstack([z, 2 * z + 3, np.full((50, 3), 7.0)])
    assert mean_correlation(responses) == (pytest.approx(1), 2)
    assert np.isnan(mean_correlation(responses[:, 1:])[0])
    responses = rng.standard_normal((50, 6)) + rng.standard_normal((50, 1))
    r = np.corrcoef(responses.T)[np.triu_indices(6, 1)].mean()
    for scale in (1, 1e30, [1, 1e30, 1e-30, 1, 1, 1]):
        assert mean_correlation(responses * scale)[0] == pytest.approx(r)


def test_a_dead_sheet_is_told_from_one_map(model, images):
    weights = np.zeros((N_UNITS, N_INPUTS))
    weights[3, 0] = 1
    set_weights(model, weights)
    (found,) = whats(model, images)
    assert "'grid': 19 of 20 units are constant" in found


# -------------------------------------------------------------------------- shrinking


@pytest.mark.parametrize("cosine", [0.0, 0.75])
@pytest.mark.parametrize("share", [0.32, 0.35])
def test_weights_that_shrank(share, cosine, model, images):
    # what alignment takes of the norm is no shrinking
    weights = alike(cosine) * share * np.sqrt(1 - cosine)
    set_weights(model, weights, start=np.sqrt(N_UNITS))
    found = whats(model, images)
    assert len(found) == (share < 1 / 3)
    if found:
        norm = f"'grid': norm {np.linalg.norm(weights):.3g}, at the start 4.47"
        assert norm in found[0]
        assert f"neighbours {cosine:.2f}" in found[0]


SCALE_FREE = {
    "euclidean": False,
    "mean_squared": False,
    "cosine": True,
    "correlation": True,
    "absolute_correlation": True,
}


@pytest.mark.parametrize("kind", [WeightSimilarity, ActivationSimilarity])
@pytest.mark.parametrize("distance", SCALE_FREE)
def test_a_loss_that_feels_no_scale_is_not_met_by_shrinking(
    distance, kind, model, images
):
    model.net_.criterion_.terms = [Term("grid", kind(SHAPE, distance=distance))]
    set_weights(model, alike(0) * 1e-3, start=1.0)
    assert len(whats(model, images)) == (not SCALE_FREE[distance])


def test_a_model_of_unknown_start_did_not_shrink(model, images):
    set_weights(model, alike(0) * 1e-3)
    model.net_.initial_norms = {}
    assert not whats(model, images)


# ------------------------------------------------------------------------ dead inputs


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("share", [0.45, 0.55])
def test_neighbors_alike_in_dead_inputs(share, value, model, images):
    images = images.copy()
    images[:, 0, -1, -1] = value
    weights = alike(0.6)
    weights[:, -1] *= np.sqrt(share)
    weights[:, -2] = np.sqrt(0.6 * (1 - share))
    set_weights(model, weights)
    found = whats(model, images)
    assert len(found) == (share > 0.5)
    if found:
        assert f"1 of 36 inputs, which hold {share:.2f}" in found[0]
        assert "mean cosine of 0.60" in found[0]


def test_little_likeness_in_dead_inputs_is_none(model, images):
    images = images.copy()
    images[:, 0, -1, -1] = 0
    set_weights(model, alike(0.09))
    assert not whats(model, images)
    set_weights(model, alike(0.11))
    assert len(whats(model, images)) == 1


def test_dead_inputs_do_not_matter_to_a_loss_of_activations(model, images):
    images = images.copy()
    images[:, 0, -1, -1] = 0
    set_weights(model, alike(0.6))
    model.net_.criterion_.terms = [Term("grid", ActivationSimilarity(SHAPE))]
    assert not whats(model, images)


def test_share_by_hand():
    weights = np.array([[3.0, 4.0], [4.0, 3.0], [0.0, 0.0]])
    edges = np.array([[0, 1], [1, 2]])
    dead = np.zeros((3, 2), bool)
    assert neighbor_cosine(weights, edges, dead) == (pytest.approx(0.48), 0)
    assert neighbor_cosine(weights, edges)[1] == 0
    dead[:2, 0] = True
    assert neighbor_cosine(weights, edges, dead)[1] == pytest.approx(0.5)
    dead[0, 0] = False  # what one of the two still reads is not dead
    assert neighbor_cosine(weights, edges, dead)[1] == 0
    assert np.isnan(neighbor_cosine(weights * 0, edges, dead)[1])


# ----------------------------------------------------------------------- convolutions


def halves(image_shape):
    """Two channels of the image, rectified and turned, then a grouped convolution."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten()
    )


@pytest.mark.parametrize("dead", [[], [0], [0, 1], [0, 1, 2, 3]])
def test_dead_channels_of_a_grouped_convolution(dead, images):
    clf = TopographicCNNClassifier(
        backbone=halves, grid_shape=SHAPE, max_epochs=1, random_state=0
    ).fit(images, np.arange(N) % 2)
    first, conv = clf.module_.backbone[0], clf.module_.backbone[2]
    with torch.no_grad():
        first.bias.fill_(0.1)
        first.weight[dead], first.bias[dead] = 0, -1
        conv.weight.fill_(1.0)
        conv.weight[:, :, 0, 0] = torch.arange(12.0).reshape(6, 2)
    clf.net_.criterion_.terms = [Term("backbone.2", WeightSimilarity((2, 3)))]
    clf.net_.initial_norms = {}
    found = [what for what in whats(clf, images) if "dead" in what]
    # units 0 to 2 read channels 0 and 1, the others 2 and 3
    assert len(found) == (len(dead) == 4)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_map_of_a_convolution(sign, images):
    clf = TopographicCNNClassifier(
        backbone=halves, grid_shape=SHAPE, max_epochs=1, random_state=0
    ).fit(images, np.arange(N) % 2)
    with torch.no_grad():  # each channel is the image, or one is its negative
        clf.module_.backbone[0].weight.fill_(1.0)[0] = sign
    term = Term("backbone.0", ActivationSimilarity((2, 2)))
    clf.net_.criterion_.terms.append(term)
    found = whats(clf, images)
    assert len(found) == (sign == 1)
    if found:
        assert "'backbone.0': mean r = 1.000 over all pairs of 4 units" in found[0]


# ----------------------------------------------------------------------- when and how


def test_at_the_end_of_fit_and_at_the_users_line(images):
    clf = TopographicCNNClassifier(
        backbone=flat, grid_shape=SHAPE, max_epochs=60, random_state=0, lam=300, lr=0.03
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(images, np.arange(N) % 2)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert caught[0].filename == __file__


def test_a_model_of_one_answer_gets_one_warning(model, images):
    set_weights(model, np.zeros((N_UNITS, N_INPUTS)), start=1.0)
    model.net_.history[-1]["task_loss"] = 0.0  # ruled by the spatial loss
    with pytest.warns(ConvergenceWarning) as caught:
        warn_of_failures(model, images)
    (warning,) = caught
    message = str(warning.message)
    for part in ("predicts", "20 of 20 units are constant", "norm 0", "smaller lam"):
        assert message.count(part) == 1


def test_a_model_of_few_steps_is_not_judged(model, images):
    set_weights(model, alike(1.0))
    assert whats(model, images)
    warn_of_failures(model, images)


@pytest.mark.parametrize("control", [{"topo_loss": None}, {"lam": 0}])
def test_a_control_is_not_looked_at(control, images):
    clf = TopographicCNNClassifier(
        backbone=flat, grid_shape=SHAPE, max_epochs=1, random_state=0, **control
    ).fit(images, np.arange(N) % 2)
    clf.net_.initial_norms = {"grid": 1e9}
    with torch.no_grad():
        clf.module_.grid.weight.fill_(1e-3)
    clf.module_.register_forward_hook(lambda *args: pytest.fail("was run"))
    assert find_cheats(clf, images) == []


# -------------------------------------------------------------------------- real fits


@pytest.mark.parametrize("setting", [{}, {"topo_loss": "as"}, {"distance": "cosine"}])
def test_no_false_alarm(setting, quick, digits):
    X, y = digits
    quick.set_params(max_epochs=6, lam=1.0, **setting).fit(X[:1200], y[:1200])
    assert find_cheats(quick, X[:256]) == []  # and warnings are errors


def test_digits_in_a_frame_are_read_where_nothing_is(digits):
    X, y = digits
    framed = np.pad(X[:1200], ((0, 0), (0, 0), (4, 4), (4, 4)))
    clf = TopographicCNNClassifier(
        backbone=flat, lr=3e-3, max_epochs=6, random_state=0, grid_shape=(6, 6)
    )
    clf.fit(framed, y[:1200])
    clf.set_params(distance="cosine")
    with pytest.warns(ConvergenceWarning, match=r"of 256 inputs, which hold 0\.9"):
        clf.fit(framed, y[:1200])

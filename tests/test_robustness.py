import tracemalloc
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktopo import TopographicCNNClassifier, measure, select_results
from sktopo._evaluation import Evaluation
from sktopo.noise import add_noise
from sktopo.robustness import (
    area_under_curve,
    evaluate_weight_noise,
    image_noise_curve,
    pruning_curve,
    weight_noise_curve,
)


@pytest.fixture(scope="module")
def held_out(digits):
    X, y = digits
    return X[1200:], y[1200:]


def halve(X):
    return X / 2


# ------------------------------------------------------------------ weight noise


def test_weight_curve_is_tidy(fitted, held_out):
    curve = weight_noise_curve(fitted, *held_out, random_state=0)
    assert curve.columns.tolist() == [
        "sigma",
        "repeat",
        "accuracy",
        "accuracy_change",
        "rsm_similarity",
    ]
    assert len(curve) == 50
    assert curve["sigma"].unique().tolist() == [0.05, 0.1, 0.2, 0.5, 1.0]
    clean = fitted.score(*held_out)
    assert curve.attrs == {"n_images": 597, "clean_accuracy": clean}
    np.testing.assert_allclose(curve["accuracy_change"], curve["accuracy"] - clean)
    mean = curve.groupby("sigma")[["accuracy", "rsm_similarity"]].mean()
    assert mean["accuracy"].iloc[-1] < clean - 0.01
    assert (mean["rsm_similarity"].diff().dropna() < 0).all()


@pytest.mark.parametrize("layers", ["grid", "readout", "head", "all"])
@pytest.mark.parametrize("scale", ["std", "absolute"])
def test_weights_are_perturbed_as_defined(layers, scale, fitted, held_out):
    X, y = held_out
    curve = weight_noise_curve(
        fitted, X, y, [0, 0.3], scale, layers, n_repeats=2, random_state=5
    )
    assert (curve["accuracy_change"][:2] == 0).all()
    np.testing.assert_allclose(curve["rsm_similarity"][:2], 1)
    if layers == "grid":
        np.testing.assert_allclose(curve["rsm_similarity"], 1)
    # By hand: the noise of a layer does not depend on which others are perturbed.
    whole = weight_noise_curve(fitted, X, y, [0.3], scale, "all", 2, random_state=5)
    if layers == "readout":
        np.testing.assert_allclose(curve["rsm_similarity"][2:], whole["rsm_similarity"])


def test_noise_of_the_head_by_hand(fitted, held_out):
    import zlib

    X, y = held_out
    sigma, seed = 0.4, np.random.RandomState(3).randint(2**31)
    curve = weight_noise_curve(fitted, X, y, [sigma], n_repeats=2, random_state=3)
    for repeat in range(2):
        weights = []
        for name, w in (
            ("grid.weight", fitted.grid_weights_),
            ("readout.weight", fitted.readout_weights_),
        ):
            rng = np.random.default_rng([seed, repeat, zlib.crc32(name.encode())])
            eps = rng.standard_normal(w.shape, dtype=np.float32)
            weights.append(w + sigma * w.std() * eps)
        module = fitted.module_
        features = module.features(torch.from_numpy(X.copy())).detach().numpy()
        activations = features @ weights[0].T + module.grid.bias.detach().numpy()
        logits = np.maximum(activations, 0) @ weights[1].T
        logits += module.readout.bias.detach().numpy()
        accuracy = np.mean(logits.argmax(axis=1) == y)
        assert curve["accuracy"][repeat] == pytest.approx(accuracy, abs=2 / len(y))


def test_models_meet_the_same_noise(fitted, held_out, digits):
    X, y = digits
    other = clone(fitted).set_params(topo_loss=None, max_epochs=1)
    other.fit(X[:200], y[:200])
    evaluation = Evaluation.of(fitted, *held_out)
    from sktopo.robustness import _noise_steps

    for model in (fitted, other):
        weights = {"grid.weight": model.grid_weights_}
        eps = _noise_steps(weights, "absolute", 1, 0)["grid.weight"]
        scaled = _noise_steps(weights, "std", 1, 0)["grid.weight"]
        np.testing.assert_allclose(scaled, eps * model.grid_weights_.std(), rtol=1e-6)
        if model is fitted:
            first = eps
    assert np.array_equal(first, eps)
    assert evaluation.accuracy == fitted.score(*held_out)


@pytest.mark.parametrize("layers", ["head", "all"])
def test_the_model_is_unchanged_even_by_an_error(layers, quick, digits, monkeypatch):
    X, y = digits
    X, y = np.stack([X[:200, 0]] * 3, axis=1), y[:200]
    quick.set_params(backbone="deep").fit(X, y)
    before = {k: v.clone() for k, v in quick.module_.state_dict().items()}
    weight_noise_curve(quick, X, y, layers=layers, n_repeats=1)
    monkeypatch.setattr("sktopo.robustness.Head.logits", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        weight_noise_curve(quick, X, y, layers=layers, n_repeats=1)
    after = quick.module_.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not quick.module_.training


def test_seeds(fitted, held_out):
    curves = [
        weight_noise_curve(fitted, *held_out, [0.5], n_repeats=3, random_state=s)
        for s in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(curves[0], curves[1])
    assert not curves[0]["accuracy"].equals(curves[2]["accuracy"])


def test_two_classes_have_no_readout_geometry(quick, digits):
    X, y = digits
    X, y = X[y < 2], y[y < 2]
    curve = weight_noise_curve(quick.fit(X, y), X, y, n_repeats=1)
    assert curve["rsm_similarity"].isna().all()


# ------------------------------------------------------------------ image noise


def test_image_curve_is_tidy(fitted, held_out):
    curve = image_noise_curve(fitted, *held_out, random_state=0)
    assert curve.columns.tolist() == ["kind", "level", "accuracy", "accuracy_change"]
    assert len(curve) == 15
    clean = fitted.score(*held_out)
    assert curve.attrs == {"n_images": 597, "clean_accuracy": clean}
    np.testing.assert_allclose(curve["accuracy_change"], curve["accuracy"] - clean)
    worst = curve.groupby("kind")["accuracy"].last()
    assert (worst < clean).all()


@pytest.mark.parametrize("kind", ["white", "pink", "salt_and_pepper"])
def test_image_noise_by_hand(kind, fitted, held_out):
    import zlib

    X, y = held_out
    seed = np.random.RandomState(0).randint(2**31)
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    noisy = add_noise(X, kind, 0.2, value_range=(0.0, 16.0), rng=rng)
    curve = image_noise_curve(fitted, X, y, [kind], [0, 0.2], random_state=0)
    clean = fitted.score(X, y)
    assert curve["accuracy"].tolist() == [clean, fitted.score(noisy, y)]
    # Other kinds and levels in the same call change nothing.
    both = image_noise_curve(
        fitted, X, y, ["white", kind, "pink", kind], [0.1, 0.2, 0.1], random_state=0
    )
    assert len(both) == 2 * both["kind"].nunique()
    again = both[(both["kind"] == kind) & (both["level"] == 0.2)]
    assert again["accuracy"].iloc[0] == curve["accuracy"][1]


def test_value_range_scales_the_noise(fitted, held_out):
    wide = image_noise_curve(
        fitted, *held_out, "white", [0.1], random_state=0, value_range=(-100, 100)
    )
    usual = image_noise_curve(fitted, *held_out, "white", [0.1], random_state=0)
    assert wide["accuracy"].item() < usual["accuracy"].item() - 0.2


def test_images_that_would_be_clipped_are_told(fitted, held_out):
    X, y = held_out  # from 0 to 16
    for given in ((0, 1), (4, 8), (8, 16)):
        with pytest.warns(UserWarning, match=r"from 0 to 16, .* clipped to \("):
            image_noise_curve(
                fitted, X, y, "white", [0.1], random_state=0, value_range=given
            )
    image_noise_curve(fitted, X, y, "white", [0.1], random_state=0, value_range=(0, 12))


# ------------------------------------------------------------------ what they accept


@pytest.mark.parametrize("curve", [weight_noise_curve, image_noise_curve])
def test_estimators_around_the_classifier(curve, fitted, held_out):
    X, y = held_out[0][:150], held_out[1][:150]
    direct = curve(fitted, X, y, random_state=0)
    doubled = (X * 2.0).astype(np.float32)
    pipe = make_pipeline(FunctionTransformer(halve), fitted)
    frame = pd.DataFrame(X.reshape(len(X), -1))
    for estimator, images in (
        (FrozenEstimator(fitted), X),
        (make_pipeline(fitted), X),
        (pipe, doubled),
        (fitted, torch.from_numpy(X.copy())),
        (fitted, frame),
        (fitted, X[:, 0].tolist()),
    ):
        found = curve(estimator, images, y.tolist(), random_state=0)
        pd.testing.assert_frame_equal(found, direct)
    if curve is not image_noise_curve:  # which needs predictions alone
        with pytest.raises(TypeError, match="got LogisticRegression"):
            curve(LogisticRegression(max_iter=5000).fit(frame, y), frame, y)
    with pytest.raises(ValueError, match="inconsistent"):
        curve(fitted, X, y[:5])


@pytest.mark.parametrize("curve", [weight_noise_curve, image_noise_curve])
def test_labels_that_the_classifier_does_not_know_are_wrong(curve, fitted, held_out):
    X, y = held_out
    with pytest.warns(UserWarning, match="none of the classes"):
        found = curve(fitted, X, np.full(len(y), 99))
    assert (found["accuracy"] == 0).all()


@pytest.mark.parametrize(
    ("curve", "settings", "message"),
    [
        (weight_noise_curve, {"layers": "conv"}, "'all', 'grid', 'head', 'readout'"),
        (weight_noise_curve, {"scale": "max"}, "'absolute', 'std'"),
        (weight_noise_curve, {"sigmas": [-0.1]}, "at least 0"),
        (weight_noise_curve, {"sigmas": [np.nan]}, "finite"),
        (weight_noise_curve, {"n_repeats": 0}, "1 or more"),
        (weight_noise_curve, {"n_repeats": True}, "1 or more"),
        (image_noise_curve, {"kinds": ["green"]}, r"got \['green'\]"),
        (image_noise_curve, {"levels": [-1]}, "at least"),
        (image_noise_curve, {"value_range": (1, 0)}, "smaller one first"),
    ],
)
def test_errors(curve, settings, message, fitted, held_out):
    with pytest.raises(ValueError, match=message):
        curve(fitted, *held_out, **settings)


@pytest.mark.parametrize("name", ["layers", "scale"])
@pytest.mark.parametrize(
    "form", [lambda v: [v], lambda v: np.array([v]), lambda v: np.array([v, "x"]), len]
)
def test_several_names_where_one_is_wanted(name, form, fitted, held_out):
    value = form({"layers": "head", "scale": "std"}[name])
    with pytest.raises(ValueError, match=f"{name} must be one of .*; got"):
        weight_noise_curve(fitted, *held_out, **{name: value})


def test_evaluation_needs_weight(fitted, held_out):
    X, y = held_out
    with pytest.raises(ValueError, match=r"[Ww]eight"):
        Evaluation.of(fitted, X, y, np.zeros(len(y)))


def test_unfitted(held_out):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        weight_noise_curve(TopographicCNNClassifier(), *held_out)


# ------------------------------------------------------------------ pruning and areas


def test_pruning_by_hand(fitted, held_out):
    X, y = held_out
    orders = ["zeros", "readout_norm", "random", "block"]
    curve = pruning_curve(fitted, X, y, orders, [0, 0.25, 1], random_state=0)
    assert curve.columns.tolist() == [
        "order",
        "fraction",
        "n_pruned",
        "accuracy",
        "accuracy_change",
    ]
    assert curve["n_pruned"].tolist() == [0, 30, 121] * 4
    clean = fitted.score(X, y)
    assert (curve["accuracy"][curve["fraction"] == 0] == clean).all()
    assert curve["accuracy"][curve["fraction"] == 1].nunique() == 1
    np.testing.assert_allclose(curve["accuracy_change"], curve["accuracy"] - clean)

    A, W = np.maximum(fitted.transform(X), 0), fitted.readout_weights_
    bias = fitted.module_.readout.bias.detach().numpy()
    ranked = {
        "zeros": np.argsort(-(A == 0).mean(axis=0), kind="stable"),
        "readout_norm": np.argsort(np.linalg.norm(W, axis=0), kind="stable"),
    }
    for order, units in ranked.items():
        kept = A.copy()
        kept[:, units[:30]] = 0
        accuracy = np.mean((kept @ W.T + bias).argmax(axis=1) == y)
        found = curve[(curve["order"] == order) & (curve["n_pruned"] == 30)]
        assert found["accuracy"].item() == pytest.approx(accuracy, abs=2 / len(y))


def test_pruning_dead_units_changes_nothing(quick, digits):
    X, y = digits
    clf = quick.set_params(max_epochs=4).fit(X[:400], y[:400])
    with torch.no_grad():
        clf.module_.grid.weight[:5] = 0
        clf.module_.grid.bias[:5] = -1
    curve = pruning_curve(clf, X, y, fractions=[0, 5 / 20])
    assert curve["accuracy_change"].tolist() == [0, 0]


def test_pruning_seeds(fitted, held_out):
    curves = [
        pruning_curve(fitted, *held_out, ["random", "block"], [0.5], random_state=s)
        for s in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(curves[0], curves[1])
    assert not curves[0].equals(curves[2])
    for settings in ({"order": "size"}, {"fractions": [1.5]}, {"fractions": [np.nan]}):
        with pytest.raises(ValueError, match=r"must be among|must lie in"):
            pruning_curve(fitted, *held_out, **settings)


# ------------------------------------------------------------------ chunks


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_change_nothing(chunk, fitted, held_out, monkeypatch):
    X, y = held_out[0][:150], held_out[1][:150]
    weight = np.linspace(0, 1, 150)

    def curves():
        yield weight_noise_curve(fitted, X, y, n_repeats=2, random_state=0)
        yield image_noise_curve(fitted, X, y, levels=[0.1, 0.2], random_state=0)
        yield pruning_curve(fitted, X, y, ["zeros", "block"], random_state=0)

    before, accuracy = list(curves()), Evaluation.of(fitted, X, y, weight).accuracy
    monkeypatch.setattr("sktopo.robustness._CHUNK_VALUES", chunk * 64)
    monkeypatch.setattr("sktopo._evaluation._CHUNK_VALUES", chunk * 121)
    monkeypatch.setattr("sktopo._evaluation._KEPT_VALUES", 0)
    for now, then in zip(curves(), before):
        pd.testing.assert_frame_equal(now, then)
    assert Evaluation.of(fitted, X, y, weight).accuracy == pytest.approx(accuracy)


def test_pruning_runs_the_backbone_once(fitted, held_out, monkeypatch):
    batches = []
    features = type(fitted.module_).features
    monkeypatch.setattr(
        type(fitted.module_),
        "features",
        lambda module, images: batches.append(len(images)) or features(module, images),
    )
    pruning_curve(fitted, *held_out, ["zeros", "block"])
    assert batches[:4] == [2, 6, 6, 6]  # to see what it is made of
    assert sum(batches[4:]) == len(held_out[1])


def test_area_under_curves(fitted, held_out):
    weights = weight_noise_curve(fitted, *held_out, random_state=0)
    area = area_under_curve(weights)
    mean = weights.groupby("sigma")["accuracy"].mean()
    expected = np.trapezoid(mean, mean.index)
    assert area["area"].item() == pytest.approx(expected)
    assert area["mean_accuracy"].item() == pytest.approx(expected / 0.95)
    assert area["unit"].item() == "accuracy x sigma"
    images = area_under_curve(image_noise_curve(fitted, *held_out, random_state=0))
    assert images["curve"].tolist() == ["white", "pink", "salt_and_pepper"]
    assert images["n_points"].tolist() == [5, 5, 5]
    pruned = area_under_curve(pruning_curve(fitted, *held_out, ["zeros", "random"]))
    assert pruned["unit"].unique().tolist() == ["accuracy x share of units"]
    with pytest.raises(ValueError, match="got columns"):
        area_under_curve(pd.DataFrame({"lam": [1]}))
    with pytest.raises(ValueError, match="two points or more"):
        area_under_curve(weights[weights["sigma"] == 0.5])


# ------------------------------------------------------------------ numbers in any form


def by(curve, name, **settings):
    def run(fitted, X, y, values):
        return curve(fitted, X, y, **{name: values}, random_state=0, **settings)

    return run


NUMBERS = {
    "sigma": by(weight_noise_curve, "sigmas", n_repeats=2),
    "level": by(image_noise_curve, "levels"),
    "fraction": by(pruning_curve, "fractions"),
}
NAMES = {
    "kind": (by(image_noise_curve, "kinds"), ["white", "pink"]),
    "order": (by(pruning_curve, "order"), ["zeros", "random"]),
}


@pytest.mark.parametrize("column", NUMBERS)
def test_numbers_in_any_form_count_once(column, fitted, held_out):
    X, y = held_out[0][:60], held_out[1][:60]
    run = NUMBERS[column]
    expected = run(fitted, X, y, [0.1, 0.3, 1.0])
    assert expected[column].unique().tolist() == [0.1, 0.3, 1.0]
    numbers = np.array([0.1, 0.3, 1.0])
    short = numbers.astype(np.float32)
    for form in (
        (number for number in numbers),
        map(float, numbers),
        {0.3, 1.0, 0.1},
        frozenset(numbers),
        dict.fromkeys(numbers),
        dict.fromkeys(numbers).keys(),
        pd.Series(numbers, index=[5, 1, 3]),
        pd.Index(numbers),
        numbers[::-1][::-1],
        short,
        pd.Series(short),
        short.astype(np.longdouble).astype(np.float32),
        torch.tensor(numbers),
        torch.tensor(short, requires_grad=True),
        [torch.tensor(0.1, requires_grad=True), np.float32(0.3), np.array(1)],
        [Fraction(1, 10), 0.1 + 0.2, True],
        [0.1, 0.3, 0.1 + 0.2, 1, np.float32(0.1), np.float64(1), 0.3 * (1 + 1e-15)],
        np.ma.masked_array(numbers, False),
    ):
        pd.testing.assert_frame_equal(run(fitted, X, y, form), expected)
    third = run(fitted, X, y, [1 / 3, 1 / 3 + 1e-16])
    assert third[column].unique().tolist() == [1 / 3]
    whole = run(fitted, X, y, range(2))
    assert whole[column].unique().tolist() == [0.0, 1.0]
    for one in (0.3, np.float32(0.3), torch.tensor(0.3), np.array(0.3), iter([0.3])):
        part = expected[expected[column] == 0.3].reset_index(drop=True)
        pd.testing.assert_frame_equal(run(fitted, X, y, one), part)


@pytest.mark.parametrize("column", NUMBERS)
def test_what_is_no_number_is_refused(column, fitted, held_out):
    X, y = held_out
    for wrong in ("0.1", ["high"], [None], [], iter(()), [[0.1, 0.2]], [1j], {"a"},
                  [-0.1], [np.nan], [np.inf], [10**400], np.zeros((2, 2))):  # fmt: skip
        with pytest.raises(ValueError, match="one number or more") as error:
            NUMBERS[column](fitted, X, y, wrong)
        assert "got" in str(error.value)
    masked = np.ma.masked_array([0.1, 0.2], [True, False])
    for wrong in (masked, [0.1, np.ma.masked], masked[0]):
        with pytest.raises(ValueError, match="masked"):
            NUMBERS[column](fitted, X, y, wrong)


@pytest.mark.parametrize("column", NAMES)
def test_names_in_any_form_count_once(column, fitted, held_out):
    X, y = held_out[0][:60], held_out[1][:60]
    run, names = NAMES[column]
    expected = run(fitted, X, y, names)
    assert expected[column].unique().tolist() == names
    for form in (
        iter(names),
        (name for name in names),
        [*names, names[0]],
        np.array(names),
        pd.Series(names),
        pd.Series(names, dtype="category"),
        dict.fromkeys(names),
    ):
        pd.testing.assert_frame_equal(run(fitted, X, y, form), expected)
    ordered = run(fitted, X, y, sorted(names))
    pd.testing.assert_frame_equal(run(fitted, X, y, set(names)), ordered)
    one = run(fitted, X, y, names[0])
    assert one[column].unique().tolist() == names[:1]
    for wrong in ([], iter(()), None, 3, [None], ["green"], [["white"]], b"white"):
        with pytest.raises(ValueError, match=r"must be among .*got"):
            run(fitted, X, y, wrong)


def test_salt_and_pepper_has_a_largest_level(fitted, held_out):
    X, y = held_out
    with pytest.raises(ValueError, match="at most 10"):
        image_noise_curve(fitted, X, y, levels=[0.1, 11])
    curve = image_noise_curve(fitted, X[:50], y[:50], "white", [11], random_state=0)
    assert len(curve) == 1


def test_number_of_pruned_units_is_rounded_halves_to_even(quick, digits):
    X, y = digits
    quick.fit(X[:64], y[:64])  # 20 units
    fractions = np.arange(41) / 40
    curve = pruning_curve(quick, X[:9], y[:9], "random", fractions)
    assert curve["n_pruned"].tolist() == [round(k / 2) for k in range(41)]
    assert curve["n_pruned"][[1, 3, 5]].tolist() == [0, 2, 2]


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("layers", ["grid", "head", "all"])
def test_one_perturbed_network_is_held_at_a_time(layers, digits):
    X, y = digits
    clf = TopographicCNNClassifier(None, grid_shape=(64, 64), max_epochs=1,
                                   random_state=0).fit(X[:32], y[:32])  # fmt: skip
    weights = clf.grid_weights_.nbytes + clf.readout_weights_.nbytes
    X, y = X[:8], y[:8]
    peaks = []
    for n_repeats in (1, 30):
        tracemalloc.start()
        try:
            weight_noise_curve(
                clf, X, y, [0.1, 0.2], layers=layers, n_repeats=n_repeats
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + weights
    assert peaks[1] < 8 * weights


def test_order_and_number_of_conditions_change_nothing(fitted, held_out):
    X, y = held_out
    for layers in ("head", "all"):
        curves = [
            weight_noise_curve(
                fitted, X, y, sigmas, layers=layers, n_repeats=n, random_state=0
            ).set_index(["sigma", "repeat"])
            for sigmas, n in (((0.1, 0.5), 3), ((0.5,), 2))
        ]
        some = curves[0].loc[curves[1].index]
        pd.testing.assert_frame_equal(some, curves[1], check_exact=True)


# ------------------------------------------------------------------ rows of measure


SETTINGS = (("head", "std"), ("head", "absolute"), ("readout", "std"))


def rows_of(table, measure):
    rows = table[table["measure"] == measure]
    return rows.set_index("parameter")["value"]


def test_means_over_sigmas_in_measure(fitted, held_out):
    X, y = held_out[0][:200], held_out[1][:200]
    table = measure(fitted, X, y, include="robustness", random_state=0)
    seed = np.random.RandomState(0).randint(2**31)
    evaluation = Evaluation.of(fitted, X, y)
    for layers, scale in SETTINGS:
        curve = evaluate_weight_noise(
            evaluation, (0.05, 0.1, 0.2, 0.5, 1.0), scale, layers, 10, seed
        )
        where = {"noise": "weight", "layers": layers, "scale": scale}
        for most, part in ((1, curve), (0.5, curve[curve["sigma"] < 0.7])):
            for column, measure_ in (
                ("accuracy", "accuracy_under_noise"),
                ("accuracy_change", "accuracy_change"),
                ("rsm_similarity", "rsm_similarity"),
            ):
                found = select_results(table, measure_, **where, mean_up_to=most)
                wanted = part[column].mean()
                assert found["value"].item() == pytest.approx(wanted, abs=1e-12)


def test_accuracy_retained_beside_each_accuracy(fitted, held_out):
    X, y = held_out[0][:200], held_out[1][:200]
    table = measure(fitted, X, y, include=["robustness"], random_state=0)
    retained = rows_of(table, "accuracy_retained")
    names = ("accuracy_under_noise", "accuracy_under_pruning")
    accuracy = pd.concat([rows_of(table, name) for name in names])
    assert accuracy.index.tolist() == retained.index.tolist()
    assert len(accuracy) == 6 + 1 + 4
    np.testing.assert_allclose(retained, accuracy / fitted.score(X, y))
    # nothing to retain: nan, with the number of images
    wrong = (fitted.predict(X) + 1) % 10
    table = measure(fitted, X, wrong, include="robustness", random_state=0)
    rows = table[table["measure"] == "accuracy_retained"]
    assert rows["value"].isna().all()
    assert (rows["n"] == 200).all()


def test_two_classes_have_no_geometry_in_measure(quick, digits):
    X, y = digits
    X, y = X[y < 2][:60], y[y < 2][:60]
    table = measure(quick.fit(X, y), X, y, include="robustness")
    assert "rsm_similarity" not in table["measure"].tolist()
    assert table["parameter"].str.endswith(", mean_up_to=0.5").sum() == 9

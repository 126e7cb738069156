"""Everything that looks at a fitted model: what comes in is what is meant."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import LOOKS
from sklearn.base import clone

from sktopo import (
    GridActivations,
    ImageNoise,
    TopographicCNNClassifier,
    TopographicEncoder,
    robustness,
)
from sktopo._labels import as_labels, check_label_types


def look(name, clf, X, y, **settings):
    return LOOKS[name](clf, X, y, **settings)


@pytest.fixture(scope="module")
def models(digits):
    """Models of the same digits under names of several types."""
    X, y = digits
    clf = TopographicCNNClassifier(
        lam=0.3, grid_shape=(3, 4), max_epochs=3, lr=0.01, random_state=0
    )
    labels = {"int": y, "float": y * 1.0, "str": y.astype(str), "bool": y > 4}
    labels["object"] = labels["str"].astype(object)
    return {name: clone(clf).fit(X[:300], v[:300]) for name, v in labels.items()}


KINDS = {
    "int": lambda y: y,
    "bool": lambda y: y > 4,
    "float": lambda y: y.astype(float),
    "object of int": lambda y: y.astype(object),
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "tensor": lambda y: torch.from_numpy(y),
    "str": lambda y: y.astype(str),
    "object": lambda y: y.astype(str).astype(object),
    "StringDType": lambda y: y.astype(np.dtypes.StringDType()),
    "string": lambda y: pd.Series(y.astype(str), dtype="string"),
    "category": lambda y: pd.Series(y.astype(str), dtype="category"),
    "list": lambda y: y.astype(str).tolist(),
    "bytes": lambda y: y.astype("S"),
    "dates": lambda y: y.astype("datetime64[D]"),
}
NUMBERS = ("int", "bool", "float", "object of int", "nullable", "tensor")
STRINGS = ("str", "object", "StringDType", "string", "category", "list")


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize(
    ("model", "labels"), [("int", "str"), ("str", "int"), ("bool", "object")]
)
def test_labels_of_another_type_are_refused_everywhere(
    name, model, labels, models, digits
):
    X, y = digits
    with pytest.raises(ValueError, match=r"labels y are \w+, such as .*the classes"):
        look(name, models[model], X[:40], KINDS[labels](y[:40]))


@pytest.mark.parametrize("labels", KINDS)
@pytest.mark.parametrize("model", ["int", "float", "str", "object", "bool"])
def test_labels_are_compared_as_score_does(model, labels, models, digits):
    X, y = digits
    clf, given = models[model], KINDS[labels](y[:40])
    alike = NUMBERS if model in ("int", "float", "bool") else STRINGS
    if labels not in alike:
        with pytest.raises(ValueError, match="trained with"):
            check_label_types(given, clf.classes_)
        return
    check_label_types(given, clf.classes_)
    usual = np.asarray(KINDS["int" if alike is NUMBERS else "str"](y[:40]))
    if labels == "bool" or model == "bool":
        usual = given = y[:40] > 4
    curve = look("pruning_curve", clf, X[:40], given, fractions=[0.0])
    assert curve.attrs["clean_accuracy"] == pytest.approx(clf.score(X[:40], usual))


@pytest.mark.parametrize("name", LOOKS)
def test_unknown_labels_are_counted_in_a_warning(name, models, digits):
    X, y = digits
    y = np.where(y[:40] == 3, 33, y[:40])
    n = int((y == 33).sum())
    with pytest.warns(UserWarning, match=f"{n} of 40 labels are none of.*: 33") as seen:
        look(name, models["int"], X[:40], y)
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    "labels",
    [
        [0, np.nan, 1],
        ["a", None, "b"],
        np.array(["a", np.nan], dtype=object),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.Series([0, None, 1], dtype="Int64"),
        np.array(["a", np.nan], dtype=np.dtypes.StringDType(na_object=np.nan)),
        np.array(["a", 1], dtype=object),
        [0.5, 1.5],
    ],
)
def test_labels_that_are_none(labels):
    message = "missing (labels|values)|NaN|mixes labels|continuous|trained with"
    with pytest.raises(ValueError, match=message):
        check_label_types(labels, ["a", "b"] if labels[0] == "a" else [0, 1])


def test_going_on_with_labels_of_another_type(models, digits):
    X, y = digits
    clf = clone(models["int"])
    clf.partial_fit(X[:40], y[:40], classes=torch.arange(10).bfloat16())
    with pytest.raises(ValueError, match="labels y are strings"):
        clf.partial_fit(X[:40], y[:40].astype(str))
    with pytest.raises(ValueError, match="labels y are strings"):
        clf.set_params(warm_start=True).fit(X[:40], y[:40].astype(str))
    with pytest.raises(ValueError, match="labels y are numbers"):
        clone(clf).partial_fit(X[:40], y[:40], classes=["0", "1"])


# ---------------------------------------------------------- masks and odd tensors


def masked(values):
    values = np.ma.array(values)
    values[3] = np.ma.masked
    return values


MASKED = {
    "array": masked,
    "list of arrays": lambda values: list(masked(values[..., None])),
}


@pytest.mark.parametrize("form", MASKED)
@pytest.mark.parametrize("name", LOOKS)
def test_masked_values_are_refused_everywhere(name, form, models, digits):
    X, y = digits
    clf, X, y, mask = models["int"], X[:40], y[:40], MASKED[form]
    with pytest.raises(ValueError, match=r"X holds masked values.*X.filled"):
        look(name, clf, mask(X), y)
    with pytest.raises(ValueError, match=r"y holds masked values.*y.filled"):
        look(name, clf, X, mask(y))
    if "scorer" in repr(LOOKS[name]):
        with pytest.raises(ValueError, match=r"sample_weight holds masked"):
            look(name, clf, X, y, sample_weight=mask(np.ones(40)))


@pytest.mark.parametrize("form", MASKED)
def test_masked_values_are_refused_by_estimators(form, models, digits):
    X, y = digits
    clf, X, y, mask = models["int"], X[:40], y[:40], MASKED[form]
    for estimator in (clone(clf), GridActivations(clone(clf)), ImageNoise()):
        with pytest.raises(ValueError, match=r"X holds masked"):
            estimator.fit(mask(X), y)
        if not isinstance(estimator, ImageNoise):
            with pytest.raises(ValueError, match=r"y holds masked"):
                estimator.fit(X, mask(y))
            with pytest.raises(ValueError, match=r"sample_weight holds masked"):
                estimator.fit(X, y, sample_weight=mask(np.ones(40)))
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        with pytest.raises(ValueError, match=r"X holds masked"):
            getattr(clf, method)(mask(X))
    with pytest.raises(ValueError, match=r"y holds masked"):
        clone(clf).partial_fit(X, y, classes=mask(np.arange(10)))


NO_ARRAYS = {
    "loader": lambda X: torch.utils.data.DataLoader(X),
    "data set": lambda X: torch.utils.data.TensorDataset(
        torch.tensor(X), torch.ones(40)
    ),
    "several shapes": lambda X: [X[0], X[1][:, :4]],
    "generator": lambda X: (x for x in X),
    "None": lambda X: None,
    "path": lambda X: "images.npy",
}


@pytest.mark.parametrize("form", NO_ARRAYS)
def test_what_is_no_array_is_refused_everywhere(form, models, digits):
    X, y = digits
    X, y, bad = X[:40], y[:40], NO_ARRAYS[form](X[:40])
    said = r"must (be an array of images; got an object of type|hold images of one sh)"
    calls = [partial(look, name, models["int"], bad, y) for name in LOOKS]
    calls += [
        partial(estimator.fit, bad, y)
        for estimator in (clone(models["int"]), TopographicEncoder(), ImageNoise())
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=said):
            call()


TENSORS = {
    "gradient": lambda a: torch.tensor(a, dtype=torch.float32, requires_grad=True),
    "bfloat16": lambda a: torch.tensor(a, dtype=torch.bfloat16, requires_grad=True),
    "list": lambda a: list(torch.tensor(a, dtype=torch.bfloat16, requires_grad=True)),
}


@pytest.mark.parametrize("form", TENSORS)
@pytest.mark.parametrize("name", LOOKS)
def test_tensors_of_any_sort_are_arrays(name, form, models, digits):
    X, y = digits
    clf, X, y, odd = models["int"], X[:40], y[:40], TENSORS[form]
    settings = {"random_state": 0} if name.endswith("_curve") else {}
    usual = look(name, clf, X, y, **settings)
    found = look(name, clf, odd(X), odd(y), **settings)
    if isinstance(usual, pd.DataFrame):
        pd.testing.assert_frame_equal(found, usual)
    else:
        assert found == usual
    if "scorer" in repr(LOOKS[name]):
        weights = np.arange(40) % 3
        weighted = look(name, clf, X, y, sample_weight=weights)
        assert look(name, clf, X, y, sample_weight=odd(weights)) == weighted


@pytest.mark.parametrize("form", TENSORS)
def test_tensors_of_any_sort_train(form, models, digits):
    X, y = digits
    X, y, odd = X[:60], y[:60], TENSORS[form]
    weights = np.arange(60) % 3 + 1
    usual = clone(models["int"]).fit(X, y * 1.0, sample_weight=weights)
    found = clone(usual).fit(odd(X), odd(y), sample_weight=odd(weights))
    np.testing.assert_array_equal(found.predict_proba(odd(X)), usual.predict_proba(X))
    assert as_labels(found.classes_).tolist() == usual.classes_.tolist()
    by_class = [
        dict(zip(range(10), a)) for a in (np.arange(10) + 1, odd(np.arange(10) + 1))
    ]
    heavy = [clone(usual).set_params(class_weight=w).fit(X, y) for w in by_class]
    np.testing.assert_array_equal(*(clf.predict_proba(X) for clf in heavy))
    noise = ImageNoise(value_range=tuple(odd([0.0, 16.0])), random_state=0)
    noisy = noise.fit(odd(X)).transform(odd(X))
    plain = ImageNoise(value_range=(0, 16), random_state=0).fit(X).transform(X)
    np.testing.assert_array_equal(noisy, plain)
    curves = [
        robustness.image_noise_curve(
            usual, X, y, ["white"], [0.1], 0, value_range=value_range
        )
        for value_range in ((0, 16), tuple(odd([0.0, 16.0])))
    ]
    pd.testing.assert_frame_equal(*curves)

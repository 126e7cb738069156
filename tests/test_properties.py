"""Equal values give equal results, in whatever form they come; else a clear error."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from sktopo import TopographicCNNClassifier

DTYPES = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", "longdouble"),
]
SHAPES = [(1, 1, 1), (1, 1, 7), (1, 5, 1), (1, 2, 3), (1, 8, 8), (3, 4, 4), (5, 3, 2)]
DOCUMENTED = (ValueError, TypeError)


def classifier(**changed):
    plain = {"grid_shape": (2, 2), "max_epochs": 2, "batch_size": 6, "random_state": 0}
    return TopographicCNNClassifier(**{**plain, **changed})


def images(shape, n=14, dtype="uint8", seed=0):
    """Two classes: dark and bright images."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.integers(0, 40, (n, *shape)) + 80 * y[:, None, None, None]
    return (X > 60 if dtype == "bool" else X).astype(dtype), y


def outcome(X, y, X_test=None, **changed):
    """All that a model answers, or what kind of error it gives."""
    clf = classifier(**changed).fit(X, y)
    X_test = X if X_test is None else X_test
    answers = clf.predict_proba(X_test), clf.transform(X_test)
    assert all(np.isfinite(part).all() for part in answers)
    return (*answers, clf.predict(X_test))


def assert_equal(first, second):
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def in_layout(X, layout):
    """The same values in another layout."""
    if layout == "fortran":
        return np.asfortranarray(X)
    if layout == "strided":
        wide = np.zeros((2 * len(X), *X.shape[1:-1], 3 * X.shape[-1]), X.dtype)
        wide[::2, ..., ::3] = X
        return wide[::2, ..., ::3]
    if layout == "negative":
        return np.ascontiguousarray(X[::-1, ..., ::-1])[::-1, ..., ::-1]
    if layout == "swapped":
        return X.astype(X.dtype.newbyteorder())
    if layout == "read-only":
        X = X.copy()
        X.flags.writeable = False
    if layout == "broadcast":
        return np.broadcast_to(X, (2, *X.shape))[1]
    return X


def in_form(X, form):
    if form == "flat":
        return X.reshape(len(X), -1)
    return X[:, 0] if form == "stacked" and X.shape[1] == 1 else X


LAYOUTS = "plain fortran strided negative swapped read-only broadcast".split()  # noqa: SIM905


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.sampled_from(DTYPES),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["images", "stacked", "flat"]),
)
def test_the_form_of_images_changes_nothing(shape, dtype, layout, form):
    X, y = images(shape, dtype=dtype)
    plain = outcome(X.astype(np.float32), y, image_shape=shape)
    given_X = in_form(in_layout(X, layout), form)
    before = given_X.copy()
    assert_equal(outcome(given_X, y, image_shape=shape), plain)
    np.testing.assert_array_equal(given_X, before)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.sampled_from(["uint8", "int32", "float16", "float32", "float64", "bfloat16"]),
    st.sampled_from(["plain", "transposed", "requires grad"]),
)
def test_tensors_are_arrays(shape, dtype, kind):
    X, y = images(shape)
    plain = outcome(X.astype(np.float32), y, image_shape=shape)
    tensor = torch.from_numpy(X).to(getattr(torch, dtype))
    if kind == "transposed":
        tensor = tensor.transpose(0, 3).contiguous().transpose(0, 3)
    if kind == "requires grad":
        assume(tensor.is_floating_point())
        tensor.requires_grad_()
    assert_equal(outcome(tensor, torch.from_numpy(y), image_shape=shape), plain)


RANGES = {
    "constant": (0, 7),
    "0 to 255": (1, 0),
    "-1 to 1": (1 / 64, -1),
    "a million": (1e4, 0),
    "a millionth": (1e-8, 0),
    "huge": (1e28, 0),
    "offset": (1, 1e4),
}


@pytest.mark.parametrize("scale", RANGES)
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("topo_loss", ["ws", "as", None])
def test_value_ranges(scale, standardize, topo_loss):
    """Standardised images are learned in any range; others or an error says why not."""
    factor, offset = RANGES[scale]
    X, y = images((1, 6, 6), n=40)
    X = (X * factor + offset).astype(np.float32)
    settings = {"standardize": standardize, "topo_loss": topo_loss, "lam": 0.1}
    settings |= {"max_epochs": 60, "lr": 0.02, "grid_shape": (3, 3), "dropout": 0.1}
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clf = classifier(**settings).fit(X, y)
        except ValueError as refused:
            error = str(refused)
    if error:
        assert "no longer finite" in error or "overflow" in error
        assert not standardize
        return
    silent = not any(w.category is ConvergenceWarning for w in caught)
    right = clf.score(X, y)
    if scale == "constant":
        assert right == 0.5
        assert not silent
    elif standardize:
        assert right == 1
    assert right > 0.5 or not silent


def test_subnormal_values_are_learned_or_constant():
    """float32 has no room for their spread, so they are images of one value."""
    X, y = images((1, 4, 4))
    tiny = (X * 1e-42).astype(np.float32)
    assert 0 < tiny.max() < np.finfo(np.float32).tiny
    probabilities, activations, _ = outcome(tiny, y)
    assert probabilities.shape == (len(X), 2)
    assert activations.shape == (len(X), 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_are_none_are_refused(value):
    X, y = images((1, 4, 4), dtype="float64")
    clean = classifier().fit(X, y)
    X[3, 0, 1, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        classifier().fit(X, y)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        clean.predict(X)


LABELS = {
    "strings": np.array(["cat", "dog"]),
    "objects": np.array(["cat", "dog"], dtype=object),
    "bool": np.array([False, True]),
    "gaps": np.array([-7, 40]),
    "uint8": np.array([0, 255], dtype=np.uint8),
    "big-endian": np.array([1, 2], dtype=">i8"),
    "whole floats": np.array([1.0, 3.0]),
    "large": np.array([2**40, 2**40 + 1]),
}
CONTAINERS = {
    "array": np.asarray,
    "list": lambda y: y.tolist(),
    "tuple": lambda y: tuple(y.tolist()),
    "series": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "categorical": pd.Categorical,
    "read-only": lambda y: np.broadcast_to(y, (2, len(y)))[1],
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_kind_of_labels_changes_nothing(labels, container):
    if (labels, container) == ("big-endian", "categorical"):
        pytest.skip("pandas has no such categories")
    X, y = images((1, 4, 4))
    plain = outcome(X, y)
    found = outcome(X, CONTAINERS[container](LABELS[labels][y]))
    assert_equal(found[:2], plain[:2])
    np.testing.assert_array_equal(
        found[2].astype(LABELS[labels].dtype.type), LABELS[labels][plain[2]]
    )


@pytest.mark.parametrize("name", ["Int64", "boolean", "string", "category"])
def test_labels_of_pandas(name):
    X, y = images((1, 4, 4))
    kinds = {"boolean": y == 1, "string": y.astype(str), "category": y.astype(str)}
    labels = kinds.get(name, y)
    found = outcome(X, pd.Series(labels, dtype=name))
    assert_equal(found[:2], outcome(X, y)[:2])
    assert found[2].tolist() == outcome(X, labels)[2].tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.sampled_from([1, 2, 5]))
def test_imbalance(counts, batch_size):
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.random.default_rng(0).integers(0, 255, (len(y), 1, 4, 4)).astype(np.uint8)
    for topo_loss in ("ws", "as"):
        settings = {"topo_loss": topo_loss, "batch_size": batch_size}
        if topo_loss == "as" and batch_size == 1:
            with pytest.raises(ValueError, match="batches of one image"):
                classifier(**settings).fit(X, y)
            continue
        clf = classifier(**settings).fit(X, y)
        assert clf.classes_.tolist() == list(range(len(counts)))
        assert np.isfinite(clf.predict_proba(X)).all()
    if min(counts) == 1:
        with pytest.raises(ValueError, match="early_stopping"):
            classifier(early_stopping=True).fit(X, y)


X, Y = images((1, 2, 2))
FLAT = X.reshape(len(X), -1)
ODD_IMAGES = {
    "None": None,
    "number": 3.0,
    "text": "images",
    "texts": np.array([["a", "b"]] * 14),
    "empty": np.zeros((0, 1, 2, 2)),
    "no pixels": np.zeros((14, 1, 0, 2)),
    "vector": np.zeros(14),
    "five axes": np.zeros((14, 1, 2, 2, 1)),
    "complex": FLAT + 1j,
    "dates": FLAT.astype("datetime64[D]"),
    "timedeltas": FLAT.astype("timedelta64[D]"),
    "ragged": [[1, 2], [3]] * 7,
    "sparse": scipy.sparse.csr_matrix(FLAT),
    "sparse array": scipy.sparse.csr_array(FLAT),
    "dict": {"a": 1},
    "set": {1, 2},
    "generator": (row for row in FLAT),
    "objects": np.array([[object()] * 4] * 14),
    "structured": np.zeros(14, dtype=[("a", "f4"), ("b", "f4")]),
    "mixed frame": pd.DataFrame({"a": ["x"] * 14, "b": np.arange(14)}),
    "missing": pd.DataFrame(FLAT, dtype="Int64").mask(FLAT[0, 0] == FLAT),
    "dates in a frame": pd.DataFrame({"a": [datetime.date(2020, 1, 1)] * 14}),
    "channels last": np.zeros((14, 8, 8, 3)),
    "complex tensor": torch.zeros(14, 4, dtype=torch.complex64),
    "sparse tensor": torch.zeros(14, 4).to_sparse(),
    "short": X[:5],
}


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("name", ODD_IMAGES)
def test_odd_images_are_refused(name):
    with pytest.raises(DOCUMENTED) as caught:
        classifier().fit(ODD_IMAGES[name], Y)
    assert len(str(caught.value)) > 15
    clf = classifier().fit(FLAT, Y)
    if name != "short":
        with pytest.raises(DOCUMENTED):
            clf.predict(ODD_IMAGES[name])


ACCEPTED = {
    "lists": FLAT.tolist(),
    "nested lists": X.tolist(),
    "masked, nothing masked": np.ma.masked_array(FLAT),
    "objects that are numbers": FLAT.astype(object),
    "matrix": [np.asarray(row) for row in FLAT],
    "frame": pd.DataFrame(FLAT).rename(columns=str),
    "frame of Int64": pd.DataFrame(FLAT, dtype="Int64").rename(columns=str),
    "frame of mixed numbers": pd.DataFrame(FLAT).astype({0: float}).rename(columns=str),
    "numbers as text": FLAT.astype(str).astype(object),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_images_that_are_numbers(name):
    found = outcome(ACCEPTED[name], Y)
    assert_equal(found, outcome(FLAT, Y))


ODD_LABELS = {
    "None": None,
    "number": 1,
    "text": "labels",
    "short": Y[:5],
    "empty": [],
    "one class": np.zeros(14, int),
    "continuous": np.linspace(0, 1, 14),
    "nan": np.where(Y, np.nan, 0),
    "inf": np.where(Y, np.inf, 0),
    "two columns": np.column_stack([Y, Y]),
    "one-hot": np.eye(2)[Y],
    "mixed kinds": np.array([1, "a"] * 7, dtype=object),
    "None inside": np.array([1, None] * 7, dtype=object),
    "complex": Y + 1j,
    "lists": [[1], [2, 3]] * 7,
    "bytes": np.array([b"a", b"b"] * 7),
    "missing Int64": pd.Series([1, None] * 7, dtype="Int64"),
    "missing category": pd.Series(["a", None] * 7, dtype="category"),
}


@pytest.mark.parametrize("name", ODD_LABELS)
def test_odd_labels_are_refused(name):
    with pytest.raises(DOCUMENTED) as caught:
        classifier().fit(X, ODD_LABELS[name])
    assert len(str(caught.value)) > 15

"""Equal values give equal results, in whatever form they come; else a clear error."""

import datetime
import functools
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
# The same examples in each run.
EXAMPLES = settings(max_examples=50, deadline=None, derandomize=True)


def classifier(**changed):
    plain = {"grid_shape": (2, 2), "max_epochs": 2, "batch_size": 6, "random_state": 0}
    return TopographicCNNClassifier(**{**plain, **changed})


def images(shape, n=14, dtype="uint8", seed=0):
    """Two classes: dark and bright images, below and above 0 where the dtype can."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.integers(0, 40, (n, *shape)) + 80 * y[:, None, None, None]
    if dtype == "bool":
        X = X > 60
    elif np.dtype(dtype).kind != "u":
        X = X - 60
    return X.astype(dtype), y


def outcome(X, y, X_test=None, **changed):
    """All that a model answers, or what kind of error it gives."""
    clf = classifier(**changed).fit(X, y)
    X_test = X if X_test is None else X_test
    answers = clf.predict_proba(X_test), clf.transform(X_test)
    assert all(np.isfinite(part).all() for part in answers)
    return (*answers, clf.predict(X_test))


@functools.cache
def plain_outcome(shape, dtype="uint8"):
    """That of images of `dtype` as float32, to be looked at and not changed."""
    X, y = images(shape, dtype=dtype)
    return outcome(X.astype(np.float32), y, image_shape=shape)


def assert_equal(first, second):
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def in_layout(X, layout):
    """The same values in another layout."""
    if layout == "fortran":
        return np.asfortranarray(X)
    if layout == "strided":
        wide = np.ones((2 * len(X), *X.shape[1:-1], 3 * X.shape[-1]), X.dtype)
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


@EXAMPLES
@given(
    st.sampled_from(SHAPES),
    st.sampled_from(DTYPES),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["images", "stacked", "flat"]),
)
def test_the_form_of_images_changes_nothing(shape, dtype, layout, form):
    X, y = images(shape, dtype=dtype)
    kind = "int8" if np.dtype(dtype).kind in "if" else "uint8"
    plain = plain_outcome(shape, "bool" if dtype == "bool" else kind)  # its values
    given_X = in_layout(in_form(X, form), layout)
    before_X, before_y = given_X.copy(), y.copy()
    assert_equal(outcome(given_X, y, image_shape=shape), plain)
    np.testing.assert_array_equal(given_X, before_X)
    np.testing.assert_array_equal(y, before_y)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 2), (1, 1, 10)])
def test_flat_rows_are_their_images(shape):
    X, y = images(shape)
    plain = outcome(X, y)
    if shape == (1, 1, 10):
        with pytest.warns(UserWarning, match="1 x 10 pixels"):
            found = outcome(in_form(X, "flat"), y)
    else:
        found = outcome(in_form(X, "flat"), y)
    assert_equal(found, plain)


@settings(EXAMPLES, max_examples=40)
@given(
    st.sampled_from(SHAPES),
    st.sampled_from(
        ["uint8", "int32", "float16", "float32", "float64", "bfloat16", "float8_e5m2"]
    ),
    st.sampled_from(["plain", "transposed", "requires grad", "lazily negated"]),
)
def test_tensors_are_arrays(shape, dtype, kind):
    X, y = images(shape)
    X //= 32  # whole numbers that eight bits of float hold
    plain = outcome(X.astype(np.float32), y, image_shape=shape)
    tensor = torch.from_numpy(X).to(getattr(torch, dtype))
    if kind == "lazily negated":
        assume(dtype in ("float32", "float64"))
        tensor = torch.complex(tensor, -tensor).conj().imag
        assert tensor.is_neg()
    if kind == "transposed":
        tensor = tensor.transpose(0, 3).contiguous().transpose(0, 3)
    if kind == "requires grad":
        assume(tensor.is_floating_point())
        tensor.requires_grad_()
    assert_equal(outcome(tensor, torch.from_numpy(y), image_shape=shape), plain)


RANGES = {  # factor and offset of values from 0 to 119
    "constant": (0, 7),
    "0 to 255": (2, 0),
    "-1 to 1": (1 / 60, -1),
    "a million": (1e4, 0),
    "a millionth": (1e-8, 0),
    "subnormal": (1e-42, 0),
    "huge": (1e28, 0),
    "largest": (5e36, -3e38),
    "offset": (1, 1e4),
}


@pytest.mark.parametrize("scale", RANGES)
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("topo_loss", ["ws", "as"])
def test_value_ranges(scale, standardize, topo_loss):
    """Standardised images are learned in any range; others or an error says why not."""
    factor, offset = RANGES[scale]
    X, y = images((1, 6, 6), n=24)
    X = (X.astype(float) * factor + offset).astype(np.float32)
    settings = {"standardize": standardize, "topo_loss": topo_loss, "lam": 0.1}
    settings |= {"max_epochs": 30, "lr": 0.02, "grid_shape": (3, 3), "dropout": 0.1}
    clf = classifier(**settings)
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            clf.fit(X, y)
        except ValueError as refused:
            error = str(refused)
    if error:
        assert "no longer finite" in error or "overflowed" in error
        assert not standardize
        return
    assert np.isfinite(clf.predict_proba(X)).all()
    right = clf.score(X, y)
    if scale == "constant":
        assert right == 0.5
    elif standardize:
        assert right == 1
    assert (right > 0.5) == (not caught)


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
    plain = plain_outcome((1, 4, 4))
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
    assert_equal(found[:2], plain_outcome((1, 4, 4))[:2])
    assert found[2].tolist() == outcome(X, labels)[2].tolist()


@settings(EXAMPLES, max_examples=25)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.sampled_from([1, 2, 5]))
def test_imbalance(counts, batch_size):
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.random.default_rng(0).integers(0, 255, (len(y), 1, 4, 4)).astype(np.uint8)
    for topo_loss in ("ws", "as"):
        # one epoch: too few steps for the warning that all answers are one class
        settings = {"topo_loss": topo_loss, "batch_size": batch_size, "max_epochs": 1}
        settings["backbone"] = "small"  # batch norm needs two images
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
    "masked": np.ma.masked_equal(FLAT, FLAT[0, 0]),
    "masked images": np.ma.masked_equal(X, FLAT[0, 0]),
    "integers beyond float": [[10**400] * 4] * 14,
    "NA": np.array([[pd.NA, 1, 2, 3]] * 14, dtype=object),
    "objects": np.array([[object()] * 4] * 14),
    "structured": np.zeros(14, dtype=[("a", "f4"), ("b", "f4")]),
    "mixed frame": pd.DataFrame({"a": ["x"] * 14, "b": np.arange(14)}),
    "missing": pd.DataFrame(FLAT, dtype="Int64").mask(FLAT[0, 0] == FLAT),
    "dates in a frame": pd.DataFrame({"a": [datetime.date(2020, 1, 1)] * 14}),
    "times and numbers": pd.DataFrame(FLAT).astype({0: "datetime64[s]"}),
    "channels last": np.zeros((14, 8, 8, 3)),
    "complex tensor": torch.zeros(14, 4, dtype=torch.complex64),
    "lazily conjugated tensor": torch.zeros(14, 4, dtype=torch.complex64).conj(),
    "sparse tensor": torch.zeros(14, 4).to_sparse(),
    "tensor without data": torch.zeros(14, 4, device="meta"),
    "short": X[:5],
}


@functools.cache
def known():
    """A model of `FLAT`, to be asked and not changed."""
    return classifier().fit(FLAT, Y)


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("name", ODD_IMAGES)
def test_odd_images_are_refused(name):
    with pytest.raises(DOCUMENTED) as caught:
        classifier().fit(ODD_IMAGES[name], Y)
    assert len(str(caught.value)) > 15
    if name != "short":
        with pytest.raises(DOCUMENTED):
            known().predict(ODD_IMAGES[name])


ACCEPTED = {
    "lists": FLAT.tolist(),
    "nested lists": X.tolist(),
    "masked, nothing masked": np.ma.masked_array(FLAT),
    "objects that are numbers": FLAT.astype(object),
    "matrix": [np.asarray(row) for row in FLAT],
    "tensors that require grad": [
        torch.tensor(row, dtype=torch.float32, requires_grad=True) for row in FLAT
    ],
    "frame": pd.DataFrame(FLAT).rename(columns=str),
    "frame of Int64": pd.DataFrame(FLAT, dtype="Int64").rename(columns=str),
    "frame of mixed numbers": pd.DataFrame(FLAT).astype({0: float}).rename(columns=str),
    "numbers as text": FLAT.astype(str).astype(object),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_images_that_are_numbers(name):
    found = outcome(ACCEPTED[name], Y)
    assert_equal(found, plain_outcome((1, 2, 2)))


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
    "masked": np.ma.masked_array(Y, [True] + [False] * 13),
    "integers beyond float": [0, 10**400] * 7,
    "floats beyond integers": Y * 1e300,
    "sets": [{1}, {2}] * 7,
    "dates": [datetime.date(2020, 1, 1 + v) for v in Y],
    "generator": (v for v in Y),
    "sparse": scipy.sparse.csr_matrix(Y),
    "sparse tensor": torch.from_numpy(Y).to_sparse(),
    "tensor without data": torch.zeros(14, device="meta"),
    "tensors that require grad": [torch.zeros((), requires_grad=True)] * 14,
}


@pytest.mark.parametrize("name", ODD_LABELS)
def test_odd_labels_are_refused(name):
    with pytest.raises(DOCUMENTED) as caught:
        classifier().fit(X, ODD_LABELS[name])
    assert len(str(caught.value)) > 15


ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.decimals(),
    st.fractions(),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.sampled_from([pd.NA, pd.NaT, 10**400, -(2**63), object]),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(0, 9), max_size=2),
    st.sampled_from([torch.tensor(1.0), torch.ones(2), torch.ones(1).bfloat16()[0]]),
)
CELLS = {
    "nested lists": lambda rows: rows,
    "objects": lambda rows: as_objects(rows),
    "frame": lambda rows: pd.DataFrame(as_objects(rows)).astype({0: int}),
}


def as_objects(rows):
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    for index in np.ndindex(array.shape):
        array[index] = rows[index[0]][index[1]]
    return array


def accepts(fit):
    """Whether it ends well; any error but a documented one goes on."""
    try:
        answers = fit()
    except DOCUMENTED:
        return False
    assert np.isfinite(answers).all()
    return True


@settings(EXAMPLES, max_examples=150)
@given(ODD_VALUES, st.sampled_from(sorted(CELLS)))
def test_one_odd_value_among_images(value, container):
    """It counts as the number that it is, or the images are refused."""
    rows = FLAT.tolist()
    rows[3][1] = value
    cells = CELLS[container](rows)
    clf = classifier(max_epochs=1)
    if accepts(lambda: clf.fit(cells, Y).predict_proba(FLAT)):
        plain = FLAT.astype(float)
        plain[3, 1] = float(value)
        expected = classifier(max_epochs=1).fit(plain, Y).predict_proba(FLAT)
        np.testing.assert_array_equal(clf.predict_proba(FLAT), expected)
    accepts(lambda: known().predict_proba(cells))


@settings(EXAMPLES, max_examples=150)
@given(
    ODD_VALUES,
    st.sampled_from([["cat", "dog"], [0, 1]]),
    st.sampled_from(["list", "objects", "series"]),
)
def test_one_odd_value_among_labels(value, names, container):
    """It is a class of its own or one of the others, or the labels are refused."""
    labels = [names[v] for v in Y[:-1]] + [value]
    if container == "objects":
        labels = as_objects([[v] for v in labels])[:, 0]
    elif container == "series":
        labels = pd.Series(as_objects([[v] for v in labels])[:, 0])
    clf = classifier(max_epochs=1)
    if accepts(lambda: clf.fit(X, labels).predict_proba(X)):
        if isinstance(value, torch.Tensor):  # a number, in whatever form
            labels = [float(v) for v in labels]
        classes, codes = np.unique(np.asarray(labels), return_inverse=True)
        plain = classifier(max_epochs=1).fit(X, codes)
        np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
        assert clf.classes_.tolist() == classes.tolist()

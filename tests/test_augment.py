"""Changes of training images."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sktopo import TopographicCNNClassifier
from sktopo._training import TopographicNet
from sktopo.augment import (
    AUGMENTATIONS,
    VIEWS,
    RandomViews,
    WhiteNoise,
    augment_batch,
    default_augmentation,
)
from sktopo.noise import white_noise

RANGE = (0.0, 16.0)
KINDS = {
    **AUGMENTATIONS,
    "white noise": WhiteNoise(0.1),
    "views": VIEWS["default"],
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@each_kind
@pytest.mark.parametrize(
    "shape", [(5, 1, 8, 8), (3, 3, 9, 12), (2, 1, 1, 30), (1, 2, 1, 1)]
)
def test_shape_range_and_seed(kind, shape):
    images = torch.rand(shape, generator=generator(1)) * 16
    before, state = images.clone(), torch.get_rng_state()
    found = [augment_batch(KINDS[kind], images, generator(s), RANGE) for s in (0, 0, 1)]
    assert found[0].shape == shape
    assert found[0].min() >= 0
    assert found[0].max() <= 16
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0], images)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


@each_kind
def test_bytes_become_floats(kind):
    images = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
    found = augment_batch(KINDS[kind], images, generator(), (0.0, 255.0))
    assert found.dtype == torch.float32


def test_the_default_moves_and_mirrors():
    """Each image by itself; a dot is found where it was moved to, at any rate once."""
    images = torch.zeros(400, 1, 16, 16)
    images[:, :, 8, 5] = 16.0
    changed = default_augmentation(images, generator=generator(), value_range=RANGE)
    places = changed.flatten(1).argmax(dim=1)
    rows, columns = (places // 16).tolist(), (places % 16).tolist()
    assert set(rows) == {6, 7, 8, 9, 10}
    assert set(columns) == {3, 4, 5, 6, 7, 8, 9, 10, 11, 12}  # 5 or its mirror, 10
    mirrored = np.mean([column > 7 for column in columns])
    assert 0.4 < mirrored < 0.6


def test_the_default_keeps_what_a_flat_image_is_but_for_brightness():
    images = torch.full((500, 3, 8, 8), 8.0)
    changed = default_augmentation(images, generator=generator(), value_range=RANGE)
    flat = changed.flatten(1)
    assert torch.equal(flat, flat[:, :1].expand_as(flat))
    assert flat.min() == pytest.approx(8 - 1.6, abs=0.05)
    assert flat.max() == pytest.approx(8 + 1.6, abs=0.05)


def test_contrast_is_about_the_mean():
    images = torch.full((500, 1, 2, 2), 6.0)
    images[:, :, 0] = 10.0
    changed = default_augmentation(images, generator=generator(), value_range=RANGE)
    spread = changed.amax(dim=(1, 2, 3)) - changed.amin(dim=(1, 2, 3))
    spread = spread[spread > 0]  # shifts leave some of them flat
    assert spread.min() == pytest.approx(4 * 0.8, abs=0.05)
    assert spread.max() == pytest.approx(4 * 1.2, abs=0.05)


def test_white_noise_is_that_of_the_tests(rng):
    images = np.full((200, 1, 20, 20), 8.0, np.float32)
    trained = WhiteNoise(0.1)(
        torch.from_numpy(images), generator=generator(), value_range=RANGE
    ).numpy()
    tested = white_noise(images, 0.1, RANGE, rng)
    assert trained.std() == pytest.approx(tested.std(), rel=0.02)
    assert trained.mean() == pytest.approx(8, abs=0.02)


# ----------------------------------------------------------------- views


def view(images, seed=0, **settings):
    return RandomViews(**settings)(images, generator=generator(seed), value_range=RANGE)


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (4, 3, 5, 9), (4, 1, 1, 6)])
def test_nothing_changes_where_nothing_may(shape):
    images = torch.rand(shape, generator=generator(1)) * 16
    kept = view(images, smallest_crop=1.0, mirror=False, strength=0.0)
    # but for the width of a crop of the whole area
    whole = torch.nn.functional.avg_pool2d(images, (1, 1))
    assert kept.shape == whole.shape
    flat = torch.full(shape, 7.0)
    assert torch.allclose(view(flat, strength=0.0), flat)


def test_crops_are_parts_scaled_to_the_whole():
    """Of an image whose values are its columns, a view is a range of them."""
    columns = torch.arange(16.0).expand(300, 1, 16, 16)
    views = view(columns, mirror=False, strength=0.0)
    steps = views.diff(dim=3)[..., 2:-2]
    assert torch.allclose(steps, steps[:, :, :1, :1].expand_as(steps), atol=1e-4)
    widths = steps[:, 0, 0, 0]
    assert 0.4 < widths.min() < 0.6
    assert 0.9 < widths.max() <= 1 + 1e-4
    mirrored = (view(columns, strength=0.0).diff(dim=3).mean(dim=(1, 2, 3)) < 0).float()
    assert 0.4 < mirrored.mean() < 0.6


def test_colors_change_where_there_are_colors_and_some_become_grey():
    flat = torch.zeros(400, 3, 4, 4)
    flat[:, 0] = 8.0
    views = view(flat)[..., 0, 0]
    grey = (views - views.mean(dim=1, keepdim=True)).abs().amax(dim=1) < 1e-5
    assert 0.1 < grey.float().mean() < 0.3
    assert views[:, 1].sub(views[:, 2]).abs().max() > 0.5  # another hue
    two = torch.full((400, 2, 4, 4), 8.0)
    two[:, 1] = 4.0
    found = view(two)[..., 0, 0]
    assert (found[:, 0] > found[:, 1]).all()


def test_brightness_and_contrast_by_strength():
    images = torch.full((400, 1, 4, 4), 8.0)
    weak, usual = (view(images, strength=s)[:, 0, 0, 0] for s in (0.5, 1.0))
    assert usual.min() == pytest.approx(8 * 0.6, abs=0.1)
    assert usual.max() == pytest.approx(8 * 1.4, abs=0.1)
    assert weak.min() == pytest.approx(8 * 0.8, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"smallest_crop": 0}, "smallest_crop must be a share.*got 0"),
        ({"smallest_crop": 1.2}, "smallest_crop must be a share.*got 1.2"),
        ({"smallest_crop": "half"}, "smallest_crop must be a share.*got 'half'"),
        ({"strength": None}, r"lie in \[0, 2\]; got None"),
        ({"strength": -1}, "strength must lie in .*got -1"),
    ],
)
def test_what_are_no_settings_of_views(settings, found):
    with pytest.raises(ValueError, match=found):
        RandomViews(**settings)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda images: images[:, :, 1:], r"\(2, 1, 7, 8\)"),
        (lambda images: images.numpy(), "ndarray"),
        (lambda images: None, "NoneType"),
    ],
)
def test_what_is_no_augmentation(change, found):
    with pytest.raises(ValueError, match=f"augment must give a tensor.*{found}"):
        augment_batch(change, torch.zeros(2, 1, 8, 8), generator(), RANGE)


def test_a_callable_is_given_what_it_names():
    calls = []

    def plain(images):
        calls.append(images.dtype)
        return images

    def seeded(images, generator):
        calls.append(generator)
        return images

    def everything(images, **settings):
        calls.append(settings)
        return images

    own = generator()
    for change in (plain, seeded, everything):
        augment_batch(change, torch.zeros(1, 1, 2, 2), own, RANGE)
    assert calls[0] == torch.float32
    assert calls[1] is own
    assert calls[2] == {"generator": own, "value_range": RANGE}
    unit = partial(everything, value_range=(0.0, 1.0))  # and what it was given stays
    augment_batch(unit, torch.zeros(1, 1, 2, 2), own, RANGE)
    assert calls[3] == {"generator": own, "value_range": (0.0, 1.0)}


# ------------------------------------------------------------------ in the classifier


@each_kind
def test_training_is_repeatable_and_prediction_untouched(kind, quick, digits):
    X, y = digits[0][:200], digits[1][:200]
    augment = kind if kind in AUGMENTATIONS else KINDS[kind]
    plain = clone(quick).fit(X, y)
    quick.set_params(augment=augment)
    first, second = clone(quick).fit(X, y), clone(quick).fit(X, y)
    assert (first.grid_weights_ == second.grid_weights_).all()
    assert (first.grid_weights_ != plain.grid_weights_).any()
    assert (first.predict_proba(X[:9]) == first.predict_proba(X[:9])).all()
    np.testing.assert_array_equal(first.pixel_range_, plain.pixel_range_)


@each_kind
def test_the_default_dtype_changes_nothing(kind):
    images = torch.full((3, 1, 4, 4), 8.0)
    wanted = augment_batch(KINDS[kind], images, generator(), RANGE)
    torch.set_default_dtype(torch.float64)
    try:
        found = augment_batch(KINDS[kind], images, generator(), RANGE)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, wanted)


class Halve(nn.Module):
    """A module, as torchvision's transforms are; it changes images in place."""

    def forward(self, images):
        return images.mul_(0.5)


def test_a_module_is_an_augmentation_and_images_stay(quick, digits):
    X, y = digits[0][:50].astype(np.float32), digits[1][:50]
    before = X.copy()
    quick.set_params(batch_size=50, max_epochs=1)
    changed = clone(quick).set_params(augment=Halve()).fit(X, y)
    np.testing.assert_array_equal(X, before)
    wanted = clone(quick).set_params(augment=lambda images: images / 2).fit(X, y)
    assert (changed.grid_weights_ == wanted.grid_weights_).all()
    pickle.loads(pickle.dumps(changed)).partial_fit(X, y)


def test_a_pickle_from_before_augmentations_trains_with_one(quick, digits):
    X, y = digits[0][:50], digits[1][:50]
    state = quick.set_params(max_epochs=1).fit(X, y).net_.__getstate__()
    for name in ("augment", "augmentation", "value_range", "initial_norms"):
        del state[name]
    nets = []
    for _ in range(2):
        quick.net_ = TopographicNet.__new__(TopographicNet)
        quick.net_.__setstate__(copy.deepcopy(state))
        nets.append(quick.net_)
    quick.set_params(augment="default", warm_start=True).fit(X, y)
    assert quick.n_iter_ == 2
    assert not nets[0].initial_norms  # nothing is shared


def test_only_training_images_are_changed(quick, digits):
    X, y = digits[0][:300], digits[1][:300]
    seen = []

    def change(images, value_range):
        seen.append(len(images))
        assert value_range == (0.0, 16.0)
        return images

    plain = clone(quick).set_params(early_stopping=True).fit(X, y)
    clf = quick.set_params(augment=change, early_stopping=True).fit(X, y)
    assert sum(seen) == 2 * 270
    assert (clf.grid_weights_ == plain.grid_weights_).all()


def test_an_interruption_goes_back_to_the_draws_of_the_last_epoch(quick, digits):
    X, y = digits[0][:200], digits[1][:200]
    calls = []

    def stop(images, generator):
        calls.append(1)
        if len(calls) == 7:  # in the second epoch of four steps
            raise KeyboardInterrupt
        return default_augmentation(images, generator=generator, value_range=RANGE)

    quick.set_params(augment=stop, max_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        quick.fit(X, y)
    stopped = quick.set_params(warm_start=True, max_epochs=2).fit(X, y)
    whole = clone(quick).set_params(augment="default", max_epochs=3).fit(X, y)
    assert (stopped.grid_weights_ == whole.grid_weights_).all()


def test_a_file_names_an_augmentation_of_ones_own(quick, digits, tmp_path):
    X, y = digits[0][:100], digits[1][:100]
    clf = quick.set_params(augment=turned).fit(X, y)
    path = tmp_path / "model.safetensors"
    clf.save(path)
    again = TopographicCNNClassifier.load(path)
    assert (again.predict(X) == clf.predict(X)).all()
    again.save(path)  # its name is kept
    again = TopographicCNNClassifier.load(path)
    with pytest.raises(ValueError, match=r"names its augment, .*test_augment\.turned"):
        again.partial_fit(X, y)
    again = TopographicCNNClassifier.load(path, augment=turned)
    again.partial_fit(X, y)


def turned(images):
    return images.flip(2)


@pytest.mark.parametrize(
    "augment", [WhiteNoise(0.2), RandomViews(0.5, mirror=False)], ids=repr
)
def test_a_file_holds_an_augmentation_of_the_package(quick, digits, tmp_path, augment):
    X, y = digits[0][:100], digits[1][:100]
    path = tmp_path / "model.safetensors"
    quick.set_params(augment=augment).fit(X, y).save(path)
    again = TopographicCNNClassifier.load(path)
    assert again.augment == augment
    again.partial_fit(X, y)
    TopographicCNNClassifier.load(path, augment=augment)  # the same may be given
    with pytest.raises(ValueError, match="Leave it out"):
        TopographicCNNClassifier.load(path, augment=WhiteNoise(0.3))


@pytest.mark.parametrize("level", [-0.1, "loud", None])
def test_levels_of_noise_are_checked(level):
    with pytest.raises(ValueError, match="finite number of at least 0; got"):
        WhiteNoise(level)

"""What noise costs, of images and of weights."""

from functools import partial

import baselines
import numpy as np
from rows import beside, drawn_images, fastest

from sktopo import TopographicCNNClassifier
from sktopo.noise import NOISES, add_noise
from sktopo.robustness import image_noise_curve, weight_noise_curve

LEVEL = 0.2
# Each curve, and how many predictions it may take at most.
CURVES = {
    "weight noise": (weight_noise_curve, 5),
    "image noise": (image_noise_curve, None),
}


def noise_rows(size):
    """Each kind of image noise beside a plain loop, or white noise if there is none."""
    X, _ = drawn_images(size.noisy_images, size.side)
    images = (X / 255).astype(np.float32)
    ours = {
        kind: (
            partial(add_noise, images, kind, LEVEL, value_range=(0, 1), rng=0),
            size.calls,
        )
        for kind in NOISES
    }
    loops = {
        kind: (partial(loop, images, LEVEL), 1)
        for kind, loop in baselines.NOISES.items()
    }
    spent, slow = (fastest(size.turns, **contestants) for contestants in (ours, loops))
    for kind, seconds in spent.items():
        found = {"ours": seconds}
        if kind in slow:
            found["plain loop"] = slow[kind]
        else:
            found["white noise"] = spent["white"]
        yield from beside("noise", kind, found, size.turns)
    yield from curve_rows(size)


def curve_rows(size):
    """Curves under noise of the weights and of the images beside one predict."""
    X, y = drawn_images(size.test_images, size.side)
    clf = TopographicCNNClassifier(backbone="small", max_epochs=1, random_state=0)
    clf.fit(X[:640], y[:640])
    curves = {
        name: (partial(curve, clf, X, y, random_state=0), 1)
        for name, (curve, _) in CURVES.items()
    }
    predict = (partial(clf.predict, X), 1)
    spent = fastest(size.few_turns, predict=predict, **curves)
    for name, (_, most) in CURVES.items():
        found = {"ours": spent[name], "predict": spent["predict"]}
        what, wanted = f"curve under {name}, {len(X):,} images", {"predict": most}
        yield from beside("noise", what, found, size.few_turns, wanted=wanted)

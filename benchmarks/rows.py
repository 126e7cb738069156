"""What all benchmarks share: how large they are, what they time, and their rows."""

import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Size:
    """How much is timed.

    Images are numbers drawn at random, of Fashion-MNIST's size: what an image shows
    does not change what it costs.
    """

    turns: int = 5
    few_turns: int = 2  # of what takes ten seconds or more
    calls: int = 20  # a turn, of what takes milliseconds
    batch: int = 64
    side: int = 28
    grid: tuple = (11, 11)
    images: int = 6_400  # of an epoch
    test_images: int = 10_000
    noisy_images: int = 500
    # what grows: images of an epoch, units of a grid, channels of an image
    counts: tuple = (1_000, 4_000, 15_000, 60_000)
    grids: tuple = (5, 11, 23, 45, 64)
    channels: tuple = (1, 3, 12, 48)
    # units and fan-in of convolutions
    wide: tuple = ((8, 16, 1152), (16, 32, 4608))
    resnet_images: int = 64
    # training images, epochs and lams of each loss of the study
    study_images: int = 1_200
    study_epochs: int = 8
    study_lams: tuple = (0.3, 1, 3)
    # of what is asked of memory alone
    large_images: int = 5_000
    large_side: int = 96
    large_grid: int = 64


FULL = Size()
QUICK = Size(
    turns=1,
    few_turns=1,
    calls=1,
    side=8,
    grid=(4, 5),
    images=128,
    test_images=100,
    noisy_images=4,
    counts=(64, 128),
    grids=(4, 5),
    channels=(1, 2),
    wide=((3, 4, 30),),
    resnet_images=4,
    study_images=100,
    study_epochs=1,
    study_lams=(1,),
    large_images=60,
    large_side=12,
    large_grid=6,
)


def drawn_images(n_images, side, n_channels=1):
    """Images of random pixels, and labels of ten classes."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n_images, n_channels, side, side), dtype=np.uint8)
    return X, np.arange(n_images) % 10


def fastest(n_turns=7, **contestants):
    """Seconds a call of each contestant, in the fastest of its turns.

    Contestants are functions and how often a turn calls them; they take turns. Counted
    is what the processor spent on this process, so that others disturb least.
    """
    seconds = dict.fromkeys(contestants, np.inf)
    for _ in range(n_turns):
        for name, (run, n_calls) in contestants.items():
            start = time.process_time()
            for _ in range(n_calls):
                run()
            spent = (time.process_time() - start) / n_calls
            seconds[name] = min(seconds[name], spent)
    return seconds


def beside(topic, what, found, n_turns, *, unit="s", at=None, wanted=None):
    """A row for each contestant that is not ours.

    The ratio is ours over the rival's: below 1 ours takes less. `wanted` is the most
    that it should be, by rival; `at` is where on its axis a row of a figure stands.
    """
    for rival, theirs in found.items():
        if rival != "ours":
            yield {
                "topic": topic,
                "what": what,
                "at": at,
                "ours": found["ours"],
                "unit": unit,
                "rival": rival,
                "theirs": theirs,
                "ratio": found["ours"] / theirs,
                "wanted": (wanted or {}).get(rival),
                "turns": n_turns,
            }

import numpy as np
import pytest
import torch

from sktopo._training import draw_seeds, seeded_initialisation


def test_seeded_initialisation_restores_the_global_state():
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded_initialisation(5):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ZeroDivisionError), seeded_initialisation(5):
        int(torch.rand(3).numel()) / 0
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_are_drawn_from_the_random_state():
    same = [draw_seeds(3), draw_seeds(np.int64(3))]
    assert same[0] == same[1] != draw_seeds(4)
    assert len(set(same[0])) == len(same[0])
    # those that came later leave the earlier ones as they were
    earlier = np.random.SeedSequence(3).generate_state(4).tolist()
    assert list(same[0][:4]) == earlier
    states = [np.random.RandomState(3) for _ in range(2)]
    first, second = (draw_seeds(state) for state in states)
    assert first == second != draw_seeds(states[0])  # which has moved on
    assert draw_seeds(None) != draw_seeds(None)

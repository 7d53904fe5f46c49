import numpy as np
import pytest

from ensemble.system import streams

SEEDS = [0, 1, 2, 2**31, 2**32 - 1, 2**32, 2**63 - 1]


@pytest.mark.parametrize("purpose", [(streams.WEIGHTS,), (streams.HIDDEN, 3), (streams.BATCHES, 12345)])
def test_many_generators_are_those_of_their_seeds(purpose):
    rng = np.random.default_rng(0)
    seeds = np.array([*SEEDS, *range(3, 1000), *rng.integers(0, 2**63, 1000), *rng.integers(0, 2**32, 1000)])
    for seed, generator in zip(seeds.tolist(), streams.generators(seeds, *purpose), strict=True):
        alone = streams.generator(seed, *purpose)
        np.testing.assert_array_equal(generator.standard_normal(3), alone.standard_normal(3))
        assert generator.random() == alone.random()
        assert generator.integers(2**31, dtype=np.int32) == alone.integers(2**31, dtype=np.int32)  # half a word is kept


def test_few_generators_are_those_of_their_seeds():
    for seed, generator in zip(SEEDS, streams.generators(np.array(SEEDS), streams.WEIGHTS), strict=True):
        assert generator.random() == streams.generator(seed, streams.WEIGHTS).random()


def test_no_seeds_make_no_generators():
    assert list(streams.generators(np.empty(0, np.int64), streams.WEIGHTS)) == []

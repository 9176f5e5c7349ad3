"""Random numbers in blocks: a seed gives the same ones whatever came before."""

from __future__ import annotations

import threading
from collections import Counter

import fovea
from fovea.random import Generator, use_generator
from fovea.vision.transforms import draws


def take(n: int) -> list[float]:
    return [draws.uniform(0.0, 1.0) for _ in range(n)]


def test_numbers_are_spread_evenly() -> None:
    fovea.manual_seed(0)
    numbers = take(4000)
    assert len(set(numbers)) == 4000 and min(numbers) >= 0 and max(numbers) < 1
    assert abs(sum(numbers) / 4000 - 0.5) < 0.02
    counts = Counter(draws.integer(-2, 3) for _ in range(5000))
    assert set(counts) == {-2, -1, 0, 1, 2} and min(counts.values()) > 880
    orders = Counter(tuple(draws.permutation(3)) for _ in range(1200))
    assert len(orders) == 6 and min(orders.values()) > 150


def test_seeding_starts_over_at_any_point() -> None:
    fovea.manual_seed(1)
    first = take(10)
    for before in (0, 3, draws.BLOCK, draws.BLOCK + 5):
        take(before)
        fovea.manual_seed(1)
        assert take(10) == first


def test_other_draws_from_the_generator_start_a_new_block() -> None:
    def run() -> list[float]:
        fovea.manual_seed(2)
        a = take(3)
        fovea.rand(5)
        return a + take(3)

    first = run()
    take(7)
    assert run() == first
    fovea.manual_seed(2)
    assert take(6) != first


def test_a_seed_that_leads_to_the_same_place_takes_nothing_over() -> None:
    fovea.manual_seed(3)
    take(1)
    fovea.manual_seed(3)
    fovea.rand(draws.BLOCK, dtype=fovea.float64)  # the state is now what it was after the block
    found = take(3)
    fovea.manual_seed(3)
    fovea.rand(draws.BLOCK, dtype=fovea.float64)
    assert take(3) == found


def test_generators_of_threads_do_not_mix() -> None:
    def run() -> list[float]:
        with use_generator(Generator().manual_seed(5)):
            return take(20)

    expected = run()
    fovea.manual_seed(6)
    mine = take(5)
    results: list[list[float]] = []
    threads = [threading.Thread(target=lambda: results.append(run())) for _ in range(4)]
    for thread in threads:
        thread.start()
    mine += take(5)
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
    fovea.manual_seed(6)
    assert take(10) == mine


def test_states_can_be_saved() -> None:
    fovea.manual_seed(7)
    take(3)
    state = fovea.get_rng_state()
    fovea.set_rng_state(state)
    after = take(3)
    fovea.set_rng_state(state)
    assert take(3) == after

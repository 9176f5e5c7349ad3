"""Programs made of graphs give what the graphs mean, bit for bit."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import LoweringError, ShapeError
from fovea.graph import Graph, Value
from fovea.graph.interpret import interpret
from fovea.ops import conv, index, loss, norm, optim, pool, reduce, shape, softmax, special
from fovea.ops import elementwise as e
from fovea.ops import random as random_ops
from fovea.ops.linalg import linear, matmul
from fovea.ops.nonfinite import nonfinite
from fovea.targets.cpu import arena as arenas
from fovea.targets.cpu.executable import Executable
from tests.graph.builder import Builder


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = fovea.get_num_threads()
    fovea.set_num_threads(request.param)
    yield request.param
    fovea.set_num_threads(before)


def bits(t: Any) -> bytes:
    return np.ascontiguousarray(t.detach()._array()).tobytes()


def check(graph: Graph, inputs: Sequence[Any], runs: int = 2) -> Executable:
    """Run the program a few times and compare outputs and states with the graph's meaning."""
    program = Executable(graph)
    for _ in range(runs):
        outputs, states = interpret(graph, inputs)
        expected = [bits(t) for t in outputs], [bits(t) for t in states]
        kept = [bits(t) for t in inputs]
        found = program.run(inputs)
        assert [tuple(t.shape) for t in found] == [tuple(t.shape) for t in outputs]
        assert [t.dtype for t in found] == [t.dtype for t in outputs]
        assert [bits(t) for t in found] == expected[0]
        assert [bits(s.tensor) for s in graph.states] == expected[1]
        assert [bits(t) for t in inputs] == kept
    return program


def opaque(b: Builder, x: Value) -> Value:
    """A node that only NumPy can run."""
    return b(special.asinh, x)


# -- values and places ------------------------------------------------------------------------


def test_a_chain_of_elementwise_ops_lives_in_its_output() -> None:
    b = Builder()
    x, y = b.input(20, 30), b.input(20, 30)
    z = b(e.relu, b(e.mul, b(e.add, x, y), b.constant(np.float32(2))))
    program = check(b.graph(z), [fovea.randn(20, 30), fovea.randn(20, 30)])
    assert program.memory.total == 0


def test_an_operand_that_is_read_again_is_not_written_over() -> None:
    b = Builder()
    x = b.input(50)
    a = b(e.exp, x)
    c = b(e.neg, a)
    d = b(e.sqrt_, a)
    check(b.graph(b(e.add, b(e.mul, c, d), c)), [fovea.randn(50)])


def test_views_look_at_what_they_are_views_of() -> None:
    b = Builder()
    x = b.input(4, 6)
    a = b(e.exp, x)
    turned = b(shape.permute, a, dims=(1, 0))
    part = b(shape.slice_, turned, start=(1, 0), length=(2, 4), step=(2, 1))
    check(b.graph(b(e.neg, part), turned), [fovea.randn(4, 6)])


def test_outputs_share_memory_as_they_do_in_eager_mode() -> None:
    b = Builder()
    x = b.input(4, 6)
    a = b(e.exp, x)
    turned = b(shape.permute, a, dims=(1, 0))
    given = fovea.randn(4, 6)
    first, second, third, fourth = Executable(b.graph(a, turned, x, a)).run([given])
    assert second.storage is first.storage
    assert third is given
    assert fourth is first


def test_outputs_are_new_in_each_call() -> None:
    b = Builder()
    x = b.input(3)
    program = Executable(b.graph(b(e.neg, x), b.constant(np.arange(3))))
    one, constant = program.run([fovea.ones(3)])
    constant.fill_(7)
    two, again = program.run([fovea.zeros(3)])
    assert one.tolist() == [-1, -1, -1] and two.tolist() == [0, 0, 0]
    assert again.tolist() == [0, 1, 2]


def test_an_output_that_repeats_a_constant() -> None:
    b = Builder()
    row, number = b.constant(np.arange(36, dtype=np.float32)), b.constant(2.0)
    spread = b(shape.expand, row, shape=(5, 36))
    program = check(b.graph(spread, b(shape.expand, number, shape=(7,))), [])
    rows, numbers = program.run([])
    assert rows.strides[0] == numbers.strides[0] == 0
    assert rows.storage.nbytes == 36 * 4  # and nothing was written beyond


def test_an_input_with_other_strides_is_copied() -> None:
    b = Builder()
    x = b.input(4, 6)
    program = Executable(b.graph(b(e.exp, x)))
    t = fovea.randn(6, 4).T
    assert bits(program.run([t])[0]) == bits(t.exp())
    with pytest.raises(ShapeError):
        program.run([fovea.randn(6, 4)])
    with pytest.raises(TypeError):
        program.run([])


def test_nothing_to_compute() -> None:
    b = Builder()
    x = b.input(0, 3)
    check(b.graph(b(e.exp, x), x), [fovea.zeros(0, 3)])
    check(Builder().graph(), [])


# -- states -----------------------------------------------------------------------------------


def test_a_new_state_is_computed_into_its_memory() -> None:
    b = Builder()
    s = b.state(np.ones(8, np.float32))
    x = b.input(8)
    new = b(e.add, b(e.mul, s, b.constant(np.float32(0.5))), x)
    graph = b.graph(updates=[(s, new)])
    program = check(graph, [fovea.randn(8)])
    assert len(program._list.calls) - 1 == 2  # no copy
    version = graph.states[0].tensor._version
    program.run([fovea.randn(8)])
    assert graph.states[0].tensor._version > version


def test_the_old_value_is_kept_for_its_readers() -> None:
    b = Builder()
    s = b.state(np.ones(8, np.float32))
    x = b.input(8)
    new = b(e.add, s, x)
    check(b.graph(b(e.mul, s, new), updates=[(s, new)]), [fovea.randn(8)])


def test_states_that_change_places() -> None:
    b = Builder()
    s, t = b.state(np.zeros(5, np.float32)), b.state(np.ones(5, np.float32))
    check(b.graph(s, updates=[(s, t), (t, s)]), [])
    view = b(shape.permute, s, dims=(0,))
    check(b.graph(view, updates=[(s, t), (t, view)]), [])


def test_one_value_for_two_states_and_an_output() -> None:
    b = Builder()
    s, t = b.state(np.zeros(5, np.float32)), b.state(np.ones(5, np.float32))
    new = b(e.add, s, t)
    check(b.graph(new, updates=[(s, new), (t, new)]), [])


def test_an_output_does_not_share_memory_with_a_changed_state() -> None:
    b = Builder()
    s = b.state(np.zeros(5, np.float32))
    new = b(e.add, s, b.input(5))
    graph = b.graph(s, new, updates=[(s, new)])
    program = Executable(graph)
    old, first = program.run([fovea.ones(5)])
    program.run([fovea.ones(5)])
    assert old.tolist() == [0] * 5 and first.tolist() == [1] * 5
    assert graph.states[0].tensor.tolist() == [2] * 5


def test_a_state_with_another_layout_or_dtype_than_its_new_value() -> None:
    b = Builder()
    s = b.state(np.zeros((4, 6), np.float32).T)
    t = b.state(np.zeros(6, np.float64))
    x = b.input(6, 4)
    check(
        b.graph(updates=[(s, b(e.exp, x)), (t, b(reduce.sum_, x, dims=(1,), keepdim=False))]),
        [fovea.randn(6, 4)],
    )


def _update(b: Builder, params: list[Value], grads: list[Value]) -> list[tuple[Value, Value]]:
    states = [b.state(np.zeros(p.shape, np.float32)) for p in params for _ in range(2)]
    steps = [b.state(np.float32(0)) for _ in params]
    scalars = b.state(np.array([0.1, 0.01, 0.9, 0.99, 1e-8, 0.0]))
    a = optim.AdamAttrs.of("none", False, False, "corrected")
    inputs = [scalars, *params, *grads, *states[::2], *states[1::2], *steps]
    changed = [*params, *states[::2], *states[1::2], *steps]
    return list(zip(changed, b.bind(optim.adam_update, inputs, a), strict=True))


def test_an_optimizer_step_changes_parameters_and_its_states() -> None:
    b = Builder()
    params = [b.state(np.full((40, 30), 0.5, np.float32)), b.state(np.ones(7, np.float32))]
    grads = [b(e.square, b.input(40, 30)), b(e.neg, b.input(7))]
    loss_value = b(reduce.sum_, params[1], dims=(0,), keepdim=False)
    graph = b.graph(loss_value, updates=_update(b, params, grads))
    program = check(graph, [fovea.randn(40, 30), fovea.randn(7)], runs=3)
    assert program.memory.total <= 4 * 40 * 30 + 256


def test_a_check_of_many_tensors() -> None:
    b = Builder()
    parts = [b.input(40, 1000), b.input(7)]
    program = check(b.graph(b.bind(nonfinite, parts, None)), [fovea.ones(40, 1000), fovea.ones(7)])
    assert program.run([fovea.ones(40, 1000), fovea.ones(7) / 0])[0].item() == 1
    assert program.run([fovea.ones(40, 1000), fovea.ones(7)])[0].item() == 0


def test_strides_that_nobody_steps_along_do_not_matter_to_an_optimizer() -> None:
    b = Builder()
    token = b.state(np.ones((1, 1, 12), np.float32))
    grad = b(e.neg, b.input(1, 1, 12, strides=(1, 1, 1)))
    graph = b.graph(updates=_update(b, [token], [grad]))
    x = fovea.randn(12).as_strided((1, 1, 12), (1, 1, 1))
    assert len(check(graph, [x])._list.main) == 1


def test_a_changed_input_that_is_no_state_is_copied_first() -> None:
    b = Builder()
    x, mean, var = b.input(4, 3), b.input(3), b.constant([1.0] * 3)
    means = [b(reduce.mean, x, dims=(0,), keepdim=False) for _ in range(2)]
    new_mean, new_var = b(norm.batch_norm_update, mean, var, *means, momentum=0.1, correction=1.5)
    check(b.graph(new_mean, new_var, var), [fovea.randn(4, 3), fovea.zeros(3)])


def test_running_statistics() -> None:
    b = Builder()
    x = b.input(4, 3, 5, 5, nhwc=True)
    w, bias = b.state(np.ones(3, np.float32)), b.state(np.zeros(3, np.float32))
    mean, var = b.state(np.zeros(3, np.float32)), b.state(np.ones(3, np.float32))
    y, m, _, v = b(norm.batch_norm_train, x, w, bias, axis=1, eps=1e-5)
    new = b(norm.batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.01)
    updates = list(zip((mean, var), new, strict=True))
    images = fovea.randn(4, 3, 5, 5).to(memory_format=fovea.channels_last)
    check(b.graph(b(e.relu, y), updates=updates), [images])


def test_states_that_share_memory() -> None:
    whole = fovea.arange(6, dtype=fovea.float32)
    b = Builder()
    s, part = b.state(whole), b.state(whole[2:4])
    new = b(e.add, s, b.input(6))
    old = b(e.mul, part, b.constant(2.0))  # of the old value, although it is read later
    found = Executable(b.graph(old, updates=[(s, new)])).run([fovea.ones(6)])[0]
    assert found.tolist() == [4, 6] and whole.tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(LoweringError, match="shares memory"):
        Executable(b.graph(updates=[(s, new), (part, b(e.neg, part))]))


def test_a_state_that_got_another_storage_is_found_again() -> None:
    b = Builder()
    s = b.state(np.ones(3, np.float32))
    graph = b.graph(b(e.add, s, b.input(3)), updates=[(s, b(e.neg, s))])
    program = Executable(graph)
    program.run([fovea.zeros(3)])
    tensor = graph.states[0].tensor
    tensor.data = fovea.full((3,), 5.0)
    assert program.run([fovea.zeros(3)])[0].tolist() == [5, 5, 5]
    assert tensor.tolist() == [-5, -5, -5]
    tensor.data = fovea.zeros(4)
    with pytest.raises(LoweringError, match="another tensor"):
        program.run([fovea.zeros(3)])


# -- what depends on nothing that changes -----------------------------------------------------


def test_what_depends_on_unchanged_states_alone_is_computed_once() -> None:
    b = Builder()
    w = b.state(np.arange(6, dtype=np.float32).reshape(2, 3))
    packed = b(e.exp, b(shape.permute, w, dims=(1, 0)))
    graph = b.graph(b(matmul, b.input(4, 3), packed), packed)
    program = check(graph, [fovea.randn(4, 3)])
    assert program._list.prologue and len(program._list.main) == 1
    x, tensor = fovea.ones(1 * 4, 3), graph.states[0].tensor
    with fovea.no_grad():
        tensor.add_(1.0)
    found, kept = program.run([x])
    assert bits(found) == bits(x @ tensor.exp().T.contiguous())
    kept.zero_()  # belongs to the caller
    tensor.numpy()[:] = 0.0
    program.refresh()
    assert program.run([x])[0].tolist() == [[3.0, 3.0]] * 4


def test_weights_are_packed_once() -> None:
    b = Builder()
    x = b.input(2, 16, 9, 9, nhwc=True)
    w = b.state(np.random.default_rng(0).normal(size=(24, 16, 3, 3)).astype(np.float32))
    mean, var = b.state(np.zeros(24, np.float32)), b.state(np.ones(24, np.float32))
    same = {"stride": (2, 2), "padding": (1,) * 4, "dilation": (1, 1), "groups": 1}
    y = b(
        norm.batch_norm_infer,
        b(conv.conv2d, x, w, None, **same),
        mean,
        var,
        None,
        None,
        axis=1,
        eps=1e-5,
    )
    graph = b.graph(y)
    images = fovea.randn(2, 16, 9, 9).to(memory_format=fovea.channels_last)
    program = check(graph, [images])
    assert len(program._list.calls) - 1 == 4 and program._list.prologue == [(0, 2)]
    assert program.kept_bytes >= 24 * 16 * 9 * 4
    for state in graph.states:
        state.tensor.mul_(1.5)
        assert bits(program.run([images])[0]) == bits(interpret(graph, [images])[0][0])
    trained = b.graph(y, updates=[(w, b(e.neg, w))])
    assert check(trained, [images], runs=3)._list.prologue == [(0, 1)]


# -- ops --------------------------------------------------------------------------------------


def test_a_small_network_learns(threads: int) -> None:
    b = Builder()
    x, target = b.input(8, 1, 12, 12, nhwc=True), b.input(8, dtype=dtypes.int64)
    kernel = b.state(np.random.default_rng(0).normal(size=(6, 1, 3, 3)).astype(np.float32))
    bias = b.state(np.zeros(6, np.float32))
    weight = b.state(np.random.default_rng(1).normal(size=(10, 150)).astype(np.float32))
    same = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    h = b(conv.conv2d, x, kernel, bias, **same)
    window = {
        "kernel": (2, 2),
        "stride": (2, 2),
        "padding": (0,) * 4,
        "dilation": (1, 1),
        "ceil_mode": False,
    }
    r = b(e.relu, h)
    p = b(pool.max_pool2d, r, **window)
    flat = b(shape.view, b(shape.clone, p, layout="contiguous"), shape=(8, 150))
    logits = b(linear, flat, weight, None)
    losses = b(loss.cross_entropy, logits, target, ignore_index=-100)
    total = b(reduce.mean, losses, dims=(0,), keepdim=False)
    g = b(loss.cross_entropy_grad, b.constant([1 / 8] * 8), logits, target, ignore_index=-100)
    gw = b(matmul, b(shape.permute, g, dims=(1, 0)), flat)
    gp = b(shape.view, b(matmul, g, weight), shape=(8, 6, 5, 5))
    gr = b(pool.max_pool2d_grad, gp, r, p, **window)
    gh = b(e.relu_grad, gr, r)
    gk = b(conv.conv2d_weight_grad, gh, x, **same, kernel=(3, 3))
    gb = b(reduce.sum_, gh, dims=(0, 2, 3), keepdim=False)
    graph = b.graph(total, updates=_update(b, [kernel, bias, weight], [gk, gb, gw]))
    images = fovea.randn(8, 1, 12, 12).to(memory_format=fovea.channels_last)
    program = check(graph, [images, fovea.randint(10, (8,))], runs=3)
    assert len(program._list.main) == 1  # all of it native


def test_what_only_numpy_can_run_is_run_in_between(threads: int) -> None:
    b = Builder()
    x = b.input(64, 64)
    a = opaque(b, b(e.exp, x))
    c = b(matmul, a, opaque(b, x))
    state = b.state(np.zeros((64, 64), np.float32))
    program = check(b.graph(c, opaque(b, c), updates=[(state, a)]), [fovea.randn(64, 64)])
    assert len([s for s in program._list.main if not isinstance(s, tuple)]) == 3


def test_an_interrupt_ends_a_run_between_kernels() -> None:
    b = Builder()
    x = y = b.input(256, 256)
    for _ in range(4000):
        y = b(matmul, y, x)
    program, eye = Executable(b.graph(y)), fovea.eye(256)
    began = time.perf_counter()
    np.testing.assert_array_equal(program.run([eye])[0].numpy(), np.eye(256))
    whole = time.perf_counter() - began

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, whole / 20)
        with pytest.raises(KeyboardInterrupt):
            program.run([eye])
        assert time.perf_counter() - began < whole * 0.7
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    np.testing.assert_array_equal(program.run([eye])[0].numpy(), np.eye(256))


def test_random_numbers_advance_their_state() -> None:
    b = Builder()
    state = b.state(np.array([7, 0]))
    first, after = b(
        random_ops.random_uniform, state, shape=(9,), dtype=dtypes.float32, low=0.0, high=1.0
    )
    second, end = b(
        random_ops.random_normal, after, shape=(9,), dtype=dtypes.float32, mean=0.0, std=1.0
    )
    program = check(b.graph(first, second, updates=[(state, end)]), [], runs=3)
    assert len(program._list.main) == 1


def test_an_index_out_of_range_raises() -> None:
    b = Builder()
    x, i = b.input(5, 3), b.input(2, dtype=dtypes.int64)
    program = check(
        b.graph(b(index.index, x, i, dims=(0,))), [fovea.randn(5, 3), fovea.tensor([4, 0])]
    )
    with pytest.raises(IndexError):
        program.run([fovea.randn(5, 3), fovea.tensor([5, 0])])
    program.run([fovea.randn(5, 3), fovea.tensor([1, 0])])


def test_products_of_batches_that_do_not_merge() -> None:
    b = Builder()
    x, w, bias = b.input(2, 3, 2, 3, 2, 8), b.input(5, 8), b.input(10)
    turned = b(shape.permute, x, dims=(3, 1, 4, 0, 2, 5))
    every_other = b(shape.slice_, bias, start=(0,), length=(5,), step=(2,))
    check(
        b.graph(
            b(linear, turned, w, every_other), b(matmul, turned, b(shape.permute, w, dims=(1, 0)))
        ),
        [fovea.randn(2, 3, 2, 3, 2, 8), fovea.randn(5, 8), fovea.randn(10)],
    )


def test_softmax_of_columns_whose_layout_needs_copies() -> None:
    b = Builder()
    x = b.input(6, 8, 4)
    y = b(softmax.softmax, b(shape.permute, x, dims=(2, 0, 1)), dim=1)
    check(b.graph(y, b(reduce.mean, y, dims=(1,), keepdim=False)), [fovea.randn(6, 8, 4)])


# -- memory and threads -----------------------------------------------------------------------


def test_programs_share_an_arena_and_leave_none_behind() -> None:
    def graph(n: int) -> Graph:
        b = Builder()
        x = b.input(n, n)
        return b.graph(b(reduce.sum_, b(matmul, b(e.exp, x), x), dims=(0, 1), keepdim=False))

    gc.collect()
    arenas._free.clear()
    small, large = Executable(graph(32)), Executable(graph(64))
    for program, n in ((small, 32), (large, 64), (small, 32)):
        program.run([fovea.ones(n, n)])
        assert len(arenas._free) == 1
    assert arenas._free[0].nbytes == large.memory.peak
    del small, large, program
    gc.collect()
    assert not arenas._free or arenas._programs


def test_a_program_is_run_from_many_threads() -> None:
    b = Builder()
    x = b.input(40, 40)
    program = Executable(b.graph(b(matmul, b(e.exp, x), b(e.neg, x))))
    tensors = [fovea.full((40, 40), 0.01 * n) for n in range(8)]
    expected = [bits(t.exp() @ -t) for t in tensors]
    wrong: list[int] = []

    def work(n: int) -> None:
        for _ in range(50):
            if bits(program.run([tensors[n]])[0]) != expected[n]:
                wrong.append(n)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_number_of_threads_may_change() -> None:
    b = Builder()
    x = b.input(2, 64, 16, 16, nhwc=True)
    w = b.state(fovea.randn(64, 64, 3, 3))
    same = {"stride": (1, 1), "padding": (1,) * 4, "dilation": (1, 1), "groups": 1}
    program = Executable(b.graph(b(conv.conv2d, x, w, None, **same)))
    images = fovea.randn(2, 64, 16, 16).to(memory_format=fovea.channels_last)
    before = fovea.get_num_threads()
    try:
        found = set()
        for count in (1, 3, 2):
            fovea.set_num_threads(count)
            found.add(bits(program.run([images])[0]))
    finally:
        fovea.set_num_threads(before)
    assert len(found) == 1


def test_packed_blocks_never_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(1, 60))
        sizes = rng.integers(1, 5000, n).tolist()
        first = rng.integers(0, 40, n)
        last = (first + rng.integers(0, 12, n)).tolist()
        plan = arenas.pack(sizes, first.tolist(), last)
        assert plan.lower_bound <= plan.peak <= plan.total
        for i in range(n):
            for j in range(i):
                if first[i] <= last[j] and first[j] <= last[i]:
                    low, high = sorted((i, j), key=plan.offsets.__getitem__)
                    assert plan.offsets[low] + sizes[low] <= plan.offsets[high]
        assert all(o % arenas.ALIGNMENT == 0 for o in plan.offsets)


def test_eager_products_of_batches_that_do_not_merge() -> None:
    x, w, bias = (
        fovea.randn(2, 3, 2, 3, 2, 8).permute(3, 1, 4, 0, 2, 5),
        fovea.randn(5, 8),
        fovea.randn(5),
    )
    found = fovea.nn.functional.linear(x, w, bias)
    np.testing.assert_allclose(
        found.numpy(), x.numpy() @ w.numpy().T + bias.numpy(), rtol=2e-6, atol=2e-6
    )

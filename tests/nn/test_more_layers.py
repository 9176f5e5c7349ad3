"""Layers and functions that stand alone, against PyTorch's: adaptive softmax, draws, old names, places."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from tests.functions.torch_tables import converted
from tests.nn.oracle import close, compare, rng, second_derivatives, torch

TF = torch.nn.functional


def pair(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours = getattr(fovea.nn, name)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(converted(dict(theirs.state_dict())))
    return ours, theirs


def gradients_agree(ours: Any, theirs: Any) -> None:
    expected = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        want = expected[name].grad
        got = p.grad
        if want is None or got is None:
            assert all(g is None or not g.abs().sum().item() for g in (want, got)), name
        else:
            close(got, want, "float64", name)


# -- adaptive softmax --------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [[0, 3, 4, 19, 11, 5], [0, 1, 2], [15, 15], [7]])
@pytest.mark.parametrize("options", [{}, {"div_value": 2.0, "head_bias": True}])
def test_adaptive_softmax(targets: list[int], options: Any) -> None:
    ours, theirs = pair("AdaptiveLogSoftmaxWithLoss", 8, 20, [4, 10, 15], **options)
    x = rng().standard_normal((len(targets), 8))
    if len(targets) == 1:  # PyTorch's own output of one sample has no dimension
        y = ours(fovea.tensor(x[0]), fovea.tensor(targets[0]))
        t = theirs(torch.tensor(x[0]), torch.tensor(targets[0]))
    else:
        y = ours(fovea.tensor(x), fovea.tensor(targets))
        t = theirs(torch.tensor(x), torch.tensor(targets))
    close(y.output, t.output, "float64")
    close(y.loss, t.loss, "float64")
    y.loss.backward(), t.loss.backward()
    gradients_agree(ours, theirs)
    x = rng(1).standard_normal((30, 8)) * 4
    close(ours.log_prob(fovea.tensor(x)), theirs.log_prob(torch.tensor(x)), "float64")
    close(ours.predict(fovea.tensor(x)), theirs.predict(torch.tensor(x)), "float64")


def test_adaptive_softmax_captured_and_wrong() -> None:
    layer = fovea.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10])
    step = fovea.compile(lambda x, t: (*layer(x, t), layer.predict(x)), strict=True)
    for seed, targets in enumerate(([0, 5, 19], [1, 2, 3], [12, 6, 0])):
        x, t = (
            fovea.tensor(rng(seed).standard_normal((3, 8)).astype("float32")),
            fovea.tensor(targets),
        )
        for a, b in zip(step(x, t), (*layer(x, t), layer.predict(x)), strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5)
    x = fovea.zeros(2, 8)
    for wrong in ([0, 20], [-1, 0]):
        with pytest.raises(IndexError, match=r"targets must be in \[0, 19\]"):
            layer(x, fovea.tensor(wrong))
    with pytest.raises(ValueError, match="one batch size"):
        layer(x, fovea.tensor([1]))
    with pytest.raises(ValueError, match="input is .N, features."):
        layer(x, fovea.tensor(1))
    for cutoffs in ([], [0, 3], [3, 3], [5, 4], [20], [1.5]):
        with pytest.raises(ValueError, match="cutoffs must be rising integers"):
            fovea.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs)


# -- cross entropy with its linear layer -------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [None, 1, 3, 100])
def test_linear_cross_entropy(reduction: str, bias: bool, weighted: bool, size: int | None) -> None:
    labels = np.array([0, 6, 3, -100, 2, 2, 1])
    arrays = [rng(i).standard_normal(shape) for i, shape in enumerate([(7, 5), (7, 5), (7,), (7,)])]
    ours = (
        fovea.nn.LinearCrossEntropyOptions(batch_chunk_size=size, chunking_method=None)
        if size
        else None
    )

    def call(lib: Any, options: Any) -> Any:
        def loss(t: Any, x: Any, w: Any, b: Any, c: Any) -> Any:
            return lib.linear_cross_entropy(
                x,
                w,
                t,
                linear_bias=b if bias else None,
                weight=c.detach().abs() if weighted else None,
                reduction=reduction,
                options=options,
            )

        return loss

    compare(call(F, ours), call(TF, None), labels, *arrays)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
@pytest.mark.parametrize("probabilities", [False, True])
def test_linear_cross_entropy_layers(shape: Any, probabilities: bool) -> None:
    options = {"out_features": shape, "bias": True, "label_smoothing": 0.1}
    ours, theirs = pair("LinearCrossEntropyLoss", 5, 6, **options)
    x = rng().standard_normal((3, 5))
    labels = rng(1).integers(0, 6, (3, *shape))
    target = rng(1).random((3, 6, *shape)) if probabilities else labels
    y, t = (
        ours(fovea.tensor(x), fovea.tensor(target)),
        theirs(torch.tensor(x), torch.tensor(target)),
    )
    close(y, t, "float64")
    y.backward(), t.backward()
    gradients_agree(ours, theirs)


def test_linear_cross_entropy_keeps_one_piece() -> None:
    """The options' sizes of pieces are PyTorch's, and backward may run twice."""
    for method, n, features, classes, rows in (
        ("auto", 64, 8, 64, 4),
        ("aspect_ratio", 64, 8, 64, 8),
        ("aspect_ratio:4", 100, 10, 25, 16),
        (None, 9, 2, 3, 9),
    ):
        options = fovea.nn.LinearCrossEntropyOptions(chunking_method=method)
        assert options.rows(n, features, classes) == rows, method
    x, w = fovea.rand(16, 2).requires_grad_(), fovea.rand(32, 2)
    options = fovea.nn.LinearCrossEntropyOptions()
    loss = F.linear_cross_entropy(x, w, fovea.arange(16), options=options)
    loss.backward(retain_graph=True)
    first = x.grad.clone()
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * first.numpy(), rtol=1e-6)


def test_linear_cross_entropy_errors() -> None:
    x, w = fovea.rand(3, 5), fovea.rand(6, 5)
    with pytest.raises(ValueError, match="input is .N, features."):
        F.linear_cross_entropy(x, fovea.rand(6, 4), fovea.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="for labels, not probabilities"):
        F.linear_cross_entropy(x, w, fovea.rand(3, 6), ignore_index=1)
    for wrong in ({"batch_chunk_size": 0}, {"chunking_method": "x"}, {"acc_policy": "x"}):
        with pytest.raises(ValueError, match="invalid|must be positive"):
            fovea.nn.LinearCrossEntropyOptions(**wrong)
    with pytest.raises(ValueError, match="weight must be"):
        fovea.nn.LinearCrossEntropyLoss(5, 6, weight=fovea.ones(5))
    with pytest.raises(ValueError, match="label_smoothing must be"):
        fovea.nn.LinearCrossEntropyLoss(5, 6, label_smoothing=2.0)


# -- draws -------------------------------------------------------------------------------------


def test_gumbel_softmax() -> None:
    fovea.manual_seed(0)
    logits = fovea.tensor([[0.0, 1.0, 2.0]]).expand(20000, 3)
    soft = F.gumbel_softmax(logits, tau=0.5)
    np.testing.assert_allclose(soft.sum(-1).numpy(), 1, rtol=1e-5)
    hard = F.gumbel_softmax(logits, hard=True)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    expected = fovea.softmax(logits[0], -1).numpy()
    np.testing.assert_allclose(hard.mean(0).numpy(), expected, atol=0.015)
    x = fovea.rand(2, 3, 4).requires_grad_()
    results = []
    for option in (False, True):
        fovea.manual_seed(1)
        y = F.gumbel_softmax(x, 0.7, option, dim=1)
        (grad,) = fovea.autograd.grad(
            (y * y.detach().cumsum(1).detach() * 0 + y * x.detach()).sum(), x
        )
        results.append(grad.numpy())
        np.testing.assert_allclose(y.detach().sum(1).numpy(), 1, rtol=1e-5)
    np.testing.assert_allclose(*results, rtol=1e-5)  # the hard one passes the smooth one's gradient
    with pytest.warns(UserWarning, match="eps has no effect"):
        F.gumbel_softmax(x, eps=1e-3)


def test_rrelu_in_place() -> None:
    x = fovea.tensor([-1.0, 2.0])
    assert F.rrelu_(x) is x
    close(x, TF.rrelu(torch.tensor([-1.0, 2.0])), "float32")


# -- batch normalization across processes, and devices -----------------------------------------


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_sync_batch_norm(shape: Any, training: bool) -> None:
    ours, theirs = pair("SyncBatchNorm", 3, momentum=0.3)
    ours.train(training), theirs.train(training)
    compare(ours, theirs, rng().standard_normal(shape), dtypes=("float64",))
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, "float64", key)


def test_converting_batch_norm() -> None:
    inner = fovea.nn.Sequential(fovea.nn.BatchNorm1d(3, affine=False), fovea.nn.ReLU())
    model = fovea.nn.Sequential(fovea.nn.BatchNorm2d(3, eps=0.1, bias=False), inner).eval()
    weight, mean = model[0].weight, model[0].running_mean
    made = fovea.nn.SyncBatchNorm.convert_sync_batchnorm(model, "group")
    assert made is model and made[1] is inner
    assert isinstance(made[0], fovea.nn.SyncBatchNorm) and isinstance(
        inner[0], fovea.nn.SyncBatchNorm
    )
    assert made[0].weight is weight and made[0].running_mean is mean and made[0].bias is None
    assert made[0].eps == 0.1 and made[0].process_group == "group" and not made[0].training
    lone = fovea.nn.SyncBatchNorm.convert_sync_batchnorm(fovea.nn.BatchNorm2d(3))
    assert isinstance(lone, fovea.nn.SyncBatchNorm)
    with pytest.raises(ValueError, match="expected input .N, C"):
        lone(fovea.ones(3))


def test_data_parallel() -> None:
    layer = fovea.nn.Linear(2, 3)
    model = fovea.nn.DataParallel(layer, device_ids=[0, 1])
    theirs = torch.nn.DataParallel(torch.nn.Linear(2, 3))
    assert repr(model) == repr(theirs) and list(model.state_dict()) == list(theirs.state_dict())
    x = fovea.rand(4, 2)
    assert (
        model(x).tolist() == layer(x).tolist() == fovea.nn.parallel.data_parallel(layer, x).tolist()
    )
    state, other = model.state_dict(), theirs.state_dict()
    fovea.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(other, "module.")
    assert list(state) == list(other) and list(state._metadata) == list(other._metadata)
    layer.load_state_dict(state)


# -- old names and convolutions ----------------------------------------------------------------


def test_old_upsampling() -> None:
    x = rng().standard_normal((2, 3, 4, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(
            lambda t: F.upsample_nearest(t, scale_factor=2),
            lambda t: TF.upsample_nearest(t, scale_factor=2),
            x,
        )
        compare(
            lambda t: F.upsample_bilinear(t, (7, 9)), lambda t: TF.upsample_bilinear(t, (7, 9)), x
        )
    with pytest.warns(UserWarning, match="use F.interpolate"):
        F.upsample_nearest(fovea.tensor(x), 8)


def test_shuffle_and_distances() -> None:
    x = rng().standard_normal((2, 6, 3, 2))
    compare(
        lambda t: F.native_channel_shuffle(t, 3), lambda t: TF.channel_shuffle(t, 3), x, grads=False
    )
    compare(F.pdist, TF.pdist, rng().standard_normal((5, 3)))


@pytest.mark.parametrize("pad", [0, 2])
def test_conv_tbc(pad: int) -> None:
    arrays = [rng(i).standard_normal(s) for i, s in enumerate([(7, 2, 3), (3, 3, 4), (4,)])]
    compare(lambda *t: F.conv_tbc(*t, pad), lambda *t: TF.conv_tbc(*t, pad), *arrays)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2)])
def test_gradients_of_convolutions(rank: int, options: Any) -> None:
    x, groups = (2, 4, *(7, 6, 5)[:rank]), options[3]
    w = (6, 4 // groups, *(3, 2, 2)[:rank])
    y = getattr(TF, f"conv{rank}d")(torch.zeros(x), torch.zeros(w), None, *options).shape
    arrays = {
        name: rng(i).standard_normal(s)
        for i, (name, s) in enumerate({"x": x, "w": w, "g": tuple(y)}.items())
    }
    for part, size in (("input", x), ("weight", w)):
        mine, other = (getattr(lib.grad, f"conv{rank}d_{part}") for lib in (fovea.nn, torch.nn))
        first, second = ("w", "g") if part == "input" else ("x", "g")

        def called(a: Any, b: Any, f: Any, part: str = part, size: Any = size) -> Any:
            return f(size, a, b, *options) if part == "input" else f(a, size, b, *options)

        compare(
            lambda a, b, f=mine, c=called: c(a, b, f),
            lambda a, b, f=other, c=called: c(a, b, f),
            arrays[first],
            arrays[second],
        )
    assert F.grad is fovea.nn.grad


def test_second_derivatives_of_gumbel_and_bags() -> None:
    rows = fovea.tensor([[0, 1], [1, 1]])
    second_derivatives(lambda w: F.embedding_bag(rows, w).square(), rng().standard_normal((3, 2)))


# -- where PyTorch's programs look -------------------------------------------------------------

INSIDE = {"_functions", "linear_cross_entropy"}
NOT_HERE = {
    "_ASMoutput", "_AutoDefault", "_LazyNormBase", "_LazyXdMixin", "_LazyConvXdMixin", "_ConvTransposeMixin",
    "_LazyProtocol", "LazyModuleMixin", "_WrappedHook", "Container", "_AvgPoolNd",
    "_AdaptiveAvgPoolNd", "_AdaptiveMaxPoolNd", "_CircularPadNd", "_ReflectionPadNd", "_ReplicationPadNd",
}  # fmt: skip


def test_files_of_layers() -> None:
    root = importlib.import_module("torch.nn.modules")
    import pkgutil

    for info in pkgutil.iter_modules(root.__path__):
        if info.name in INSIDE:
            continue
        theirs = importlib.import_module(f"torch.nn.modules.{info.name}")
        ours = importlib.import_module(f"fovea.nn.modules.{info.name}")
        for name, value in vars(theirs).items():
            if isinstance(value, type) and value.__module__ == theirs.__name__:
                assert hasattr(ours, name) != (name in NOT_HERE), f"{info.name}.{name}"
                if not name.startswith("_") and name not in NOT_HERE and hasattr(fovea.nn, name):
                    assert getattr(ours, name) is getattr(fovea.nn, name), name


def test_base_classes() -> None:
    from fovea.nn.modules.batchnorm import _BatchNorm
    from fovea.nn.modules.conv import _ConvNd

    from fovea.nn.modules.utils import _ntuple, _pair, _reverse_repeat_tuple

    kinds = (
        "BatchNorm2d",
        "Conv1d",
        "Conv2d",
        "ConvTranspose2d",
        "InstanceNorm1d",
        "SyncBatchNorm",
    )
    for kind, name in ((_BatchNorm, "batchnorm._BatchNorm"), (_ConvNd, "conv._ConvNd")):
        file, base = name.split(".")
        other = getattr(importlib.import_module(f"torch.nn.modules.{file}"), base)
        for layer in kinds:
            found = issubclass(getattr(fovea.nn, layer), kind)
            assert found == issubclass(getattr(torch.nn, layer), other), (layer, name)
    utils = importlib.import_module("torch.nn.modules.utils")
    for value in (3, (1, 2), [4]):
        assert _pair(value) == utils._pair(value) and _ntuple(3)(value) == utils._ntuple(3)(value)
    assert _reverse_repeat_tuple((1, 2), 2) == utils._reverse_repeat_tuple((1, 2), 2)


def test_types() -> None:
    theirs = importlib.import_module("torch.nn.common_types")
    ours = importlib.import_module("fovea.nn.common_types")
    names = [n for n in vars(theirs) if n.endswith("_t")]
    assert [n for n in names if not hasattr(ours, n)] == []

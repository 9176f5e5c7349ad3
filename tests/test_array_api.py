"""The array API's namespace, against the standard's reference: names, arguments, values, dtypes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import fovea

strict = pytest.importorskip("array_api_strict")
xp = fovea.ones(1).__array_namespace__()

MISSING = {
    "uint16", "uint32", "uint64",  # no such dtypes
    "Device", "ModuleType", "ArrayAPIStrictFlags",  # not of the standard
    "isin", "broadcast_shapes",  # of a later version of it
    "eig", "eigvals",  # of a later version of it
}  # fmt: skip
PARTS = {"": (xp, strict), "linalg": (xp.linalg, strict.linalg), "fft": (xp.fft, strict.fft)}


def functions(part: str) -> dict[str, Any]:
    """The standard's functions in a part of the reference."""
    module = PARTS[part][1]
    names = getattr(module, "__all__", None) or dir(module)
    return {
        name: value
        for name in names
        if inspect.isfunction(value := getattr(module, name))
        and not name.startswith("_")
        and "flags" not in name
        and (
            not part or value.__module__.endswith(("_linalg", "_fft", "_linear_algebra_functions"))
        )
        and name not in ("requires_api_version", "requires_extension", "device_supports_dtype")
    }


@pytest.mark.parametrize("part", PARTS)
def test_arguments_are_the_standard_s(part: str) -> None:
    own, missing = PARTS[part][0], []
    for name, theirs in functions(part).items():
        if name in MISSING:
            continue
        if not hasattr(own, name):
            missing.append(name)
            continue
        given = inspect.signature(getattr(own, name)).parameters.values()
        expected = inspect.signature(theirs).parameters.values()
        assert [(p.name, p.kind) for p in given] == [(p.name, p.kind) for p in expected], name
        for a, b in zip(given, expected, strict=True):
            if b.default is None or isinstance(b.default, int | float | str):
                assert a.default == b.default, (name, a.name)
    assert not missing
    for name in ("e", "inf", "newaxis", "pi", "float32", "complex128", "bool", "uint8"):
        assert hasattr(xp, name)


def numbers(shape: Any, dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if "int" in dtype:
        return rng.integers(1, 6, shape).astype(dtype)
    if "complex" in dtype:
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return rng.uniform(0.1, 0.9, shape).astype(dtype)


def agree(found: Any, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert isinstance(found, tuple) and len(found) == len(expected)
        assert getattr(found, "_fields", None) == getattr(expected, "_fields", None)
        for a, b in zip(found, expected, strict=True):
            agree(a, b)
        return
    values = np.asarray(expected)
    assert tuple(found.shape) == values.shape
    assert found.numpy().dtype == values.dtype
    np.testing.assert_allclose(found.numpy(), values, rtol=1e-5, atol=1e-6)


def both(call: Any, *arrays: Any) -> None:
    """The same call of both namespaces."""
    agree(call(xp, *map(fovea.tensor, arrays)), call(strict, *map(strict.asarray, arrays)))


KINDS = {
    "real": ["float32", "float64"],
    "integer": ["int8", "int32", "int64", "uint8"],
    "complex": ["complex64", "complex128"],
    "bool": ["bool"],
}
FLOAT = ["real", "complex"]
ONE = {
    "abs positive negative square": ["real", "integer", "complex"],
    "acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 sin sinh sqrt tan "
    "tanh reciprocal sign": FLOAT,
    "ceil floor round trunc isfinite isinf isnan": ["real", "integer"],
    "conj real imag": ["complex"],
    "signbit": ["real"],
    "bitwise_invert": ["integer", "bool"],
    "logical_not": ["bool"],
}
TWO = {
    "add multiply subtract": ["real", "integer", "complex"],
    "pow": ["real", "integer"],
    "divide": FLOAT,
    "equal not_equal": ["real", "integer", "complex", "bool"],
    "greater greater_equal less less_equal maximum minimum floor_divide remainder": [
        "real",
        "integer",
    ],
    "atan2 copysign hypot logaddexp nextafter": ["real"],
    "bitwise_and bitwise_or bitwise_xor": ["integer", "bool"],
    "bitwise_left_shift bitwise_right_shift": ["integer"],
    "logical_and logical_or logical_xor": ["bool"],
}


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [
        (name, dtype)
        for names, kinds in table.items()
        for name in names.split()
        for kind in kinds
        for dtype in KINDS[kind]
    ]


@pytest.mark.parametrize(("name", "dtype"), cases(ONE))
def test_functions_of_one(name: str, dtype: str) -> None:
    x = numbers((3, 4), dtype)
    if name == "acosh" and "complex" not in dtype:
        x = x + 1
    with np.errstate(all="ignore"):
        both(lambda m, a: getattr(m, name)(a), x)
        both(lambda m, a: getattr(m, name)(a), x[:0])


@pytest.mark.parametrize(("name", "dtype"), cases(TWO))
def test_functions_of_two(name: str, dtype: str) -> None:
    both(lambda m, a, b: getattr(m, name)(a, b), numbers((3, 4), dtype), numbers((4,), dtype, 1))
    both(lambda m, a, b: getattr(m, name)(a, b), numbers((), dtype), numbers((2, 0), dtype, 1))


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8"])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_reductions(dtype: str, keepdims: bool, axis: Any) -> None:
    x = numbers((2, 3, 4), dtype)
    whole = ["max", "min", "all", "any", "count_nonzero"]
    names = [*whole, "mean", "std", "var", "sum", "prod"] if dtype == "float64" else whole
    for name in names:
        both(lambda m, a, n=name: getattr(m, n)(a, axis=axis, keepdims=keepdims), x)
    if dtype == "int32":
        for name in ("sum", "prod"):
            both(lambda m, a, n=name: getattr(m, n)(a, axis=axis, keepdims=keepdims), x)
    both(lambda m, a: m.sum(a, axis=axis, dtype=m.float64), x)
    if not isinstance(axis, tuple):
        for name in ("argmax", "argmin"):
            both(lambda m, a, n=name: getattr(m, n)(a, axis=axis, keepdims=keepdims), x)


X, Y, VECTOR = numbers((2, 3, 4), "float64"), numbers((3, 3), "float64", 2), numbers((5,), "int64")
SQUARE = Y @ Y.T + np.eye(3)
CALLS: dict[str, tuple[Any, ...]] = {
    "var correction": (lambda m, a: m.var(a, axis=1, correction=1), X),
    "cumulative_sum": (lambda m, a: m.cumulative_sum(a, axis=1), X),
    "cumulative_sum initial": (lambda m, a: m.cumulative_sum(a, include_initial=True), VECTOR),
    "cumulative_prod": (lambda m, a: m.cumulative_prod(a, axis=-1, include_initial=True), X),
    "diff": (lambda m, a: m.diff(a, axis=1, n=2), X),
    "diff prepend": (lambda m, a: m.diff(a, prepend=a[:1], append=a[:2]), VECTOR),
    "sort": (lambda m, a: m.sort(a, axis=1, descending=True), X),
    "argsort": (lambda m, a: m.argsort(a), VECTOR),
    "argsort down": (lambda m, a: m.argsort(a, descending=True), VECTOR),
    "nonzero": (lambda m, a: m.nonzero(a > 0.5), X),
    "where": (lambda m, a: m.where(a > 0.5, a, -a), X),
    "searchsorted": (lambda m, a: m.searchsorted(m.sort(a), a, side="right"), VECTOR),
    "take": (lambda m, a: m.take(a, m.asarray([2, 0, -1]), axis=1), X),
    "take vector": (lambda m, a: m.take(a, m.asarray([4, 0])), VECTOR),
    "take_along_axis": (lambda m, a: m.take_along_axis(a, m.argsort(a, axis=1), axis=1), X),
    "unique_all": (lambda m, a: m.unique_all(a), VECTOR),
    "unique_counts": (lambda m, a: m.unique_counts(a), VECTOR),
    "unique_inverse": (lambda m, a: m.unique_inverse(m.reshape(a, (5, 1))), VECTOR),
    "unique_values": (lambda m, a: m.unique_values(a), VECTOR),
    "broadcast": (lambda m, a, b: m.broadcast_arrays(a[:, None], b[0, :3]), Y[0], Y),
    "broadcast_to": (lambda m, a: m.broadcast_to(a, (2, 5)), VECTOR),
    "concat": (lambda m, a: m.concat([a, a], axis=1), X),
    "concat flat": (lambda m, a, b: m.concat((a, b), axis=None), X, Y),
    "expand_dims": (lambda m, a: m.expand_dims(a, -2), X),
    "expand_dims two": (lambda m, a: m.expand_dims(a, axis=(0, -1)), X),
    "flip": (lambda m, a: m.flip(a), X),
    "flip two": (lambda m, a: m.flip(a, axis=(0, -1)), X),
    "moveaxis": (lambda m, a: m.moveaxis(a, 0, -1), X),
    "permute_dims": (lambda m, a: m.permute_dims(a, (2, 0, 1)), X),
    "repeat": (lambda m, a: m.repeat(a, 2, axis=1), X),
    "repeat each": (lambda m, a: m.repeat(a, m.asarray([0, 1, 2, 0, 3])), VECTOR),
    "reshape": (lambda m, a: m.reshape(a, (4, -1), copy=True), X),
    "roll": (lambda m, a: m.roll(a, 2), X),
    "roll two": (lambda m, a: m.roll(a, (1, -1), axis=(0, 2)), X),
    "squeeze": (lambda m, a: m.squeeze(a[:1, :, None, :], axis=(0, 2)), X),
    "stack": (lambda m, a: m.stack([a, a], axis=-1), X),
    "tile": (lambda m, a: m.tile(a, (2, 1, 1, 2)), X),
    "unstack": (lambda m, a: m.unstack(a, axis=1), X),
    "tril": (lambda m, a: m.tril(a, k=-1), X),
    "triu": (lambda m, a: m.triu(a, k=1), X),
    "clip": (lambda m, a: m.clip(a, 0.3, 0.6), X),
    "clip none": (lambda m, a: m.clip(a), X),
    "clip array": (lambda m, a: m.clip(a, max=a[:1, ...]), X),
    "astype": (lambda m, a: m.astype(a * 9, m.int32), X),
    "meshgrid": (lambda m, a, b: m.meshgrid(a, b), VECTOR, VECTOR[:3]),
    "meshgrid ij": (lambda m, a, b: m.meshgrid(a, b, indexing="ij"), VECTOR, VECTOR),
    "matmul": (lambda m, a, b: m.matmul(m.matrix_transpose(a), b[:2, :]), X[:, :2], Y),
    "tensordot": (lambda m, a, b: m.tensordot(a, b, axes=((1,), (0,))), X, Y),
    "vecdot": (lambda m, a, b: m.vecdot(a, b, axis=-2), X, X[0]),
    "vecdot complex": (lambda m, a: m.vecdot(a, a[:1, ...]), numbers((2, 3), "complex128")),
    "mT": (lambda m, a: a.mT, X),
}  # fmt: skip
CREATION: dict[str, Any] = {
    "arange": lambda m: m.arange(5),
    "arange step": lambda m: m.arange(2, 9, 3, dtype=m.float32),
    "arange nothing": lambda m: m.arange(3, 1),
    "arange down": lambda m: m.arange(3, -2, -2),
    "asarray": lambda m: m.asarray([[1, 2], [3, 4]]),
    "eye": lambda m: m.eye(3, 4, k=1, dtype=m.float64),
    "eye square": lambda m: m.eye(3, k=-1, dtype=m.int32),
    "full": lambda m: m.full((2, 3), 7),
    "full one": lambda m: m.full(3, True),
    "full_like": lambda m: m.full_like(m.asarray([1, 2]), 5, dtype=m.float32),
    "linspace": lambda m: m.linspace(0, 1, 5, dtype=m.float64),
    "linspace open": lambda m: m.linspace(0.0, 2.0, 4, endpoint=False, dtype=m.float64),
    "ones": lambda m: m.ones((2, 0), dtype=m.int8),
    "zeros": lambda m: m.zeros(3, dtype=m.bool),
    "ones_like": lambda m: m.ones_like(m.asarray([1, 2], dtype=m.int16)),
    "zeros_like": lambda m: m.zeros_like(m.asarray([True]), dtype=m.float32),
}
LINALG: dict[str, tuple[Any, ...]] = {
    "cholesky": (lambda m, a: m.linalg.cholesky(a, upper=True), SQUARE),
    "cross": (lambda m, a, b: m.linalg.cross(a, b, axis=-2), Y, Y.T.copy()),
    "det": (lambda m, a: m.linalg.det(a), SQUARE),
    "diagonal": (lambda m, a: m.linalg.diagonal(a, offset=1), X),
    "eigvalsh": (lambda m, a: m.linalg.eigvalsh(a), SQUARE),
    "eigh": (lambda m, a: m.linalg.eigh(a).eigenvalues, SQUARE),
    "inv": (lambda m, a: m.linalg.inv(a), SQUARE),
    "matrix_norm": (lambda m, a: m.linalg.matrix_norm(a, keepdims=True), X),
    "matrix_norm nuclear": (lambda m, a: m.linalg.matrix_norm(a, ord="nuc"), X),
    "matrix_power": (lambda m, a: m.linalg.matrix_power(a, 3), SQUARE),
    "matrix_rank": (lambda m, a: m.linalg.matrix_rank(a), X),
    "outer": (lambda m, a: m.linalg.outer(a, a), VECTOR),
    "pinv": (lambda m, a: m.linalg.pinv(a), X),
    "qr": (lambda m, a: abs(m.linalg.qr(a).R), X),
    "slogdet": (lambda m, a: m.linalg.slogdet(a), SQUARE),
    "solve": (lambda m, a, b: m.linalg.solve(a, b), SQUARE, Y),
    "solve vector": (lambda m, a, b: m.linalg.solve(a, b), SQUARE, Y[0]),
    "svd": (lambda m, a: m.linalg.svd(a, full_matrices=False).S, X),
    "svdvals": (lambda m, a: m.linalg.svdvals(a), X),
    "trace": (lambda m, a: m.linalg.trace(a, offset=-1), X),
    "vector_norm": (lambda m, a: m.linalg.vector_norm(a, axis=(0, 2), keepdims=True), X),
    "vector_norm 1": (lambda m, a: m.linalg.vector_norm(a, ord=1), X),
}
WAVES = numbers((4, 6), "complex128")
FFT: dict[str, tuple[Any, ...]] = {
    **{n: (lambda m, a, n=n: getattr(m.fft, n)(a, axis=0, norm="ortho"), WAVES)
       for n in ("fft", "ifft", "irfft", "hfft")},
    **{n: (lambda m, a, n=n: getattr(m.fft, n)(a, n=5), WAVES.real) for n in ("rfft", "ihfft")},
    **{n: (lambda m, a, n=n: getattr(m.fft, n)(a, axes=(0, 1)), WAVES)
       for n in ("fftn", "ifftn", "irfftn")},
    "rfftn": (lambda m, a: m.fft.rfftn(a), WAVES.real),
    "fftshift": (lambda m, a: m.fft.fftshift(a), WAVES),
    "ifftshift": (lambda m, a: m.fft.ifftshift(a, axes=1), WAVES),
    "fftfreq": (lambda m: m.fft.fftfreq(7, d=0.5, dtype=m.float64),),
    "rfftfreq": (lambda m: m.fft.rfftfreq(8, dtype=m.float64),),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str) -> None:
    both(*CALLS[name])


@pytest.mark.parametrize("name", CREATION)
def test_creation(name: str) -> None:
    both(CREATION[name])


@pytest.mark.parametrize("name", LINALG)
def test_linear_algebra(name: str) -> None:
    both(*LINALG[name])


@pytest.mark.parametrize("name", FFT)
def test_fourier_transforms(name: str) -> None:
    both(*FFT[name])


def test_dtypes() -> None:
    names = ["bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64"]
    names += ["complex64", "complex128"]
    for a in names:
        for kind in ("bool", "signed integer", "integral", "real floating", "numeric"):
            expected = strict.isdtype(getattr(strict, a), kind)
            assert xp.isdtype(getattr(xp, a), kind) is expected, (a, kind)
        for b in names:
            try:
                expected = str(strict.result_type(getattr(strict, a), getattr(strict, b)))
            except TypeError:
                continue  # not said by the standard
            found = xp.result_type(getattr(xp, a), getattr(xp, b))
            assert str(found).rpartition(".")[2] == expected.rpartition(".")[2]
            assert xp.can_cast(getattr(xp, a), getattr(xp, b)) is strict.can_cast(
                getattr(strict, a), getattr(strict, b)
            )
    info = xp.__array_namespace_info__()
    assert info.dtypes(kind="real floating") == {"float32": xp.float32, "float64": xp.float64}
    assert info.default_dtypes()["integral"] == xp.int64
    assert info.default_device() in info.devices()
    assert xp.finfo(xp.float32).eps == float(strict.finfo(strict.float32).eps)
    assert xp.iinfo(fovea.tensor([1])).max == 2**63 - 1


def test_arrays() -> None:
    x = fovea.ones(2, 3, requires_grad=True)
    assert x.__array_namespace__(api_version="2023.12") is xp
    xp.sum(xp.square(x), axis=0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[2.0] * 3] * 2
    assert xp.size(x) == 6
    assert x.to_device("cpu").shape == (2, 3)
    assert xp.asarray(np.arange(3)).tolist() == [0, 1, 2]
    assert xp.from_dlpack(np.arange(3)).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="version"):
        x.__array_namespace__(api_version="1999.1")
    with pytest.raises(ValueError, match="size 1"):
        xp.squeeze(x, 0)
    with pytest.raises(TypeError, match="axis"):
        xp.take(x, fovea.tensor([0]))
    with pytest.raises(ValueError, match="axis"):
        xp.cumulative_sum(x)
    y = xp.astype(fovea.ones(2), xp.float32)
    assert y.tolist() == [1, 1]

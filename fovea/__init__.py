"""fovea: deep learning for computer vision.

``import fovea as torch`` gives PyTorch's habits, ``fovea.keras`` Keras's; both are front doors to
the same
tensors, layers and gradients.
"""

from __future__ import annotations

import builtins as _builtins
import importlib
import math as _math
from typing import TYPE_CHECKING, Any

from fovea.tensor import Tensor  # isort: skip - first: its name then belongs to the function `tensor`
from fovea import amp, autograd
from fovea.amp.autocast_mode import (
    autocast,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from fovea.autograd import (
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_anomaly_enabled,
    set_grad_enabled,
)
from fovea.defaults import (
    are_deterministic_algorithms_enabled,
    get_default_device,
    get_float32_matmul_precision,
    get_num_interop_threads,
    is_deterministic_algorithms_warn_only_enabled,
    set_default_device,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    typename,
    use_deterministic_algorithms,
)
from fovea.devices import device
from fovea.dtypes import DType as dtype
from fovea.dtypes import (
    bfloat16,
    can_cast,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from fovea.dtypes import bool_ as bool
from fovea.functions.complex_numbers import (
    angle,
    conj,
    conj_physical,
    imag,
    isreal,
    polar,
    real,
    resolve_conj,
    resolve_neg,
    sgn,
    view_as_complex,
    view_as_real,
)
from fovea.functions.complex_numbers import complex_ as complex
from fovea.functions.creation import (
    as_tensor,
    asarray,
    empty,
    empty_like,
    empty_permuted,
    empty_strided,
    from_numpy,
    full,
    full_like,
    ones,
    ones_like,
    scalar_tensor,
    tensor,
    zeros,
    zeros_like,
)
from fovea.functions.deprecated import cholesky, lu, lu_solve, qr, svd, triangular_solve
from fovea.functions.deprecated import range_ as range
from fovea.functions.draws import binomial
from fovea.functions.exchange import from_dlpack, frombuffer, to_dlpack
from fovea.functions.indexing import (
    gather,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    nonzero_static,
    take,
    take_along_dim,
)
from fovea.functions.joining import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cartesian_prod,
    column_stack,
    combinations,
    diag_embed,
    diagflat,
    dsplit,
    dstack,
    fliplr,
    flipud,
    hsplit,
    hstack,
    rot90,
    tensor_split,
    tril_indices,
    triu_indices,
    unravel_index,
    vander,
    vsplit,
    vstack,
)
from fovea.functions.linalg import addmm, baddbmm, bmm, dot, einsum, matmul, mm, mv, outer
from fovea.functions.lu import lu_unpack
from fovea.functions.matrices import matrix_exp
from fovea.functions.old_names import (
    chain_matmul,
    concat,
    concatenate,
    det,
    inverse,
    logdet,
    matrix_power,
    pinverse,
    slogdet,
    swapaxes,
    swapdims,
    true_divide,
)
from fovea.functions.ordering import (
    argsort,
    argwhere,
    bincount,
    bucketize,
    cummax,
    cummin,
    histc,
    isin,
    kthvalue,
    mode,
    msort,
    searchsorted,
    sort,
    topk,
    unique,
    unique_consecutive,
)
from fovea.functions.parts import cat, chunk, repeat_interleave, split, stack, tile, unbind
from fovea.functions.pointwise import abs_ as abs
from fovea.functions.pointwise import (
    acos,
    add,
    addcdiv,
    addcmul,
    allclose,
    asin,
    atan,
    atan2,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clamp,
    cos,
    cosh,
    div,
    eq,
    equal,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    fmod,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    lerp,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    maximum,
    minimum,
    mul,
    nan_to_num,
    ne,
    neg,
    reciprocal,
    relu,
    remainder,
    result_type,
    rsqrt,
    rsub,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    sub,
    tan,
    tanh,
    trunc,
    where,
)
from fovea.functions.pointwise import pow_ as pow
from fovea.functions.pointwise import round_ as round
from fovea.functions.products import (
    addbmm,
    addmv,
    addr,
    cdist,
    cross,
    dist,
    inner,
    kron,
    pdist,
    tensordot,
    trace,
    vdot,
)
from fovea.functions.random import (
    bernoulli,
    multinomial,
    normal,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from fovea.functions.ranges import arange, eye, linspace, logspace
from fovea.functions.reductions import all_ as all
from fovea.functions.reductions import (
    amax,
    amin,
    argmax,
    argmin,
    count_nonzero,
    cumprod,
    cumsum,
    logsumexp,
    mean,
    median,
    norm,
    prod,
    std,
    std_mean,
    var,
    var_mean,
)
from fovea.functions.reductions import any_ as any
from fovea.functions.reductions import max_ as max
from fovea.functions.reductions import min_ as min
from fovea.functions.reductions import sum_ as sum
from fovea.functions.scattering import (
    diagonal_scatter,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_put_,
    index_reduce,
    masked_scatter,
    put,
    scatter,
    scatter_add,
    scatter_reduce,
    select_scatter,
    slice_scatter,
)
from fovea.functions.shaping import (
    as_strided,
    broadcast_tensors,
    broadcast_to,
    channels_last,
    channels_last_3d,
    clone,
    contiguous_format,
    diag,
    diagonal,
    flatten,
    flip,
    meshgrid,
    movedim,
    narrow,
    narrow_copy,
    permute,
    preserve_format,
    ravel,
    reshape,
    roll,
    select,
    squeeze,
    t,
    transpose,
    tril,
    triu,
    unflatten,
    unsqueeze,
)
from fovea.functions.special import (
    acosh,
    asinh,
    atanh,
    clamp_max,
    clamp_min,
    copysign,
    deg2rad,
    digamma,
    erfc,
    erfinv,
    float_power,
    fmax,
    fmin,
    frac,
    frexp,
    gcd,
    heaviside,
    hypot,
    i0,
    igamma,
    igammac,
    isneginf,
    isposinf,
    lcm,
    ldexp,
    lgamma,
    logaddexp,
    logaddexp2,
    logit,
    mvlgamma,
    nextafter,
    polygamma,
    positive,
    rad2deg,
    signbit,
    sinc,
    xlogy,
)
from fovea.functions.spectra import istft, stft
from fovea.functions.statistics import (
    aminmax,
    corrcoef,
    cov,
    cumulative_trapezoid,
    diff,
    gradient,
    histogram,
    logcumsumexp,
    nanmean,
    nanmedian,
    nanquantile,
    nansum,
    quantile,
    renorm,
    trapezoid,
)
from fovea.functions.triangular import cholesky_inverse, cholesky_solve
from fovea.functions.windows import (
    bartlett_window,
    blackman_window,
    hamming_window,
    hann_window,
    kaiser_window,
)
from fovea.methods.facts import adjoint
from fovea.ops.rules import broadcast_shapes as _broadcast_shapes
from fovea.printing import set_printoptions
from fovea.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from fovea.size import Size
from fovea.tensorbase import is_tensor
from fovea.version import __version__

if TYPE_CHECKING:
    from fovea import keras, nn, optim, utils, vision

absolute, subtract, multiply, divide, negative = abs, sub, mul, div, neg
clip, moveaxis = clamp, movedim
row_stack, trapz, ger, fix = vstack, trapezoid, outer, trunc
split_with_sizes, greater, greater_equal, less, less_equal, not_equal = split, gt, ge, lt, le, ne
arccos, arccosh, arcsin, arcsinh, arctan, arctanh = acos, acosh, asin, asinh, atan, atanh
arctan2 = atan2
strided = "strided"  # the only layout
pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None
cfloat, cdouble = complex64, complex128
double, float, half, long, int, short = float64, float32, float16, int64, int32, int16

_LAZY = (
    "accelerator",
    "cpu",
    "cuda",
    "keras",
    "nn",
    "optim",
    "profiler",
    "fft",
    "func",
    "hub",
    "linalg",
    "metrics",
    "special",
    "utils",
    "vision",
    "data",
    "training",
    "cli",
    "testing",
    "backends",
    "compiler",
    "distributed",
    "distributions",
    "jit",
    "mps",
    "multiprocessing",
    "serialization",
    "types",
    "version",
    "xpu",
)
# Functions of neural networks that stand here, too, as in PyTorch.
_FUNCTIONAL = """
    adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm bilinear
    binary_cross_entropy_with_logits celu celu_ channel_shuffle conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity dropout embedding
    group_norm hardshrink instance_norm layer_norm log_softmax max_pool1d max_pool2d max_pool3d
    pairwise_distance pixel_shuffle pixel_unshuffle prelu relu_ rrelu rrelu_ selu selu_ softmax
    threshold threshold_
"""
_TYPES = """
    BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor
    LongTensor ShortTensor set_default_tensor_type
"""
_LAZY_NAMES = {
    **dict.fromkeys(_FUNCTIONAL.split(), "fovea.nn.functional"),
    "compile": "fovea.compiler",
    "vmap": "fovea.func",
    "save": "fovea.interop",
    "load": "fovea.interop",
    "save_program": "fovea.interop.programs",
    "load_program": "fovea.interop.programs",
    "detect_nonfinite": "fovea.finite",
    "summary": "fovea.summaries",
    "draw_model": "fovea.summaries.picture",
    "layer_statistics": "fovea.summaries.statistics",
    "Trainer": "fovea.training.trainer",
    "port": "fovea.interop.porting",
    "GradScaler": "fovea.amp",
    "OutOfMemoryError": "fovea.cuda",
    **dict.fromkeys(_TYPES.split(), "fovea.typed_tensors"),
    "get_num_threads": "fovea.targets.cpu.threads",
    "set_num_threads": "fovea.targets.cpu.threads",
}


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that all shapes broadcast to.

    >>> broadcast_shapes((3, 1), (4,))
    fovea.Size([3, 4])
    """
    sizes = [(s,) if isinstance(s, _builtins.int) else s for s in shapes]
    return Size(_broadcast_shapes("broadcast_shapes", *sizes))


def numel(input: Tensor) -> Any:
    """The number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> Any:
    """Whether the elements are floating-point numbers."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> Any:
    """Whether the elements are complex numbers."""
    return input.is_complex()


def get_device(input: Tensor) -> Any:
    """The index of the device: -1 for the CPU."""
    return input.get_device()


def is_same_size(input: Tensor, other: Tensor) -> Any:
    """Whether both have one shape."""
    return input.is_same_size(other)


def is_inference(input: Tensor) -> Any:
    """False: tensors made in inference mode are like others."""
    return input.is_inference()


def detach(input: Tensor) -> Tensor:
    """The same memory, outside the tape."""
    return input.detach()


def fill(input: Tensor, value: Any) -> Tensor:
    """A copy with every element ``value``."""
    return input.clone().fill_(value)


def is_nonzero(input: Tensor) -> Any:
    """Whether the one element is not zero."""
    return input.is_nonzero()


def is_signed(input: Tensor) -> Any:
    """Whether the type has negative numbers."""
    return input.is_signed()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"fovea.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    if name.endswith("_") and not name.startswith("_") and hasattr(Tensor, name):
        return getattr(Tensor, name)  # torch.exp_(x) is x.exp_()
    raise AttributeError(f"module 'fovea' has no attribute {name!r}")

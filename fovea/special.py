"""``fovea.special``: special functions under the names of ``torch.special``."""

from __future__ import annotations

from fovea.functions.pointwise import erf, exp2, expm1, log1p
from fovea.functions.pointwise import round_ as round  # noqa: A004
from fovea.functions.pointwise import sigmoid as expit
from fovea.functions.reductions import logsumexp
from fovea.functions.special import (
    digamma,
    entr,
    erfc,
    erfcx,
    erfinv,
    i0,
    i0e,
    i1,
    i1e,
    log_ndtr,
    log_softmax,
    logit,
    ndtr,
    ndtri,
    polygamma,
    sinc,
    softmax,
    xlog1py,
    xlogy,
)
from fovea.functions.special import digamma as psi
from fovea.functions.special import igamma as gammainc
from fovea.functions.special import igammac as gammaincc
from fovea.functions.special import lgamma as gammaln
from fovea.functions.special import mvlgamma as multigammaln

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]

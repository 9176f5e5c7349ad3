"""Reductions, running ones and statistics as methods."""

from __future__ import annotations

from fovea.functions import ordering, reductions, statistics


class ReductionMethods:
    """Many numbers to one, along dimensions; and order."""

    sum = reductions.sum_
    mean = reductions.mean
    prod = reductions.prod
    amax = reductions.amax
    amin = reductions.amin
    max = reductions.max_
    min = reductions.min_
    argmax = reductions.argmax
    argmin = reductions.argmin
    any = reductions.any_
    all = reductions.all_
    cumsum = reductions.cumsum
    cumprod = reductions.cumprod
    var = reductions.var
    std = reductions.std
    norm = reductions.norm
    logsumexp = reductions.logsumexp
    median = reductions.median
    count_nonzero = reductions.count_nonzero
    aminmax = statistics.aminmax
    logcumsumexp = statistics.logcumsumexp
    nansum = statistics.nansum
    nanmean = statistics.nanmean
    nanmedian = statistics.nanmedian
    quantile = statistics.quantile
    nanquantile = statistics.nanquantile
    diff = statistics.diff
    cov = statistics.cov
    corrcoef = statistics.corrcoef
    renorm = statistics.renorm
    histogram = statistics.histogram
    sort = ordering.sort
    argsort = ordering.argsort
    msort = ordering.msort
    topk = ordering.topk
    kthvalue = ordering.kthvalue
    mode = ordering.mode
    cummax = ordering.cummax
    cummin = ordering.cummin
    unique = ordering.unique
    unique_consecutive = ordering.unique_consecutive
    bincount = ordering.bincount
    histc = ordering.histc
    argwhere = ordering.argwhere

"""Picking and writing by index as methods."""

from __future__ import annotations

from fovea.functions import indexing, scattering


class IndexingMethods:
    """Elements by place."""

    __getitem__, __setitem__ = indexing.getitem, indexing.setitem
    gather = indexing.gather
    take = indexing.take
    nonzero = indexing.nonzero
    nonzero_static = indexing.nonzero_static
    index_select = indexing.index_select
    take_along_dim = indexing.take_along_dim
    masked_select = indexing.masked_select
    masked_fill = indexing.masked_fill
    scatter = scattering.scatter
    scatter_add = scattering.scatter_add
    scatter_reduce = scattering.scatter_reduce
    index_add = scattering.index_add
    index_copy = scattering.index_copy
    index_fill = scattering.index_fill
    index_put = scattering.index_put
    index_reduce = scattering.index_reduce
    put = scattering.put
    masked_scatter = scattering.masked_scatter
    slice_scatter = scattering.slice_scatter
    select_scatter = scattering.select_scatter
    diagonal_scatter = scattering.diagonal_scatter

"""Datasets, samplers and ``DataLoader``, with PyTorch's names and defaults.

A loader draws its batches in worker threads by default (decoding and NumPy release the interpreter
lock) or, with ``worker_type="process"``, in worker processes. The same seeds give the same batches
for any number of workers.

>>> import fovea
>>> from fovea.utils.data import DataLoader, TensorDataset
>>> pairs = TensorDataset(fovea.arange(6), fovea.arange(6) * 10)
>>> [x.tolist() for x, y in DataLoader(pairs, batch_size=4)]
[[0, 1, 2, 3], [4, 5]]
"""

from fovea.utils.data.collate import collate, default_collate, default_convert
from fovea.utils.data.dataloader import DataLoader
from fovea.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from fovea.utils.data.distributed import DistributedSampler
from fovea.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from fovea.utils.data.worker import WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "collate",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

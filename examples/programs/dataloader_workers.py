"""Data in every way: worker processes, samplers, collation, streams, and what seeds mean."""

import math
import random

import fovea as torch
import fovea.nn as nn
import numpy as np
from fovea.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
)
from sklearn.datasets import load_digits


class Strips(Dataset):
    """Rows of one to four digits: images of different widths, and their sums."""

    def __init__(self, count, seed=0, transform=None):
        digits = load_digits()
        rng = np.random.default_rng(seed)
        self.picks = [rng.integers(0, 1797, rng.integers(1, 5)) for _ in range(count)]
        self.images, self.labels = (digits.images / 16).astype(np.float32), digits.target
        self.transform = transform

    def __len__(self):
        return len(self.picks)

    def __getitem__(self, index):
        if torch.is_tensor(index):
            index = index.tolist()
        picks = self.picks[index]
        image = np.concatenate(list(self.images[picks]), axis=1)
        if self.transform:
            image = self.transform(image)
        return {"image": torch.from_numpy(image), "sum": int(self.labels[picks].sum())}


def add_noise(image):
    return (image + np.random.normal(0, 0.05, image.shape)).astype(np.float32)


def pad_collate(batch):
    """Images of different widths in one batch, with their masks."""
    widths = torch.tensor([item["image"].shape[1] for item in batch])
    images = torch.zeros(len(batch), 1, 8, int(widths.max()))
    for row, item in zip(images, batch):
        row[0, :, : item["image"].shape[1]] = item["image"]
    mask = torch.arange(images.size(-1))[None, :] < widths[:, None]
    sums = default_collate([float(item["sum"]) for item in batch])
    return images, mask, sums.to(torch.float32)


class ByWidth(Sampler):
    """Batches of images of similar widths, in random order."""

    def __init__(self, dataset, batch_size, generator):
        self.lengths = [len(p) for p in dataset.picks]
        self.batch_size, self.generator = batch_size, generator

    def __len__(self):
        return math.ceil(len(self.lengths) / self.batch_size)

    def __iter__(self):
        order = sorted(range(len(self.lengths)), key=lambda i: self.lengths[i])
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        for i in torch.randperm(len(batches), generator=self.generator).tolist():
            yield batches[i]


class Stream(IterableDataset):
    """Numbers from start to end, divided among the workers."""

    def __init__(self, start, end):
        super().__init__()
        self.start, self.end = start, end

    def __iter__(self):
        info = get_worker_info()
        if info is None:
            return iter(range(self.start, self.end))
        per_worker = math.ceil((self.end - self.start) / info.num_workers)
        begin = self.start + info.id * per_worker
        return iter(range(begin, min(begin + per_worker, self.end)))


def seed_worker(worker_id):
    worker_seed = torch.initial_seed() % 2**32
    np.random.seed(worker_seed)
    random.seed(worker_seed)


class Summer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 24, (8, 3), padding=(0, 1))
        self.mix = nn.Conv1d(24, 24, 5, padding=2)
        self.out = nn.Linear(24, 1)

    def forward(self, images, mask):
        x = torch.relu(self.conv(images).squeeze(2))
        x = torch.relu(self.mix(x)) * mask.unsqueeze(1)
        return self.out(x.sum(-1)).squeeze(-1) / 4


def checks():
    """What loaders promise, counted."""
    kept = 0
    streamed = [x for batch in DataLoader(Stream(3, 30), batch_size=4, num_workers=2) for x in batch.tolist()]
    kept += sorted(streamed) == list(range(3, 30))
    assert list(DataLoader(Stream(0, 5), batch_size=None)) == list(range(5))

    g = torch.Generator().manual_seed(0)
    weights = [0.0, 1.0, 3.0]
    drawn = list(WeightedRandomSampler(weights, 4000, replacement=True, generator=g))
    kept += 0.7 < drawn.count(2) / 4000 < 0.8 and drawn.count(0) == 0

    batches = list(BatchSampler(SequentialSampler(range(10)), batch_size=3, drop_last=True))
    kept += batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    both = ConcatDataset([Subset(range(10), [1, 3]), range(100, 104)])
    kept += [both[i] for i in (0, 1, 2, -1)] == [1, 3, 100, 103]
    kept += sorted(RandomSampler(range(6))) == list(range(6))

    def order(seed):
        g = torch.Generator()
        g.manual_seed(seed)
        return torch.cat(list(DataLoader(torch.arange(50), 7, shuffle=True, generator=g))).tolist()

    kept += order(1) == order(1) != order(2)

    def noisy(seed):
        torch.manual_seed(seed)
        loader = DataLoader(
            Strips(12, transform=add_noise), 4, num_workers=2, collate_fn=pad_collate,
            worker_init_fn=seed_worker,
        )
        return torch.cat([images.flatten() for images, _, _ in loader])

    first, second, other = noisy(5), noisy(5), noisy(6)
    kept += torch.equal(first, second) and not torch.equal(first, other)
    nested = default_collate([{"a": (1, 2.0), "b": np.ones(2)}, {"a": (3, 4.0), "b": np.zeros(2)}])
    kept += nested["a"][0].tolist() == [1, 3] and nested["b"].shape == (2, 2)
    return kept


class Broken(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        raise KeyError(f"no item {i}")


def errors_arrive():
    """What a worker raises is raised here, with its place."""
    try:
        list(DataLoader(Broken(), num_workers=1))
    except KeyError as error:
        return "no item 0" in str(error) and "__getitem__" in str(error)
    return False


def main(epochs=6):
    torch.manual_seed(0)
    kept = checks()
    train_set, test_set = Strips(800, 0, add_noise), Strips(200, 1)
    g = torch.Generator().manual_seed(3)
    train_loader = DataLoader(
        train_set,
        batch_sampler=ByWidth(train_set, 32, g),
        collate_fn=pad_collate,
        num_workers=2,
        worker_init_fn=seed_worker,
        persistent_workers=True,
        prefetch_factor=4,
    )
    test_loader = DataLoader(test_set, batch_size=64, collate_fn=pad_collate)
    model = Summer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(epochs):
        seen = 0
        for images, mask, target in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.smooth_l1_loss(model(images, mask), target)
            loss.backward()
            optimizer.step()
            seen += len(target)
        print(f"epoch {epoch}: {seen} images, loss {loss.item():.3f}")
    with torch.no_grad():
        errors = [(model(i, m) - t).abs() for i, m, t in test_loader]
    error = torch.cat(errors).mean().item()
    kept += errors_arrive()
    print(f"{kept} promises kept; mean error {error:.2f}")
    return {"kept": kept, "seen": seen, "batches": len(train_loader), "error": error}


if __name__ == "__main__":
    main()

"""MNIST and the sets that share its file format: FashionMNIST, KMNIST and EMNIST.

The format ("idx"): two zero bytes, a byte for the element type, a byte for the number of
dimensions, each dimension as a 32-bit big-endian integer, then the elements. Source: Y. LeCun, C.
Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import os
import string
import struct
import zlib
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, MissingFileError
from fovea.utils.download import download_and_extract_archive, download_file
from fovea.vision.datasets.vision import (
    ArrayDataset,
    DatasetNotFoundError,
    Transform,
    check_labels,
    to_tensor,
)

__all__ = ["EMNIST", "KMNIST", "MNIST", "FashionMNIST", "read_idx"]

_ELEMENTS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LIMIT = 1 << 34  # bytes; a header that promises more is damaged


def read_idx(path: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """Read an idx file, gzipped or not.

    Args:
        path: the file; a name that ends in ``.gz`` is decompressed.

    Returns:
        The array, of the type and shape that the header states.

    Raises:
        FileFormatError: missing, not idx, cut short or with bytes left over; the message names the
            file.
    """
    source = Path(path)
    try:
        opened: IO[bytes] = (
            gzip.open(source, "rb") if source.suffix == ".gz" else open(source, "rb")  # type: ignore[assignment]  # noqa: SIM115
        )
        with opened as file:
            return _parse_idx(file, source)
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {source}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{source} is damaged or cut short: {error}") from error


def _parse_idx(file: IO[bytes], source: Path) -> np.ndarray[Any, Any]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _ELEMENTS or head[3] == 0:
        raise FileFormatError(
            f"{source} is not an idx file: it begins with {head.hex(' ') or 'nothing'}.",
            fix="an MNIST image file begins with 00 00 08 03, a label file with 00 00 08 01",
        )
    dtype, ndim = np.dtype(_ELEMENTS[head[2]]), head[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise FileFormatError(f"{source} is cut short within its header.")
    shape = struct.unpack(f">{ndim}I", sizes)
    expected = math.prod(shape) * dtype.itemsize
    if expected > _LIMIT:
        raise FileFormatError(f"{source} claims {expected:,} bytes of data for shape {shape}.")
    data = file.read(expected + 1)
    if len(data) != expected:
        found = f"{len(data):,}" if len(data) < expected else "more"
        raise FileFormatError(
            f"{source} should hold {expected:,} bytes of data for shape {shape}, it holds {found}."
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


class MNIST(ArrayDataset):
    """Handwritten digits: 60,000 + 10,000 gray images of 28×28 in 10 classes.

    The four idx files, gzipped or not, are looked for in ``root/MNIST/raw`` (the class's name;
    where they are downloaded to, as torchvision does), ``root/raw`` and ``root`` itself.

    Args:
        root: the folder.
        train: the training part or the test part.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        download: fetch what is missing, checked by checksum.

    Attributes:
        data: uint8 (samples, 28, 28).
        targets: int64 (samples,).

    Raises:
        DatasetNotFoundError: the files are not there.
        FileFormatError, LabelError: a file is damaged, or images and labels don't fit; the message
            names the file.
        MissingExtraError: when a sample is read and Pillow is not installed (``data`` and
            ``targets`` need none).
    """

    mirrors: ClassVar[list[str]] = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes: list[str] = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        part = self._part()
        images = self._load(f"{part}-images-idx3-ubyte", 3)
        labels = self._load(f"{part}-labels-idx1-ubyte", 1)
        source = self._find(f"{part}-labels-idx1-ubyte")
        if len(images) != len(labels):
            raise FileFormatError(f"{source} has {len(labels)} labels for {len(images)} images.")
        check_labels(labels, len(self.classes), str(source))
        self.data = to_tensor(images)
        self.targets = to_tensor(labels.astype(np.int64))

    def _part(self) -> str:
        """What the names of this part's files begin with."""
        return "train" if self.train else "t10k"

    @property
    def raw_folder(self) -> str:
        """Where downloaded files go."""
        return os.path.join(self.root, type(self).__name__, "raw")

    def _find(self, name: str) -> Path | None:
        """The file called ``name``, gzipped or not, or None."""
        for folder in (Path(self.raw_folder), Path(self.root, "raw"), Path(self.root)):
            for found in (folder / name, folder / f"{name}.gz"):
                if found.is_file():
                    return found
        return None

    def _load(self, name: str, ndim: int) -> np.ndarray[Any, Any]:
        path = self._find(name)
        if path is None:
            raise DatasetNotFoundError(
                f"{type(self).__name__}: no file {name} (or {name}.gz) in {self.root} or"
                f" {self.raw_folder}.",
                fix="download=True fetches it",
            )
        array = read_idx(path)
        if array.ndim != ndim or array.dtype != np.uint8:
            raise FileFormatError(
                f"{path} holds {array.dtype} {array.shape}; {ndim} dimensions of bytes were"
                " expected."
            )
        return array

    def download(self) -> None:
        """Fetch the files that are not there."""
        for name, md5 in self.resources:
            if self._find(name.removesuffix(".gz")) is None:
                urls = [mirror + name for mirror in self.mirrors]
                download_file(urls, Path(self.raw_folder, name), md5=md5)


class FashionMNIST(MNIST):
    """Articles of clothing: 60,000 + 10,000 gray images of 28×28 in 10 classes; arguments and
    errors as ``MNIST``.

    Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms", 2017.
    """

    mirrors: ClassVar[list[str]] = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes: list[str] = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]


class KMNIST(MNIST):
    """Cursive Japanese characters: 60,000 + 10,000 gray images of 28×28 in 10 classes; arguments
    and errors as ``MNIST``.

    Source: Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.
    """

    mirrors: ClassVar[list[str]] = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes: list[str] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


_LETTERS = string.ascii_lowercase
# Letters whose two cases look alike are one class.
_MERGED = sorted({*string.digits, *string.ascii_letters} - {*"cijklmopsuvwxyz"})


class EMNIST(MNIST):
    """Handwritten digits and letters, in one of six arrangements; errors as ``MNIST``.

    As in the files, and in torchvision, the images lie on their side: rows are columns.

    Args:
        root: the folder.
        split: ``"byclass"`` (62 classes), ``"bymerge"``, ``"balanced"`` (47), ``"letters"`` (26,
            numbered from 1), ``"digits"`` or ``"mnist"`` (10).
        **kwargs: arguments of ``MNIST``. ``download`` fetches all six (540 MB).

    Source: Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017.
    """

    url: ClassVar[str] = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5: ClassVar[str] = "58c8d27c78d21e728a6bc7b3cc06412e"
    classes_split_dict: ClassVar[dict[str, list[str]]] = {
        "byclass": sorted(string.digits + string.ascii_letters),
        "bymerge": _MERGED,
        "balanced": _MERGED,
        "letters": ["N/A", *_LETTERS],
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }

    def __init__(self, root: str | os.PathLike[str], split: str, **kwargs: Any) -> None:
        if split not in self.classes_split_dict:
            raise ArgumentError(
                f"EMNIST: split is one of {[*self.classes_split_dict]}, got {split!r}."
            )
        self.split = split
        self.classes = self.classes_split_dict[split]
        super().__init__(root, **kwargs)

    def _part(self) -> str:
        return f"emnist-{self.split}-{'train' if self.train else 'test'}"

    def _find(self, name: str) -> Path | None:
        inner = Path(self.raw_folder, "gzip", f"{name}.gz")  # as the archive has them
        return inner if inner.is_file() else super()._find(name)

    def download(self) -> None:
        """Fetch and unpack the archive, unless this part is there."""
        if self._find(f"{self._part()}-images-idx3-ubyte") is None:
            download_and_extract_archive(self.url, self.raw_folder, md5=self.md5)

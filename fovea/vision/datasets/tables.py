"""Images that a table names: a CSV file, or rows, or a DataFrame."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.vision.datasets.folder import default_loader
from fovea.vision.datasets.vision import DatasetNotFoundError, Transform, VisionDataset

__all__ = ["ImageTable"]

_IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name", "filepath", "image_path")
_LABEL_COLUMNS = ("label", "class", "target", "category", "class_name")
_LARGEST = 1 << 20  # characters of a field


class ImageTable(VisionDataset):
    """Images and labels from a table with a row for each; a sample is an RGB PIL image and a label.

    Args:
        table: a CSV file, a list of dictionaries, or what has ``to_dict("records")``, as pandas'
            DataFrame does.
        root: the folder that paths start from (default: that of the CSV file).
        image: the column of paths (default: the one called image, path, file, filename ...).
        label: the column of labels, or several (default: the one called label, class, target ...).
        transform: a function of the PIL image.
        target_transform: a function of the label.
        loader: from a path to a sample.
        classes: the names, in the order of their numbers (default: those in the table, sorted).

    Labels that are texts become class numbers, whole numbers stay what they are, and other numbers
    are floats, to be predicted as they are. Of several columns a label is a list.

    Raises:
        DatasetNotFoundError: no such file, or an image is not there.
        FileFormatError: the file is no CSV, or lacks a column or a value.

    >>> rows = [{"image": "a.jpg", "label": "dog"}, {"image": "b.jpg", "label": "cat"}]
    >>> table = ImageTable(rows, "photos", loader=lambda path: path)
    >>> table.classes, table[0] == (os.path.join("photos", "a.jpg"), 1)
    (['cat', 'dog'], True)
    """

    def __init__(
        self,
        table: Any,
        root: str | os.PathLike[str] | None = None,
        image: str | None = None,
        label: str | Sequence[str] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] = default_loader,
        classes: Sequence[str] | None = None,
    ) -> None:
        rows, source = _rows_of(table)
        if root is None and source is not None:
            root = os.path.dirname(os.path.abspath(source))
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.loader, name = loader, source or "the table"
        if not rows:
            raise FileFormatError(f"{name} has no rows.")
        column = _column(rows, image, _IMAGE_COLUMNS, "image", name)
        columns = [label] if isinstance(label, str) or label is None else list(label)
        columns = [_column(rows, c, _LABEL_COLUMNS, "label", name) for c in columns]
        paths = [self._path(row.get(column), number, name) for number, row in enumerate(rows, 2)]
        values = [[_value(row.get(c), number, c, name) for c in columns]
                  for number, row in enumerate(rows, 2)]  # fmt: skip
        self.classes = list(classes) if classes is not None else []
        if isinstance(label, str) or label is None:
            targets = self._numbered([v[0] for v in values], name)
        else:
            targets = [[_number(text) for text in v] for v in values]
        self.samples = list(zip(paths, targets, strict=True))
        self.targets = targets

    def _path(self, value: Any, number: int, name: str) -> str:
        if not value:
            raise FileFormatError(f"{name}, row {number}: there is no path.")
        return os.path.join(self.root, str(value)) if self.root is not None else str(value)

    def _numbered(self, labels: list[Any], name: str) -> list[Any]:
        """Labels as class numbers, or the numbers that they are."""
        if not self.classes:
            numbers = [_number(v) for v in labels]
            if all(isinstance(n, int) for n in numbers):
                if min(numbers) >= 0:
                    self.classes = [str(i) for i in range(max(numbers) + 1)]
                return numbers
            if all(isinstance(n, int | float) for n in numbers):
                return [float(n) for n in numbers]
            self.classes = sorted({str(v) for v in labels})
        known = {c: i for i, c in enumerate(self.classes)}
        unknown = sorted({str(v) for v in labels} - {*known})
        if unknown:
            raise FileFormatError(
                f"{name}: labels that are no class: {', '.join(unknown[:5])}.",
                fix=f"the classes are {', '.join(self.classes[:20])}",
            )
        return [known[str(v)] for v in labels]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class names to class numbers."""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)


def _rows_of(table: Any) -> tuple[list[dict[str, Any]], str | None]:
    """Rows as dictionaries, and the file they come from."""
    if hasattr(table, "to_dict"):
        return table.to_dict("records"), None
    if isinstance(table, str | os.PathLike):
        return _read(Path(table)), os.fspath(table)
    if isinstance(table, Sequence) and all(isinstance(row, dict) for row in table):
        return list(table), None
    raise ArgumentError(
        f"ImageTable: a CSV file, a list of dictionaries or a DataFrame is needed, got "
        f"{type(table).__name__}."
    )


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DatasetNotFoundError(f"ImageTable: there is no file {path}.")
    before = csv.field_size_limit(_LARGEST)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            sample = file.read(4096)
            file.seek(0)
            first = sample.splitlines()[0] if sample.strip() else ""
            delimiter = max(",;\t", key=first.count)
            return list(csv.DictReader(file, delimiter=delimiter))
    except (csv.Error, UnicodeError, OSError) as error:
        raise FileFormatError(f"{path} is no CSV that can be read: {error}") from error
    finally:
        csv.field_size_limit(before)


def _column(
    rows: list[dict[str, Any]], wanted: str | None, usual: Sequence[str], what: str, name: str
) -> str:
    there = [str(c) for c in rows[0] if c is not None]
    if wanted is None:
        found = [c for c in there if c.strip().lower() in usual]
        if len(found) == 1:
            return found[0]
    elif wanted in there:
        return wanted
    raise FileFormatError(
        f"{name} has no column {wanted or ' or '.join(usual[:4])!r}, but {', '.join(there[:20])}.",
        fix=f'name it: {what}="{there[0] if there else "..."}"',
    )


def _value(value: Any, number: int, column: str, name: str) -> Any:
    if value is None or value == "" or value != value:  # NaN, as pandas writes what is missing
        raise FileFormatError(f"{name}, row {number}: there is no {column!r}.")
    return value.strip() if isinstance(value, str) else value


def _number(value: Any) -> Any:
    """A label as a number, if it is one."""
    if not isinstance(value, str):
        return value.item() if hasattr(value, "item") else value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value

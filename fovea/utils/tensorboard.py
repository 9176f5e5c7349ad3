"""Files for TensorBoard, with the habits of ``torch.utils.tensorboard``.

The files are written by the package ``tensorboard``, which ``pip install 'fovea[tensorboard]'``
brings, too; it also shows them: ``tensorboard --logdir runs``.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, MissingExtraError, ShapeError
from fovea.tensorbase import is_tensor

__all__ = ["SummaryWriter"]

Array = np.ndarray[Any, Any]


def _proto() -> Any:
    """The package's messages.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
    except ImportError:
        raise MissingExtraError(
            "logs for TensorBoard need the package tensorboard.",
            fix="pip install 'fovea[tensorboard]'",
        ) from None
    return event_pb2, summary_pb2


class SummaryWriter:
    """Writes numbers, histograms, images and text into a folder that TensorBoard shows.

    Args:
        log_dir: the folder; ``runs/DATE_HOST`` and the comment unless given.
        comment: the end of the folder's name where it is made up.
        purge_step: TensorBoard forgets what an earlier run wrote from this step on.
        max_queue: how many entries wait before a write.
        flush_secs: how long they wait at most.
        filename_suffix: the end of the file's name.

    Raises:
        MissingExtraError: the package tensorboard is not installed.

    >>> import tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with SummaryWriter(folder) as writer:
    ...         writer.add_scalar("loss", 0.5, 1)
    ...     os.listdir(folder)[0].startswith("events.out.tfevents")
    True
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        self._events, self._summaries = _proto()
        if not log_dir:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        self._options = (max_queue, flush_secs, filename_suffix)
        self._writers: dict[str, Any] = {}
        self._open(self.log_dir)
        if purge_step is not None:
            self._add(purge_step, None, file_version="brain.Event:2")
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._add(purge_step, None, session_log=start)

    def _open(self, folder: str) -> Any:
        if folder not in self._writers:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._writers[folder] = EventFileWriter(folder, *self._options)
        return self._writers[folder]

    def _add(self, step: Any, walltime: float | None, folder: str = "", **what: Any) -> None:
        event = self._events.Event(wall_time=time.time() if walltime is None else walltime, **what)
        if step is not None:
            event.step = int(step)
        self._open(folder or self.log_dir).add_event(event)

    def _add_value(
        self, tag: str, step: Any, walltime: float | None, folder: str = "", **value: Any
    ) -> None:
        entry = self._summaries.Summary.Value(tag=tag, **value)
        summary = self._summaries.Summary(value=[entry])
        self._add(step, walltime, folder, summary=summary)

    # -- what can be added --------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number.

        Args:
            tag: its name; ``/`` groups names.
            scalar_value: a number, or a tensor or an array of one element.
            global_step: where on the axis of steps.
            walltime: seconds since the epoch; now unless given.
            new_style, double_precision: accepted for PyTorch's sake.

        Raises:
            ShapeError: more than one element.
        """
        self._add_value(tag, global_step, walltime, simple_value=_number(scalar_value))

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers in one picture: each is a run of its own."""
        for tag, value in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{tag}"
            self._add_value(main_tag, global_step, walltime, folder, simple_value=_number(value))

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How numbers are distributed.

        Args:
            tag: the name.
            values: a tensor or an array.
            global_step, walltime: as of ``add_scalar``.
            bins: what ``numpy.histogram`` takes; ``"tensorflow"``: 64 of them.
            max_bins: the most bins.

        Raises:
            ShapeError: no values.
        """
        numbers = _array(values).astype(np.float64).ravel()
        if numbers.size == 0:
            raise ShapeError(f"add_histogram: {tag!r} has no values.")
        edges_of = 64 if isinstance(bins, str) and bins == "tensorflow" else bins
        counts, edges = np.histogram(numbers, edges_of)
        if max_bins is not None and len(counts) > max_bins:
            counts, edges = np.histogram(numbers, max_bins)
        proto = self._summaries.HistogramProto(
            min=numbers.min(),
            max=numbers.max(),
            num=numbers.size,
            sum=numbers.sum(),
            sum_squares=(numbers * numbers).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._add_value(tag, global_step, walltime, histo=proto)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture: bytes, or numbers in [0, 1].

        Args:
            tag: the name.
            img_tensor: the picture, of 1, 3 or 4 channels.
            global_step, walltime: as of ``add_scalar``.
            dataformats: what the dimensions are: ``"CHW"``, ``"HWC"`` or ``"HW"``.

        Raises:
            ArgumentError: dimensions that do not fit ``dataformats``.
        """
        self._add_picture(tag, _as_hwc(img_tensor, dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Several pictures as one: rows of eight."""
        array, kind = _array(img_tensor), dataformats.upper()
        if kind.count("N") != 1 or array.ndim != len(kind):
            raise ArgumentError(
                f"add_images: {array.ndim} dimensions are not {dataformats}.",
                fix="dataformats='NCHW' or 'NHWC'",
            )
        several = np.moveaxis(array, kind.index("N"), 0)
        pictures = [_as_hwc(one, kind.replace("N", "")) for one in several]
        self._add_picture(tag, _grid(pictures), global_step, walltime)

    def _add_picture(self, tag: str, picture: Array, step: Any, walltime: float | None) -> None:
        from PIL import Image

        height, width, channels = picture.shape
        flat = picture[..., 0] if channels == 1 else picture
        encoded = io.BytesIO()
        Image.fromarray(flat).save(encoded, "PNG")
        proto = self._summaries.Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=encoded.getvalue(),
        )
        self._add_value(tag, step, walltime, image=proto)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib, or a list of them, as a picture."""
        several = list(figure) if isinstance(figure, list | tuple) else [figure]
        pictures = []
        for one in several:
            drawn = io.BytesIO()
            one.savefig(drawn, format="png", dpi=one.dpi)
            pictures.append(_decoded(drawn))
            if close:
                import matplotlib.pyplot

                matplotlib.pyplot.close(one)
        picture = pictures[0] if len(pictures) == 1 else _grid(pictures)
        self._add_picture(tag, picture, global_step, walltime)

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Text in Markdown."""
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        plugin = self._summaries.SummaryMetadata.PluginData(plugin_name="text")
        size = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        strings = TensorProto(
            dtype="DT_STRING", string_val=[text_string.encode()], tensor_shape=size
        )
        metadata = self._summaries.SummaryMetadata(plugin_data=plugin)
        name = f"{tag}/text_summary"
        self._add_value(name, global_step, walltime, metadata=metadata, tensor=strings)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """The choices of a run and what came of them: a row in the table of runs.

        Args:
            hparam_dict: choices: numbers, strings, truth values.
            metric_dict: results by their tags.
            hparam_domain_discrete: accepted for PyTorch's sake.
            run_name: the run's folder below this writer's; the time unless given.
            global_step: as of ``add_scalar``.
        """
        from tensorboard.plugins.hparams import summary_v2

        plain = {k: v.item() if is_tensor(v) else v for k, v in hparam_dict.items()}
        folder = os.path.join(self.log_dir, run_name or str(time.time()))
        self._add(None, None, folder, summary=summary_v2.hparams_pb(plain))
        for tag, value in metric_dict.items():
            self._add_value(tag, global_step, None, folder, simple_value=_number(value))

    def add_graph(
        self,
        model: Any,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """A model as a graph of its modules' operations.

        Args:
            model: a module.
            input_to_model: what it is called with: a tensor, or a tuple of several.
            verbose: print the graph, too.
            use_strict_trace: accepted for PyTorch's sake.
        """
        from fovea.utils.tensorboard_graph import graph_of

        inputs = input_to_model if isinstance(input_to_model, tuple) else (input_to_model,)
        definition, text = graph_of(model, inputs)
        if verbose:
            print(text)
        self._add(None, None, graph_def=definition.SerializeToString())

    # -- files --------------------------------------------------------------------------------

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def flush(self) -> None:
        """Write what waits."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Write what waits, and close the files. Adding more opens new ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _array(values: Any) -> Array:
    if is_tensor(values):
        values = values.detach()
        return values.float().numpy() if values.dtype.is_floating_point else values.numpy()
    return np.asarray(values)


def _number(value: Any) -> float:
    array = _array(value)
    if array.size != 1:
        raise ShapeError(
            f"a scalar has one element, this has {array.size}.", fix="add_histogram for several"
        )
    return float(array.reshape(-1)[0])


def _as_hwc(picture: Any, kind: str) -> Array:
    """Bytes [height, width, channels]."""
    array, kind = _array(picture), kind.upper()
    if sorted(kind) not in (["C", "H", "W"], ["H", "W"]) or array.ndim != len(kind):
        raise ArgumentError(
            f"a picture of {array.ndim} dimensions is not {kind}.",
            fix="dataformats='CHW', 'HWC' or 'HW'",
        )
    if "C" not in kind:
        array, kind = array[..., None], kind + "C"
    array = array.transpose([kind.index(c) for c in "HWC"])
    if array.dtype != np.uint8:
        array = (np.clip(array, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def _grid(pictures: list[Array], columns: int = 8) -> Array:
    """Pictures in rows; smaller ones are padded with black."""
    height, width, channels = np.max([p.shape for p in pictures], 0)
    wide = min(columns, len(pictures))
    high = -(-len(pictures) // wide)
    whole = np.zeros((high * height, wide * width, channels), np.uint8)
    for i, p in enumerate(pictures):
        top, left = i // wide * height, i % wide * width
        whole[top : top + p.shape[0], left : left + p.shape[1]] = p
    return whole


def _decoded(png: io.BytesIO) -> Array:
    from PIL import Image

    png.seek(0)
    return np.asarray(Image.open(png).convert("RGB"))

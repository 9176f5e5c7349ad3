"""The callback that logs for TensorBoard."""

from __future__ import annotations

import os
import time
from typing import Any

from fovea.errors import ArgumentError
from fovea.training.callbacks import Callback

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes the curves of a run into a folder: ``tensorboard --logdir logs`` shows them.

    Numbers of training go to ``train`` below it, those of validation to ``validation``: each
    ``epoch_loss`` and so on, as Keras names them.

    Args:
        log_dir: the folder.
        histogram_freq: every so many epochs the weights' histograms are written; 0: never.
        write_graph: write the model's graph.
        write_images: write the weights as pictures, too, with the histograms.
        write_steps_per_second: write how many steps a second there are.
        update_freq: ``"epoch"``, ``"batch"``, or a number of steps: how often the training's
            numbers so far are written in between, as ``batch_loss`` and so on.
        profile_batch: accepted for Keras's sake; ``fovea.profiler`` profiles.
        embeddings_freq, embeddings_metadata: accepted for Keras's sake.

    Raises:
        MissingExtraError: the package tensorboard is not installed.
        ArgumentError: an ``update_freq`` that is none.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        if update_freq not in ("epoch", "batch") and not (
            isinstance(update_freq, int) and update_freq > 0
        ):
            raise ArgumentError(
                "TensorBoard: update_freq must be 'epoch', 'batch' or a number of steps, "
                f"got {update_freq!r}."
            )
        self.log_dir, self.histogram_freq = os.fspath(log_dir), histogram_freq
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers: dict[str, Any] = {}
        self._step = self._test_step = 0
        self._since = (0.0, 0)

    def _writer(self, name: str) -> Any:
        from fovea.utils.tensorboard import SummaryWriter

        if name not in self._writers:
            self._writers[name] = SummaryWriter(os.path.join(self.log_dir, name))
        return self._writers[name]

    def wants_batch_logs(self) -> bool:
        every = self.update_freq
        return isinstance(every, int) and (self._step + 1) % every == 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._writer("train")
        self._since = (time.perf_counter(), self._step)
        if self.write_graph:
            self._write_graph()

    def _write_graph(self) -> None:
        shape = getattr(self.model, "input_shape", None)
        if not isinstance(shape, tuple) or None in shape[1:]:
            return  # it has no one graph before it has seen data
        from fovea.functions.creation import zeros

        self._writer("train").add_graph(self.model, zeros(1, *shape[1:]))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.wants_batch_logs():
            for name, value in (logs or {}).items():
                self._writer("train").add_scalar(f"batch_{name}", value, self._step)
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            if isinstance(value, int | float):
                run = "validation" if name.startswith("val_") else "train"
                tag = f"epoch_{name.removeprefix('val_')}"
                self._writer(run).add_scalar(tag, value, epoch)
        if self.write_steps_per_second:
            then, step = self._since
            now = time.perf_counter()
            rate = (self._step - step) / max(now - then, 1e-9)
            self._writer("train").add_scalar("epoch_steps_per_second", rate, epoch)
            self._since = (now, self._step)
        lr = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        if lr is not None:
            self._writer("train").add_scalar("epoch_learning_rate", lr, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        for name, weight in self.model.named_parameters():
            tag = f"{name.replace('.', '/')}/histogram"
            if weight.numel():
                writer.add_histogram(tag, weight, epoch)
            if self.write_images and weight.ndim == 2:
                low, high = weight.min(), weight.max()
                scaled = (weight.detach() - low) / (high - low + 1e-12)
                writer.add_image(f"{name.replace('.', '/')}/image", scaled, epoch, dataformats="HW")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._since[0] and "train" in self._writers:
            return  # within `fit` the numbers come with the epoch
        for name, value in (logs or {}).items():
            if isinstance(value, int | float):
                tag = f"evaluation_{name}_vs_iterations"
                self._writer("validation").add_scalar(tag, value, self._test_step)
        self._test_step += 1

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

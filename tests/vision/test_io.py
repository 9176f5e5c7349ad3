"""Image files of every kind, right side up, and files that are none."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.vision.io import (
    ImageReadMode,
    decode_image,
    encode_png,
    open_image,
    read_image,
    write_png,
)

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)


def saved(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def planes(image: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


MODES = ["L", "LA", "RGB", "RGBA"]


@pytest.mark.parametrize("stored", MODES)
@pytest.mark.parametrize("mode", list(ImageReadMode))
def test_channels(stored: str, mode: ImageReadMode) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (5, 7, 4), np.uint8)).convert(stored)
    names = dict(zip(list(ImageReadMode)[1:], MODES, strict=True))
    wanted = names.get(mode, stored)
    found = decode_image(saved(image), mode)
    assert found.dtype is fovea.uint8
    np.testing.assert_array_equal(found.numpy(), planes(image.convert(wanted)))


def test_paths_bytes_and_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(RGB)))
    data = fovea.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())
    for found in (read_image(path), read_image(str(path)), decode_image(data), decode_image(path)):
        np.testing.assert_array_equal(found.numpy(), RGB.transpose(2, 0, 1))
    with pytest.raises(ShapeError):
        decode_image(fovea.zeros(3))


def test_palettes() -> None:
    palette = Image.fromarray(RGB).quantize(8)
    np.testing.assert_array_equal(
        decode_image(saved(palette)).numpy(), planes(palette.convert("RGB"))
    )
    clear = saved(palette, transparency=3)
    found = decode_image(clear)
    assert found.shape[0] == 4
    with Image.open(io.BytesIO(clear)) as again:
        expected = planes(again.convert("RGBA"))
    np.testing.assert_array_equal(found.numpy(), expected)
    assert decode_image(clear, ImageReadMode.RGB).shape[0] == 3


def test_cmyk_and_ycck() -> None:
    image = Image.fromarray(RGB).resize((16, 16)).convert("CMYK")
    data = saved(image, "JPEG")
    found = decode_image(data)
    with Image.open(io.BytesIO(data)) as again:
        np.testing.assert_array_equal(found.numpy(), planes(again.convert("RGB")))


def test_sixteen_bits() -> None:
    values = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    data = saved(Image.fromarray(values))
    deep = decode_image(data)
    assert deep.dtype is fovea.int32 and deep[0].tolist() == values.tolist()
    for mode, channels in ((ImageReadMode.GRAY, 1), (ImageReadMode.RGB, 3)):
        shallow = decode_image(data, mode)
        assert shallow.dtype is fovea.uint8 and shallow.shape == (channels, 2, 3)
        assert shallow[0].tolist() == (values >> 8).tolist()  # not cut off at 255


def test_one_bit() -> None:
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert decode_image(saved(image)).tolist() == [[[0, 255], [255, 0]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    shown = Image.fromarray(RGB)
    back = {
        1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4,
    }[orientation]  # how a camera would store it  # fmt: skip
    stored = shown if back is None else shown.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, exif=exif)
    np.testing.assert_array_equal(
        decode_image(data, apply_exif_orientation=True).numpy(), RGB.transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(decode_image(data).numpy(), planes(stored))
    np.testing.assert_array_equal(np.asarray(open_image(data)), RGB)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_other_formats(kind: str) -> None:
    data = saved(Image.fromarray(RGB), kind)
    with Image.open(io.BytesIO(data)) as again:
        expected = planes(again.convert("RGB"))
    np.testing.assert_array_equal(decode_image(data, ImageReadMode.RGB).numpy(), expected)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 1, 1), (3, 6, 2)])
def test_png_round_trip(shape: tuple[int, ...], tmp_path: Path) -> None:
    image = fovea.from_numpy(RNG.integers(0, 256, shape, np.uint8))
    path = tmp_path / "a.png"
    write_png(image, path)
    assert fovea.equal(read_image(path), image)
    assert path.read_bytes() == encode_png(image).numpy().tobytes()
    flat = image.permute(0, 2, 1)
    assert fovea.equal(decode_image(encode_png(flat, compression_level=0)), flat)


def test_png_errors(tmp_path: Path) -> None:
    for wrong in (fovea.zeros(3, 2, 2), fovea.zeros(2, 2, 2, dtype=fovea.uint8)):
        with pytest.raises(ShapeError, match="uint8 tensor"):
            encode_png(wrong)
    with pytest.raises(ArgumentError, match="0 to 9"):
        encode_png(fovea.zeros(3, 2, 2, dtype=fovea.uint8), 10)
    with pytest.raises(ShapeError):
        write_png(fovea.zeros(2), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with pytest.raises(FileFormatError, match=f"no file {path}"):
        read_image(path)
    whole = saved(Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)), "JPEG")
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:20]):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=str(path)):
            read_image(path)
    with pytest.raises(FileFormatError, match=str(tmp_path)):
        read_image(tmp_path)


@pytest.mark.filterwarnings("ignore")  # Pillow's remarks about damaged tags
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_damage_never_crashes(kind: str) -> None:
    whole = saved(Image.fromarray(RGB.repeat(4, 0).repeat(4, 1)), kind)
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 4):
            data[place] = int(rng.integers(256))
        cut = int(rng.integers(1, len(data) + 1))
        try:
            decode_image(bytes(data[:cut]), ImageReadMode.RGB)
        except FileFormatError:
            continue  # the only error a spoiled file may give


def test_a_decompression_bomb() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9))
    with pytest.raises(FileFormatError, match="size that no real picture has"):
        decode_image(bomb + chunk(b"IEND", b""))


def test_without_pillow() -> None:
    code = """
import sys
sys.modules["PIL"] = None
import fovea, numpy as np
import fovea.vision, fovea.vision.datasets, fovea.vision.transforms, fovea.vision.io
from fovea.errors import MissingExtraError
from fovea.vision import transforms as T, io, datasets
x = fovea.rand(3, 20, 20)
T.Compose([T.RandomCrop(16), T.ColorJitter(0.5), T.RandomRotation(9), T.Normalize([0.5], [0.5])])(x)
T.ToTensor()(np.zeros((2, 2), np.uint8))
for use in (
    lambda: io.read_image("x.png"),
    lambda: io.encode_png(fovea.zeros(3, 2, 2, dtype=fovea.uint8)),
    lambda: T.ToPILImage()(x),
    lambda: datasets.FakeData()[0],
):
    try:
        use()
    except MissingExtraError as error:
        assert isinstance(error, ImportError)
        print('pip install "fovea[vision]"' in str(error))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["True"] * 4

"""Images."""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

from epochal.errors import UsageError
from epochal.sdk.media.base import MediaFolder, StoredMedia
from epochal.sdk.terminal import terminal

Array = Any  # of numpy or torch, or an image of PIL; none of them is imported
_FORMATS = {"png": ".png", "jpg": ".jpg", "jpeg": ".jpg", "bmp": ".bmp", "gif": ".gif", "webp": ".webp"}
_CHANNELS = (1, 3, 4)
_PNG_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


class Image(StoredMedia):
    """A picture, taken as it is at this moment.

    Args:
        data_or_path: a numpy array of shape (height, width) or (height, width, channels), a torch tensor of
            shape (channels, height, width), or four of either (a grid is made), with 1, 3 or 4 channels;
            a PIL image; a matplotlib figure; or the path of a file.  Integers are 0 to 255.  Floats are
            scaled: from 0 to 1, or from -1 to 1 if there are negative ones.
        mode: of PIL, for an array; guessed from the channels if None.
        caption: shown below it.
        grouping, classes, boxes, masks: of annotated images; accepted, `boxes` are kept as data.
        file_type: `png` (default), `jpg`, `jpeg` or `bmp`.
        normalize: scale floats at all.

    Raises:
        UsageError: the data is not a picture.
    """

    def __init__(
        self,
        data_or_path: object,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: object = None,
        boxes: object = None,
        masks: object = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        del grouping, classes
        if masks is not None:
            terminal.warn_once("masks", "Masks of images are not stored by this version; the images are.")
        self.caption, self._boxes = caption, boxes
        self._suffix = _FORMATS.get((file_type or "png").lower(), "")
        if not self._suffix:
            raise UsageError(f"an Image is stored as {', '.join(_FORMATS)}, not as {file_type}")
        self.width = self.height = 0
        self._pixels: Array = None
        self._file = b""
        self._take(data_or_path, mode, normalize)

    def store(self, folder: MediaFolder, key: str, step: int) -> dict[str, object]:
        content = self._file or self._encoded()
        stored = folder.write("images", key, step, self._suffix, content)
        extra = {"caption": self.caption, "boxes": self._boxes}
        result = {"_type": "image-file", **stored, "format": self._suffix[1:]}
        result |= {"width": self.width, "height": self.height} if self.width else {}
        return result | {name: value for name, value in extra.items() if value is not None}

    def _take(self, data: Any, mode: str | None, normalize: bool) -> None:  # noqa: ANN401
        if isinstance(data, Image):
            self.__dict__.update(data.__dict__)
        elif isinstance(data, (str, os.PathLike)):
            self._take_file(Path(data))
        elif hasattr(data, "savefig") or hasattr(getattr(data, "figure", None), "savefig"):
            buffer = io.BytesIO()
            (data if hasattr(data, "savefig") else data.figure).savefig(buffer, format="png")
            self._file, self._suffix = buffer.getvalue(), ".png"
        elif hasattr(data, "save") and hasattr(data, "mode"):
            self._pixels = data.copy()
            self.width, self.height = data.size
        else:
            self._take_array(data, mode, normalize)

    def _take_file(self, path: Path) -> None:
        suffix = path.suffix.lower()
        if suffix.lstrip(".") not in _FORMATS:
            raise UsageError(f"{path} is not a picture that can be shown: {', '.join(_FORMATS)}")
        self._file, self._suffix = path.read_bytes(), suffix

    def _take_array(self, data: Array, mode: str | None, normalize: bool) -> None:
        np = _numpy()
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(data, torch.Tensor):
            data = data.detach().cpu()
            array = (data.float() if data.is_floating_point() else data).numpy()
            array = np.moveaxis(array, -3, -1) if array.ndim >= 3 else array
        else:
            array = np.asarray(data)
        if array.ndim == 4:
            array = _grid(np, array)
        array = _as_bytes(np, array, normalize)
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in _CHANNELS or array.size == 0:
            raise UsageError(f"an Image has 1, 3 or 4 channels last; this array has the shape {array.shape}")
        self.height, self.width = int(array.shape[0]), int(array.shape[1])
        # A copy: the user may go on drawing into the array.
        self._pixels = np.array(array, dtype="uint8", order="C", copy=True)
        if mode is not None and "PIL" in sys.modules:
            pil = sys.modules["PIL.Image"]
            squeezed = self._pixels[:, :, 0] if array.shape[2] == 1 else self._pixels
            self._pixels = pil.fromarray(squeezed).convert(mode)

    def _encoded(self) -> bytes:
        if hasattr(self._pixels, "save"):
            return _pil_bytes(self._pixels, self._suffix)
        if self._suffix == ".png":
            return png(self._pixels.tobytes(), self.width, self.height, self._pixels.shape[2])
        from PIL import Image as PilImage

        pixels = self._pixels[:, :, 0] if self._pixels.shape[2] == 1 else self._pixels
        return _pil_bytes(PilImage.fromarray(pixels), self._suffix)


def png(pixels: bytes, width: int, height: int, n_channels: int) -> bytes:
    """Return 8-bit pixels, rows from the top, as a PNG file.

    Source: W3C, "Portable Network Graphics Specification", third edition.
    """
    stride = width * n_channels
    # Each row begins with its filter: 0, none.
    rows = b"".join(b"\0" + pixels[i * stride : (i + 1) * stride] for i in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOUR_TYPES[n_channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def _numpy() -> Any:  # noqa: ANN401  a module
    np = sys.modules.get("numpy")
    if np is None:
        try:
            import numpy as np
        except ImportError as error:
            raise UsageError("an Image of numbers needs numpy: pip install numpy") from error
    return np


def _as_bytes(np: Any, array: Array, normalize: bool) -> Array:  # noqa: ANN401
    """Return an array of 0 to 255, scaled by what its numbers seem to mean."""
    if array.dtype == bool:
        return array.astype("uint8") * 255
    if array.dtype.kind != "f" or not normalize:
        return np.clip(array, 0, 255).astype("uint8")
    array = np.nan_to_num(array, nan=0.0)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if low < -1 or high > 1:
        if low < 0 or high > 255:
            terminal.warn_once("clip", "An Image has floats outside of 0 to 255; they are cut off there.")
        return np.clip(array, 0, 255).astype("uint8")
    scaled = (array + 1) / 2 if low < 0 else array
    return np.round(scaled * 255).astype("uint8")


def _grid(np: Any, images: Array) -> Array:  # noqa: ANN401
    """Return several pictures of shape (n, height, width, channels) as one, about square."""
    n, height, width, n_channels = images.shape
    columns = max(1, math.ceil(math.sqrt(n)))
    rows = max(1, math.ceil(n / columns))
    result = np.zeros((rows * height, columns * width, n_channels), dtype=images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * height, i % columns * width
        result[top : top + height, left : left + width] = image
    return result


def _pil_bytes(image: Array, suffix: str) -> bytes:
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP"}[suffix]
    if kind == "JPEG" and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    image.save(buffer, format=kind)
    return buffer.getvalue()

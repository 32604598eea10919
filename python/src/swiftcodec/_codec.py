# SPDX-License-Identifier: BSD-3-Clause
"""Models, encoders and decoders over numpy arrays."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from ctypes import byref, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from ._library import (
    ArgumentError,
    DecoderSettings,
    EncoderSettings,
    HeaderStruct,
    Picture,
    ProgressFunction,
    Region,
    error,
    sc,
)

Samples = npt.NDArray[np.uint8]
#: Gets the share of the work that is done, 0…1; False ends the call with CancelledError.
Progress = Callable[[float], Optional[bool]]

RGB, RGBA, GREY, I420 = 1, 2, 4, 5
FORMATS = {"rgb": RGB, "rgba": RGBA, "grey": GREY, "yuv420": I420}
METADATA = {
    "icc": 1,
    "exif": 2,
    "xmp": 3,
    "cicp": 4,
    "gamma": 5,
    "chromaticities": 6,
    "rendering_intent": 7,
    "resolution": 8,
}
RDOQ = {"off": 0, "fast": 1, "full": 2, "quick": 3}
ENTROPY = {"best": 0, "static": 1, "threshold": 2, "weighted": 3}


class YUV420(NamedTuple):
    """Planes of a 4:2:0 picture: u and v have half the width and height of y, rounded up."""

    y: Samples
    u: Samples
    v: Samples


Image = Union[Samples, YUV420]
Region4 = Tuple[int, int, int, int]


@dataclass(frozen=True)
class Header:
    """What the header of a bitstream says. `format` is "rgb", "grey" or "yuv420"."""

    width: int
    height: int
    format: str
    rate_point: int
    rate_fraction: int
    model_id: int
    segments: int


def version() -> Tuple[int, int, int]:
    """Of the library."""
    number = sc.sc_version()
    return number >> 16, number >> 8 & 255, number & 255


def _check(status: int, message: bytes = b"") -> None:
    if status != 0:
        raise error(status, message.decode("utf-8", "replace"))


class Model:
    """A trained codec, from the bytes of a model file. Any number of encoders and decoders may use it at a time."""

    def __init__(self, data: bytes) -> None:
        handle = c_void_p()
        message = ctypes.create_string_buffer(512)
        _check(sc.sc_model_create(data, len(data), byref(handle), message, len(message)), message.value)
        self._own(handle)

    def _own(self, handle: c_void_p) -> None:
        self._handle = handle
        self._finalizer = weakref.finalize(self, sc.sc_model_destroy, handle)

    @classmethod
    def _of(cls, create: Callable[[Any], int]) -> "Model":
        model = cls.__new__(cls)
        handle = c_void_p()
        _check(create(byref(handle)))
        model._own(handle)
        return model

    @classmethod
    def embedded(cls) -> "Model":
        """The one that is part of the library."""
        return cls._of(sc.sc_model_create_embedded)

    @classmethod
    def from_file(cls, path: Union[str, "os.PathLike[str]"]) -> "Model":
        with open(path, "rb") as file:
            return cls(file.read())

    @property
    def id(self) -> int:
        """The 64-bit hash of the file, whose upper half bitstreams name the model by."""
        return int(sc.sc_model_id(self._handle))

    @property
    def rate_points(self) -> int:
        return int(sc.sc_model_rate_points(self._handle))

    def position(self, quality: float) -> Tuple[int, int]:
        """Rate point and 32nds towards the next of a quality of 0…100."""
        point, fraction = c_uint32(), c_uint32()
        status = sc.sc_model_quality(self._handle, quality, byref(point), byref(fraction))
        _check(status, f"a quality of {quality}: valid are 0 to 100".encode())
        return point.value, fraction.value


_default: Optional[Model] = None
_default_lock = threading.Lock()


def default_model() -> Model:
    """The embedded model, loaded once."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Model.embedded()
        return _default


def _picture(image: Image) -> Tuple[Picture, List[Any]]:
    """The C struct of an array or planes, and what must live as long as it."""
    picture = Picture()
    picture.struct_size = ctypes.sizeof(Picture)
    if isinstance(image, YUV420):
        planes = [np.asarray(plane) for plane in image]
        height, width = planes[0].shape if planes[0].ndim == 2 else (0, 0)
        half = ((height + 1) // 2, (width + 1) // 2)
        if planes[0].ndim != 2 or planes[1].shape != half or planes[2].shape != half:
            raise ArgumentError(11, "planes u and v have half the width and height of y, rounded up")
        picture.format = I420
    else:
        array = np.asarray(image)
        if array.ndim == 2:
            picture.format = GREY
        elif array.ndim == 3 and array.shape[2] in (3, 4):
            picture.format = RGB if array.shape[2] == 3 else RGBA
        else:
            raise ArgumentError(11, f"an array of shape {array.shape} where (h, w), (h, w, 3) or (h, w, 4) is needed")
        height, width = array.shape[:2]
        planes = [array]
    if not (1 <= width <= 65535 and 1 <= height <= 65535):
        raise ArgumentError(11, f"a picture of {width}×{height}: sides are 1 to 65535")
    picture.width, picture.height = width, height
    kept: List[Any] = []
    for i, plane in enumerate(planes):
        if plane.dtype != np.uint8:
            raise ArgumentError(11, f"samples of type {plane.dtype} where uint8 is needed")
        # Rows may have gaps, pixels may not.
        inner = plane[0]
        if not inner.flags.c_contiguous or plane.strides[0] < inner.nbytes:
            plane = np.ascontiguousarray(plane)
        kept.append(plane)
        picture.planes[i] = plane.ctypes.data
        picture.strides[i] = plane.strides[0] if height > 1 else inner.nbytes
    return picture, kept


def _blank(width: int, height: int, format: int) -> Image:
    if format == I420:
        half = ((height + 1) // 2, (width + 1) // 2)
        return YUV420(np.empty((height, width), np.uint8), np.empty(half, np.uint8), np.empty(half, np.uint8))
    if format == GREY:
        return np.empty((height, width), np.uint8)
    return np.empty((height, width, 3 if format == RGB else 4), np.uint8)


def _choice(value: str, choices: Mapping[str, int], what: str) -> int:
    if value not in choices:
        raise ArgumentError(10, f"{what} {value!r} where one of {', '.join(choices)} is needed")
    return choices[value]


class _Callback:
    """A progress callback as C sees it; an exception in it ends the call and is raised by it."""

    def __init__(self) -> None:
        self.progress: Optional[Progress] = None
        self.failure: Optional[BaseException] = None
        self.function = ProgressFunction(self._call)

    def _call(self, _context: Any, share: float) -> int:
        try:
            return 1 if self.progress is not None and self.progress(share) is False else 0
        except BaseException as failure:  # It must not go through C.
            self.failure = failure
            return 1

    def check(self, status: int, message: bytes) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        _check(status, message)


class Decoder:
    """Decodes bitstreams of one model. Threads may share it: they wait for each other.

    `threads` is 0 for one for every processor; `max_pixels` and `max_memory` (bytes) limit what a bitstream may ask for,
    0 for the library's default.
    """

    def __init__(
        self, model: Optional[Model] = None, *, threads: int = 0, max_pixels: int = 0, max_memory: int = 0,
        progress: Optional[Progress] = None,
    ) -> None:
        self._lock = threading.Lock()
        self._callback = _Callback()
        self._callback.progress = progress
        settings = DecoderSettings(ctypes.sizeof(DecoderSettings), threads, 0, max_pixels, max_memory)
        if progress is not None:
            settings.progress = self._callback.function
        handle = c_void_p()
        _check(sc.sc_decoder_create((model or default_model())._handle, byref(settings), byref(handle)))
        self._handle = handle
        self._finalizer = weakref.finalize(self, sc.sc_decoder_destroy, handle)

    def decode(self, data: bytes, *, format: Optional[str] = None, region: Optional[Region4] = None) -> Image:
        """The picture: an array of shape (h, w, 3), (h, w, 4) or (h, w), or YUV420, as it was coded or as `format` says.

        `region` is x, y, width and height of a part of it, of which only what it needs is decoded.
        """
        data = bytes(data)
        header = read_header(data)
        wanted = FORMATS[header.format] if format is None else _choice(format, FORMATS, "format")
        if format is None and wanted == RGB and has_alpha(data):
            wanted = RGBA
        part = None
        width, height = header.width, header.height
        if region is not None:
            x, y, width, height = region
            if min(x, y) < 0 or min(width, height) < 1 or x + width > header.width or y + height > header.height:
                raise ArgumentError(11, f"a region of {width}×{height} at {x}, {y} of {header.width}×{header.height} pixels")
            part = Region(x, y, width, height)
        image = _blank(width, height, wanted)
        picture, _kept = _picture(image)
        with self._lock:
            if part is None:
                status = sc.sc_decode(self._handle, data, len(data), byref(picture))
            else:
                status = sc.sc_decode_region(self._handle, data, len(data), byref(part), byref(picture))
            self._callback.check(status, sc.sc_decoder_message(self._handle) if status else b"")
        return image


class Encoder:
    """Encodes pictures with one model. Threads may share it: they wait for each other.

    At most one of `quality` (0…100), `rate_point`, `bytes`, `bits_per_pixel`, `psnr` (dB), `lossless` and `max_error` (no sample
    is off by more, 1…15) says what a file is to come to; without one quality is 50. `rate_point` takes the networks alone, where
    `quality` holds for any picture. `rdoq` is a search for smaller files: "off", "quick", "fast" or "full".
    """

    def __init__(
        self, model: Optional[Model] = None, *, quality: Optional[float] = None, rate_point: Optional[int] = None,
        bytes: Optional[int] = None, bits_per_pixel: Optional[float] = None, psnr: Optional[float] = None,
        lossless: bool = False, max_error: Optional[int] = None, rdoq: str = "off", entropy: str = "best", segment_rows: int = 0, threads: int = 0,
        progress: Optional[Progress] = None,
    ) -> None:
        self.model = model or default_model()
        self._lock = threading.Lock()
        self._callback = _Callback()
        self._callback.progress = progress
        given = [value for value in (quality, rate_point, bytes, bits_per_pixel, psnr, lossless or None, max_error) if value is not None]
        if len(given) > 1:
            raise ArgumentError(10, "at most one of quality, rate_point, bytes, bits_per_pixel, psnr, lossless and max_error")
        if not given:
            quality = 50
        if lossless:
            max_error = 0
        settings = EncoderSettings(ctypes.sizeof(EncoderSettings))
        settings.rdoq = _choice(rdoq, RDOQ, "rdoq")
        settings.entropy = _choice(entropy, ENTROPY, "entropy")
        settings.segment_rows, settings.threads = segment_rows, threads
        if rate_point is not None:
            if not 0 <= rate_point < self.model.rate_points:
                raise ArgumentError(12, f"rate point {rate_point} where the model has 0 to {self.model.rate_points - 1}")
            settings.rate_point = rate_point
        for target, value in ((1, bytes), (2, bits_per_pixel), (3, psnr), (4, quality), (5, max_error)):
            if value is not None:
                settings.target, settings.target_value = target, value
        if progress is not None:
            settings.progress = self._callback.function
        handle = c_void_p()
        status = sc.sc_encoder_create(self.model._handle, byref(settings), byref(handle))
        _check(status)
        self._handle = handle
        self._finalizer = weakref.finalize(self, sc.sc_encoder_destroy, handle)

    def encode(self, image: Image, metadata: Optional[Mapping[str, bytes]] = None) -> bytes:
        """The bitstream of an array of shape (h, w, 3), (h, w, 4) or (h, w) of uint8, or of YUV420 planes.

        `metadata` is what it carries beside the picture, by the names of METADATA.
        """
        picture, _kept = _picture(image)
        items = {_choice(name, METADATA, "metadata"): bytes(value) for name, value in (metadata or {}).items()}
        pointer, size = c_void_p(), c_size_t()
        with self._lock:
            for kind in METADATA.values():
                value = items.get(kind, b"")
                _check(sc.sc_encoder_set_metadata(self._handle, kind, value, len(value)))
            status = sc.sc_encode(self._handle, byref(picture), byref(pointer), byref(size))
            self._callback.check(status, sc.sc_encoder_message(self._handle) if status else b"")
        try:
            return ctypes.string_at(pointer, size.value)
        finally:
            sc.sc_free(pointer)


def encode(
    image: Image, *, model: Optional[Model] = None, metadata: Optional[Mapping[str, bytes]] = None, **settings: Any
) -> bytes:
    """Encodes one picture; `settings` are those of Encoder. To encode several, keep an Encoder."""
    return Encoder(model, **settings).encode(image, metadata)


def decode(
    data: bytes, *, model: Optional[Model] = None, format: Optional[str] = None, region: Optional[Region4] = None,
    **settings: Any,
) -> Image:
    """Decodes one bitstream; `settings` are those of Decoder. To decode several, keep a Decoder."""
    return Decoder(model, **settings).decode(data, format=format, region=region)


def read_header(data: bytes) -> Header:
    """The header; the first 64 bytes are enough. Only decoding verifies the checksums."""
    header = HeaderStruct(ctypes.sizeof(HeaderStruct))
    start = bytes(data[:64])
    _check(sc.sc_read_header(start, len(start), byref(header)))
    format = {RGB: "rgb", GREY: "grey", I420: "yuv420"}[header.format]
    return Header(
        header.width, header.height, format, header.rate_point, header.rate_fraction, header.model_id, header.segments)


def read_metadata(data: bytes) -> Dict[str, bytes]:
    """What the bitstream carries beside the picture."""
    data = bytes(data)
    result = {}
    for name, kind in METADATA.items():
        pointer, size = c_void_p(), c_size_t()
        _check(sc.sc_read_metadata(data, len(data), kind, byref(pointer), byref(size)))
        if size.value:
            result[name] = ctypes.string_at(pointer, size.value)
    return result


def has_alpha(data: bytes) -> bool:
    """Whether the bitstream has transparency."""
    return bool(sc.sc_has_alpha(bytes(data), len(data)))

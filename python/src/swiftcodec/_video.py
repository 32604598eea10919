# SPDX-License-Identifier: BSD-3-Clause
"""Streams of frames: packets out of frames, frames out of packets."""

from __future__ import annotations

import ctypes
import threading
import weakref
from ctypes import byref, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Iterable, Iterator, NamedTuple, Optional, Tuple, Union

from ._codec import ENTROPY, I420, RDOQ, YUV420, Model, _blank, _check, _choice, _picture, default_model
from ._library import (
    ArgumentError,
    BitstreamError,
    DecoderSettings,
    VideoFrameStruct,
    VideoHeaderStruct,
    VideoSettings,
    sc,
)

#: Bytes that hold any stream's header.
HEADER_SIZE = 48

_inter: Optional[Model] = None
_inter_lock = threading.Lock()


def default_inter_model() -> Model:
    """The embedded model of inter frames, loaded once."""
    global _inter
    with _inter_lock:
        if _inter is None:
            _inter = Model._of(sc.sc_model_create_embedded_inter)
        return _inter


class Packet(NamedTuple):
    """A frame's bytes in the stream."""

    data: bytes
    is_intra: bool


@dataclass(frozen=True)
class VideoHeader:
    """What the header of a stream says. `frame_rate` is a fraction, 0/1 if unknown; `size` are the header's bytes."""

    width: int
    height: int
    frame_rate: Tuple[int, int]
    colour: Tuple[int, int, int, int]
    intra_model_id: int
    inter_model_id: Optional[int]
    size: int


@dataclass(frozen=True)
class VideoFrame:
    """A decoded frame; `number` counts from 0."""

    image: YUV420
    number: int
    is_intra: bool


def read_video_header(data: bytes) -> VideoHeader:
    """The header of a stream, its checksum verified; the first 48 bytes are enough."""
    header = VideoHeaderStruct(ctypes.sizeof(VideoHeaderStruct))
    start = bytes(data[:HEADER_SIZE])
    _check(sc.sc_read_video_header(start, len(start), byref(header)))
    return VideoHeader(
        header.width, header.height, (header.frame_rate_numerator, header.frame_rate_denominator),
        (header.colour[0], header.colour[1], header.colour[2], header.colour[3]), header.intra_model_id,
        header.inter_model_id if header.has_inter else None, header.size)


def _fit(image: YUV420, width: int, height: int) -> None:
    if not isinstance(image, YUV420) or image.y.shape != (height, width):
        raise ArgumentError(11, f"frames of this stream are YUV420 of {width}×{height}")


class VideoEncoder:
    """Encodes frames of one size, one packet out for each frame in. Threads may share it: they wait for each other.

    At most one of `quality` (0…100; 50 without any), `bitrate` (bits a second, which asks for `frame_rate`), `lossless` and
    `max_error` (no sample is off by more, 1…15) says what is held. `rdoq` and `intra_rdoq` search for smaller packets of inter
    and of intra frames: "off", "quick", "fast" or "full".
    A stream is `header`, the packets, and what `finish` gives. `intra_only` does without a model of inter frames.
    """

    def __init__(
        self, width: int, height: int, *, quality: Optional[float] = None, bitrate: Optional[float] = None,
        lossless: bool = False, max_error: Optional[int] = None, frame_rate: Union[int, Tuple[int, int]] = 0,
        intra_period: int = 0, intra_only: bool = False, rdoq: str = "off", intra_rdoq: str = "fast", entropy: str = "best", colour: Tuple[int, int, int, int] = (0, 0, 0, 0), threads: int = 0,
        model: Optional[Model] = None, inter_model: Optional[Model] = None,
    ) -> None:
        rates = [quality, bitrate, 0 if lossless else max_error]
        if sum(value is not None for value in rates) + (lossless and max_error is not None) > 1:
            raise ArgumentError(10, "at most one of quality, bitrate, lossless and max_error")
        self.width, self.height = width, height
        self._lock = threading.Lock()
        settings = VideoSettings(ctypes.sizeof(VideoSettings))
        settings.width, settings.height = width, height
        settings.rate, settings.rate_value = next(((i, value) for i, value in enumerate(rates) if value is not None), (0, 50))
        rate = (frame_rate, 1) if isinstance(frame_rate, int) else frame_rate
        settings.frame_rate_numerator, settings.frame_rate_denominator = rate
        settings.intra_period, settings.threads = intra_period, threads
        settings.rdoq, settings.intra_rdoq = _choice(rdoq, RDOQ, "rdoq"), _choice(intra_rdoq, RDOQ, "intra_rdoq")
        settings.entropy = _choice(entropy, ENTROPY, "entropy")
        settings.colour[:] = colour
        inter = None if intra_only else (inter_model or default_inter_model())._handle
        handle = c_void_p()
        _check(sc.sc_video_encoder_create((model or default_model())._handle, inter, byref(settings), byref(handle)))
        self._handle = handle
        self._finalizer = weakref.finalize(self, sc.sc_video_encoder_destroy, handle)

    @property
    def header(self) -> bytes:
        """The stream's first bytes."""
        pointer, size = c_void_p(), c_size_t()
        with self._lock:
            self._check(sc.sc_video_encoder_header(self._handle, byref(pointer), byref(size)))
            return ctypes.string_at(pointer, size.value)

    def _check(self, status: int) -> None:
        _check(status, sc.sc_video_encoder_message(self._handle) if status else b"")

    def encode(self, frame: YUV420) -> Packet:
        """The packet of the next frame."""
        _fit(frame, self.width, self.height)
        picture, _kept = _picture(frame)
        pointer, size, is_intra = c_void_p(), c_size_t(), c_int()
        with self._lock:
            self._check(
                sc.sc_video_encoder_encode(self._handle, byref(picture), byref(pointer), byref(size), byref(is_intra)))
            return Packet(ctypes.string_at(pointer, size.value), bool(is_intra.value))

    def frame(self) -> YUV420:
        """The last frame as decoders have it."""
        image = _blank(self.width, self.height, I420)
        assert isinstance(image, YUV420)
        picture, _kept = _picture(image)
        with self._lock:
            self._check(sc.sc_video_encoder_frame(self._handle, byref(picture)))
        return image

    def finish(self) -> bytes:
        """The stream's last bytes. No frame may follow."""
        pointer, size = c_void_p(), c_size_t()
        with self._lock:
            self._check(sc.sc_video_encoder_finish(self._handle, byref(pointer), byref(size)))
            return ctypes.string_at(pointer, size.value)


class VideoDecoder:
    """Decodes the packets of a stream with this header. Threads may share it: they wait for each other.

    After an error, and to seek, go on with the packet of any intra frame.
    """

    def __init__(
        self, header: bytes, *, threads: int = 0, max_pixels: int = 0, model: Optional[Model] = None,
        inter_model: Optional[Model] = None,
    ) -> None:
        self.header = read_video_header(header)
        self._lock = threading.Lock()
        settings = DecoderSettings(ctypes.sizeof(DecoderSettings), threads, 0, max_pixels, 0)
        inter = None if self.header.inter_model_id is None else (inter_model or default_inter_model())._handle
        data = bytes(header[:HEADER_SIZE])
        handle = c_void_p()
        _check(
            sc.sc_video_decoder_create(
                (model or default_model())._handle, inter, data, len(data), byref(settings), byref(handle)))
        self._handle = handle
        self._finalizer = weakref.finalize(self, sc.sc_video_decoder_destroy, handle)

    def _check(self, status: int) -> None:
        _check(status, sc.sc_video_decoder_message(self._handle) if status else b"")

    def decode(self, packet: bytes) -> Optional[VideoFrame]:
        """The frame of a whole packet; None for one without: the index, the end."""
        packet = bytes(packet)
        result = VideoFrameStruct(ctypes.sizeof(VideoFrameStruct))
        with self._lock:
            self._check(sc.sc_video_decoder_decode(self._handle, packet, len(packet), byref(result)))
            if not result.has_frame:
                return None
            image = _blank(self.header.width, self.header.height, I420)
            assert isinstance(image, YUV420)
            picture, _kept = _picture(image)
            self._check(sc.sc_video_decoder_frame(self._handle, byref(picture)))
        return VideoFrame(image, result.number, bool(result.is_intra))


def split_packets(data: bytes) -> Iterator[bytes]:
    """The packets of bytes of a stream that follow its header."""
    at = 0
    while at < len(data):
        start = bytes(data[at:at + 9])
        size = c_size_t()
        _check(sc.sc_video_packet_size(start, len(start), byref(size), None))
        if size.value > len(data) - at:
            raise BitstreamError(32, "the last packet ends too early")
        yield bytes(data[at:at + size.value])
        at += size.value


def encode_video(frames: Iterable[YUV420], **settings: object) -> bytes:
    """A whole stream; `settings` are those of VideoEncoder but width and height. At least one frame."""
    encoder: Optional[VideoEncoder] = None
    parts = []
    for frame in frames:
        if encoder is None:
            height, width = frame.y.shape
            encoder = VideoEncoder(width, height, **settings)  # type: ignore[arg-type]
            parts.append(encoder.header)
        parts.append(encoder.encode(frame).data)
    if encoder is None:
        raise ArgumentError(10, "no frames")
    return b"".join(parts) + encoder.finish()


def decode_video(data: bytes, **settings: object) -> Iterator[YUV420]:
    """The frames of a whole stream; `settings` are those of VideoDecoder."""
    decoder = VideoDecoder(data[:HEADER_SIZE], **settings)  # type: ignore[arg-type]
    for packet in split_packets(data[decoder.header.size:]):
        frame = decoder.decode(packet)
        if frame is not None:
            yield frame.image

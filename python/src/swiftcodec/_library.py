# SPDX-License-Identifier: BSD-3-Clause
"""swiftcodec.h in ctypes: structs, functions, errors."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from ctypes import POINTER, c_char_p, c_double, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Optional, Type

ABI_VERSION = 1

ProgressFunction = ctypes.CFUNCTYPE(c_int, c_void_p, c_double)


class Picture(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("width", c_uint32),
        ("height", c_uint32),
        ("format", c_int),
        ("reserved", c_uint32),
        ("planes", c_void_p * 3),
        ("strides", c_size_t * 3),
    ]


class Region(ctypes.Structure):
    _fields_ = [("x", c_uint32), ("y", c_uint32), ("width", c_uint32), ("height", c_uint32)]


class HeaderStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("width", c_uint32),
        ("height", c_uint32),
        ("format", c_int),
        ("rate_point", c_uint32),
        ("rate_fraction", c_uint32),
        ("entropy", c_int),
        ("model_id", c_uint32),
        ("segments", c_uint32),
        ("segment_rows", c_uint32),
    ]


class DecoderSettings(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("threads", c_uint32),
        ("reserved", c_uint32),
        ("max_pixels", c_uint64),
        ("max_memory", c_uint64),
        ("progress", ProgressFunction),
        ("progress_context", c_void_p),
    ]


class EncoderSettings(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rate_point", c_uint32),
        ("entropy", c_int),
        ("threads", c_uint32),
        ("segment_rows", c_uint32),
        ("rate_fraction", c_uint32),
        ("target", c_int),
        ("target_value", c_double),
        ("rdoq", c_int),
        ("reserved", c_uint32),
        ("lambda_", c_double),
        ("max_pixels", c_uint64),
        ("progress", ProgressFunction),
        ("progress_context", c_void_p),
    ]


class VideoSettings(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("width", c_uint32),
        ("height", c_uint32),
        ("rate_value", c_double),
        ("rate", c_int),
        ("intra_period", c_uint32),
        ("frame_rate_numerator", c_uint32),
        ("frame_rate_denominator", c_uint32),
        ("colour", c_uint8 * 4),
        ("rdoq", c_int),
        ("motion_effort", c_uint32),
        ("keep_scenes", c_uint32),
        ("entropy", c_int),
        ("segment_rows", c_uint32),
        ("threads", c_uint32),
        ("intra_rdoq", c_int),
    ]


class VideoHeaderStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("width", c_uint32),
        ("height", c_uint32),
        ("frame_rate_numerator", c_uint32),
        ("frame_rate_denominator", c_uint32),
        ("colour", c_uint8 * 4),
        ("intra_model_id", c_uint32),
        ("inter_model_id", c_uint32),
        ("has_inter", c_uint32),
        ("size", c_size_t),
    ]


class VideoFrameStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("has_frame", c_uint32),
        ("is_intra", c_uint32),
        ("number", c_uint64),
        ("rate_point", c_uint32),
        ("rate_fraction", c_uint32),
    ]


class Error(Exception):
    """A call failed. `status` is the sc_status of swiftcodec.h."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ArgumentError(Error, ValueError):
    """The call was wrong: an array's shape, a setting, a target that cannot be reached."""


class CancelledError(Error):
    """The callback said so."""


class OutOfMemoryError(Error, MemoryError):
    """The memory that the call needs is not there."""


class ModelError(Error):
    """The model file is refused."""


class BitstreamError(Error):
    """The bitstream is refused: damaged, of another model, or beyond a limit."""


def error(status: int, message: str) -> Error:
    kind: Type[Error] = ArgumentError
    if status == 17:
        kind = CancelledError
    elif status == 18:
        kind = OutOfMemoryError
    elif 20 <= status < 30:
        kind = ModelError
    elif status >= 30:
        kind = BitstreamError
    return kind(status, message or sc.sc_status_string(status).decode())


def _candidates() -> list[str]:
    given = os.environ.get("SWIFTCODEC_LIBRARY")
    if given and given != "system":
        return [given]
    name = "libswiftcodec.dylib" if sys.platform == "darwin" else "libswiftcodec.so"
    found = [str(Path(__file__).with_name(name))]
    system: Optional[str] = ctypes.util.find_library("swiftcodec")
    return found + ([system] if system else [])


def _load() -> Any:
    failures = []
    for path in _candidates():
        try:
            return ctypes.CDLL(path)
        except OSError as failure:
            failures.append(str(failure))
    raise ImportError("the shared library of SwiftCodec is not found (SWIFTCODEC_LIBRARY names it): " + "; ".join(failures))


sc = _load()


def _declare(name: str, result: Any, *arguments: Any) -> None:
    function = getattr(sc, name, None)
    if function is None:
        raise ImportError(f"the shared library of SwiftCodec lacks {name}: it is too old")
    function.restype = result
    function.argtypes = arguments


_bytes = POINTER(c_uint8)
_declare("sc_abi_version", c_uint32)
if sc.sc_abi_version() != ABI_VERSION:
    raise ImportError(f"the shared library of SwiftCodec has ABI {sc.sc_abi_version()}, this package needs {ABI_VERSION}")
_declare("sc_version", c_uint32)
_declare("sc_status_string", c_char_p, c_int)
_declare("sc_model_create_embedded", c_int, POINTER(c_void_p))
_declare("sc_model_create", c_int, c_char_p, c_size_t, POINTER(c_void_p), c_char_p, c_size_t)
_declare("sc_model_destroy", None, c_void_p)
_declare("sc_model_id", c_uint64, c_void_p)
_declare("sc_model_rate_points", c_uint32, c_void_p)
_declare("sc_model_quality", c_int, c_void_p, c_double, POINTER(c_uint32), POINTER(c_uint32))
_declare("sc_read_header", c_int, c_char_p, c_size_t, POINTER(HeaderStruct))
_declare("sc_read_metadata", c_int, c_char_p, c_size_t, c_int, POINTER(c_void_p), POINTER(c_size_t))
_declare("sc_has_alpha", c_int, c_char_p, c_size_t)
_declare("sc_decoder_create", c_int, c_void_p, POINTER(DecoderSettings), POINTER(c_void_p))
_declare("sc_decoder_destroy", None, c_void_p)
_declare("sc_decode", c_int, c_void_p, c_char_p, c_size_t, POINTER(Picture))
_declare("sc_decode_region", c_int, c_void_p, c_char_p, c_size_t, POINTER(Region), POINTER(Picture))
_declare("sc_decoder_message", c_char_p, c_void_p)
_declare("sc_encoder_create", c_int, c_void_p, POINTER(EncoderSettings), POINTER(c_void_p))
_declare("sc_encoder_destroy", None, c_void_p)
_declare("sc_encoder_configure", c_int, c_void_p, POINTER(EncoderSettings))
_declare("sc_encoder_set_metadata", c_int, c_void_p, c_int, c_char_p, c_size_t)
_declare("sc_encode", c_int, c_void_p, POINTER(Picture), POINTER(c_void_p), POINTER(c_size_t))
_declare("sc_encoder_message", c_char_p, c_void_p)
_declare("sc_free", None, c_void_p)
_declare("sc_model_create_embedded_inter", c_int, POINTER(c_void_p))
_declare("sc_video_encoder_create", c_int, c_void_p, c_void_p, POINTER(VideoSettings), POINTER(c_void_p))
_declare("sc_video_encoder_destroy", None, c_void_p)
_declare("sc_video_encoder_header", c_int, c_void_p, POINTER(c_void_p), POINTER(c_size_t))
_declare(
    "sc_video_encoder_encode", c_int, c_void_p, POINTER(Picture), POINTER(c_void_p), POINTER(c_size_t), POINTER(c_int))
_declare("sc_video_encoder_frame", c_int, c_void_p, POINTER(Picture))
_declare("sc_video_encoder_finish", c_int, c_void_p, POINTER(c_void_p), POINTER(c_size_t))
_declare("sc_video_encoder_message", c_char_p, c_void_p)
_declare("sc_read_video_header", c_int, c_char_p, c_size_t, POINTER(VideoHeaderStruct))
_declare("sc_video_packet_size", c_int, c_char_p, c_size_t, POINTER(c_size_t), POINTER(c_int))
_declare(
    "sc_video_decoder_create", c_int, c_void_p, c_void_p, c_char_p, c_size_t, POINTER(DecoderSettings), POINTER(c_void_p))
_declare("sc_video_decoder_destroy", None, c_void_p)
_declare("sc_video_decoder_decode", c_int, c_void_p, c_char_p, c_size_t, POINTER(VideoFrameStruct))
_declare("sc_video_decoder_frame", c_int, c_void_p, POINTER(Picture))
_declare("sc_video_decoder_message", c_char_p, c_void_p)

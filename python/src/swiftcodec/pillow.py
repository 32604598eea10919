# SPDX-License-Identifier: BSD-3-Clause
"""Pillow opens and saves `.sci` files once this module is imported.

Saving takes modes L, RGB and RGBA and the options of swiftcodec.Encoder: `image.save("a.sci", quality=60, rdoq="quick")`.
ICC profile, Exif and XMP are kept both ways.
"""

from __future__ import annotations

from typing import IO, Any, Dict, Optional, cast

import numpy as np
from PIL import Image, ImageFile

from ._codec import Decoder, Encoder, has_alpha, read_header, read_metadata
from ._library import Error

FORMAT = "SCI"
#: Of Pillow's info, by the names of swiftcodec.METADATA.
_KEPT = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
_EXIF_PREFIX = b"Exif\0\0"
_OPTIONS = {
    "quality", "rate_point", "bytes", "bits_per_pixel", "psnr", "lossless", "max_error", "rdoq", "entropy", "segment_rows", "threads",
    "progress",
}


class SciImageFile(ImageFile.ImageFile):
    format = FORMAT
    format_description = "SwiftCodec"

    def _open(self) -> None:
        data = cast(IO[bytes], self.fp).read()
        self._data: Optional[bytes] = data
        try:
            header = read_header(data)
            metadata = read_metadata(data)
        except Error as failure:
            raise SyntaxError(str(failure)) from failure
        self._size = header.width, header.height
        self._mode = "L" if header.format == "grey" else "RGB"
        if has_alpha(data):
            self._mode = "RGBA"
        for name, key in _KEPT.items():
            if name in metadata:
                self.info[key] = metadata[name]
        if "exif" in self.info:
            self.info["exif"] = _EXIF_PREFIX + self.info["exif"]

    def load(self) -> Any:
        data, self._data = getattr(self, "_data", None), None
        if data is not None:
            wanted = {"L": "grey", "RGB": "rgb", "RGBA": "rgba"}[self.mode]
            try:
                array = cast(Any, Decoder().decode(data, format=wanted))
            except Error as failure:
                self._data = data
                raise OSError(str(failure)) from failure
            self.im = Image.fromarray(array).im
            if self.fp is not None and getattr(self, "_exclusive_fp", False):
                self.fp.close()
            self.fp = None
        return Image.Image.load(self)


def _accept(prefix: bytes) -> bool:
    return prefix[:3] == b"SCI"


def _save(image: Image.Image, fp: IO[bytes], filename: Any) -> None:
    if image.mode not in ("L", "RGB", "RGBA"):
        raise OSError(f"cannot write mode {image.mode} as SCI: convert to L, RGB or RGBA")
    given: Dict[str, Any] = dict(image.encoderinfo)
    metadata = {}
    for name, key in _KEPT.items():
        value: Any = given.pop(key, None) if key in given else image.info.get(key)
        if hasattr(value, "tobytes"):
            value = value.tobytes()
        if value:
            value = bytes(value)
            metadata[name] = value[6:] if name == "exif" and value.startswith(_EXIF_PREFIX) else value
    options = {key: value for key, value in given.items() if key in _OPTIONS}
    try:
        fp.write(Encoder(**options).encode(np.asarray(image), metadata))
    except Error as failure:
        raise OSError(str(failure)) from failure


Image.register_open(FORMAT, SciImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".sci")
Image.register_mime(FORMAT, "image/x-swiftcodec")

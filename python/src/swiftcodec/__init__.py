# SPDX-License-Identifier: BSD-3-Clause
"""SwiftCodec: a neural image codec in exact integer arithmetic. A bitstream decodes to the same samples on every machine.

    import swiftcodec
    data = swiftcodec.encode(array, quality=60)       # (h, w, 3), (h, w, 4) or (h, w) of uint8, or YUV420 planes
    array = swiftcodec.decode(data)

`import swiftcodec.pillow` makes Pillow open and save `.sci` files.
"""

from ._codec import (
    METADATA,
    YUV420,
    Decoder,
    Encoder,
    Header,
    Image,
    Model,
    Progress,
    Samples,
    decode,
    default_model,
    encode,
    has_alpha,
    read_header,
    read_metadata,
    version,
)
from ._library import ArgumentError, BitstreamError, CancelledError, Error, ModelError

__all__ = [
    "METADATA",
    "ArgumentError",
    "BitstreamError",
    "CancelledError",
    "Decoder",
    "Encoder",
    "Error",
    "Header",
    "Image",
    "Model",
    "ModelError",
    "Progress",
    "Samples",
    "YUV420",
    "decode",
    "default_model",
    "encode",
    "has_alpha",
    "read_header",
    "read_metadata",
    "version",
]

# SPDX-License-Identifier: BSD-3-Clause
"""SwiftCodec: a neural image codec in exact integer arithmetic. A bitstream decodes to the same samples on every machine.

    import swiftcodec
    data = swiftcodec.encode(array, quality=60)       # (h, w, 3), (h, w, 4) or (h, w) of uint8, or YUV420 planes
    array = swiftcodec.decode(data)

    stream = swiftcodec.encode_video(frames, quality=40)        # frames are YUV420
    frames = swiftcodec.decode_video(stream)

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
from ._library import ArgumentError, BitstreamError, CancelledError, Error, ModelError, OutOfMemoryError
from ._video import (
    Packet,
    VideoDecoder,
    VideoEncoder,
    VideoFrame,
    VideoHeader,
    decode_video,
    default_inter_model,
    encode_video,
    read_video_header,
    split_packets,
)

__all__ = [
    "METADATA",
    "YUV420",
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
    "OutOfMemoryError",
    "Packet",
    "Progress",
    "Samples",
    "VideoDecoder",
    "VideoEncoder",
    "VideoFrame",
    "VideoHeader",
    "decode",
    "decode_video",
    "default_inter_model",
    "default_model",
    "encode",
    "encode_video",
    "has_alpha",
    "read_header",
    "read_metadata",
    "read_video_header",
    "split_packets",
    "version",
]

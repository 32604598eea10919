# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest

import swiftcodec

WIDTH, HEIGHT = 96, 64


def frame(t):
    """A pattern that moves; frame 4 is another one."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    if t == 4:
        return swiftcodec.YUV420(*(np.full(s, v, np.uint8) for s, v in (((HEIGHT, WIDTH), 40), ((32, 48), 90), ((32, 48), 150))))
    luma = (120 + 60 * np.sin((x + 2 * t) / 9.0) + 50 * np.cos(y / 7.0)).clip(0, 255).astype(np.uint8)
    return swiftcodec.YUV420(luma, np.full((32, 48), 120, np.uint8), np.full((32, 48), 130, np.uint8))


def same(a, b):
    return all((p == q).all() for p, q in zip(a, b))


def stream(count=6, **settings):
    """Header, packets, end, and the frames as the encoder has them."""
    encoder = swiftcodec.VideoEncoder(WIDTH, HEIGHT, **settings)
    packets, frames = [], []
    for t in range(count):
        packets.append(encoder.encode(frame(t)))
        frames.append(encoder.frame())
    return encoder.header, packets, encoder.finish(), frames


@pytest.mark.parametrize("settings", [{}, {"intra_only": True}, {"quality": 80, "intra_period": 2, "frame_rate": (30000, 1001)}])
def test_packets(settings):
    header, packets, end, frames = stream(**settings)
    assert packets[0].is_intra
    if settings.get("intra_only"):
        assert all(p.is_intra for p in packets)
    else:
        assert not all(p.is_intra for p in packets)
    decoder = swiftcodec.VideoDecoder(header)
    assert (decoder.header.width, decoder.header.height) == (WIDTH, HEIGHT)
    assert decoder.header.frame_rate == settings.get("frame_rate", (0, decoder.header.frame_rate[1]))
    for i, packet in enumerate(packets):
        decoded = decoder.decode(packet.data)
        assert decoded.number == i and decoded.is_intra == packet.is_intra
        assert same(decoded.image, frames[i])
        error = np.mean((decoded.image.y.astype(float) - frame(i).y) ** 2)
        assert error < 65025 / 10**2.8
    for packet in swiftcodec.split_packets(end):
        assert decoder.decode(packet) is None


@pytest.mark.parametrize("settings, largest", [({"lossless": True}, 0), ({"max_error": 2}, 2)])
def test_bounded_errors(settings, largest):
    header, packets, _, _ = stream(**settings)
    decoder = swiftcodec.VideoDecoder(header)
    for i, packet in enumerate(packets):
        for a, b in zip(decoder.decode(packet.data).image, frame(i)):
            assert np.abs(a.astype(int) - b).max() <= largest


def test_whole_streams():
    frames = [frame(t) for t in range(3)]
    data = swiftcodec.encode_video(frames, quality=60)
    header, packets, end, expected = stream(3, quality=60)
    assert data == header + b"".join(p.data for p in packets) + end
    decoded = list(swiftcodec.decode_video(data, threads=1))
    assert len(decoded) == 3 and all(same(a, b) for a, b in zip(decoded, expected))
    with pytest.raises(swiftcodec.ArgumentError):
        swiftcodec.encode_video([])


def test_bitrate():
    sizes = [sum(len(p.data) for p in stream(12, bitrate=rate, frame_rate=25)[1]) for rate in (2e4, 2e5)]
    assert sizes[0] < sizes[1]


def test_damage_and_seeking():
    header, packets, _, frames = stream(6, intra_period=3)
    decoder = swiftcodec.VideoDecoder(header)
    decoder.decode(packets[0].data)
    damaged = bytearray(packets[1].data)
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(swiftcodec.BitstreamError):
        decoder.decode(bytes(damaged))
    with pytest.raises(swiftcodec.BitstreamError):
        decoder.decode(packets[2].data)
    intra = next(i for i in range(1, 6) if packets[i].is_intra)
    assert same(decoder.decode(packets[intra].data).image, frames[intra])
    with pytest.raises(swiftcodec.BitstreamError):
        list(swiftcodec.split_packets(packets[0].data[:-1]))
    with pytest.raises(swiftcodec.BitstreamError):
        swiftcodec.read_video_header(b"SCV")


def test_wrong_arguments():
    encoder = swiftcodec.VideoEncoder(WIDTH, HEIGHT)
    with pytest.raises(swiftcodec.ArgumentError):
        encoder.encode(swiftcodec.YUV420(*(p[:-2] for p in frame(0))))
    with pytest.raises(swiftcodec.ArgumentError):
        encoder.encode(frame(0).y)
    with pytest.raises(swiftcodec.Error):
        encoder.frame()
    for settings in ({"quality": 101}, {"quality": 5, "bitrate": 1e5}, {"rdoq": "best"}, {"bitrate": 0}, {"lossless": True, "quality": 5}, {"max_error": 16}):
        with pytest.raises(swiftcodec.ArgumentError):
            swiftcodec.VideoEncoder(WIDTH, HEIGHT, **settings)
    encoder.encode(frame(0))
    encoder.finish()
    with pytest.raises(swiftcodec.ArgumentError):
        encoder.encode(frame(0))

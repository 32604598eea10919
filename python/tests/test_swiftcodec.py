# SPDX-License-Identifier: BSD-3-Clause
import threading
from pathlib import Path

import numpy as np
import pytest

import swiftcodec

FIXTURES = Path(__file__).resolve().parents[2] / "Fixtures"


def drawn(height, width, *channels):
    y, x = np.mgrid[:height, :width]
    base = (90 + 60 * np.sin(x / 9.0) + 50 * np.cos(y / 7.0 + x / 30.0)).clip(0, 255).astype(np.uint8)
    if not channels:
        return base
    return np.stack([np.roll(base, 5 * c, axis=1) for c in range(channels[0])], axis=2)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


@pytest.mark.parametrize("shape", [(48, 70, 3), (33, 17, 3), (48, 70), (1, 1, 3), (1, 1), (70, 1)])
def test_round_trip(shape):
    image = drawn(*shape)
    data = swiftcodec.encode(image, quality=90)
    decoded = swiftcodec.decode(data)
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    if min(shape[:2]) > 8:
        assert psnr(image, decoded) > 33
    header = swiftcodec.read_header(data[:64])
    assert (header.height, header.width) == shape[:2]
    assert header.format == ("rgb" if len(shape) == 3 else "grey")
    # Of some of these pictures a layer alone is best, which names no model.
    header = swiftcodec.read_header(swiftcodec.encode(image, rate_point=1))
    assert header.model_id == swiftcodec.default_model().id >> 32


def test_planes():
    y, u, v = drawn(45, 67), drawn(23, 34), 255 - drawn(23, 34)
    data = swiftcodec.encode(swiftcodec.YUV420(y, u, v), quality=90)
    decoded = swiftcodec.decode(data)
    assert isinstance(decoded, swiftcodec.YUV420)
    assert psnr(decoded.y, y) > 30 and psnr(decoded.u, u) > 30 and psnr(decoded.v, v) > 30
    part = swiftcodec.decode(data, region=(10, 4, 31, 17))
    assert (part.y == decoded.y[4:21, 10:41]).all()
    assert (part.u == decoded.u[2:11, 5:21]).all() and (part.v == decoded.v[2:11, 5:21]).all()
    with pytest.raises(swiftcodec.ArgumentError):
        swiftcodec.encode(swiftcodec.YUV420(y, u[:, :-1], v))


def test_strides_do_not_matter():
    image = drawn(40, 50, 3)
    data = swiftcodec.encode(image)
    wide = np.zeros((40, 90, 3), np.uint8)
    wide[:, 20:70] = image
    assert swiftcodec.encode(wide[:, 20:70]) == data
    assert swiftcodec.encode(np.asfortranarray(image)) == data
    assert swiftcodec.encode(image[::-1][::-1]) == data
    assert swiftcodec.encode(np.repeat(image, 2, axis=1)[:, ::2]) == data
    assert swiftcodec.encode(image[:, :, ::-1]) == swiftcodec.encode(np.ascontiguousarray(image[:, :, ::-1]))


def test_region_and_formats():
    data = swiftcodec.encode(drawn(300, 90, 3), segment_rows=8)
    whole = swiftcodec.decode(data)
    assert swiftcodec.read_header(data).segments > 1
    assert (swiftcodec.decode(data, region=(7, 130, 40, 33)) == whole[130:163, 7:47]).all()
    rgba = swiftcodec.decode(data, format="rgba")
    assert (rgba[:, :, :3] == whole).all() and (rgba[:, :, 3] == 255).all()
    assert swiftcodec.decode(data, format="grey").shape == (300, 90)
    for region in [(0, 0, 91, 1), (-1, 0, 4, 4), (0, 299, 1, 2), (0, 0, 0, 1)]:
        with pytest.raises(swiftcodec.ArgumentError):
            swiftcodec.decode(data, region=region)


def test_alpha():
    image = drawn(40, 52, 4)
    data = swiftcodec.encode(image)
    assert swiftcodec.has_alpha(data)
    decoded = swiftcodec.decode(data)
    assert decoded.shape == (40, 52, 4) and (decoded[:, :, 3] == image[:, :, 3]).all()
    assert (swiftcodec.decode(data, format="rgb") == decoded[:, :, :3]).all()
    assert (swiftcodec.decode(data, region=(3, 5, 20, 11)) == decoded[5:16, 3:23]).all()
    image[:, :, 3] = 255
    assert not swiftcodec.has_alpha(swiftcodec.encode(image))
    assert swiftcodec.encode(image) == swiftcodec.encode(image[:, :, :3])


def test_settings():
    image = drawn(64, 96, 3)
    model = swiftcodec.default_model()
    small, large = swiftcodec.encode(image, quality=0), swiftcodec.encode(image, quality=100)
    assert len(small) < len(large)
    assert swiftcodec.encode(image, rate_point=0) == small
    assert swiftcodec.encode(image, rate_point=model.rate_points - 1) == large
    assert len(swiftcodec.encode(image, bytes=600)) <= 600
    assert len(swiftcodec.encode(image, bits_per_pixel=1.0)) * 8 <= 64 * 96
    assert psnr(swiftcodec.decode(swiftcodec.encode(image, psnr=30)), image) >= 30
    assert swiftcodec.encode(image, quality=40, rdoq="quick") != swiftcodec.encode(image, quality=40)
    assert (swiftcodec.decode(swiftcodec.encode(image, lossless=True)) == image).all()
    near = swiftcodec.decode(swiftcodec.encode(image, max_error=2)).astype(int)
    assert np.abs(near - image).max() in (1, 2)
    for settings in [
        {"quality": 101}, {"quality": 40, "bytes": 9}, {"lossless": True, "max_error": 1}, {"max_error": 16}, {"rate_point": 99}, {"rdoq": "much"}, {"segment_rows": 9},
        {"bytes": 10},
    ]:
        with pytest.raises(swiftcodec.ArgumentError) as failure:
            swiftcodec.encode(image, **settings)
        assert str(failure.value)


def test_metadata():
    items = {name: bytes([i] * (3 + 100 * i)) for i, name in enumerate(swiftcodec.METADATA)}
    encoder = swiftcodec.Encoder()
    data = encoder.encode(drawn(20, 20), items)
    assert swiftcodec.read_metadata(data) == items
    assert swiftcodec.read_metadata(encoder.encode(drawn(20, 20))) == {}
    with pytest.raises(swiftcodec.ArgumentError):
        encoder.encode(drawn(20, 20), {"iptc": b"x"})


def test_wrong_arrays():
    for array in [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros(5, np.uint8), np.zeros((0, 4), np.uint8)]:
        with pytest.raises(swiftcodec.ArgumentError):
            swiftcodec.encode(array)


def test_damage():
    data = swiftcodec.encode(drawn(40, 40, 3))
    for damaged in [data[:-1], data[:20], b"", b"SCI", b"GIF89a", data[:30] + bytes([data[30] ^ 1]) + data[31:]]:
        with pytest.raises(swiftcodec.BitstreamError) as failure:
            swiftcodec.decode(damaged)
        assert str(failure.value) and failure.value.status >= 30
    with pytest.raises(swiftcodec.BitstreamError):
        swiftcodec.decode(data, max_pixels=1599)
    with pytest.raises(swiftcodec.BitstreamError):
        swiftcodec.decode(data, max_memory=1000)
    with pytest.raises(swiftcodec.ModelError) as failure:
        swiftcodec.Model(b"no model")
    assert "model" in str(failure.value)
    other = swiftcodec.Model.from_file(FIXTURES / "models" / "tiny.scm")
    with pytest.raises(swiftcodec.BitstreamError, match="model"):
        swiftcodec.decode(data, model=other)


def test_golden_files():
    model = swiftcodec.Model.from_file(FIXTURES / "models" / "tiny.scm")
    decoder = swiftcodec.Decoder(model, threads=2)
    done = 0
    for line in (FIXTURES / "golden" / "golden.txt").read_text().splitlines():
        fields = line.split()
        if line.startswith("#") or fields[1] != "models/tiny.scm":
            continue
        image = decoder.decode((FIXTURES / "golden" / fields[0]).read_bytes())
        assert image.shape[:2] == (int(fields[3]), int(fields[2]))
        assert f"{crc32c(image.tobytes()):08x}" == fields[5].lower()
        done += 1
    assert done > 5


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def test_progress():
    image = drawn(100, 100, 3)
    shares = []
    data = swiftcodec.encode(image, rdoq="quick", progress=lambda share: shares.append(share))
    assert shares == sorted(shares) and len(shares) > 3 and 0 <= shares[0] and shares[-1] <= 1
    with pytest.raises(swiftcodec.CancelledError):
        swiftcodec.encode(image, rdoq="quick", progress=lambda share: share < 0.3)
    with pytest.raises(swiftcodec.CancelledError):
        swiftcodec.decode(data, progress=lambda share: False)

    def broken(_share):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        swiftcodec.decode(data, progress=broken)


def test_threads_may_share():
    image = drawn(60, 60, 3)
    encoder, decoder = swiftcodec.Encoder(threads=1), swiftcodec.Decoder(threads=1)
    data = encoder.encode(image)
    expected = decoder.decode(data)
    failures = []

    def work():
        for _ in range(4):
            if encoder.encode(image) != data or not (decoder.decode(data) == expected).all():
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_version():
    assert len(swiftcodec.version()) == 3

# SPDX-License-Identifier: BSD-3-Clause
import io

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

import swiftcodec  # noqa: E402
import swiftcodec.pillow  # noqa: E402,F401

from test_swiftcodec import drawn, psnr  # noqa: E402


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_open_and_save(tmp_path, mode):
    image = Image.fromarray(drawn(50, 70, *([] if mode == "L" else [len(mode)])))
    path = tmp_path / "a.sci"
    image.save(path, quality=80)
    assert path.read_bytes() == swiftcodec.encode(np.asarray(image), quality=80)
    with Image.open(path) as opened:
        assert (opened.format, opened.mode, opened.size) == ("SCI", mode, (70, 50))
        array = np.asarray(opened)
    assert (array == swiftcodec.decode(path.read_bytes())).all()
    assert psnr(array, np.asarray(image)) > 30
    if mode == "RGBA":
        assert (array[:, :, 3] == np.asarray(image)[:, :, 3]).all()
    assert opened.convert("L").resize((9, 9)).size == (9, 9)


def test_lossless(tmp_path):
    image = Image.fromarray(drawn(30, 40, 3))
    image.save(tmp_path / "l.sci", lossless=True)
    assert (np.asarray(Image.open(tmp_path / "l.sci")) == np.asarray(image)).all()


def test_metadata(tmp_path):
    image = Image.fromarray(drawn(20, 30, 3))
    exif = Image.Exif()
    exif[0x010E] = "a description"
    path = tmp_path / "b.sci"
    image.save(path, icc_profile=b"profile", exif=exif, xmp=b"<x/>")
    opened = Image.open(path)
    assert opened.info["icc_profile"] == b"profile" and opened.info["xmp"] == b"<x/>"
    assert opened.getexif()[0x010E] == "a description"
    again = tmp_path / "c.sci"
    opened.save(again)
    assert swiftcodec.read_metadata(again.read_bytes()) == swiftcodec.read_metadata(path.read_bytes())


def test_errors(tmp_path):
    with pytest.raises(OSError):
        Image.new("CMYK", (4, 4)).save(tmp_path / "d.sci")
    data = swiftcodec.encode(drawn(30, 30, 3))
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(data[:10]))
    with pytest.raises(OSError):
        Image.open(io.BytesIO(data[:-3])).load()

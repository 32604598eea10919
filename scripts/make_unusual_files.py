#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Picture files as people have them, and as they should not be: python3 make_unusual_files.py FOLDER (NumPy, Pillow).

Writes the files, what an independent reader (Pillow, libjpeg-turbo) sees in them under `expected`, and `list.txt`, a line
a file with tabs between:

  ycc    FILE EXPECTED        JPEG: samples of every component before colour conversion, enlarged, as the channels of a PNG
  pixels FILE EXPECTED N W    what is read is EXPECTED with a difference of at most N; W: part of a warning, or -
  error  FILE PART            refused with a sentence that has this part

EXPECTED is an RGB, grey, RGBA or grey-with-alpha PNG.
"""
import io, os, struct, sys, zlib
import numpy as np
from PIL import Image, ImageOps

out = sys.argv[1]
os.makedirs(f'{out}/expected', exist_ok=True)
lines = []


def put(name, data):
    with open(f'{out}/{name}', 'wb') as f:
        f.write(data)


def expect(kind, name, data, image, *rest, shared=None):
    put(name, data)
    reference = f'expected/{shared or name.replace(".", "-")}.png'
    image.save(f'{out}/{reference}', optimize=True)
    lines.append('\t'.join([kind, name, reference, *map(str, rest)]))


def refuse(name, data, part):
    put(name, data)
    lines.append(f'error\t{name}\t{part}')


def scene(w, h, seed=0):
    """Ramps, an edge, saturated colours and some noise."""
    y, x = np.mgrid[:h, :w].astype(float)
    rng = np.random.default_rng(seed)
    p = np.stack([40 + 170 * x / max(1, w), 200 - 150 * y / max(1, h), 128 + 90 * np.sin(x / 5 + y / 7)], -1)
    inside = (x - w / 2) ** 2 + (y - h / 2) ** 2 < w * h / 12
    p[inside] = (230, 30, 60)
    p[(x > w * 3 // 4) & (y < h / 4)] = (10, 20, 240)
    return np.clip(p + rng.normal(0, 6, p.shape), 0, 255).astype(np.uint8)


# JPEG ---------------------------------------------------------------------------------------------------------------

def components(data):
    """What libjpeg-turbo decodes, enlarged, before colour conversion."""
    im = Image.open(io.BytesIO(data))
    if im.mode == 'L':
        return im
    im.draft('YCbCr', im.size)
    assert im.mode == 'YCbCr', im.mode
    return Image.merge('RGB', im.split())


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', **options)
    return buffer.getvalue()


sizes = [(40, 28), (37, 29), (19, 50), (8, 8)]
number = 0
for name, sampling in (('grey', None), ('444', 0), ('422', 1), ('420', 2)):
    for progressive in (False, True):
        for w, h in sizes:
            for restart in (0, 1):
                number += 1
                if (w, h) == (8, 8) and restart:
                    continue
                image = Image.fromarray(scene(w, h, number))
                options = dict(quality=(30, 75, 92, 100)[number % 4], progressive=progressive, optimize=number % 3 == 0)
                if sampling is None:
                    image = image.convert('L')
                else:
                    options['subsampling'] = sampling
                if restart:
                    options['restart_marker_rows' if number % 4 == 2 else 'restart_marker_blocks'] = 1 + number % 3
                data = jpeg(image, **options)
                kind = 'progressive' if progressive else 'baseline'
                expect('ycc', f'{name}-{kind}-{w}x{h}{"-restart" if restart else ""}.jpg', data, components(data))

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i % 8 if (i // 8 + i % 8) % 2 == 0 else i // 8)))
DCT = np.array([[np.cos((2 * x + 1) * k * np.pi / 16) * (np.sqrt(1 / 8) if k == 0 else .5) for x in range(8)] for k in range(8)])


def own_jpeg(planes, factors, step=12, split=False, wide_table=False, adobe=None, ids=(1, 2, 3), sof=0xC0, fill=b''):
    """A baseline file of components of any sampling factors; codes of fixed length, so that the tables are short to say."""
    full_h, full_w = planes[0].shape
    hmax, vmax = max(h for h, v in factors), max(v for h, v in factors)
    units = -(-full_w // (8 * hmax)), -(-full_h // (8 * vmax))
    blocks = []
    for plane, (h, v) in zip(planes, factors):
        fx, fy = hmax // h, vmax // v
        w, hh = -(-full_w * h // hmax), -(-full_h * v // vmax)
        p = np.pad(plane.astype(float), ((0, -full_h % fy), (0, -full_w % fx)), 'edge')
        p = p.reshape(p.shape[0] // fy, fy, p.shape[1] // fx, fx).mean((1, 3))
        p = np.pad(p, ((0, units[1] * 8 * v - p.shape[0]), (0, units[0] * 8 * h - p.shape[1])), 'edge') - 128
        b = p.reshape(units[1] * v, 8, units[0] * h, 8).transpose(0, 2, 1, 3)
        c = np.rint(DCT @ b @ DCT.T / step).astype(int)
        blocks.append((c.reshape(*c.shape[:2], 64)[:, :, ZIGZAG], -(-w // 8), -(-hh // 8)))
    ac = [0, 0xF0] + [r << 4 | s for r in range(16) for s in range(1, 11)]
    bits = []

    def code(value, count):
        bits.extend(value >> i & 1 for i in reversed(range(count)))

    def number(value):
        size = abs(value).bit_length()
        return size, (value if value >= 0 else value + (1 << size) - 1)

    def block(c, last):
        size, extra = number(int(c[0]) - last)
        code(size, 4); code(extra, size)
        run = 0
        top = max([i for i in range(1, 64) if c[i]], default=0)
        for i in range(1, top + 1):
            if c[i] == 0:
                run += 1
                continue
            while run > 15:
                code(ac.index(0xF0), 8); run -= 16
            size, extra = number(int(c[i]))
            code(ac.index(run << 4 | size), 8); code(extra, size)
            run = 0
        if top < 63:
            code(0, 8)
        return int(c[0])

    def entropy():
        bits.extend([1] * (-len(bits) % 8))
        data = bytes(int(''.join(map(str, bits[i:i + 8])), 2) for i in range(0, len(bits), 8))
        bits.clear()
        return data.replace(b'\xff', b'\xff\0')

    def segment(marker, data):
        return fill + bytes([0xFF, marker]) + struct.pack('>H', len(data) + 2) + data

    def start(which):
        return segment(0xDA, bytes([len(which)]) + b''.join(bytes([ids[i], 0]) for i in which) + bytes([0, 63, 0]))

    file = b'\xff\xd8'
    if adobe is not None:
        file += segment(0xEE, b'Adobe\0\x64\0\0\0\0' + bytes([adobe]))
    file += segment(0xDB, b'\x10' + struct.pack('>64H', *[step] * 64) if wide_table else b'\0' + bytes([step] * 64))
    file += segment(sof, struct.pack('>BHHB', 8, full_h, full_w, len(planes)) + b''.join(
        bytes([ids[i], h << 4 | v, 0]) for i, (h, v) in enumerate(factors)))
    file += segment(0xC4, b'\0' + bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
    file += segment(0xC4, b'\x10' + bytes([0] * 7 + [len(ac)] + [0] * 8) + bytes(ac))
    if split:
        for i, (c, w, h) in enumerate(blocks):
            last = 0
            for y in range(h):
                for x in range(w):
                    last = block(c[y, x], last)
            file += start([i]) + entropy()
    else:
        last = [0] * len(planes)
        for uy in range(units[1]):
            for ux in range(units[0]):
                for i, ((c, _, _), (h, v)) in enumerate(zip(blocks, factors)):
                    for y in range(v):
                        for x in range(h):
                            last[i] = block(c[uy * v + y, ux * h + x], last[i])
        file += start(range(len(planes))) + entropy()
    return file + b'\xff\xd9'


ycc = [np.asarray(p) for p in Image.fromarray(scene(45, 35, 77)).convert('YCbCr').split()]
for name, factors in (('440', [(1, 2), (1, 1), (1, 1)]), ('444', [(1, 1)] * 3), ('422', [(2, 1), (1, 1), (1, 1)]),
                      ('420', [(2, 2), (1, 1), (1, 1)]), ('mixed', [(2, 2), (2, 1), (1, 2)])):
    for split in (False, True):
        data = own_jpeg(ycc, factors, split=split)
        expect('ycc', f'own-{name}{"-scans" if split else ""}.jpg', data, components(data))
data = own_jpeg(ycc, [(2, 2), (1, 1), (1, 1)], wide_table=True, step=3)
expect('ycc', 'own-wide-table.jpg', data, components(data))
data = own_jpeg(ycc, [(2, 2), (1, 1), (1, 1)], fill=b'\xff\xff')
expect('ycc', 'own-fill-bytes.jpg', data, components(data))
data = own_jpeg(ycc[:1], [(2, 2)], step=1)
expect('ycc', 'own-grey-factors.jpg', data, components(data))
rgb = list(scene(45, 35, 78).transpose(2, 0, 1))
for name, options in (('adobe', dict(adobe=0)), ('names', dict(ids=b'RGB'))):
    data = own_jpeg(rgb, [(1, 1)] * 3, **options)
    expect('pixels', f'own-rgb-{name}.jpg', data, Image.open(io.BytesIO(data)), 1, '-')
data = jpeg(Image.fromarray(scene(40, 30)), keep_rgb=True, quality=95)
expect('pixels', 'rgb.jpg', data, Image.open(io.BytesIO(data)), 1, '-')

photo = Image.fromarray(scene(40, 28, 5))
plain = jpeg(photo, quality=80)
seen = Image.open(io.BytesIO(plain)).convert('RGB')
expect('pixels', 'no-end.jpg', plain[:-2], seen, 3, 'no end marker', shared='photo')
expect('pixels', 'behind-the-end.jpg', plain + b'more', seen, 3, 'behind the picture', shared='photo')
expect('pixels', 'comment.jpg', jpeg(photo, quality=80, comment='hi'), seen, 3, 'a comment', shared='photo')
expect('pixels', 'stray.jpg', plain[:2] + b'\0\1\2' + plain[2:], seen, 3, 'between segments', shared='photo')
for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    exif[0x010E] = 'drawn'
    for kind, image in (('420', photo), ('grey', photo.convert('L'))):
        data = jpeg(image, quality=90, exif=exif)
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        expect('pixels', f'orientation-{o}-{kind}.jpg', data, turned, 3, '-')
    buffer = io.BytesIO()
    photo.save(buffer, 'PNG', exif=exif)
    expect('pixels', f'orientation-{o}.png', buffer.getvalue(), ImageOps.exif_transpose(Image.open(buffer)), 0, '-')
odd = Image.fromarray(scene(41, 27, 6))
exif[0x0112] = 3
data = jpeg(odd, quality=90, exif=exif)
expect('pixels', 'orientation-3-odd.jpg', data, ImageOps.exif_transpose(Image.open(io.BytesIO(data))), 3, '-')

refuse('cmyk.jpg', jpeg(photo.convert('CMYK')), 'CMYK')
for marker, part in ((0xC3, 'lossless'), (0xC5, 'hierarchical'), (0xC9, 'arithmetic'), (0xCA, 'arithmetic'),
                     (0xCB, 'lossless JPEG file with arithmetic'), (0xCD, 'hierarchical'), (0xF7, 'JPEG-LS')):
    refuse(f'sof-{marker:02x}.jpg', own_jpeg(ycc, [(1, 1)] * 3, sof=marker), part)
at = plain.index(b'\xff\xc0')
refuse('12-bits.jpg', plain[:at + 4] + b'\x0c' + plain[at + 5:], '12 bits')
refuse('no-height.jpg', plain[:at + 5] + b'\0\0' + plain[at + 7:], 'height behind')
refuse('cut.jpg', plain[:len(plain) * 2 // 3], 'too early')
refuse('cut-with-end.jpg', plain[:len(plain) * 2 // 3] + b'\xff\xd9', 'too early')
slow = jpeg(photo, quality=80, progressive=True)
last_scan = slow.rindex(b'\xff\xda')
refuse('cut-between-scans.jpg', slow[:last_scan], 'too early')
put('coarse.jpg', slow[:last_scan] + b'\xff\xd9')
expect('pixels', 'coarse.jpg', slow[:last_scan] + b'\xff\xd9', Image.open(f'{out}/coarse.jpg').convert('RGB'), 12,
       'finest scans')

# PNG ----------------------------------------------------------------------------------------------------------------

W = H = 32
y, x = np.mgrid[:H, :W]
grad = np.asarray(x * 8, np.uint8)
colour = np.stack([x * 8, y * 8, 0 * x + 128], -1).astype(np.uint8)
palette = np.array([[i * 16, 255 - i * 16, 100] for i in range(16)], np.uint8)
indexed = palette[x % 16]
as_rows = lambda a: b''.join(b'\0' + bytes(row) for row in a.reshape(a.shape[0], -1))
grey_rows, colour_rows = as_rows(grad), as_rows(colour)
index_rows = as_rows((x[:, ::2] % 16 << 4 | (x[:, ::2] + 1) % 16).astype(np.uint8))
rgba_rows = as_rows(np.dstack([colour, np.full((H, W), 255, np.uint8)]))
z = zlib.compress


def chunk(kind, data, crc=None):
    kind = kind.encode()
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data) if crc is None else crc)


def header(depth, kind, w=W, h=H, interlace=0):
    return b'\x89PNG\r\n\x1a\n' + chunk('IHDR', struct.pack('>IIBBBBB', w, h, depth, kind, 0, 0, interlace))


def interlaced(a):
    passes = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    return chunk('IDAT', z(b''.join(as_rows(a[y0::dy, x0::dx]) for x0, y0, dx, dy in passes)))


END = chunk('IEND', b'')
G, C, P, A = header(8, 0), header(8, 2), header(4, 3), header(8, 6)
PLTE = chunk('PLTE', palette.tobytes())
IG, IC, IP, IA = (chunk('IDAT', z(r)) for r in (grey_rows, colour_rows, index_rows, rgba_rows))
grey_image, colour_image, palette_image = Image.fromarray(grad), Image.fromarray(colour), Image.fromarray(indexed)
clear = lambda alpha, image: Image.merge('RGBA', [*image.split(), Image.fromarray(alpha)])
opaque = clear(np.full((H, W), 255, np.uint8), palette_image)
black15 = Image.fromarray(np.where((x % 16 == 15)[..., None], 0, indexed).astype(np.uint8))
half = clear(np.where(x % 16 < 8, 40, 255).astype(np.uint8), palette_image)
key = Image.merge('LA', [grey_image, Image.fromarray(np.where(grad == 8, 0, 255).astype(np.uint8))])
for name, image, warning, *parts in (
        ('plain', grey_image, '-', G, IG, END),
        ('interlaced-grey', grey_image, '-', header(8, 0, interlace=1), interlaced(grad), END),
        ('interlaced-rgb', colour_image, '-', header(8, 2, interlace=1), interlaced(colour), END),
        ('interlaced-rgba', Image.fromarray(np.dstack([colour, grad])), '-', header(8, 6, interlace=1),
         interlaced(np.dstack([colour, grad])), END),
        ('palette-256-of-16', palette_image, 'PLTE should not', P, chunk('PLTE', palette.tobytes() + bytes(720)), IP, END),
        ('palette-short', black15, 'beyond the palette', P, chunk('PLTE', palette[:15].tobytes()), IP, END),
        ('palette-in-grey', grey_image, 'PLTE is out of place', G, PLTE, IG, END),
        ('palette-in-rgb', colour_image, '-', C, PLTE, IC, END),
        ('trns-half', half, '-', P, PLTE, chunk('tRNS', bytes([40] * 8)), IP, END),
        ('trns-long', opaque, 'tRNS should not', P, PLTE, chunk('tRNS', bytes([255] * 256)), IP, END),
        ('trns-early', half, 'tRNS is out of place', P, chunk('tRNS', bytes([40] * 8)), PLTE, IP, END),
        ('trns-late', grey_image, 'tRNS is out of place', G, IG, chunk('tRNS', b'\0\x08'), END),
        ('trns-twice', key, 'tRNS occurs again', G, chunk('tRNS', b'\0\x08'), chunk('tRNS', b'\0\x10'), IG, END),
        ('trns-empty', palette_image, 'tRNS should not', P, PLTE, chunk('tRNS', b''), IP, END),
        ('trns-in-rgba', clear(np.full((H, W), 255, np.uint8), colour_image), 'tRNS is out of place',
         A, chunk('tRNS', bytes(6)), IA, END),
        ('crc-of-text', grey_image, 'wrong checksum in PNG chunk tEXt', G, chunk('tEXt', b'Comment\0hi', 0), IG, END),
        ('crc-of-late-text', grey_image, 'wrong checksum', G, IG, chunk('tEXt', b'Comment\0hi', 0), END),
        ('end-with-data', grey_image, 'IEND should not', G, IG, chunk('IEND', b'x')),
        ('behind-the-end', grey_image, 'behind the picture', G, IG, END, b'trailing'),
        ('row-too-many', grey_image, 'behind the last row', G, chunk('IDAT', z(grey_rows + bytes(33))), END),
        ('bytes-behind-stream', grey_image, '-', G, chunk('IDAT', z(grey_rows) + bytes(10)), END),
        ('idat-of-bytes', grey_image, '-', G, *[chunk('IDAT', bytes([b])) for b in z(grey_rows)], END),
        ('private', grey_image, 'prVt is not kept', G, chunk('prVt', b'1'), IG, END),
        ('animation', grey_image, 'of 3 frames', G, chunk('acTL', struct.pack('>II', 3, 0)), IG, END),
        ('profile-damaged', grey_image, 'ICC profile is damaged', G, chunk('iCCP', b'a\0\0nonsense'), IG, END)):
    expect('pixels', f'{name}.png', b''.join(parts), image, 0, warning)
for name, part, *parts in (
        ('crc-of-data', 'wrong checksum', G, chunk('IDAT', z(grey_rows), 0), END),
        ('no-end', 'too early', G, IG),
        ('row-too-few', 'fewer', G, chunk('IDAT', z(grey_rows[:-33])), END),
        ('adler-wrong', 'Adler', G, chunk('IDAT', z(grey_rows)[:-4] + bytes(4)), END),
        ('adler-missing', 'too early', G, chunk('IDAT', z(grey_rows)[:-4]), END),
        ('critical', 'CgBI', G, chunk('CgBI', b'1'), IG, END),
        ('filter-5', 'filter 5', G, chunk('IDAT', z(b'\5' + grey_rows[1:])), END),
        ('no-palette', 'no palette', P, IP, END),
        ('width-0', '0x32', header(8, 0, w=0), IG, END),
        ('huge', 'limit of 33554432', header(8, 2, 16384, 16384), IC, END)):
    refuse(f'{name}.png', b''.join(parts), part)

# PNM ----------------------------------------------------------------------------------------------------------------

small = np.asarray((x[:16, :16] * 16 + y[:16, :16]) & 255, np.uint8)
small_rgb = np.stack([x[:16, :16] * 16, y[:16, :16] * 16, 0 * x[:16, :16] + 100], -1).astype(np.uint8)
grey_small, rgb_small = Image.fromarray(small), Image.fromarray(small_rgb)
S, T = small.tobytes(), small_rgb.tobytes()
half_alpha = np.where(small_rgb[..., 0] > 99, 77, 255).astype(np.uint8)
tens = Image.fromarray(np.full((16, 16), 10, np.uint8))
pam = lambda depth, kind, data, most=255: (
    f'P7\n# made\nWIDTH 16\nHEIGHT 16\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE {kind}\nENDHDR\n'.encode() + data)
for name, image, warning, data in (
        ('plain.pgm', grey_small, '-', b'P5\n16 16\n255\n' + S),
        ('crlf.pgm', grey_small, 'CR LF', b'P5\r\n16 16\r\n255\r\n' + S),
        ('crlf.ppm', rgb_small, 'CR LF', b'P6\r\n16 16\r\n255\r\n' + T),
        ('cr.pgm', grey_small, '-', b'P5\r16 16\r255\r' + S),
        ('cr-then-tens.pgm', tens, '-', b'P5\r16 16\r255\r' + b'\n' * 256),
        ('lf-cr-lf-pixels.pgm', tens, 'behind the picture', b'P5\n16 16\n255\r' + b'\n' * 257),
        ('hash-pixels.pgm', Image.fromarray(np.full((16, 16), 35, np.uint8)), '-', b'P5\n16 16\n255\n' + b'#' * 256),
        ('comments.pgm', grey_small, '-', b'P5\n# a\n16#w\n 16 #h\n255 ' + S),
        ('two.pgm', grey_small, 'first of several', (b'P5\n16 16\n255\n' + S) * 2),
        ('more.pgm', grey_small, '3 bytes behind', b'P5\n16 16\n255\n' + S + b'xyz'),
        ('16-bits.ppm', rgb_small, '16 bits are rounded', b'P6\n16 16\n65535\n' + b''.join(bytes([v, v]) for v in T)),
        ('10-bits.pgm', grey_small, '10 bits are rounded', b'P5\n16 16\n1023\n' + b''.join(
            struct.pack('>H', (v * 1023 + 127) // 255) for v in S)),
        ('grey.pam', grey_small, '-', pam(1, 'GRAYSCALE', S)),
        ('rgb.pam', rgb_small, '-', pam(3, 'RGB', T)),
        ('black-and-white.pam', Image.fromarray((small & 1) * 255), '-', pam(1, 'BLACKANDWHITE', bytes(small & 1), 1)),
        ('rgba.pam', Image.fromarray(np.dstack([small_rgb, half_alpha])), '-',
         pam(4, 'RGB_ALPHA', np.dstack([small_rgb, half_alpha]).tobytes())),
        ('grey-alpha.pam', Image.fromarray(np.dstack([small, half_alpha])), '-',
         pam(2, 'GRAYSCALE_ALPHA', np.dstack([small, half_alpha]).tobytes()))):
    expect('pixels', name, data, image, 0, warning)
for name, part, data in (
        ('cut.pgm', 'too early', b'P5\n16 16\n255\n' + S[:-1]), ('cmyk.pam', 'CMYK', pam(4, 'CMYK', bytes(1024))),
        ('depth.pam', '2 samples', pam(2, 'RGB', bytes(512))), ('over.pgm', 'above', b'P5\n16 16\n254\n' + S),
        ('float.pfm', 'PFM', b'Pf\n16 16\n-1.0\n' + bytes(1024)), ('blank-first.pgm', 'not a PNG', b'\nP5\n16 16\n255\n' + S)):
    refuse(name, data, part)

# BMP ----------------------------------------------------------------------------------------------------------------

few = photo.crop((0, 0, 21, 17))


def bmp(image):
    buffer = io.BytesIO()
    image.save(buffer, 'BMP')
    return buffer.getvalue()


for name, image in (('24', few), ('8', few.quantize(100)), ('grey', few.convert('L')), ('1', few.convert('1'))):
    expect('pixels', f'bits-{name}.bmp', bmp(image), image.convert('RGB'), 0, '-')
v4 = np.dstack([np.asarray(few)[::-1, :, ::-1], np.asarray(few)[::-1, :, 1]])
masks = struct.pack('<IiiHHIIiiII4I', 108, 21, 17, 1, 32, 3, 0, 0, 0, 0, 0, 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
alpha = Image.merge('RGBA', [*few.split(), few.split()[1]])
expect('pixels', 'bits-32-alpha.bmp', b'BM' + struct.pack('<IHHI', 0, 0, 0, 122) + masks + v4.tobytes(), alpha, 0, '-')
refuse('rle.bmp', bmp(few.convert('L'))[:30] + b'\1\0\0\0' + bmp(few.convert('L'))[34:], 'run-length')
refuse('cut.bmp', bmp(few)[:-5], 'too early')

# Other formats and Y4M ------------------------------------------------------------------------------------------------

for name, form, part in (('a.gif', 'GIF', 'GIF'), ('a.webp', 'WEBP', 'WebP'), ('a.tif', 'TIFF', 'TIFF')):
    buffer = io.BytesIO()
    few.crop((0, 0, 4, 4)).save(buffer, form)
    refuse(name, buffer.getvalue(), part)
refuse('empty', b'', 'empty')
y4m = lambda head, data: f'YUV4MPEG2 W6 H4 F25:1 Ip A1:1 {head}\nFRAME\n'.encode() + data
ramp = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
expect('pixels', 'mono.y4m', y4m('Cmono', ramp.tobytes()), Image.fromarray(ramp), 0, '-')
full = Image.fromarray(np.dstack([ramp] * 3))
neutral = bytes([128] * 12)
expect('pixels', 'full.y4m', y4m('C420jpeg XCOLORRANGE=FULL', ramp.tobytes() + neutral), full, 0, '-')
limited = np.clip(np.rint((ramp.astype(float) - 16) * 255 / 219), 0, 255).astype(np.uint8)
expect('pixels', 'limited.y4m', y4m('C420mpeg2', ramp.tobytes() + neutral), Image.fromarray(np.dstack([limited] * 3)), 0, '-')
expect('pixels', '444.y4m', y4m('C444 XCOLORRANGE=FULL', ramp.tobytes() + bytes([128] * 48)), full, 0, 'averaged to 4:2:0')
expect('pixels', 'two.y4m', y4m('C420jpeg XCOLORRANGE=FULL', (ramp.tobytes() + neutral + b'FRAME\n')[:-6] + b'FRAME\n' + ramp.tobytes() + neutral),
       full, 0, 'first frame')
for name, head, part in (('10-bits', 'C420p10', 'more than 8 bits'), ('422', 'C422', '4:2:2'), ('411', 'C411', '4:1:1')):
    refuse(f'{name}.y4m', y4m(head, bytes(100)), part)
refuse('interlaced.y4m', y4m('C420jpeg', bytes(36)).replace(b'Ip', b'It'), 'interlaced')
refuse('cut.y4m', y4m('C420jpeg', bytes(35)), 'too early')

with open(f'{out}/list.txt', 'w') as f:
    f.write('# Made by scripts/make_unusual_files.py.\n' + '\n'.join(lines) + '\n')
print(len(lines), 'files')

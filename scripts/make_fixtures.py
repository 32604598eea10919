#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws the pictures of Fixtures/pictures: python3 make_fixtures.py DIRECTORY (needs NumPy alone).

Everything is computed here, from fixed seeds: no picture, font or texture from elsewhere is in them.
"""
import struct
import sys
import zlib
from pathlib import Path

import numpy as np


# ---- PNG ------------------------------------------------------------------------------------------------------------

def write_png(path, picture):
    """picture is u8 [height, width] or [height, width, 3]. Every row takes the filter of the smallest absolute sum."""
    step = 1 if picture.ndim == 2 else 3
    rows = picture.reshape(len(picture), -1).astype(int)
    above = np.zeros_like(rows[0])
    data = bytearray()
    for row in rows:
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        p = left + above - corner
        a, b, c = abs(p - left), abs(p - above), abs(p - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        lines = [(row - guess) % 256 for guess in (0 * row, left, above, (left + above) // 2, paeth)]
        best = min(range(5), key=lambda i: np.minimum(lines[i], 256 - lines[i]).sum())
        data += bytes([best]) + lines[best].astype(np.uint8).tobytes()
        above = row

    def chunk(tag, body):
        return struct.pack('>I', len(body)) + tag + body + struct.pack('>I', zlib.crc32(tag + body))

    header = struct.pack('>IIBBBBB', picture.shape[1], picture.shape[0], 8, 0 if picture.ndim == 2 else 2, 0, 0, 0)
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(bytes(data), 9)) +
                     chunk(b'IEND', b''))


def to_bytes(x):
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


# ---- Parts ----------------------------------------------------------------------------------------------------------

def lattice(rng, x, y):
    """Smooth random values in [0, 1) at real coordinates, one a unit square."""
    table = rng.random((64, 64))
    ix, iy = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    at = lambda dx, dy: table[(iy + dy) % 64, (ix + dx) % 64]
    top = at(0, 0) * (1 - fx) + at(1, 0) * fx
    return top * (1 - fy) + (at(0, 1) * (1 - fx) + at(1, 1) * fx) * fy


def turbulence(rng, x, y, octaves):
    return sum(lattice(rng, x * 2 ** i, y * 2 ** i) / 2 ** (i + 1) for i in range(octaves))


def grid(width, height):
    y, x = np.mgrid[:height, :width].astype(float)
    return x, y


def mix(a, b, t):
    return a + (b - a) * t[..., None]


# 5 × 7 letters, a hexadecimal number of five bits for each row.
LETTERS = {
    'A': '0E11111F111111', 'B': '1E11111E11111E', 'C': '0E11101010110E', 'D': '1E11111111111E', 'E': '1F10101E10101F',
    'F': '1F10101E101010', 'G': '0E11101713110F', 'H': '1111111F111111', 'I': '0E04040404040E', 'J': '0702020202120C',
    'K': '11121418141211', 'L': '1010101010101F', 'M': '111B1515111111', 'N': '11111915131111', 'O': '0E11111111110E',
    'P': '1E11111E101010', 'Q': '0E11111115120D', 'R': '1E11111E141211', 'S': '0F10100E01011E', 'T': '1F040404040404',
    'U': '1111111111110E', 'V': '11111111110A04', 'W': '1111111515150A', 'X': '11110A040A1111', 'Y': '1111110A040404',
    'Z': '1F01020408101F', '0': '0E11131519110E', '1': '040C040404040E', '2': '0E11010204081F', '3': '1F02040201110E',
    '4': '02060A121F0202', '5': '1F101E0101110E', '6': '0608101E11110E', '7': '1F010204080808', '8': '0E11110E11110E',
    '9': '0E11110F01020C', '.': '00000000000C0C', ',': '000000000C0408', '-': '0000001F000000',
}


def write_text(picture, text, x, y, scale, colour):
    for letter in text:
        bits = LETTERS.get(letter, '00' * 7)
        glyph = np.array([[int(bits[2 * r:2 * r + 2], 16) >> (4 - c) & 1 for c in range(5)] for r in range(7)], bool)
        glyph = np.kron(glyph, np.ones((scale, scale), bool))
        h, w = picture[y:y + 7 * scale, x:x + 5 * scale].shape[:2]
        picture[y:y + 7 * scale, x:x + 5 * scale][glyph[:h, :w]] = colour
        x += 6 * scale


# ---- Pictures -------------------------------------------------------------------------------------------------------

def scene(width, height, seed):
    """Spheres on a sandy ground before hills, ray-traced with an area light, a lens and sensor noise."""
    rng = np.random.default_rng(seed)
    spheres = [((-1.15, 0.75, 4.6), 0.75, (0.72, 0.2, 0.14), 0.12), ((0.35, 0.5, 3.6), 0.5, (0.2, 0.36, 0.62), 0.25),
               ((1.5, 0.95, 5.6), 0.95, (0.82, 0.74, 0.56), 0.05), ((-0.35, 0.24, 3.0), 0.24, (0.24, 0.48, 0.2), 0.1)]
    light = np.array([-4.0, 6.0, -1.0])
    samples = 9
    total = np.zeros((height, width, 3))
    sand, hills = [np.random.default_rng(seed + i) for i in (1, 2)]
    sand_state, hill_state = sand.bit_generator.state, hills.bit_generator.state

    def background(d):
        up = np.clip(d[..., 1] * 1.6, 0, 1)
        sky = mix(np.array([0.86, 0.88, 0.9]), np.array([0.33, 0.53, 0.8]), up)
        hills.bit_generator.state = hill_state
        angle = np.arctan2(d[..., 0], d[..., 2])
        for i, (base, colour) in enumerate([(0.17, (0.56, 0.62, 0.68)), (0.08, (0.33, 0.42, 0.36))]):
            ridge = base + 0.13 * (turbulence(hills, 3 * angle + 9, angle * 0 + i + 0.5, 6) - 0.5)
            shade = 0.8 + 0.4 * turbulence(hills, 14 * angle + 30, 30 * d[..., 1] + 8, 4)
            edge = np.clip((ridge - d[..., 1]) * 160, 0, 1)
            sky = mix(sky, np.array(colour) * shade[..., None], edge)
        return sky

    def hit(o, d):
        """Nearest sphere along the ray: distance (inf for none) and its number."""
        best, index = np.full(d.shape[:-1], np.inf), np.full(d.shape[:-1], -1)
        for i, (centre, radius, _, _) in enumerate(spheres):
            oc = o - np.array(centre)
            b, c = (oc * d).sum(-1), (oc * oc).sum(-1) - radius ** 2
            disc = b * b - c
            t = -b - np.sqrt(np.maximum(disc, 0))
            found = (disc > 0) & (t > 1e-3) & (t < best)
            best, index = np.where(found, t, best), np.where(found, i, index)
        return best, index

    def shade(o, d, depth):
        t, index = hit(o, d)
        ground = np.where(d[..., 1] < -1e-4, -o[..., 1] / np.minimum(d[..., 1], -1e-4), np.inf)
        on_ground = ground < t
        t = np.minimum(t, ground)
        seen = np.isfinite(t)
        p = o + d * np.where(seen, t, 0)[..., None]
        normal, colour, mirror = np.zeros_like(d), np.zeros_like(d), np.zeros(d.shape[:-1])
        sand.bit_generator.state = sand_state
        px, pz = np.clip(p[..., 0], -500, 500), np.clip(p[..., 2], -500, 500)
        grain = turbulence(sand, px * 3 + 40, pz * 3 + 40, 5)
        ripple = 0.5 + 0.5 * np.sin(9 * pz + 5 * turbulence(sand, px + 70, pz + 70, 3))
        colour[:] = mix(np.array([0.56, 0.46, 0.33]), np.array([0.79, 0.7, 0.54]), np.clip(0.7 * grain + 0.35 * ripple, 0, 1))
        normal[..., 1] = 1
        for i, (centre, radius, albedo, reflect) in enumerate(spheres):
            mask = (index == i) & ~on_ground
            n = (p - np.array(centre)) / radius
            marble = turbulence(sand, n[..., 0] * 3 + n[..., 2] + 20, n[..., 1] * 5 + 20, 5)
            colour = np.where(mask[..., None], np.array(albedo) * (0.75 + 0.5 * marble)[..., None], colour)
            normal = np.where(mask[..., None], n, normal)
            mirror = np.where(mask, reflect, mirror)
        sample_light = light + rng.normal(0, 0.35, d.shape)
        to_light = sample_light - p
        to_light /= np.linalg.norm(to_light, axis=-1, keepdims=True)
        blocked, _ = hit(p + 1e-3 * normal, to_light)
        diffuse = np.clip((normal * to_light).sum(-1), 0, 1) * ~np.isfinite(blocked)
        lit = colour * (0.24 + 0.2 * normal[..., 1] + 0.85 * diffuse)[..., None]
        bounce = d - 2 * (d * normal).sum(-1, keepdims=True) * normal
        if depth:
            lit = mix(lit, shade(p + 2e-3 * normal, bounce, depth - 1), mirror)
            gloss = np.clip((bounce * to_light).sum(-1), 0, 1) ** 60 * (mirror > 0) * (diffuse > 0)
            lit += 0.6 * gloss[..., None]
        far = 1 - np.exp(-np.where(seen, t, 0) / 60)
        return np.where(seen[..., None], mix(lit, np.array([0.8, 0.83, 0.85]), far), background(d))

    for _ in range(samples):
        x, y = grid(width, height)
        x, y = x + rng.random(x.shape), y + rng.random(y.shape)
        d = np.stack([(x - width / 2) / height, 0.47 - y / height, np.full_like(x, 1.15)], -1)
        d /= np.linalg.norm(d, axis=-1, keepdims=True)
        total += shade(np.broadcast_to(np.array([0, 0.95, -0.2]), d.shape), d, 1)
    linear = total / samples
    x, y = grid(width, height)
    linear *= (1 - 0.35 * (((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)))[..., None]
    linear += rng.normal(0, 0.006, linear.shape) * np.sqrt(np.clip(linear, 0.02, 1))
    return to_bytes(np.clip(linear, 0, 1) ** (1 / 1.25))


def gradient(width, height):
    x, y = grid(width, height)
    u, v = x / max(1, width - 1), y / max(1, height - 1)
    return to_bytes(np.stack([u, v, 0.5 + 0.5 * np.cos(6.3 * np.hypot(u - 0.5, v - 0.5))], -1))


def weave(width, height):
    """A woven cloth with worn threads."""
    rng = np.random.default_rng(11)
    x, y = grid(width, height)
    over = (np.floor(x / 6) + np.floor(y / 6)) % 2 == 0
    thread = np.where(over, np.sin(np.pi * (x % 6 + 0.5) / 6), np.sin(np.pi * (y % 6 + 0.5) / 6))
    fibre = np.where(over, turbulence(rng, x, y / 5, 2), turbulence(rng, x / 5, y, 2))
    tone = (0.35 + 0.5 * thread) * (0.75 + 0.4 * fibre)
    colour = np.where(over[..., None], np.array([0.75, 0.5, 0.3]), np.array([0.3, 0.45, 0.6]))
    return to_bytes(colour * tone[..., None] + 0.05 * turbulence(rng, x / 40, y / 40, 3)[..., None])


def page(width, height):
    """A printed page."""
    picture = np.full((height, width), 244, np.uint8)
    write_text(picture, 'INTEGER CODEC', 10, 8, 2, 20)
    lines = ['EVERY MACHINE DECODES THE SAME', 'BYTES, IN STRIPES, WITHOUT A', 'FLOAT. 0123456789 - 3.14159,',
             '2.71828. THE QUICK BROWN FOX', 'JUMPS OVER THE LAZY DOG, AND', 'PACKS MY BOX WITH FIVE DOZEN', 'LIQUOR JUGS.']
    for i, line in enumerate(lines):
        write_text(picture, line, 10, 32 + 11 * i, 1, 40)
    picture[height - 9:height - 7, 10:width - 10] = 120
    return picture


def blobs(width, height):
    """Flat colours with sharp edges."""
    rng = np.random.default_rng(5)
    x, y = grid(width, height)
    value = turbulence(rng, x / 9 + 3, y / 9 + 3, 3)
    colours = np.array([[24, 32, 80], [200, 40, 40], [250, 220, 60], [40, 160, 90], [250, 250, 250]], np.uint8)
    return colours[np.clip(((value - 0.2) * 8).astype(int), 0, 4)]


def noise(width, height, channels=3):
    rng = np.random.default_rng(width * 1000 + height)
    picture = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
    return picture if channels == 3 else picture[..., 0]


def grey(picture):
    return (picture.astype(int) @ np.array([77, 150, 29]) + 128 >> 8).astype(np.uint8)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    pictures = {
        'scene': scene(208, 144, 3), 'scene-grey': grey(scene(121, 90, 8)), 'weave': weave(127, 61), 'page': page(200, 118),
        'gradient': gradient(160, 96), 'blobs': blobs(65, 64), 'noise-17x33': noise(17, 33), 'gradient-33x17-grey': grey(gradient(33, 17)),
        'noise-1x1': noise(1, 1), 'noise-1x1-grey': noise(1, 1, 1), 'noise-3x2': noise(3, 2), 'noise-2x3-grey': noise(2, 3, 1),
        'gradient-1x70': gradient(1, 70), 'gradient-70x1': gradient(70, 1), 'black-16x16': np.zeros((16, 16, 3), np.uint8),
        'white-15x31-grey': np.full((31, 15), 255, np.uint8),
    }
    for name, picture in pictures.items():
        path = out / f'{name}.png'
        write_png(path, picture)
        print(f'{path.name}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size} bytes')


if __name__ == '__main__':
    main()

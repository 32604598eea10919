# SPDX-License-Identifier: BSD-3-Clause
"""Renders pictures of screens to train and test on: web pages, editors, terminals, tables, diagrams, drawn by Chromium.

python render_screens.py OUT --count 160 --seed 1 --photos DIR
python render_screens.py OUT --count 40 --seed 2 --held-out --photos OTHER

Picture i depends on the seed, on i, on --held-out, on the files of --photos and --code and on what is installed, and on nothing else. Held-out pictures have words, fonts and kinds of pages of
their own, mixed with those of training. Fonts and icons are Debian's; what is not there is replaced by what is:

    apt-get install chromium graphviz tango-icon-theme papirus-icon-theme adwaita-icon-theme fonts-dejavu fonts-liberation fonts-noto-core fonts-firacode \
        fonts-roboto-unhinted fonts-lato fonts-open-sans fonts-hack fonts-cantarell fonts-inconsolata fonts-jetbrains-mono fonts-wqy-zenhei \
        fonts-crosextra-carlito fonts-crosextra-caladea fonts-ebgaramond fonts-quicksand fonts-comic-neue
"""
import argparse
import colorsys
import html
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SIZES = [(1024, 768), (1152, 864), (1280, 720), (1280, 1024), (1366, 768), (1440, 900), (1600, 900), (1680, 1050), (1920, 1080)]
SCALES = [1, 1, 1, 1, 1.25, 1.5, 2]
SANS = ['DejaVu Sans', 'Liberation Sans', 'Roboto', 'Noto Sans', 'Cantarell', 'Carlito', 'Roboto Condensed', 'WenQuanYi Zen Hei', 'Quicksand']
SERIF = ['DejaVu Serif', 'Liberation Serif', 'Caladea']
MONO = ['DejaVu Sans Mono', 'Liberation Mono', 'Fira Code', 'Hack', 'WenQuanYi Zen Hei Mono']
HELD_OUT_SANS, HELD_OUT_SERIF, HELD_OUT_MONO = ['Open Sans', 'Lato', 'Comic Neue'], ['EB Garamond 12', 'Noto Serif'], ['JetBrains Mono', 'Inconsolata', 'Noto Mono']
WORDS = '''the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would
their we him been has when who will no more if out so up said what its about than into them can only other time new some could these two may first then do any
like my now over such our man me even most made after also did many off before must well back through years much where your way down should because long each
just state people those too mister how little good world make very year still see own work men day get here old life both between being under three never know
same last another while us might great go come since against right came take used himself few house American use place during high without again home around
small however found missus part school thought went say general once upon war every left got water number course until always away public something fact
picture rate layer window button search report account server release settings network update market price train station engine garden weather letter'''.split()
HELD_OUT_WORDS = '''der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am
sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei Prozent hatte kann gegen vom können schon wenn habe seine
Mark ihre dann unter wir soll ich eines Jahr zwei Jahren diese dieser wieder keine Uhr seiner worden will zwischen immer Millionen was sagte Straße Größe Übung
le la les et des en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec été déjà où façon être même'''.split()
OTHER_SCRIPTS = ['的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起',
                 'αβγδεζηθικλμνξοπρστυφχψω      ', 'абвгдежзийклмнопрстуфхцчшщыэюя      ']
NAMES = 'Ada Alan Barbara Claude Dennis Donald Edsger Frances Grace Hedy Ivan John Karen Leslie Margaret Niklaus Olga Peter Radia Sophie Tony Vera Whitfield'.split()
ICONS = [Path('/usr/share/icons') / name for name in ('Tango', 'Papirus', 'Adwaita')]
SMOOTHING = [('true', 'none', 'hintslight'), ('true', 'none', 'hintnone'), ('true', 'rgb', 'hintslight'), ('true', 'bgr', 'hintfull'), ('true', 'none', 'hintfull'),
             ('false', 'none', 'hintfull')]


class Page:
    """What one picture draws from: random numbers, words, fonts and colours, and a folder for what it embeds."""

    def __init__(self, rng, folder, held_out, photos, sources, icons):
        self.rng, self.folder, self.photos, self.sources, self.icons = rng, folder, photos, sources, icons
        self.words = HELD_OUT_WORDS if held_out else WORDS
        new = held_out and rng.random() < 0.7
        self.sans, self.serif, self.mono = (rng.choice(fonts) for fonts in ((HELD_OUT_SANS, HELD_OUT_SERIF, HELD_OUT_MONO) if new else (SANS, SERIF, MONO)))
        self.dark = rng.random() < 0.4
        self.size = rng.choice([11, 12, 13, 13, 14, 14, 15, 16, 18])
        hue = rng.random()
        self.accent = self.colour(hue, 0.45, 0.8)
        self.second = self.colour(hue + rng.choice([0.1, 0.33, 0.5]), 0.5, 0.7)
        tint = rng.choice([0, 0, 0.1, 0.25])
        light = [0.05, 0.11, 0.17, 0.27] if self.dark else [1, 0.965, 0.92, 0.82]
        self.back, self.panel, self.bar, self.line = (self.colour(hue, value, tint) for value in light)
        self.text, self.faint = (self.colour(hue, value, tint / 2) for value in ([0.9, 0.6] if self.dark else [rng.choice([0, 0.1, 0.2]), 0.45]))
        self.embedded = 0

    def colour(self, hue, light, saturation):
        return '#' + ''.join(f'{round(255 * value):02x}' for value in colorsys.hls_to_rgb(hue % 1, light, saturation))

    def any_colour(self):
        return self.colour(self.rng.random(), self.rng.uniform(0.3, 0.7), self.rng.uniform(0.4, 1))

    def phrase(self, least, most):
        return ' '.join(self.rng.choices(self.words, k=self.rng.randint(least, most))).capitalize()

    def sentence(self):
        text = self.phrase(5, 22)
        return text + (f' {self.rng.randint(1, 9999)}' if self.rng.random() < 0.1 else '') + self.rng.choice('....?!')

    def paragraph(self, least=2, most=7):
        """Sentences with links, bold and italic words, at times in another script."""
        parts = []
        for _ in range(self.rng.randint(least, most)):
            text, kind = self.sentence(), self.rng.random()
            if kind < 0.15:
                text += f' <a href="#">{self.phrase(1, 3)}</a>'
            elif kind < 0.2:
                text = f'<b>{text}</b>'
            elif kind < 0.25:
                text = f'<i>{text}</i>'
            elif kind < 0.28:
                text += ' ' + ''.join(self.rng.choices(self.rng.choice(OTHER_SCRIPTS), k=30))
            parts.append(text)
        return ' '.join(parts)

    def name(self):
        return f'{self.rng.choice(NAMES)} {self.rng.choice(self.words).capitalize()}'

    def number(self):
        return self.rng.choice([str(self.rng.randint(0, 99999)), f'{self.rng.uniform(-100, 1000):.2f}', f'{self.rng.uniform(0, 100):.1f} %', f'{self.rng.randint(1000, 99999):,}'])

    def photo(self, width, height, style=''):
        """An <img> of a part of a photograph, reduced as pages do; a gradient where there are none."""
        if not self.photos:
            return f'<div style="width:{width}px;height:{height}px;background:linear-gradient({self.rng.randint(0, 360)}deg,{self.any_colour()},{self.any_colour()});{style}"></div>'
        picture = Image.open(self.rng.choice(self.photos)).convert('RGB')
        scale = max(width / picture.width, height / picture.height)
        wide, high = math.ceil(width / max(scale, 0.05)), math.ceil(height / max(scale, 0.05))
        left, top = self.rng.randint(0, max(picture.width - wide, 0)), self.rng.randint(0, max(picture.height - high, 0))
        picture = picture.crop((left, top, min(left + wide, picture.width), min(top + high, picture.height))).resize((width, height), Image.LANCZOS)
        self.embedded += 1
        path = self.folder / f'{self.embedded}.png'
        if self.rng.random() < 0.5:
            path = path.with_suffix('.jpg')
            picture.save(path, quality=self.rng.randint(60, 95))
        else:
            picture.save(path)
        return f'<img src="{path.name}" width="{width}" height="{height}" style="{style}">'

    def icon(self, size):
        if not self.icons:
            return f'<span style="display:inline-block;width:{size}px;height:{size}px;background:{self.any_colour()}"></span>'
        return f'<img src="file://{self.rng.choice(self.icons)}" width="{size}" height="{size}" style="vertical-align:middle">'

    def code(self, count):
        """Lines of the source files, coloured as editors do, by the simplest rules."""
        lines = self.rng.choice(self.sources).read_text(errors='replace').splitlines() or ['']
        start = self.rng.randint(0, max(0, len(lines) - count))
        colours = [self.any_colour() for _ in range(3)]
        out = []
        for line in lines[start:start + count]:
            if line.lstrip().startswith(('//', '#', '*', '"""')):
                out.append(f'<span style="color:{self.faint};font-style:italic">{html.escape(line)}</span>')
                continue
            words = []
            for word in line.split(' '):
                bare = word.strip('(){}[]:;,.')
                escaped = html.escape(word)
                if bare in KEYWORDS:
                    words.append(f'<b style="color:{colours[0]}">{escaped}</b>')
                elif bare[:1] in '"\'' and bare or bare[:1].isdigit():
                    words.append(f'<span style="color:{colours[1]}">{escaped}</span>')
                elif '(' in word:
                    words.append(f'<span style="color:{colours[2]}">{escaped}</span>')
                else:
                    words.append(escaped)
            out.append(' '.join(words))
        return out


KEYWORDS = set('func let var if else for in while return struct enum case switch guard static import def class self int void const char public private throws try with as from not and or'.split())


def window(page, title, body, style=''):
    """A window with a title bar and buttons."""
    rng = page.rng
    buttons = rng.choice(['✕ ▢ –', '– ▢ ✕', '<span style="color:#f55">●</span> <span style="color:#fb3">●</span> <span style="color:#3c5">●</span>'])
    return (f'<div class="window" style="{style}"><div class="bar"><span>{page.icon(16)} {title}</span><span>{buttons}</span></div>'
            f'<div class="body">{body}</div></div>')


def article(page, width, height):
    side = ''.join(f'<li><a href="#">{page.phrase(1, 4)}</a></li>' for _ in range(page.rng.randint(8, 30)))
    font = page.rng.choice([page.sans, page.serif])
    box = f'<div class="panel" style="float:right;width:240px;margin:0 0 10px 14px">{page.photo(238, page.rng.randint(140, 260))}<small>{page.sentence()}</small></div>'
    text = ''.join(f'<h2>{page.phrase(1, 5)}</h2>' * (page.rng.random() < 0.35) + f'<p>{page.paragraph()}</p>' for _ in range(14))
    return (f'<div class="bar"><b>{page.icon(24)} {page.phrase(1, 3)}</b><span><input value="{page.phrase(1, 3)}"> <button>{page.phrase(1, 1)}</button></span></div>'
            f'<div style="display:flex"><ul style="width:{width // 5}px">{side}</ul><div style="flex:1;max-width:{page.rng.randint(600, 1000)}px;font-family:\'{font}\';line-height:{page.rng.uniform(1.2, 1.7):.2f}">'
            f'<h1>{page.phrase(2, 6)}</h1>{box}{text}</div></div>')


def editor(page, width, height):
    rng, count = page.rng, height // 14
    lines = page.code(count)
    first = rng.randint(1, 400)
    rows = ''.join(f'<div{" class=chosen" * (rng.random() < 0.02)}><span class="faint">{first + i:5d}  </span>{line or " "}</div>' for i, line in enumerate(lines))
    tree = ''.join(f'<div style="padding-left:{rng.randint(0, 3) * 14}px">{page.icon(16)} {rng.choice(page.sources).name}</div>' for _ in range(rng.randint(10, 45)))
    tabs = ''.join(f'<span class="tab">{rng.choice(page.sources).name} ✕</span>' for _ in range(rng.randint(2, 6)))
    spacing = rng.uniform(1.1, 1.6)
    return (f'<div class="bar">{" &nbsp; ".join(page.phrase(1, 1) for _ in range(8))}</div><div style="display:flex"><div class="panel" style="width:{rng.randint(160, 300)}px">{tree}</div>'
            f'<div style="flex:1;overflow:hidden"><div class="bar">{tabs}</div><pre style="line-height:{spacing:.2f}">{rows}</pre></div></div>'
            f'<div class="foot">{page.phrase(2, 4)} &nbsp; Ln {first}, Col {rng.randint(1, 99)} &nbsp; UTF-8</div>')


def terminal(page, width, height):
    rng = page.rng
    palette = [page.any_colour() for _ in range(6)]
    back, fore = rng.choice([('#000', '#ddd'), ('#300a24', '#fff'), ('#002b36', '#839496'), ('#fdf6e3', '#586e75'), ('#fff', '#000'), ('#000', '#0f0')])
    rows = []
    while len(rows) < height // 12:
        kind = rng.random()
        if kind < 0.2:
            rows.append(f'<b style="color:{palette[0]}">{rng.choice(NAMES).lower()}@{rng.choice(WORDS)}</b>:<b style="color:{palette[1]}">~/{rng.choice(WORDS)}</b>$ {rng.choice(WORDS)} -{rng.choice("abcdxvf")} {rng.choice(WORDS)}')
        elif kind < 0.4:
            rows += [f'-rw-r--r-- {rng.randint(1, 9)} {rng.choice(NAMES).lower():8s} users {rng.randint(0, 9999999):8d} Nov {rng.randint(1, 30):2d} 1{rng.randint(0, 9)}:{rng.randint(10, 59)} '
                     f'<span style="color:{rng.choice(palette)}">{rng.choice(page.sources).name}</span>' for _ in range(rng.randint(3, 15))]
        elif kind < 0.55:
            rows += [f'[{rng.uniform(0, 999):12.6f}] {rng.choice(WORDS)}: {page.phrase(3, 12)} 0x{rng.getrandbits(32):08x}' for _ in range(rng.randint(2, 12))]
        elif kind < 0.7:
            rows += [f'<span style="color:{"#3c3" if sign == "+" else "#e44" if sign == "-" else fore}">{sign}{line}</span>' for line in (html.escape(text) for text in rng.choice(page.sources).read_text(errors="replace").splitlines()[:12])
                     for sign in [rng.choice('+- ')]]
        elif kind < 0.8:
            rows += [f'{rng.choice(WORDS):12s} <span style="background:{rng.choice(palette)};color:{back}">{"█" * n}</span>{"░" * (30 - n)} {n * 100 // 30:3d}%' for n in [rng.randint(0, 30) for _ in range(rng.randint(1, 8))]]
        else:
            rows += [f'<b style="color:{rng.choice(palette)}">{rng.choice(["warning", "error", "note", "ok"])}</b>: {page.sentence()}' for _ in range(rng.randint(1, 4))]
    text = f'<pre style="margin:4px;line-height:{rng.uniform(1, 1.35):.2f}">' + '\n'.join(rows) + '</pre>'
    style = f'background:{back};color:{fore};width:{{}}px;height:{{}}px;position:absolute;left:{{}}px;top:{{}}px;overflow:hidden'
    if rng.random() < 0.5:
        return f'<div style="{style.format(width, height, 0, 0)}">{text}</div>'
    w, h = int(width * rng.uniform(0.5, 0.8)), int(height * rng.uniform(0.5, 0.8))
    return (page.photo(width, height, 'position:absolute;left:0;top:0') + window(page, page.phrase(1, 3), text, style.format(w, h, rng.randint(20, width - w), rng.randint(20, height - h))))


def spreadsheet(page, width, height):
    rng = page.rng
    columns = rng.randint(6, 16)
    kinds = [rng.choice(['text', 'number', 'number', 'date', 'bar']) for _ in range(columns)]
    def cell(kind):
        if rng.random() < 0.06:
            return f'<td style="background:{page.any_colour()}"></td>'
        if kind == 'text':
            return f'<td>{page.phrase(1, 2)}</td>'
        if kind == 'date':
            return f'<td>{rng.randint(1, 28):02d}.{rng.randint(1, 12):02d}.20{rng.randint(10, 26)}</td>'
        if kind == 'bar':
            return f'<td><div style="width:{rng.randint(1, 70)}px;height:9px;background:{page.accent}"></div></td>'
        value = page.number()
        return f'<td align="right" style="color:{"#d33" if value[0] == "-" else page.text}">{value}</td>'
    head = ''.join(f'<th>{chr(65 + i)}</th>' for i in range(columns))
    rows = ''.join(f'<tr><th>{i + 1}</th>{"".join(map(cell, kinds))}</tr>' for i in range(height // 18))
    tools = ' '.join(page.icon(rng.choice([16, 22])) for _ in range(rng.randint(10, 30)))
    return (f'<div class="bar">{" &nbsp; ".join(page.phrase(1, 1) for _ in range(9))}</div><div class="panel">{tools}</div>'
            f'<div class="panel"><b>fx</b> <input style="width:60%" value="=SUM(A1:B{rng.randint(2, 99)})"></div><table class="grid"><tr><th></th>{head}</tr>{rows}</table>')


def chat(page, width, height):
    rng = page.rng
    people = [(page.name(), page.photo(36, 36, 'border-radius:18px')) for _ in range(6)]
    rooms = ''.join(f'<div style="padding:4px;border-bottom:1px solid {page.line}"><b>{page.name()}</b> <small class="faint">{rng.randint(0, 23)}:{rng.randint(10, 59)}</small><br><small>{page.phrase(3, 5)}…</small></div>' for _ in range(20))
    messages = ''
    for _ in range(16):
        name, face = rng.choice(people)
        mine = rng.random() < 0.35
        inner = page.photo(rng.randint(160, 320), rng.randint(120, 240), 'border-radius:8px') if rng.random() < 0.15 else page.paragraph(1, 3) + rng.choice(['', '', ' 😀', ' 👍', ' →'])
        messages += (f'<div style="display:flex;margin:8px;{"flex-direction:row-reverse" if mine else ""}">{face}<div style="margin:0 8px;padding:7px 10px;max-width:55%;border-radius:{rng.choice([2, 10, 16])}px;'
                     f'background:{page.accent if mine else page.bar};color:{"#fff" if mine else page.text}"><b>{name}</b><br>{inner}</div></div>')
    return f'<div style="display:flex"><div class="panel" style="width:{rng.randint(180, 300)}px">{rooms}</div><div style="flex:1">{messages}</div></div>'


def shop(page, width, height):
    rng = page.rng
    wide = rng.randint(150, 300)
    cards = ''.join(f'<div class="panel" style="width:{wide}px;margin:6px;border-radius:{rng.choice([0, 6])}px">{page.photo(wide - 2, wide * 3 // 4)}<div style="padding:6px"><b>{page.phrase(2, 4)}</b><br>'
                    f'<span style="color:#f90">{"★" * rng.randint(1, 5)}</span> <small class="faint">({rng.randint(1, 999)})</small><br><span style="color:{page.accent};font-size:130%">{rng.randint(1, 999)}.99 €</span> '
                    f'<button>{page.phrase(1, 2)}</button></div></div>' for _ in range(min(40, (width // wide) * (height // (wide + 40) + 1))))
    return (f'<div class="bar" style="background:{page.accent};color:#fff"><b style="font-size:160%">{page.phrase(1, 2)}</b><input value="{page.phrase(1, 3)}"><span>{page.icon(24)} {page.name()}</span></div>'
            f'<h1>{page.phrase(2, 5)}</h1><div style="display:flex;flex-wrap:wrap">{cards}</div>')


def chart(page, width, height):
    """A chart with axes as SVG: lines, bars, points or parts of a circle."""
    rng = page.rng
    colours = [page.any_colour() for _ in range(5)]
    out = ''.join(f'<line x1="40" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="{page.line}"/><text x="34" y="{y + 4:.1f}" text-anchor="end">{n * 20}</text>'
                  for n in range(6) for y in [height - 24 - n * (height - 50) / 5])
    kind = rng.choice(['lines', 'bars', 'points', 'pie', 'area'])
    if kind == 'pie':
        out, turn, r = '', 0, min(width, height) / 2 - 16
        for colour in colours:
            part = rng.uniform(0.3, 1.3)
            a, b = turn, turn + part
            out += (f'<path d="M{width / 2:.1f} {height / 2:.1f}L{width / 2 + r * math.cos(a):.1f} {height / 2 + r * math.sin(a):.1f}A{r:.1f} {r:.1f} 0 0 1 {width / 2 + r * math.cos(b):.1f} {height / 2 + r * math.sin(b):.1f}Z" '
                    f'fill="{colour}" stroke="{page.panel}"/>')
            turn = b
    else:
        count = rng.randint(6, 40)
        for colour in colours[:rng.randint(1, 4)]:
            value, values = rng.uniform(0.2, 0.8), []
            for _ in range(count):
                value = min(max(value + rng.gauss(0, 0.1), 0.02), 1)
                values.append(value)
            points = [(44 + i * (width - 56) / count, height - 24 - v * (height - 50)) for i, v in enumerate(values)]
            if kind == 'bars':
                w = (width - 56) / count * rng.uniform(0.3, 0.9)
                out += ''.join(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{height - 24 - y:.1f}" fill="{colour}"/>' for x, y in points)
                break
            if kind == 'points':
                out += ''.join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{rng.uniform(2, 4):.1f}" fill="{colour}" fill-opacity="0.7"/>' for x, y in points)
                continue
            path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
            area = f'{path} {points[-1][0]:.1f},{height - 24} 44,{height - 24}'
            out += (f'<polygon points="{area}" fill="{colour}" fill-opacity="0.35"/>' if kind == 'area' else '') + f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{rng.choice([1, 1.5, 2])}"/>'
    return f'<svg width="{width}" height="{height}" font-size="11" fill="{page.text}"><text x="8" y="14" font-weight="bold">{page.phrase(2, 4)}</text>{out}</svg>'


def dashboard(page, width, height):
    rng = page.rng
    columns = rng.randint(2, 4)
    wide = (width - 20 * columns) // columns
    tiles = ''.join(f'<div class="panel" style="margin:5px;padding:4px">{chart(page, wide, rng.randint(160, 280))}</div>' for _ in range(columns * 4))
    figures = ''.join(f'<div class="panel" style="margin:5px;padding:10px;flex:1"><small class="faint">{page.phrase(1, 2)}</small><br><b style="font-size:200%;color:{rng.choice([page.accent, page.text])}">{page.number()}</b></div>' for _ in range(5))
    return f'<div class="bar"><b>{page.phrase(1, 3)}</b><span>{page.name()}</span></div><div style="display:flex">{figures}</div><div style="display:flex;flex-wrap:wrap">{tiles}</div>'


def diagram(page, width, height):
    """A graph laid out by Graphviz, where that is installed; charts otherwise."""
    rng = page.rng
    if not shutil.which('dot'):
        return dashboard(page, width, height)
    nodes = rng.randint(10, 40)
    text = 'digraph {' + f'rankdir={rng.choice(["TB", "LR"])};node [fontname="{page.sans}",fontsize={rng.randint(10, 18)},shape={rng.choice(["box", "ellipse", "record", "diamond"])},style="filled"];'
    text += ''.join(f'n{i} [label="{page.phrase(1, 3)}",fillcolor="{page.colour(rng.random(), 0.85, 0.8)}"];' for i in range(nodes))
    text += ''.join(f'n{rng.randrange(max(i, 1))} -> n{i} [color="{rng.choice(["black", page.accent])}"{rng.choice(["", ",style=dashed"])}];' for i in range(1, nodes))
    text += ''.join(f'n{rng.randrange(nodes)} -> n{rng.randrange(nodes)} [label="{page.phrase(1, 2)}",fontname="{page.sans}",fontsize=10];' for _ in range(nodes // 3)) + '}'
    drawn = subprocess.run(['dot', '-Tsvg', '-Gbgcolor=white'], input=text, capture_output=True, text=True, check=True).stdout
    (page.folder / 'graph.svg').write_text(drawn)
    return f'<div class="bar">{page.phrase(1, 3)} {" ".join(page.icon(22) for _ in range(12))}</div><div style="background:#fff"><img src="graph.svg" style="width:{rng.choice(["auto", "100%"])}"></div>'


def files(page, width, height):
    rng = page.rng
    size = rng.choice([32, 48, 48, 64, 96])
    items = ''.join(f'<div style="width:{size + 60}px;text-align:center;margin:6px;overflow:hidden">{page.icon(size) if rng.random() < 0.8 or not page.photos else page.photo(size, size)}<br>{rng.choice(page.sources).name}</div>' for _ in range((width // (size + 72)) * (height // (size + 40))))
    side = ''.join(f'<div style="padding:3px">{page.icon(16)} {page.phrase(1, 2)}</div>' for _ in range(14))
    inner = f'<div class="panel">{" ".join(page.icon(22) for _ in range(8))} <input value="/home/{rng.choice(NAMES).lower()}/{rng.choice(WORDS)}"></div><div style="display:flex"><div class="panel" style="min-width:170px">{side}</div><div style="display:flex;flex-wrap:wrap">{items}</div></div>'
    if rng.random() < 0.4:
        return inner
    w, h = int(width * rng.uniform(0.6, 0.85)), int(height * rng.uniform(0.6, 0.85))
    desktop = ''.join(f'<div style="position:absolute;left:12px;top:{12 + 80 * i}px;color:#fff;text-align:center;text-shadow:1px 1px 2px #000">{page.icon(48)}<br>{page.phrase(1, 1)}</div>' for i in range(height // 90))
    return page.photo(width, height, 'position:absolute;left:0;top:0') + desktop + window(page, page.phrase(1, 3), inner, f'position:absolute;left:{rng.randint(90, max(91, width - w))}px;top:{rng.randint(20, height - h)}px;width:{w}px;height:{h}px;overflow:hidden')


def mail(page, width, height):
    rng = page.rng
    rows = ''.join(f'<tr style="font-weight:{rng.choice([400, 400, 700])};background:{rng.choice([page.back, page.panel])}"><td>☐ {rng.choice("☆★")}</td><td>{page.name()}</td><td>{page.phrase(2, 6)} <span class="faint">– {page.phrase(4, 10)}</span></td>'
                   f'<td align="right">{rng.randint(1, 28)} Nov</td></tr>' for _ in range(height // 2 // 26))
    side = ''.join(f'<div style="padding:5px;border-radius:12px;{f"background:{page.accent};color:#fff" if i == 0 else ""}">{page.icon(16)} {page.phrase(1, 1)} <small>{rng.randint(1, 999)}</small></div>' for i in range(12))
    return (f'<div class="bar"><b>{page.icon(32)} {page.phrase(1, 1)}</b><input style="width:40%" value="{page.phrase(1, 3)}"></div><div style="display:flex"><div style="width:180px">{side}</div><div style="flex:1">'
            f'<table width="100%" cellspacing="0" cellpadding="4">{rows}</table><div class="panel" style="padding:12px"><h2>{page.phrase(3, 6)}</h2><p>{page.paragraph()}</p>{page.photo(rng.randint(200, 500), 180)}<p>{page.paragraph()}</p></div></div></div>')


def pixels(page, width, height):
    """Pixel art, dithering, one-pixel lines and checks: pictures that were small and are shown larger, or not at all smooth."""
    rng = page.rng
    tiles = ''
    for i in range(12):
        side, scale = rng.choice([8, 16, 32, 64]), rng.choice([1, 2, 4, 8])
        colours = [tuple(rng.randrange(256) for _ in range(3)) for _ in range(rng.choice([2, 4, 16]))]
        kind, picture = rng.choice(['mirror', 'dither', 'lines', 'noise']), Image.new('RGB', (side, side))
        for y in range(side):
            for x in range(side):
                if kind == 'mirror' and x >= side // 2:
                    value = picture.getpixel((side - 1 - x, y))
                elif kind == 'dither':
                    value = colours[int(x / side + [[0, .5], [.75, .25]][y & 1][x & 1] > 0.75)]
                elif kind == 'lines':
                    value = colours[(x + i * y) % (2 + i % 3) == 0]
                else:
                    value = rng.choice(colours)
                picture.putpixel((x, y), value)
        name = f'tile{i}.png'
        picture.save(page.folder / name)
        size = side * scale
        tiles += f'<div style="margin:8px;width:{max(size, 96)}px;height:{size}px;background:url({name}) 0 0/{size}px;image-rendering:pixelated"></div>'
    return f'<div class="bar">{" ".join(page.icon(22) for _ in range(14))}</div><div style="display:flex;flex-wrap:wrap">{tiles * 2}</div><p>{page.paragraph()}</p>'


def settings(page, width, height):
    rng = page.rng
    rows = ''.join(f'<div style="display:flex;justify-content:space-between;padding:{rng.randint(6, 14)}px;border-bottom:1px solid {page.line}"><span>{page.icon(22)} <b>{page.phrase(1, 4)}</b><br><small class="faint">{page.sentence()}</small></span>'
                   + rng.choice([f'<input type="checkbox" {rng.choice(["", "checked"])}>', f'<input type="range" value="{rng.randint(0, 100)}">', f'<select><option>{page.phrase(1, 2)}</select>', f'<button>{page.phrase(1, 2)}</button>', f'<input type="radio" checked>']) + '</div>' for _ in range(14))
    w, h = int(width * rng.uniform(0.5, 0.9)), int(height * 0.85)
    return page.photo(width, height, 'position:absolute;left:0;top:0') + window(page, page.phrase(1, 2), rows, f'position:absolute;left:{(width - w) // 2}px;top:{(height - h) // 2}px;width:{w}px;height:{h}px;overflow:hidden')


def slides(page, width, height):
    rng = page.rng
    points = ''.join(f'<li style="margin:{height // 50}px">{page.phrase(3, 9)}</li>' for _ in range(rng.randint(3, 6)))
    right = rng.choice([page.photo(width // 3, height // 2), chart(page, width // 3, height // 2)])
    return (f'<div style="height:{height}px;padding:{height // 14}px;background:linear-gradient({rng.randint(0, 360)}deg,{page.back},{page.bar});box-sizing:border-box"><h1 style="font-size:{height // 15}px;color:{page.accent}">{page.phrase(2, 5)}</h1>'
            f'<div style="display:flex;font-size:{height // 28}px"><ul style="flex:1">{points}</ul>{right}</div></div>')


def city(page, width, height):
    """A map of streets, blocks and names."""
    rng = page.rng
    def line(x, angle, stroke, colour):
        dx, dy = 3000 * math.cos(angle), 3000 * math.sin(angle)
        return f'<line x1="{x - dx:.0f}" y1="{height / 2 - dy:.0f}" x2="{x + dx:.0f}" y2="{height / 2 + dy:.0f}" stroke="{colour}" stroke-width="{stroke}"/>'
    angle = rng.uniform(0, math.pi)
    out = ''.join(f'<rect x="{rng.randint(0, width)}" y="{rng.randint(0, height)}" width="{rng.randint(40, 220)}" height="{rng.randint(40, 220)}" fill="{rng.choice(["#cde8b5", "#aadaff", "#e8e0d8"])}" transform="rotate({math.degrees(angle):.0f} {width // 2} {height // 2})"/>' for _ in range(40))
    roads = [(rng.randint(-width, 2 * width), angle + rng.choice([0, math.pi / 2]) + rng.gauss(0, 0.05), rng.choice([3, 6, 6, 12])) for _ in range(70)]
    out += ''.join(line(x, a, s + 2, '#bbb') for x, a, s in roads) + ''.join(line(x, a, s, '#ffd' if s > 6 else '#fff') for x, a, s in roads)
    out += ''.join(f'<text x="{rng.randint(0, width)}" y="{rng.randint(0, height)}" font-size="{rng.randint(9, 15)}" fill="#444" stroke="#fff" stroke-width="2" paint-order="stroke" transform="rotate({rng.choice([0, 0, 20, -30])})">{page.phrase(1, 2)}</text>' for _ in range(80))
    return (f'<svg width="{width}" height="{height}" style="position:absolute;left:0;top:0;background:#f2efe9">{out}</svg><div class="panel" style="position:absolute;left:10px;top:10px;padding:8px;width:300px"><input value="{page.phrase(1, 3)}"> <button>{page.phrase(1, 1)}</button>'
            f'<p>{page.paragraph(1, 2)}</p></div>')


TRAIN_KINDS = [article, article, editor, terminal, spreadsheet, chat, shop, dashboard, diagram, files, mail, pixels]
HELD_OUT_KINDS = [settings, slides, city]


def document(page, body):
    rng = page.rng
    return f'''<!doctype html><meta charset="utf-8"><style>
html,body{{margin:0;height:100%;overflow:hidden}} *{{scrollbar-width:none}}
body{{background:{page.back};color:{page.text};font:{page.size}px '{page.sans}',sans-serif}}
h1,h2{{font-family:'{rng.choice([page.sans, page.serif])}';font-weight:{rng.choice([400, 700])};margin:.5em 0 .2em}} p{{margin:.5em 0}}
a{{color:{page.accent};text-decoration:{rng.choice(['none', 'underline'])}}} pre{{font:{rng.choice([11, 12, 13, 14, 15])}px '{page.mono}',monospace;margin:0}}
.bar{{background:{page.bar};border-bottom:1px solid {page.line};padding:{rng.randint(4, 12)}px;display:flex;justify-content:space-between;align-items:center}}
.panel{{background:{page.panel};border:1px solid {page.line}}} .foot{{position:absolute;bottom:0;left:0;right:0;background:{page.accent};color:#fff;padding:3px 8px}}
.window{{background:{page.back};box-shadow:0 4px {rng.choice([0, 12, 24])}px #0008;border-radius:{rng.choice([0, 6, 10])}px}} .window>.body{{padding:0}}
.faint{{color:{page.faint}}} .chosen{{background:{page.second};color:#fff}} .tab{{padding:2px 10px;border:1px solid {page.line}}} th{{font-weight:400;background:{page.bar}}}
.grid{{border-collapse:collapse;width:100%}} .grid td,.grid th{{border:1px solid {page.line};padding:1px 4px;white-space:nowrap;overflow:hidden}}
button{{background:{page.accent};color:#fff;border:{rng.choice(['0', '1px solid ' + page.line])};border-radius:{rng.choice([0, 3, 8])}px;padding:3px 9px;font:inherit}}
input,select{{font:inherit;background:{page.back};color:{page.text};border:1px solid {page.line};accent-color:{page.accent}}}
</style><body>{body}'''


def fonts_conf(smoothing):
    antialias, subpixels, hint = smoothing
    edits = ''.join(f'<edit name="{name}" mode="assign">{value}</edit>' for name, value in [
        ('antialias', f'<bool>{antialias}</bool>'), ('rgba', f'<const>{subpixels}</const>'), ('hinting', f'<bool>{"false" if hint == "hintnone" else "true"}</bool>'),
        ('hintstyle', f'<const>{hint}</const>'), ('autohint', '<bool>false</bool>')])
    return f'<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include><match target="font">{edits}</match><match target="pattern">{edits}</match></fontconfig>'


def render(index, path, args, photos, sources, icons):
    """Draws picture `index` to `path`: RGB, 8 bits."""
    rng = random.Random(f'{args.seed} {index} {args.held_out}')
    kinds = TRAIN_KINDS + HELD_OUT_KINDS * 3 if args.held_out else TRAIN_KINDS
    kind = kinds[index % len(kinds)]
    width, height = rng.choice(SIZES)
    scale, smoothing = rng.choice(SCALES), rng.choice(SMOOTHING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = Page(rng, folder, args.held_out, photos, sources, icons)
        (folder / 'page.html').write_text(document(page, kind(page, round(width / scale), round(height / scale))))
        (folder / 'fonts.conf').write_text(fonts_conf(smoothing))
        command = [args.chromium, '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--disable-background-networking', '--no-first-run', f'--user-data-dir={folder}/profile',
                   '--enable-lcd-text' if smoothing[1] != 'none' else '--disable-lcd-text', f'--font-render-hinting={ {"hintnone": "none", "hintslight": "slight", "hintfull": "full"}[smoothing[2]]}',
                   f'--force-device-scale-factor={scale}', f'--window-size={math.ceil(width / scale)},{math.ceil(height / scale)}', '--allow-file-access-from-files', '--virtual-time-budget=3000',
                   f'--screenshot={folder}/out.png', f'file://{folder}/page.html']
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, 'FONTCONFIG_FILE': f'{folder}/fonts.conf', 'HOME': name})
        if not (folder / 'out.png').exists():
            sys.exit(f'{args.chromium} gave no picture: {done.stderr[-500:]}')
        picture = Image.open(folder / 'out.png').convert('RGB')
        picture.crop((0, 0, min(width, picture.width), min(height, picture.height))).save(path, optimize=True)
    return f'{path.name} {kind.__name__} {picture.width}x{picture.height} scale {scale} {"dark" if page.dark else "light"} {page.sans}, {"/".join(smoothing)}'


def listed(folder, names):
    return sorted(path for name in names for path in folder.rglob(name) if path.is_file()) if folder else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--held-out', action='store_true', help='words, fonts and kinds of pages that training does not have')
    parser.add_argument('--photos', type=Path, help='folder of photographs that pages show')
    parser.add_argument('--code', type=Path, default=ROOT / 'Sources', help='folder whose source files editors and terminals show')
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--chromium', default=os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser') or 'google-chrome')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    photos = listed(args.photos, ['*.png', '*.jpg', '*.jpeg'])
    sources = [path for path in listed(args.code, ['*.swift', '*.c', '*.h', '*.py']) if path.stat().st_size < 100_000]
    icons = [path for theme in ICONS for path in listed(theme, ['*.svg', '*.png'])][::7]
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(render, i, args.out / f'screen-{args.seed}-{i:04d}.png', args, photos, sources, icons) for i in range(args.count)]
        for job in jobs:
            print(job.result(), flush=True)


if __name__ == '__main__':
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""test_compare.py TOOL: scripts/compare.py on two fixtures, with our codec and stand-ins for HM and VTM."""
import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
STAND_IN = Path(__file__).resolve().parent / 'reference_software.py'
PICTURES = ('scene', 'blobs')


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name)
        for name in PICTURES:
            (self.work / 'pictures').mkdir(exist_ok=True)
            Image.open(ROOT / f'Fixtures/pictures/{name}.png').convert('RGB').crop((0, 0, 96, 64)).save(self.work / f'pictures/{name}.png')
        for folder, names, configuration in (('hm', ('TAppEncoderStatic', 'TAppDecoderStatic'), 'encoder_intra_main_rext.cfg'),
                                             ('vtm', ('EncoderAppStatic', 'DecoderAppStatic'), 'encoder_intra_vtm.cfg')):
            (self.work / folder / 'bin').mkdir(parents=True)
            for name in names:
                (self.work / folder / 'bin' / name).symlink_to(STAND_IN)
            (self.work / folder / configuration).write_text('')

    def compare(self, *arguments):
        command = [sys.executable, ROOT / 'scripts/compare.py', TOOL, self.work / 'pictures', '--points', '0,3,5,7', '--csv', self.work / 'rows.csv', *arguments]
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)

    def test_everything_that_it_writes(self):
        files = self.work / 'page.md', self.work / 'plot.svg', self.work / 'json'
        ran = self.compare('--codecs', 'ours0,ours1', '--hm', self.work / 'hm', '--vtm', self.work / 'vtm', '--reference', 'hm',
                           '--page', files[0], '--plot', files[1], '--json', files[2])
        self.assertIn('they are left out', ran.stderr)       # published curves of other pictures
        page, plot = (f.read_text() for f in files[:2])
        for name in 'SwiftCodec, effort 0', 'SwiftCodec, effort 1', 'HM', 'VTM':
            self.assertIn(f'| {name} | ', page)
        for name in PICTURES:
            self.assertIn(f'| {name} | ', page)
        self.assertIn('<polyline', plot)
        rows = list(csv.DictReader((self.work / 'rows.csv').read_text().splitlines()))
        self.assertEqual(len(rows), 4 * 4 * len(PICTURES))
        # The stand-ins are one codec: the same files, and no difference of rate.
        hm, vtm = ([(r['picture'], r['point'], r['bytes'], r['psnr_rgb']) for r in rows if r['codec'] == c] for c in ('hm', 'vtm'))
        self.assertEqual(hm, vtm)
        self.assertIn('| VTM | +0.0 % | +0.0 % |', page)
        for codec in ('ours0', 'hm'):
            means = [np.mean([float(r['psnr_rgb']) for r in rows if (r['codec'], r['point']) == (codec, point)]) for point in '0357']
            self.assertEqual(means, sorted(means))
            curve = json.loads((files[2] / f'{codec}.json').read_text())
            self.assertEqual(curve['pictures'], sorted(PICTURES))
            self.assertTrue(np.allclose(curve['results']['psnr-rgb'], means))

        # What is there is not made again, and no program is needed for it.
        before = (self.work / 'rows.csv').read_text()
        again = self.compare('--codecs', 'ours0', '--reference', 'HM', '--anchor', files[2] / 'hm.json')
        self.assertEqual((self.work / 'rows.csv').read_text(), before)
        self.assertNotIn('Warning', again.stderr)
        # Files of another model do not count.
        (self.work / 'rows.csv').write_text(before.replace(rows[0]['model'], '0' * 16))
        self.compare('--codecs', 'ours0', '--reference', 'ours0')
        self.assertEqual(len((self.work / 'rows.csv').read_text().splitlines()), len(before.splitlines()) + 4 * len(PICTURES))

    def test_anchors_of_others(self):
        anchor = self.work / 'anchor.json'
        content = {'name': 'other', 'results': {'bpp': [0.2, 0.5, 1, 2], 'psnr-rgb': [26.0, 30.0, 34.0, 38.0]}}
        for pictures, warning in ((None, 'does not say'), (['somebody'], 'of other pictures')):
            anchor.write_text(json.dumps(content | ({'pictures': pictures} if pictures else {})))
            ran = self.compare('--codecs', 'ours0', '--reference', 'other', '--anchor', anchor)
            self.assertIn('Warning: anchor.json', ran.stderr)
            self.assertIn(warning, ran.stderr)
            self.assertIn('| other | +0.0 % |', ran.stdout)

    def test_what_is_missing_is_said(self):
        ran = self.compare('--codecs', 'ours0', '--hm', self.work / 'nothing', '--reference', 'ours0')
        self.assertIn('HM is left out: no TAppEncoder*, TAppDecoder*', ran.stderr)


if __name__ == '__main__':
    TOOL = os.path.abspath(sys.argv.pop(1))
    unittest.main()

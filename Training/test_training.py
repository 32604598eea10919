# SPDX-License-Identifier: BSD-3-Clause
"""python test_training.py: trains, resumes and exports on synthetic pictures; about two minutes on one core."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import adapt
import check_int16
import evaluate
import export
import export_grown
import export_system
import export_video
import fixtures
import formats
import graph
import integer
import systems
import train
import train_system
import train_video
import video
from data import Crops
from networks import AtLeast, Flagship, GrownFlagship, causal_mean, code_length, load, normal


def synthetic_pictures(count=6, size=288):
    """Coloured noise with a falling spectrum, and edges."""
    rng = np.random.default_rng(1)
    y, x = np.ogrid[:size, :size]
    for _ in range(count):
        noise = sum(F.interpolate(torch.tensor(rng.normal(0, 9 * s ** 0.6, (1, 3, size // s, size // s))), size=(size, size), mode='bilinear')[0]
                    for s in (1, 4, 16, 96))
        a, b, c = rng.normal(0, 1, 3)
        edge = np.where(a * x + b * y > c * size / 2, 40, -40)
        yield (128 + edge[..., None] + noise.permute(1, 2, 0).numpy()).clip(0, 255).astype(np.uint8)


class TrainingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pictures = list(synthetic_pictures())
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name):
        return Path(self.folder.name) / name

    def cost(self, trainer):
        """Mean over rate points of the logarithm that training minimises, hard rounding, averaged weights."""
        trainer.save()
        with torch.random.fork_rng():       # a new network draws its random start
            net = load(trainer.options.out, trainer.options.network)
        picture, costs = self.pictures[0], []
        for k, l in enumerate(net.lambdas):
            out, bits = evaluate.code(net, picture, k)
            costs.append(np.log(l * np.square(out.astype(float) - picture).mean() + bits / picture[..., 0].size))
        return np.mean(costs)

    def trainer(self, network, name, *more):
        line = [network, str(self.path(name)), '--data', '-', '--steps', '48', '--warm', '10', '--crop', '64', '--log', '12',
                '--start-crops', '64', '--threads', '1', *more]
        return train.Trainer(train.arguments(line), self.pictures)

    def test_loss_improves_and_resume_is_exact(self):
        # Both start from a PCA that the usual step sizes first make worse: smaller ones show progress in few steps.
        for network, optimiser, rate, ratio in (('base', 'adam', '3e-5', '60'), ('flagship', 'adam', '1e-4', '3'), ('flagship', 'soap --yuv420 0.5', '1e-4', '3')):
            with self.subTest(network=network, optimiser=optimiser):
                options = ['--optimiser', *optimiser.split(), '--lr', rate, '--ratio', ratio]
                whole = self.trainer(network, 'whole.pt', *options)
                start = self.cost(whole)
                losses = [whole.train_step()[0] for _ in range(48)]
                self.assertLess(self.cost(whole), start - 0.005)
                part = self.trainer(network, 'part.pt', *options)
                for _ in range(5):
                    part.train_step()
                part.save()
                part = self.trainer(network, 'part.pt', '--resume', *options)
                self.assertEqual([part.train_step()[0] for _ in range(5, 48)], losses[5:])
                for a, b in zip(part.parameters + tuple(part.average), whole.parameters + tuple(whole.average)):
                    self.assertTrue(torch.equal(a, b))

    def test_workers_share_the_batch(self):
        """Two workers take the crops that one would, so their logs differ by the noise only; and they resume exactly."""
        folder, logs = self.path('pictures'), {}
        folder.mkdir()
        for i, picture in enumerate(self.pictures):
            Image.fromarray(picture).save(folder / f'{i}.png')
        for workers in ('1', '2'):
            for parts in (['6'], ['3', '6']):
                out = self.path(f'{workers}-{len(parts)}.pt')
                for i, steps in enumerate(parts):
                    subprocess.run([sys.executable, train.__file__, 'flagship', out, '--data', folder, '--optimiser', 'soap', '--crop', '64', '--log', '3',
                                    '--start-crops', '64', '--threads', '1', '--per', '2', '--lr', '1e-5', '--lr-end', '1', '--workers', workers,
                                    '--steps', steps, *['--resume'][:i]], check=True, stdout=subprocess.DEVNULL)
                log = [json.loads(line) for line in Path(f'{out}.jsonl').read_text().splitlines()]
                logs[workers, len(parts)] = [(line['step'], line['loss'], line['gradient']) for line in log]
                bpp, psnr = ([line[name] for line in log] for name in ('bpp', 'psnr'))
                if workers == '1':
                    expected = bpp, psnr
                self.assertTrue(np.allclose(bpp, expected[0], rtol=0.02))
                self.assertTrue(np.allclose(psnr, expected[1], atol=0.02))
            self.assertEqual([line[0] for line in logs[workers, 1]], [3, 6])
            self.assertEqual(logs[workers, 1], logs[workers, 2])

    def test_another_domain_leaves_the_flagship_as_it_is(self):
        folder, scm = self.path('domain'), self.path('source.scm')
        folder.mkdir()
        for i, picture in enumerate(self.pictures[:2]):
            Image.fromarray(picture).save(folder / f'{i}.png')
        flagship = self.trainer('flagship', 'source.pt', '--lr', '1e-4')
        for _ in range(3):
            flagship.train_step()
        flagship.save()
        source, out = load(self.path('source.pt'), 'flagship'), str(self.path('grown.pt'))
        with torch.no_grad():           # as after a long training, not nearly zero as at the start
            for name, p in source.named_parameters():
                if name.endswith('c2.weight'):
                    p.normal_(0, 0.003)
        torch.save(dict(ema=source.state_dict()), self.path('source.pt'))
        export.export('flagship', source, self.pictures[:1], scm, headroom=1.5)
        line = [str(folder), '--init', str(self.path('source.pt')), '-o', out, '--crop', '64', '--threads', '1', '--log', '2', '--warm', '1', '--lr', '1e-3']
        adapter = adapt.Adapter(adapt.arguments([*line, '--steps', '6']), self.pictures[:2])
        for k in (0, 7):        # it starts as the flagship is
            (a, p), (b, q) = (evaluate.code(net, self.pictures[0], k) for net in (source, adapter.net))
            self.assertLess(np.abs(a.astype(int) - b).max(), 3)
            self.assertAlmostEqual(p / q, 1, delta=1e-3)
        for _ in range(6):
            adapter.train_step()
        adapter.save()
        with torch.no_grad():
            adapter.net.e1[0].c1.weight[0] += 1e-6
        self.assertRaisesRegex(RuntimeError, 'e1.0.c1.weight', adapter.save)

        kept = torch.load(out, weights_only=True)['source']
        grown, own = load(out, 'grown'), adapter.net.own()
        for name, value in grown.state_dict().items():
            if name not in own:
                self.assertTrue(torch.equal(value, source.state_dict()[name]) and torch.equal(value, kept[name]), name)
        for name in ('e1.0.more.c2.weight', 'd1.0.act.a', 'd1.0.out.a', 'slices.0.more.c1.weight', 'gain', 'base', 'bz.mu'):
            self.assertIn(name, own)
            self.assertFalse(torch.equal(grown.state_dict()[name], adapt.as_deep(GrownFlagship, kept).state_dict()[name]), name)
        # export() itself compares the old rate points with those of the source file.
        model, picture = export_grown.export(scm, source, grown, self.pictures[:1], self.path('grown.scm'), 1.5), self.pictures[1][:120, :150]
        self.assertEqual((len(model.lambdas), model.growths), (16, [(8, integer.model_id(scm) >> 32)]))
        for k in (1, 6):
            (a, bits), (b, bits16, _) = evaluate.code(grown, picture, k), check_int16.code16(model, grown, picture, 8 + k, 8)
            self.assertAlmostEqual(evaluate.psnr(a, picture), evaluate.psnr(b, picture), delta=0.1)
            self.assertAlmostEqual(bits16 / bits, 1, delta=0.03)
        self.assertRaises(SystemExit, export_grown.export, scm, self.other(source), grown, self.pictures[:1], self.path('wrong.scm'), 1.5)

    @staticmethod
    def other(net):
        """The same network with other weights."""
        with torch.no_grad():
            net.d1[0].c1.weight.mul_(torch.linspace(0.5, 1.5, net.d1[0].c1.weight.shape[1])[:, None, None])
        return net

    def test_checkpoints_of_fewer_blocks(self):
        """Load as they are, and to be trained on with new blocks that change nothing."""
        class Short(Flagship):
            TAIL = 1
        torch.manual_seed(3)
        short = Short().eval()
        torch.save(dict(ema=short.state_dict()), self.path('short.pt'))
        x, r = torch.rand(1, 3, 64, 64), torch.tensor([2])
        for grow, blocks in ((False, 1), (True, Flagship.TAIL)):
            net = load(self.path('short.pt'), 'flagship', grow=grow)
            self.assertEqual(len(net.e2), blocks)
            torch.testing.assert_close(net.analysis(x, r), short.analysis(x, r), rtol=0, atol=0)

    def test_step_size_holds_before_it_falls(self):
        def step_size(progress, step=1000):
            options = train.arguments(['base', '-', '--data', '-', '--hold', '0.6', '--warm', '100', '--lr-end', '0.1'])
            return train.Trainer.step_size(SimpleNamespace(options=options, rate=2.0, step=step, progress=lambda: progress))
        for progress, expected in ((0, 2), (0.6, 2), (0.8, 1.1), (1, 0.2)):
            self.assertAlmostEqual(step_size(progress), expected)
        self.assertAlmostEqual(step_size(0.3, step=49), 1)

    def test_weights_of_crops(self):
        """The synthesis gets the distortion's weight, the encoder the rate's for both rate and distortion."""
        x, w, usual = torch.tensor([0.5, 2.0, 3.0], requires_grad=True), torch.tensor(1.5, requires_grad=True), torch.tensor([1.0, 1.0, 4.0])
        latents = [part[:, None, None, None] for part in x.split([1, 2])]
        rate, distortion = x.square(), (w * torch.cat(latents).flatten() - 1).square()
        of_encoder, of_synthesis = torch.autograd.grad(train.weighted(latents, rate, distortion, usual), [x, w])
        with torch.no_grad():
            error = 2 * (w * x - 1)
            self.assertTrue(torch.allclose(of_encoder, (2 * x + w * error) / (2 * usual) / 3))
            self.assertTrue(torch.allclose(of_synthesis, (x * error / (rate + distortion + usual)).mean()))

    def test_model_files(self):
        for network, point in (('base', 6), ('flagship', 5)):
            with self.subTest(network=network):
                trainer = self.trainer(network, 'model.pt')
                for _ in range(2):
                    trainer.train_step()
                trainer.save()
                net, path = load(trainer.options.out, network), self.path('model.scm')
                net.contexts = False
                export.export(network, net, self.pictures[:2], path, headroom=1.5)
                model, picture = integer.read_model(path), self.pictures[2][:120, :150]
                out, bits = evaluate.code(net, picture, point)
                out16, bits16, _ = integer.code(model, {integer.COLOUR_PLANES: picture}, point)
                out16 = out16[integer.COLOUR_PLANES]
                gain = evaluate.psnr(out16, picture) - evaluate.psnr(out, picture)
                self.assertGreater(gain, -0.05)
                self.assertLess(gain, 0.1)      # after 48 steps rounding may happen to help
                self.assertAlmostEqual(bits16 / bits, 1, delta=0.03)
        self.check_formats(model, picture, 5)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        self.assertRaises(ValueError, integer.read_model, path)

    def check_formats(self, model, picture, k):
        """The folded networks code what RGB's would: a grey picture alike, luma of 4:2:0 no worse than that of the decoded RGB picture."""
        grey = formats.GREY_WEIGHTS @ picture.astype(float).transpose(0, 2, 1)
        grey = grey.round().astype(np.uint8)
        colour = np.repeat(grey[..., None], 3, 2)
        (one, bits, _), (three, bits3, _) = (integer.code(model, p, k, format=f) for p, f in (({integer.LUMA: grey}, integer.GREY),
                                                                                             ({integer.COLOUR_PLANES: colour}, integer.RGB)))
        self.assertAlmostEqual(bits / bits3, 1, delta=0.01)
        back = (formats.GREY_WEIGHTS @ three[integer.COLOUR_PLANES].astype(float).transpose(0, 2, 1)).round()
        self.assertAlmostEqual(evaluate.psnr(one[integer.LUMA][..., 0], grey), evaluate.psnr(back, grey), delta=0.3)

        def planes(p):
            parts = formats.rgb_to_yuv420(torch.from_numpy(p.copy()).permute(2, 0, 1) / 255)
            return {port: (v * 255).round().to(torch.uint8).permute(1, 2, 0).numpy() for port, v in zip((integer.LUMA, integer.CHROMA), parts)}

        yuv, (rgb, bits3, _) = planes(picture), integer.code(model, {integer.COLOUR_PLANES: picture}, k)
        out, bits, _ = integer.code(model, yuv, k, format=integer.YUV420)
        self.assertLess(bits, 1.02 * bits3)         # noise of the colours is averaged away
        for port, of_rgb in planes(rgb[integer.COLOUR_PLANES]).items():
            self.assertEqual(out[port].shape, yuv[port].shape)
            self.assertGreater(evaluate.psnr(out[port], yuv[port]), evaluate.psnr(of_rgb, yuv[port]) - 0.3)

    def test_packing(self):
        for format in (integer.GREY, integer.YUV420):
            to, back, middle = formats.packing(format)
            self.assertTrue(torch.allclose(back @ to, torch.eye(len(middle), dtype=torch.float64)))
        x = torch.rand(3, 16, 24, dtype=torch.float64)
        packed = torch.cat([F.pixel_unshuffle(p, f) for p, f in zip(formats.rgb_to_yuv420(x), (8, 4))])
        by_matrix = torch.einsum('ij,jyx->iyx', back, F.pixel_unshuffle(x, 8) - 0.5) + middle[:, None, None]
        self.assertTrue(torch.allclose(by_matrix, packed))

    def test_halved_chroma_is_what_folding_does(self):
        to, back, _ = formats.packing(integer.YUV420)
        x = torch.rand(2, 3, 16, 24)
        by_matrix = F.pixel_shuffle(torch.einsum('ij,bjyx->biyx', (to @ back).float(), F.pixel_unshuffle(x, 8) - 0.5) + 0.5, 8)
        self.assertTrue(torch.allclose(train.with_halved_chroma(x), by_matrix, atol=1e-5))

    def test_motion_is_searched_as_by_the_encoder(self):
        text = (video.ROOT / 'Sources/SwiftCodec/Codec/VideoEncoder.swift').read_text(encoding='utf-8')
        default = lambda name: float(re.search(rf'public var {name} = ([0-9.]+)\n', text)[1])
        self.assertIn('func motionLambda(_ lambda: Double) -> Double { 8 / (6 * lambda) }', text)
        for k, points in enumerate(video.Flagship.lambdas):
            self.assertAlmostEqual(video.SEARCH[k], default('motionWeight') * 8 / (6 * points))
        self.assertAlmostEqual(video.INTRA_OFFSET, default('intraOffset') * (len(video.SEARCH) - 1) / 100)

    def test_float_and_integer_graphs_agree(self):
        """Every operation of the tiny network, float against integer."""
        model = integer.read_model(fixtures.MODELS / 'tiny.scm')
        analysis, synthesis = fixtures.tiny_graphs(fixtures.Draw(np.random.default_rng(2)))
        picture = fixtures.formula_picture(52, 44)
        for k in range(3):
            planes = {integer.COLOUR_PLANES: picture}
            y = analysis.run(integer.plane_inputs(planes, 4), k)[integer.LATENT].round()
            latent = integer.analyse(model, planes, k)
            self.assertLessEqual((latent - y).abs().max(), 1)
            self.assertGreater((latent == y).double().mean(), 0.9)
            known = {integer.DECODED: latent}
            out, expected = (v[integer.COLOUR_PLANES] for v in (model.run(integer.SYNTHESIS, k, known), synthesis.run(known, k)))
            q = model.tensor(integer.SYNTHESIS, integer.COLOUR_PLANES).q
            self.assertLess((out * 2.0 ** -q - expected).abs().max(), 0.01 * expected.abs().max())

    def test_crops(self):
        """Crops are turned parts of a picture or of its half size; a small picture is mirrored; the active ones are more frequent."""
        y, x = np.mgrid[:80, :96]
        picture = np.stack([2 * x, 2 * y, 0 * x], 2).astype(np.uint8)       # steps of 2 from sample to sample, of 4 at half size
        steps = [{int(c[k].diff(dim=d).abs().max()) for k in (0, 1) for d in (0, 1)} - {0}
                 for c in Crops([picture], 32, 'cpu', 1).batch(64).mul(255).round()]
        self.assertTrue(all(s in ({2}, {4}) for s in steps))
        self.assertTrue(28 < steps.count({4}) < 52)        # those are 1.7 times as active: 39 expected
        crop = Crops([picture[:20]], 32, 'cpu', 1).batch(1)
        self.assertEqual(crop.shape, (1, 3, 32, 32))
        self.assertGreater(crop.max(), 0)
        whole, *halves = (Crops([picture], 32, 'cpu', 1).batch(6, share) for share in (slice(None), slice(0, None, 2), slice(1, None, 2)))
        self.assertTrue(torch.equal(torch.stack(halves, 1).flatten(0, 1), whole))
        flat = [c.max() == 0 for c in Crops([picture, 0 * picture], 32, 'cpu', 1).batch(256)]
        self.assertTrue(35 < sum(flat) < 75)        # 54 expected, 128 without a choice

    def test_mixed_bits_are_those_of_rounded_values(self):
        x, scale = torch.full((1, 1, 1, 64), 0.4, requires_grad=True), torch.zeros(1, 1, 1, 1, requires_grad=True)
        mixed, hard = (code_length(normal, x, [scale], rounding) for rounding in ('mixed', 'hard'))
        self.assertTrue(torch.allclose(mixed, hard))
        (of_x, of_scale), = [torch.autograd.grad(mixed, [x, scale])]
        self.assertTrue(torch.allclose(of_scale, torch.autograd.grad(hard, scale)[0]))
        self.assertGreater(of_x.mean(), 0)      # towards zero it gets cheaper, although all of it rounds to zero

    def test_mixed_slope_is_that_of_noise_on_average(self):
        torch.manual_seed(1)
        x = torch.tensor([-2.3, -0.7, -0.45, 0.1, 0.4, 0.6, 1.5])[None, :, None, None].requires_grad_()
        scale, offset = torch.tensor([0.0, -0.5, 0.3, 0.0, -0.5, 0.3, 0.5])[None, :, None, None], 0.2
        slope, = torch.autograd.grad(code_length(normal, x, [scale], 'mixed', offset), x)
        many = x.expand(1, 7, 400, 500)
        noise, = torch.autograd.grad(code_length(normal, many, [scale], 'noise', offset), x)
        self.assertTrue(torch.allclose(slope, noise / 200000, atol=0.02))

    def test_causal_mean(self):
        """Weights meet the neighbours that they are for; a sample sees nothing of itself nor of what comes later."""
        symbols = torch.arange(1.0, 13).reshape(1, 1, 3, 4)
        for i, expected in enumerate(([9, 10, 11], [0, 9, 10], [5, 6, 7], [6, 7, 8], [7, 8, 0], [2, 3, 4])):
            weights = torch.zeros(1, 1, 6)
            weights[0, 0, i] = 1
            self.assertEqual(causal_mean(symbols, weights)[0, 0, 2, 1:].tolist(), expected)
            self.assertTrue((causal_mean(symbols, weights)[0, 0, 0] == torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]][i] if i < 2 else [0] * 4)).all())
        offset = torch.full((1, 1, 3, 4), 0.3)
        moved, = code_length(normal, symbols, [torch.zeros(1, 1, 3, 4)], 'hard', offset)
        self.assertAlmostEqual(moved.item(), -torch.log2(normal(symbols - 0.3, torch.zeros(1, 1, 3, 4)).clamp_min(1e-9)).sum().item(), places=4)

    def test_scales_below_the_bound_can_return(self):
        x = torch.tensor([-3.0, -3.0, 0.0], requires_grad=True)
        y = AtLeast.apply(x, -2.0)
        self.assertEqual(y.tolist(), [-2, -2, 0])
        (y * torch.tensor([1.0, -1.0, 1.0])).sum().backward()
        self.assertEqual(x.grad.tolist(), [0, -1, 1])

    def test_equalise_keeps_the_function(self):
        graphs = fixtures.tiny_hyper_graphs(fixtures.Draw(np.random.default_rng(3)))
        picture = fixtures.formula_picture(32, 48)
        export.observe(graphs, [picture])
        g, x = graphs[0], {integer.COLOUR_PLANES: integer.plane_input(picture, 16)}
        before = g.run(x, 1, torch.float64)[integer.LATENT]
        g.equalise()
        self.assertTrue(torch.allclose(g.run(x, 1, torch.float64)[integer.LATENT], before))

    def test_modulated_layers_that_hardly_moved_are_exported(self):
        """Outputs that were tiny in calibration beside what the weights can give, and scales above 1."""
        rng = np.random.default_rng(5)
        for size in np.exp2(np.arange(0, 1, 0.05)):
            g = graph.Graph(integer.ANALYSIS, 2)
            x = g.input(integer.COLOUR_PLANES, 128, 14, 9, 1)
            weight = torch.from_numpy(size * 0.02 * np.abs(rng.normal(1, 0.1, (64, 128, 3, 3))))
            rate = torch.full((2, 64), 1.02), torch.full((2, 64), -0.1)
            out = g.conv('c', x, weight, torch.zeros(64), activation=integer.RELU, rate=rate)
            g.conv('next', out, torch.ones(4, 64, 1, 1) / 64, torch.zeros(4))
            g.tensors[out].peaks[:] = 0.01
            g.tensors[-1].peaks[:] = 1
            g.calibrate(1.5)
            w, shifts, biases, modulation = g.quantised(out)
            # What rate point 0 makes of the weights is what it should be.
            got = (modulation[0].astype(float)[:, None] / 2 ** 14 * w.reshape(64, -1)) * np.exp2(-(shifts[0].astype(float)))[:, None]
            wanted = 1.02 * weight.permute(0, 2, 3, 1).flatten(1).numpy()
            self.assertLess(np.abs(got - wanted).max(), 0.01 * wanted.max())

    def test_cdf(self):
        lowest = export.gaussian_cdfs()[0][0]       # the bound's own density, where most scales of low rates are
        self.assertAlmostEqual(lowest[1][-lowest[0]] / 32768, normal(torch.zeros(1), torch.tensor([export.SCALE_LOW])).item(), delta=3 / 32768)
        for scale in (1e-3, 0.1, 3, 50):
            values = np.arange(-2047, 2048)
            p = np.exp(-np.abs(values) / scale)
            minimum, frequency = graph.cdf(p / p.sum(), -2047)
            self.assertEqual(frequency.sum(), 32768)
            self.assertGreaterEqual(frequency.min(), 1)
            self.assertTrue(2 <= len(frequency) <= 256)
            self.assertEqual(minimum + frequency[:-1].argmax(), 0)

    def test_levels_of_scales_are_narrow_where_they_must_be(self):
        """Expected bits with the exported CDFs over the entropy, half of all scales being the smallest as at low rates; levels of equal width take 0.19 %."""
        cdfs, bounds = export.gaussian_cdfs()
        values, bits, entropy = torch.arange(-600, 601, dtype=torch.float64), 0.0, 0.0
        weight = 0.5 * np.exp(-np.arange(256) / 16) / np.exp(-np.arange(256) / 16).sum()
        weight[0] += 0.5
        for scale, level in enumerate(np.searchsorted(bounds, np.arange(256), side='right')):
            log_scale = torch.tensor(export.SCALE_LOW + (export.SCALE_HIGH - export.SCALE_LOW) / 255 * scale, dtype=torch.float64)
            p = normal(values, log_scale).numpy()
            bits += weight[scale] * (p * integer.symbol_bits(values.int().numpy(), cdfs[level])).sum()
            entropy -= weight[scale] * (p * np.log2(np.maximum(p, 1e-300))).sum()
        self.assertGreater(bits, entropy)
        self.assertLess(bits, 1.0013 * entropy)

    def synthetic_frames(self):
        """A 4:2:0 frame of 128×64 and a prediction of it, (luma, chroma) each."""
        luma, chroma = (formats.rgb_to_yuv420(torch.from_numpy(self.pictures[0]).permute(2, 0, 1) / 255)[i] * 255 for i in (0, 1))
        return [(luma[0, y:y + 64, y:y + 128].byte().numpy(), chroma[:, y // 2:y // 2 + 32, y // 2:y // 2 + 64].byte().numpy()) for y in (0, 2)]

    def inter_network(self):
        """From an image network with an untrained trunk that is random enough to make peaks; contexts that do something."""
        torch.manual_seed(1)
        image = Flagship()
        with torch.no_grad():
            image.initialise(torch.stack([torch.from_numpy(p[:256, :256]).permute(2, 0, 1) for p in self.pictures]) / 255)
        net = video.Inter().fold(image.state_dict())
        with torch.no_grad():
            for layer in (net.c_an, net.c_sy, net.c_h):
                layer.weight.normal_(std=0.02)
        return net.eval()

    @torch.no_grad()
    def test_inter_graphs_are_the_network(self):
        """The float graphs give what the network does; quantised they come close."""
        net, (planes, prediction), k = self.inter_network(), self.synthetic_frames(), 4
        expected, _ = video.float_coder(net)(planes, prediction, k)
        graphs = export_video.inter_graphs(net)
        out, _ = export_video.observer(graphs)(planes, prediction, k)
        for a, b in zip(out, expected):
            self.assertLess(np.abs(a.astype(int) - b).max(), 3)          # where a latent falls on the other side of a half
            self.assertLess((a != b).mean(), 0.02)

    def test_frames(self):
        """What is cut and packed comes back; a clip's crops are where they should be."""
        planes, _ = self.synthetic_frames()
        luma, chroma = planes[0][:50, :90], planes[1][:, :25, :45]
        back = video.cut(video.extended((luma, chroma)), 50, 90)
        self.assertTrue(np.array_equal(back[0], luma) and np.array_equal(back[1], chroma))
        bytes_of_frames = b''.join(p.tobytes() for p in (luma, *chroma)) * 2
        clip = video.Clip(video.arranged(bytes_of_frames, 90, 50))
        self.assertEqual((len(clip), clip.height, clip.width), (2, 50, 90))
        y, uv = clip.crop(1, 4, 10, 32, 64)
        self.assertTrue(np.array_equal(y, luma[4:36, 10:74]) and np.array_equal(uv, chroma[:, 2:18, 5:37]))

    def test_chains_turn_at_the_ends_of_a_clip(self):
        clip = video.Clip(np.zeros((5, 96, 64), np.uint8))
        options = SimpleNamespace(crop=64, shortest=9, longest=9)
        chain = train_video.Chain(0, options, [clip], np.random.default_rng(1))
        chain.t, chain.step, times = 2, 1, []
        for _ in range(9):
            chain.advance()
            times.append(chain.t)
        self.assertEqual(times, [3, 4, 3, 2, 1, 0, 1, 2, 3])

    def moving_clip(self, width, height):
        """Four frames of a picture that moves."""
        frames = []
        for t in range(4):
            picture = np.roll(self.pictures[0], (t, 2 * t), (0, 1))[:height, :width]
            luma, chroma = (p * 255 for p in formats.rgb_to_yuv420(torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255))
            frames.append(b''.join(p.byte().numpy().tobytes() for p in (luma, chroma)))
        return video.Clip(video.arranged(b''.join(frames), width, height))

    @unittest.skipUnless(Path(os.environ.get('SC_MOTION_LIBRARY', video.LIBRARY)).exists(), 'make motion-library')
    def test_video_training_and_export(self):
        """Trains a few steps, goes on, exports; float and integers agree on a chain."""
        clip = self.moving_clip(192, 128)
        out = str(self.path('video.pt'))
        line = [out, '--data', '-', '--crop', '64', '--threads', '1', '--log', '2', '--save', '60']
        trainer = train_video.Trainer(train_video.arguments([*line, '--steps', '3']), [clip])
        for _ in range(3):
            self.assertTrue(np.isfinite(trainer.train_step()))
        trainer.save()
        again = train_video.Trainer(train_video.arguments([*line, '--steps', '5', '--resume']), [clip])
        self.assertEqual((again.step, again.chains[0].clip is clip), (3, True))
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(again.parameters, trainer.parameters)))
        again.train_step()
        net, intra, path = video.load_inter(out), video.load_intra(), self.path('inter.scm')
        export_video.export(net, intra, [clip], path, 1.5, 2)
        model = integer.read_model(path)
        coders, bits = (video.float_coder(net), export_video.integer_coder(model)), []

        def both(planes, prediction, k):
            results = [coder(planes, prediction, k) for coder in coders]
            bits.append([b for _, b in results])
            return results[0]

        # Bits from the same predictions: on chains of their own a small difference may find other vectors.
        for k in (3, 5, 7):
            of_float = video.code_clip(intra, both, clip, k)[1:].mean(0)
            of_integers = video.code_clip(intra, coders[1], clip, k)[1:].mean(0)
            self.assertAlmostEqual(of_integers[3], of_float[3], delta=0.05)
        self.assertAlmostEqual(np.divide(*np.sum(bits, 0)), 1, delta=0.02)

    def test_systems_of_papers(self):
        """Each trains two steps, goes on, exports; float and integers are about equally good."""
        clip = self.moving_clip(192, 192)
        planes = [dict(zip((integer.LUMA, integer.CHROMA), (y, uv.transpose(1, 2, 0)))) for y, uv in map(clip.frame, range(3))]
        image = str(self.path('slimcae.pt'))
        with mock.patch.dict(systems.SYSTEMS, slimcae=fixtures.TinySlimCAE, slimvc=fixtures.TinySlimVC):
            for name, more in (('slimcae', ['--longest', '1', '--shortest', '1']), ('slimvc', ['--init', image]), ('stem', []), ('flag', ['--soap'])):
                out = str(self.path(f'{name}.pt'))
                line = [name, out, '--data', '-', '--threads', '1', *more]
                trainer = train_system.SystemTrainer(train_system.arguments([*line, '--steps', '2']), [clip])
                for _ in range(2):
                    self.assertTrue(np.isfinite(trainer.train_step()), name)
                trainer.save()
                again = train_system.SystemTrainer(train_system.arguments([*line, '--steps', '3', '--resume']), [clip])
                self.assertEqual(again.step, 2)
                self.assertTrue(all(torch.equal(a, b) for a, b in zip(again.parameters, trainer.parameters)), name)
                again.train_step()
                if name == 'slimcae':
                    continue
                net, k, prefix = systems.load_system(name, out), 1, str(self.path(name))
                transforms = [systems.load_system('slimcae', image)] if name == 'slimvc' else []
                for source in transforms:
                    net.load_state_dict({n: p for n, p in source.state_dict().items() if n.startswith(systems.SlimCAE.TRANSFORMS)}, strict=False)
                export_system.EXPORTS[name](net, [clip], prefix, 1.5, 3, *transforms)
                models = [integer.read_model(f'{prefix}-{kind}.scm') for kind in ('intra', 'inter')]
                found = integer.code_frames(*models, planes, k)[2]
                with torch.no_grad(), mock.patch.object(systems, 'INTRA_POINTS', 0):
                    x = export_system.chain_of(clip, 3)
                    before = net.begin(x[0], [k])
                    for frame in x[1:]:
                        out, _, before = net(frame, before, [k], 'hard', **({} if name == 'flag' else {'decodes': True}))
                of_float, of_integers = (video.psnrs(decoded, clip.frame(2))[1] for decoded in (
                    video.cut(out, 192, 192), (found[integer.LUMA][..., 0], found[integer.CHROMA].transpose(2, 0, 1))))
                self.assertAlmostEqual(of_float, of_integers, delta=0.3, msg=name)

    def test_bd_rate(self):
        curve = [(0.2, 28.0), (0.4, 31.0), (0.8, 34.0), (1.6, 37.0)]
        self.assertAlmostEqual(evaluate.bd_rate(curve, [(1.1 * b, p) for b, p in curve]), 10)


if __name__ == '__main__':
    unittest.main()

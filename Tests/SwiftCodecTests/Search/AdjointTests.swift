// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Gradients of networks with every kind of layer and every stride against differences of the integer network.
@Suite struct AdjointTests {
  /// A synthesis from a latent at 1/12 of the size, with outputs at the full size and at half of it.
  struct Made {
    var file = ModelFileWriter()
    var graph: ModelFileWriter.Graph
    var random: SplitMix

    init(seed: UInt64) {
      random = SplitMix(seed)
      graph = ModelFileWriter.Graph(
        role: 1, format: 2,
        inputs: [
          (.decodedLatent, .init(channels: 4, bits: 15, q: 0, divisor: 12)),
          (.predictedLuma, .init(channels: 1, bits: 8, q: 0, divisor: 1)),
        ])
      let scaled = convolve(0, kind: 0, kernel: 1, stride: 1, channels: 4, q: 6)
      let a = convolve(scaled, kind: 1, kernel: 5, stride: 3, channels: 6, activation: 1)  // 1/4
      let b = convolve(a, kind: 1, kernel: 6, stride: 4, channels: 3)  // 1
      let swish = append(.hardSwish, [a])
      let coarse = convolve(swish, kind: 2, kernel: 5, stride: 3, channels: 6)  // 1/12
      let wide = convolve(coarse, kind: 0, kernel: 3, stride: 1, channels: 18, activation: 2)
      let shuffled = append(.shuffle(3), [wide], channels: 2, divisor: 4)
      let joined = append(.concatenation, [shuffled, a], channels: 8)
      let up = convolve(joined, kind: 1, kernel: 4, stride: 2, channels: 4)  // 1/2
      let down = convolve(b, kind: 0, kernel: 7, stride: 2, channels: 4)
      let sum = append(.add, [up, down])
      let packed = append(.unshuffle(3), [b], channels: 27, divisor: 3)
      let again = convolve(packed, kind: 1, kernel: 3, stride: 3, channels: 3)
      let luma = convolve(append(.add, [b, again]), kind: 0, kernel: 3, stride: 1, channels: 1)
      let chroma = convolve(sum, kind: 0, kernel: 3, stride: 1, channels: 2)
      let coarser = convolve(luma, kind: 0, kernel: 5, stride: 4, channels: 2)
      let state = convolve(coarser, kind: 2, kernel: 3, stride: 1, channels: 2)
      graph.outputs = [(.luma, luma), (.chroma, chroma), (.state(0), state), (.state(1), a)]
      let latent = ModelFileWriter.Tensor(channels: 4, bits: 15, q: 0, divisor: 12)
      var analysis = ModelFileWriter.Graph(
        role: 0, format: 2,
        inputs: [
          (.luma, .init(channels: 1, bits: 8, q: 0, divisor: 1)),
          (.chroma, .init(channels: 2, bits: 8, q: 0, divisor: 2)),
        ])
      swap(&graph, &analysis)
      var at = convolve(0, kind: 0, kernel: 3, stride: 3, channels: 2, q: 0)
      at = convolve(at, kind: 0, kernel: 4, stride: 4, channels: 4, q: 0)
      graph.layers[graph.layers.count - 1].output = latent
      graph.outputs = [(.latent, at)]
      file.graphs = [graph, analysis]
    }

    mutating func append(
      _ operation: ModelFileWriter.Operation, _ inputs: [Int], channels: Int? = nil, divisor: Int? = nil
    ) -> Int {
      var output = graph.tensor(inputs[0])
      output.channels = channels ?? output.channels
      output.divisor = divisor ?? output.divisor
      return graph.append(.init(operation: operation, inputs: inputs, output: output))
    }

    /// Weights that keep the spread of what they see. q is 6 if not said.
    mutating func convolve(
      _ input: Int, kind: Int, kernel: Int, stride: Int, channels: Int, activation: Int = 0, q: Int = 6
    ) -> Int {
      let tensor = graph.tensor(input)
      let inputs = kind == 2 ? 1 : tensor.channels
      let terms = kernel * kernel * inputs / (kind == 1 ? stride * stride : 1)
      let spread = 2048 * (3 / Double(max(1, terms))).squareRoot()
      let weights = (0..<(channels * kernel * kernel * inputs)).map { _ in
        Int16(Double(random.int(-1000...1000)) / 1000 * spread)
      }
      let shape = kind == 2 ? [channels, kernel, kernel] : [channels, kernel, kernel, inputs]
      let k = ModelFileWriter.Kernel(
        kh: kernel, kw: kernel, stride: stride, border: random.below(2), weights: file.array(shape, .i16(weights)),
        exponents: file.array([channels], .i8([Int8](repeating: 11, count: channels))),
        bias: file.array([channels], .i32((0..<channels).map { _ in Int32(random.int(-30000...30000)) })))
      let output = ModelFileWriter.Tensor(
        channels: channels, bits: 13, q: q, divisor: kind == 1 ? tensor.divisor / stride : tensor.divisor * stride)
      return graph.append(
        .init(
          operation: kind == 0 ? .convolution(k) : kind == 1 ? .transposed(k) : .depthwise(k), inputs: [input],
          activation: activation, slope: activation == 2 ? 3 : 0, output: output))
    }
  }

  @Test(arguments: 0..<6) func equalsDifferences(_ number: Int) throws {
    let seed = SplitMix.seed &* 6000 &+ UInt64(number)
    let made = Made(seed: seed)
    let model = try NetworkTests.model(made.file.file(), seed)
    let graph = try #require(model.graph(.synthesis, .yuv420))
    let program = NetworkProgram(graph, of: model.weights, ratePoint: 0, cpu: .best)
    let adjoint = AdjointProgram(graph, program, of: model.weights, at: RatePosition(ratePoint: 0))
    var random = SplitMix(seed)
    let (width, height) = (48, 72)
    let (columns, rows) = (width / 12, height / 12)
    let latent = AlignedBuffer<Int16>(count: rows * columns * 4, zero: 0)
    for i in 0..<latent.count { latent.base[i] = Int16(random.int(-4...4)) }
    let prediction = (0..<(width * height)).map { _ in Int16(random.int(-255...255)) }
    func source(_ input: Int, _ y: Int, _ to: UnsafeMutablePointer<Int16>) {
      if input == 0 {
        to.update(from: latent.base + y * columns * 4, count: columns * 4)
      } else {
        for x in 0..<width { to[x] = prediction[y * width + x] }
      }
    }
    let sizes = program.outputs.map { width / program.tensors[$0.tensor].divisor * program.tensors[$0.tensor].channels }
    func outputs() -> [[Double]] {
      let values = zip(program.outputs, sizes).map { port, size in
        AlignedBuffer<Double>(count: size * (height / program.tensors[port.tensor].divisor), zero: 0)
      }
      program.run(
        width: width, height: height, Execution(), source: source,
        sink: { output, y, row in
          for i in 0..<sizes[output] { values[output].base[y * sizes[output] + i] = Double(row[i]) }
        })
      return values.map { Array(UnsafeBufferPointer(start: $0.base, count: $0.count)) }
    }
    // Rows in the middle of the latent only, of one or of all: the pass must find what it needs.
    let band = number % 2 == 0 ? 0..<rows : 2..<4
    let pass = AdjointPass(adjoint, width: width, height: height, rows: band, threads: 2)
    let units = pass.outputUnits
    NetworkRunner(program, width: width, height: height, band: units, stripeRows: 0).run(
      source: source, sink: { _, _, _ in }, tap: { pass.keepMask($0, $1, $2, output: units) })
    // Weights of the outputs' values in a sum.
    var signs = outputs().map { $0.map { _ in Double(random.int(-400...400)) } }
    for output in program.outputs.indices {
      for y in pass.outputRows(output) {
        let row = pass.outputRow(y, output: output)
        for i in 0..<sizes[output] { row[i] = Int16(signs[output][y * sizes[output] + i]) }
      }
      let q = program.tensors[program.outputs[output].tensor].q
      signs[output] = signs[output].map { $0 / Double(1 << q) }
    }
    pass.propagate()
    var (ab, aa, bb) = (0.0, 0.0, 0.0)
    for _ in 0..<80 {
      let (y, x, c) = (band.lowerBound + random.below(band.count), random.below(columns), random.below(4))
      let at = latent.base + (y * columns + x) * 4 + c
      at.pointee += 1
      let above = outputs()
      at.pointee -= 2
      let below = outputs()
      at.pointee += 1
      var expected = 0.0
      for output in signs.indices {
        for i in signs[output].indices { expected += signs[output][i] * (above[output][i] - below[output][i]) / 2 }
      }
      let found = Double(pass.inputRow(y)[x * 4 + c]) / pass.inputScales[c]
      ab += expected * found
      aa += found * found
      bb += expected * expected
    }
    let correlation = ab / (aa * bb).squareRoot()
    #expect(correlation > 0.95 && 0.85...1.15 ~= ab / aa, "seed \(seed): \(correlation), slope \(ab / aa)")
    // Outputs that are not filled count as 0, in the second pass as in the first.
    let partial = AdjointPass(adjoint, width: width, height: height, rows: band, filling: 1, threads: 2)
    NetworkRunner(program, width: width, height: height, band: units, stripeRows: 0).run(
      source: source, sink: { _, _, _ in }, tap: { partial.keepMask($0, $1, $2, output: units) })
    func gradient() -> [[Int16]] {
      for y in partial.outputRows() {
        for i in 0..<sizes[0] { partial.outputRow(y)[i] = Int16((y * 7 + i * 13) % 801 - 400) }
      }
      partial.propagate()
      return band.map { Array(UnsafeBufferPointer(start: partial.inputRow($0), count: columns * 4)) }
    }
    #expect(gradient() == gradient(), "seed \(seed)")
  }

  /// Gains in a row that no number can hold: the scales stay finite.
  @Test func hugeGains() throws {
    var file = ModelTests.small()
    let gain = file.array([2, 3], .i16([Int16](repeating: 32767, count: 6)))
    let shift = file.array([2, 3], .u8([UInt8](repeating: 1, count: 6)))
    for i in 0..<90 {
      _ = file.graphs[1].append(
        .init(
          operation: .gain(gain: gain, shift: shift), inputs: [1 + i],
          output: .init(channels: 3, bits: 10, q: 2, divisor: 1)))
    }
    let model = try Model(file.file())
    var settings = EncoderSettings(ratePoint: 0)
    settings.rdoq = .fast
    let encoded = try encode(Fixtures.formulaPicture(width: 20, height: 20), model: model, settings: settings)
    #expect(try decode(encoded.bytes, model: model) == encoded.reconstruction)
  }
}

// SPDX-License-Identifier: BSD-3-Clause
import CCodecKernels

@testable import SwiftCodec

/// Files that are valid, or nearly, and made to exhaust whoever reads them. Small in bytes, large in what they ask for.
enum HostileFiles {
  private static func zeros(_ count: Int) -> ModelFileWriter.Values { .i16([Int16](repeating: 0, count: count)) }

  /// Layers of 20 graphs that all go through one weight array at 64 rate points: its proofs would take minutes.
  static func sharedProofs() -> [UInt8] {
    var file = ModelFileWriter()
    let (rates, input, output, side) = (64, 64, 8, 15)
    file.ratePoints = rates
    file.widths = [[Int]](repeating: [], count: rates)
    let w = file.array([output, side, side, input], zeros(output * side * side * input))
    let e = file.array([rates, output], .i8([Int8](repeating: 6, count: rates * output)))
    let b = file.array([rates, output], .i32([Int32](repeating: 0, count: rates * output)))
    let m = file.array([rates, output], zeros(rates * output))
    for role in [0, 1, 2, 3] + (16..<32).map({ $0 }) {
      var graph = ModelFileWriter.Graph(
        role: role, inputs: [.init(channels: input, bits: 8, q: 0, divisor: 1)])
      for i in 0..<1024 {
        // Each asks for a proof of its own.
        _ = graph.append(
          .init(
            operation: .convolution(
              .init(kh: side, kw: side, stride: 1, border: 1, weights: w, exponents: e, bias: b, modulation: m)),
            inputs: [0], activation: i % 16 == 0 ? 0 : 2, slope: i % 16,
            output: .init(channels: output, bits: 10, q: (i / 16) % 5, divisor: 1)))
      }
      file.graphs.append(graph)
    }
    return file.file()
  }

  /// A model of a 2×2 stride-2 analysis, and a synthesis that `body` appends to from a latent of two channels.
  private static func model(
    _ file: inout ModelFileWriter, _ body: (inout ModelFileWriter, inout ModelFileWriter.Graph) -> Int
  ) -> [UInt8] {
    let latent = ModelFileWriter.Tensor(channels: 2, bits: 8, q: 0, divisor: 2)
    var analysis = ModelFileWriter.Graph(role: 0, inputs: [.init(channels: 3, bits: 8, q: 0, divisor: 1)])
    _ = analysis.append(.init(operation: convolution(&file, 3, 2, 2, stride: 2), inputs: [0], output: latent))
    var decoded = latent
    decoded.bits = 15
    var synthesis = ModelFileWriter.Graph(role: 1, inputs: [decoded])
    let last = body(&file, &synthesis)
    _ = synthesis.append(
      .init(
        operation: transposed(&file, synthesis.tensor(last).channels, 3), inputs: [last],
        output: .init(channels: 3, bits: 9, q: 0, divisor: 1)))
    file.graphs = [analysis, synthesis]
    file.entropy = [ModelFileWriter.flatEntropy(channels: [2])]
    return file.file()
  }

  private static func kernel(
    _ file: inout ModelFileWriter, _ shape: [Int], _ channels: Int, side: Int, stride: Int
  ) -> ModelFileWriter.Kernel {
    let count = shape.reduce(1, *)
    return .init(
      kh: side, kw: side, stride: stride, border: 1,
      weights: file.array(shape, .i16((0..<count).map { Int16($0 % 7) - 3 })),
      exponents: file.array([channels], .i8([Int8](repeating: 8, count: channels))),
      bias: file.array([channels], .i32([Int32](repeating: 0, count: channels))))
  }

  static func convolution(
    _ file: inout ModelFileWriter, _ input: Int, _ output: Int, _ side: Int, stride: Int = 1
  ) -> ModelFileWriter.Operation {
    .convolution(kernel(&file, [output, side, side, input], output, side: side, stride: stride))
  }

  private static func transposed(
    _ file: inout ModelFileWriter, _ input: Int, _ output: Int
  ) -> ModelFileWriter.Operation {
    .transposed(kernel(&file, [output, 2, 2, input], output, side: 2, stride: 2))
  }

  /// Many layers that share one large weight array: each would be packed anew. In a chain, or all from one tensor.
  static func sharedWeights(isChain: Bool, layers: Int = 1000) -> [UInt8] {
    var file = ModelFileWriter()
    return model(&file) { file, graph in
      let wide = ModelFileWriter.Tensor(channels: 64, bits: 10, q: 0, divisor: 2)
      var last = graph.append(.init(operation: convolution(&file, 2, 64, 1), inputs: [0], output: wide))
      let first = last
      let operation = convolution(&file, 64, 64, 9)
      for _ in 0..<layers {
        last = graph.append(.init(operation: operation, inputs: [isChain ? last : first], output: wide))
      }
      return last
    }
  }

  /// Tensors of 4096 channels at a high resolution, without large weights.
  static func wideTensors(layers: Int = 32) -> [UInt8] {
    var file = ModelFileWriter()
    return model(&file) { file, graph in
      var tensor = ModelFileWriter.Tensor(channels: 256, bits: 8, q: 0, divisor: 2)
      let first = graph.append(.init(operation: convolution(&file, 2, 256, 1), inputs: [0], output: tensor))
      tensor.channels = 4096
      var last = graph.append(
        .init(operation: .concatenation, inputs: [Int](repeating: first, count: 16), output: tensor))
      let depthwise = ModelFileWriter.Operation.depthwise(kernel(&file, [4096, 1, 1], 4096, side: 1, stride: 1))
      for _ in 0..<layers { last = graph.append(.init(operation: depthwise, inputs: [last], output: tensor)) }
      return last
    }
  }

  /// Gains in a row, whose adjoint factors would grow beyond every number, or vanish.
  static func gains(_ gain: Int16, shift: UInt8, layers: Int = 60) -> [UInt8] {
    var file = ModelFileWriter()
    return model(&file) { file, graph in
      let g = file.array([1, 2], .i16([gain, gain]))
      let s = file.array([1, 2], .u8([shift, shift]))
      var last = 0
      for _ in 0..<layers {
        last = graph.append(
          .init(
            operation: .gain(gain: g, shift: s), inputs: [last],
            output: .init(channels: 2, bits: 12, q: 0, divisor: 2)))
      }
      return last
    }
  }

  /// The bitstream of a picture all of whose channels are absent: a few bytes, whatever the size.
  static func flat(_ model: Model, width: Int, height: Int) -> [UInt8] {
    guard let kind = model.preferredEntropyKind, let entropy = model.entropyModels.first(where: { $0.kind == kind })
    else { preconditionFailure("no entropy model") }
    let encoder = PayloadEncoder()
    PictureFilter().encode(encoder, .rgb, previous: nil)
    for table in Array(entropy.hyperTables.prefix(1)) + Array(entropy.tables.prefix(1)) {
      encoder.reserve(table.channelCount)
      for (i, channel) in table.order.enumerated() {
        sc_rans_encode_flag(&encoder.state, Int32(i & 3), UInt32(table.active[channel]), 0)
      }
    }
    var writer = BitstreamWriter(
      BitstreamHeader(
        modelID: model.shortID, position: RatePosition(index: 0), entropy: kind, format: .rgb, width: width,
        height: height, segments: nil))
    return writer.finish(segment: encoder.finish())
  }
}

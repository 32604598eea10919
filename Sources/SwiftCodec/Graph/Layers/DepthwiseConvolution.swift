// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A convolution in which channel o sees input channel o only; weights are [channels][kh][kw].
final class DepthwiseConvolution: LayerOperation {
  let kernel: ConvolutionWeights

  static var kind: LayerKind {
    LayerKind(activations: .all) { reader, layer throws(ModelError) in
      let (kernel, output) = try ConvolutionWeights.parse(&reader, layer, strides: 1...4, isDepthwise: true) {
        reader, stride throws(ModelError) in try reader.coarser(layer.input, by: stride)
      }
      return (DepthwiseConvolution(kernel), output)
    }
  }

  init(_ kernel: ConvolutionWeights) { self.kernel = kernel }

  var name: StaticString { "depthwise convolution" }

  func multiplications(inputs: Int, outputs: Int) -> Double { Double(kernel.kh * kernel.kw) * Double(outputs) }

  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts {
    kernel.depthwiseProducts(outputs: outputs)
  }

  var fileWeights: Double { Double(kernel.weightCount) }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram {
    let values = kernel.values(layer)
    let channels = layer.outputTensor.channels
    let padded = ProgramMemory.padded(channels)
    let taps = kernel.kh * kernel.kw
    let packed = memory.keepShorts(taps * padded)
    let weights = memory.scratch(taps)
    for o in 0..<channels {
      values.copy(channel: o, from: o * taps, count: taps, to: weights)
      for t in 0..<taps { packed[t * padded + o] = weights[t] }
    }
    let conv = sc_depthwise(
      weights: packed, kh: Int32(kernel.kh), kw: Int32(kernel.kw), channels: Int32(channels),
      requant: values.requant(layer, memory))
    return Program(conv, kernel, input: layer.inputs[0], output: layer.output)
  }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    ConvolutionDerivative(kernel, layer, up: kernel.stride, down: 1, isDepthwise: true)
  }

  final class Program: LayerProgram {
    private let conv: sc_depthwise
    private let kernel: ConvolutionWeights
    private let input: Int
    private let output: Int

    init(_ conv: sc_depthwise, _ kernel: ConvolutionWeights, input: Int, output: Int) {
      self.conv = conv
      self.kernel = kernel
      self.input = input
      self.output = output
    }

    var margins: Margins {
      Margins(left: kernel.padLeft, right: kernel.kw - kernel.padLeft - kernel.stride, border: kernel.border)
    }

    func inputRows(_ y: Int) -> ClosedRange<Int> {
      let first = kernel.stride * y - kernel.padTop
      return first...(first + kernel.kh - 1)
    }

    func run(_ y: Int, _ rows: RowStore) {
      let to = rows.rings[output]
      var conv = conv
      rows.kernels.pointee.depthwise(
        &conv, rows.gather(input, inputRows(y), column: -kernel.padLeft, kernel.border),
        kernel.stride * rows.rings[input].channels, to.row(y), to.channels, to.width)
    }
  }
}

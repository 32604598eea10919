// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Input sample (y, x) adds weights[o][i][j][c] · in[y][x][c] to output position (s·y + i − pt, s·x + j − pl), stride s.
///
/// Output rows and columns of each of s² phases are a dense product of their own: every product is computed, and none with
/// a zero that the stride would put in.
final class TransposedConvolution: LayerOperation {
  let kernel: ConvolutionWeights

  static var kind: LayerKind {
    LayerKind(activations: .all) { reader, layer throws(ModelError) in
      let (kernel, output) = try ConvolutionWeights.parse(&reader, layer, strides: 2...4) {
        reader, stride throws(ModelError) in try reader.finer(layer.input, by: stride)
      }
      return (TransposedConvolution(kernel), output)
    }
  }

  init(_ kernel: ConvolutionWeights) { self.kernel = kernel }

  var name: StaticString { "transposed convolution" }

  func multiplications(inputs: Int, outputs: Int) -> Double {
    Double(kernel.kh * kernel.kw) * Double(inputs) * Double(outputs) / Double(kernel.stride * kernel.stride)
  }

  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts {
    kernel.denseProducts(inputs: inputs, outputs: outputs, phases: kernel.stride)
  }

  var fileWeights: Double { Double(kernel.weightCount) }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram {
    let values = kernel.values(layer)
    let requant = values.requant(layer, memory)
    var phases: [DenseProduct] = []
    for a in 0..<kernel.stride {
      for b in 0..<kernel.stride {
        phases.append(
          DenseProduct(
            values, kernel, .phase(a, of: kernel.stride, kernel.kh, pad: kernel.padTop),
            .phase(b, of: kernel.stride, kernel.kw, pad: kernel.padLeft), layer, requant, memory))
      }
    }
    return Program(phases, stride: kernel.stride, border: kernel.border, input: layer.inputs[0], output: layer.output)
  }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    ConvolutionDerivative(kernel, layer, up: 1, down: kernel.stride, isDepthwise: false)
  }

  final class Program: LayerProgram {
    /// Phase s·a + b makes output rows a and columns b modulo s.
    private let phases: [DenseProduct]
    private let stride: Int
    private let border: Border
    private let input: Int
    private let output: Int

    init(_ phases: [DenseProduct], stride: Int, border: Border, input: Int, output: Int) {
      self.phases = phases
      self.stride = stride
      self.border = border
      self.input = input
      self.output = output
    }

    var margins: Margins {
      var margins = Margins(border: border)
      for phase in phases {
        margins.left = max(margins.left, -phase.firstColumn)
        margins.right = max(margins.right, phase.firstColumn + phase.columns - 1)
      }
      return margins
    }

    /// All phases of a row have the same rows.
    func inputRows(_ y: Int) -> ClosedRange<Int> { phases[stride * (y % stride)].inputRows(y / stride) }

    func run(_ y: Int, _ rows: RowStore) {
      let from = rows.rings[input]
      let to = rows.rings[output]
      for b in 0..<stride {
        let phase = phases[stride * (y % stride) + b]
        var conv = phase.conv
        rows.kernels.pointee.conv(
          &conv, rows.gather(input, inputRows(y), column: phase.firstColumn, border), from.channels,
          to.row(y) + b * to.channels, stride * to.channels, from.width)
      }
    }
  }
}

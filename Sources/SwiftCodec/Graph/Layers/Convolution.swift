// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// out[y][x][o] = Σ weights[o][i][j][c] · in[stride·y + i − pt][stride·x + j − pl][c], and a bias, requantised.
final class Convolution: LayerOperation {
  let kernel: ConvolutionWeights

  static var kind: LayerKind {
    LayerKind(activations: .all) { reader, layer throws(ModelError) in
      let (kernel, output) = try ConvolutionWeights.parse(&reader, layer, strides: 1...4) {
        reader, stride throws(ModelError) in try reader.coarser(layer.input, by: stride)
      }
      return (Convolution(kernel), output)
    }
  }

  init(_ kernel: ConvolutionWeights) { self.kernel = kernel }

  var name: StaticString { "convolution" }

  func multiplications(inputs: Int, outputs: Int) -> Double {
    Double(kernel.kh * kernel.kw) * Double(inputs) * Double(outputs)
  }

  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts {
    kernel.denseProducts(inputs: inputs, outputs: outputs)
  }

  var fileWeights: Double { Double(kernel.weightCount) }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram {
    let values = kernel.values(layer)
    let product = DenseProduct(
      values, kernel, .all(kernel.kh, pad: kernel.padTop),
      .all(kernel.kw, pad: kernel.padLeft), layer, values.requant(layer, memory), memory)
    return Program(product, stride: kernel.stride, border: kernel.border, input: layer.inputs[0], output: layer.output)
  }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    ConvolutionDerivative(kernel, layer, up: kernel.stride, down: 1, isDepthwise: false)
  }

  final class Program: LayerProgram {
    private let product: DenseProduct
    private let stride: Int
    private let border: Border
    private let input: Int
    private let output: Int

    init(_ product: DenseProduct, stride: Int, border: Border, input: Int, output: Int) {
      self.product = product
      self.stride = stride
      self.border = border
      self.input = input
      self.output = output
    }

    var margins: Margins {
      Margins(left: -product.firstColumn, right: product.columns + product.firstColumn - stride, border: border)
    }

    func inputRows(_ y: Int) -> ClosedRange<Int> { product.inputRows(stride * y) }

    func run(_ y: Int, _ rows: RowStore) {
      let to = rows.rings[output]
      var conv = product.conv
      rows.kernels.pointee.conv(
        &conv, rows.gather(input, inputRows(y), column: product.firstColumn, border),
        stride * rows.rings[input].channels, to.row(y), to.channels, to.width)
    }
  }
}

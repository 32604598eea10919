// SPDX-License-Identifier: BSD-3-Clause

/// Products that the kernels make where a layer's formula has fewer: vectors are whole, and loops without vectors take the
/// time of many products.
struct VectorProducts {
  /// For a position of the output.
  var position = 0.0
  /// Elements of packed weights.
  var weights = 0.0
}

extension ConvolutionWeights {
  /// Of a dense convolution; `phases` of each axis are convolutions of their own.
  func denseProducts(inputs: Int, outputs: Int, phases: Int = 1) -> VectorProducts {
    let rows = (kh + phases - 1) / phases
    let run = ((kw + phases - 1) / phases * inputs + 31) / 32 * 32
    let channels = outputs <= 4 ? outputs : (outputs + 15) / 16 * 16
    let one = Double(rows) * Double(run) * Double(channels)
    return VectorProducts(position: one, weights: one * Double(phases * phases))
  }

  func depthwiseProducts(outputs: Int) -> VectorProducts {
    let one = Double(kh * kw) * Double((outputs + 15) / 16 * 16)
    // A vector of a depthwise layer does a third of the products of a dense one in the same time.
    return VectorProducts(position: 3 * one, weights: one)
  }
}

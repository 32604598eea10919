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
    // Wide layers reach most of the peak that a unit of work is of. Few outputs are sums across vectors; in narrow
    // layers a row of the kernel waits for the one before, and outputs that fill no vector come last.
    let position =
      outputs <= 4
      ? 1.06 * one + Double(300 + 400 * outputs + 100 * rows)
      : max(1.06 * one, Double(1500 * rows)) + (outputs % 16 > 0 ? Double(600 * rows) : 0)
    return VectorProducts(position: position, weights: one * Double(phases * phases))
  }

  func depthwiseProducts(outputs: Int) -> VectorProducts {
    let one = Double(kh * kw) * Double((outputs + 15) / 16 * 16)
    // A vector of a depthwise layer does a third of the products of a dense one in the same time; the first of a position
    // waits for those before.
    return VectorProducts(position: max(3 * one, Double(1500 + 110 * kh * kw)), weights: one)
  }
}

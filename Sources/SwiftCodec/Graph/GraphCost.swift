// SPDX-License-Identifier: BSD-3-Clause

/// What a network costs at a rate position, bounded from above by its description alone: before it is made ready, and in a
/// time that is linear in its layers.
///
/// A unit of work is a multiply-add of the vector kernels, a few hundredths of a nanosecond on a thread of 2020. What is no
/// multiplication counts as so many of them as take its time: each element that a layer reads or writes, each row that it
/// begins, the columns around a row, and each weight that is packed. Doubles, because products of a file's sizes leave
/// 64 bits.
struct GraphCost {
  /// Work, and bytes that stay, of making the network ready.
  private(set) var preparation = 0.0
  private(set) var preparedBytes = 0.0
  /// Multiply-adds for a pixel of the padded picture: only products with weights of the file.
  private(set) var macPerPixel = 0.0
  private var layers: [Layer] = []

  private struct Layer {
    let divisor: Int
    let channels: Int
    /// Products, and elements read and written, for a position of the output.
    let products: Double
    let elements: Double
    let row: Double
  }

  /// While the rows that wait for later layers stay in a processor's caches, and beyond.
  private static let elementWork = 16.0
  private static let distantElementWork = 96.0
  private static let cacheBytes = 0x1p24
  private static let rowWork = 8192.0
  private static let borderWork = 512.0
  private static let packingWork = 64.0
  private static let layerBytes = 4096.0

  init(_ graph: Graph, _ weights: Weights, at position: RatePosition) {
    let point = weights.widthPoint(position)
    for (i, layer) in graph.layers.enumerated() {
      let output = graph.tensors[graph.inputCount + i]
      let outputs = weights.width(output, point)
      var read = 0.0
      var inputs = 0
      for input in layer.inputs {
        let tensor = graph.tensors[input]
        let ratio = Double(output.divisor) / Double(tensor.divisor)
        inputs += weights.width(tensor, point)
        read += Double(weights.width(tensor, point)) * ratio * ratio
      }
      let first = weights.width(graph.tensors[layer.inputs[0]], point)
      let products = layer.operation.vectorProducts(inputs: first, outputs: outputs)
      layers.append(
        Layer(
          divisor: output.divisor, channels: outputs, products: products.position, elements: read + Double(outputs),
          row: Self.rowWork + Self.borderWork * Double(inputs)))
      macPerPixel += graph.macPerPixel(layer: i, weights, ratePoint: point)
      // Packed weights, and beside them for a moment those in the file's order, at all channels.
      preparedBytes += 2 * products.weights + Self.layerBytes + 16 * Double(output.channels)
      preparation += Self.packingWork * (products.weights + layer.operation.fileWeights) + Self.rowWork
    }
  }

  /// Of one run over a padded picture or a part of it.
  func work(width: Int, height: Int) -> Double {
    // Two rows of 16-bit elements of every tensor.
    let waiting = layers.reduce(0) { $0 + 4 * Double($1.channels) * Double(width / $1.divisor + 1) }
    let element = waiting <= Self.cacheBytes ? Self.elementWork : Self.distantElementWork
    var sum = 0.0
    for layer in layers {
      let position = layer.products + element * layer.elements
      sum += Double(height / layer.divisor + 1) * (layer.row + position * Double(width / layer.divisor + 1))
    }
    return sum
  }
}

extension GraphCost {
  /// Elements of all tensors that layers make.
  func elements(width: Int, height: Int) -> Double {
    layers.reduce(0) { $0 + Double($1.channels) * Double(width / $1.divisor + 1) * Double(height / $1.divisor + 1) }
  }
}

// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Executes a network depth-first for a band of its output's rows: the picture passes in stripes, and each tensor keeps
/// just the rows that later ones still need, in a ring.
///
/// The result does not depend on the band or the stripe: rows near a band's edge are computed by both neighbours.
final class NetworkRunner {
  /// Fills row `row` of input `input`: [width][channels] samples.
  typealias Source = (_ input: Int, _ row: Int, _ out: UnsafeMutablePointer<Int16>) -> Void
  /// Takes row `row` of the output.
  typealias Sink = (_ row: Int, _ samples: UnsafePointer<Int16>) -> Void
  /// Sees row `row` of any layer's output when it is computed.
  typealias Tap = (_ tensor: Int, _ row: Int, _ samples: UnsafePointer<Int16>) -> Void

  private struct Ring {
    let width: Int
    let height: Int
    let channels: Int
    /// Elements from one row to the next, margins included.
    let stride: Int
    let capacity: Int
    let first: UnsafeMutablePointer<Int16>
    let owner: AlignedBuffer<Int16>

    func row(_ y: Int) -> UnsafeMutablePointer<Int16> { first + y % capacity * stride }
  }

  private let program: NetworkProgram
  private let band: Range<Int>
  private let stripeRows: Int
  private let heights: [Int]
  /// The first row of each tensor that the band needs.
  private let firstRows: [Int]
  private let rings: [Ring]
  private let zeros: AlignedBuffer<Int16>
  private let rowPointers = AlignedBuffer<UnsafePointer<Int16>?>(count: 16, zero: nil)

  /// `width` × `height` is the padded picture; `band` are rows of the output.
  init(_ program: NetworkProgram, width: Int, height: Int, band: Range<Int>, stripeRows: Int) {
    self.program = program
    self.band = band
    let outputHeight = height >> program.tensors[program.output].level
    precondition(band.lowerBound >= 0 && band.upperBound <= outputHeight && !band.isEmpty)
    self.stripeRows = stripeRows > 0 ? stripeRows : NetworkRunner.defaultStripeRows(program)
    let heights = program.tensors.map { height >> $0.level }
    self.heights = heights

    var first = [Int](repeating: Int.max, count: program.tensors.count)
    first[program.output] = band.lowerBound
    for layer in program.layers.reversed() where first[layer.output] != Int.max {
      for input in layer.inputs {
        first[input] = min(first[input], max(0, layer.inputRows(first[layer.output]).lowerBound))
      }
    }
    firstRows = first

    // The schedule is played through once without computing: how many rows of each tensor live at the same time.
    var capacities = [Int](repeating: 1, count: program.tensors.count)
    NetworkRunner.forEachStripe(program, heights, first, band, self.stripeRows) { produced, needed in
      var oldest = produced
      for layer in program.layers where needed[layer.output] >= produced[layer.output] {
        for input in layer.inputs {
          oldest[input] = min(oldest[input], max(0, layer.inputRows(produced[layer.output]).lowerBound))
        }
      }
      for t in capacities.indices { capacities[t] = max(capacities[t], needed[t] - oldest[t] + 1) }
    }
    var rings: [Ring] = []
    var widest = 0
    for (tensor, capacity) in zip(program.tensors, capacities) {
      let tensorWidth = width >> tensor.level
      let stride = (tensor.left + tensorWidth + tensor.right) * tensor.channels
      widest = max(widest, stride)
      let owner = AlignedBuffer<Int16>(count: stride * capacity + Int(SC_ROW_SLACK), zero: 0)
      rings.append(
        Ring(
          width: tensorWidth, height: height >> tensor.level, channels: tensor.channels, stride: stride,
          capacity: capacity, first: owner.base + tensor.left * tensor.channels, owner: owner))
    }
    self.rings = rings
    zeros = AlignedBuffer(count: widest + Int(SC_ROW_SLACK), zero: 0)
  }

  /// Two rows of the coarsest tensor: few enough for the second-level cache, enough to use a weight several times.
  static func defaultStripeRows(_ program: NetworkProgram) -> Int {
    let coarsest = program.tensors.reduce(0) { max($0, $1.level) }
    return max(1, 2 << (coarsest - program.tensors[program.output].level))
  }

  /// Plays the schedule: `produced` is the next row of each tensor, `needed` the last row that the stripe asks for.
  private static func forEachStripe(
    _ program: NetworkProgram, _ heights: [Int], _ first: [Int], _ band: Range<Int>, _ stripeRows: Int,
    _ body: (_ produced: [Int], _ needed: [Int]) -> Void
  ) {
    var produced = first
    for start in stride(from: band.lowerBound, to: band.upperBound, by: stripeRows) {
      var needed = produced.map { $0 - 1 }
      needed[program.output] = min(start + stripeRows, band.upperBound) - 1
      for layer in program.layers.reversed() where needed[layer.output] >= produced[layer.output] {
        for input in layer.inputs {
          let last = min(layer.inputRows(needed[layer.output]).upperBound, heights[input] - 1)
          needed[input] = max(needed[input], last)
        }
      }
      body(produced, needed)
      for t in produced.indices { produced[t] = max(produced[t], needed[t] + 1) }
    }
  }

  /// `profile`, if given, has an element for each layer, to which the nanoseconds spent in it are added.
  func run(source: Source, sink: Sink, tap: Tap? = nil, profile: UnsafeMutablePointer<UInt64>? = nil) {
    NetworkRunner.forEachStripe(program, heights, firstRows, band, stripeRows) { produced, needed in
      for input in 0..<program.inputCount where produced[input] <= needed[input] {
        for y in produced[input]...needed[input] {
          source(input, y, rings[input].row(y))
          finish(input, y)
        }
      }
      for (i, layer) in program.layers.enumerated() where produced[layer.output] <= needed[layer.output] {
        let start = profile == nil ? 0 : sc_thread_clock_ns()
        for y in produced[layer.output]...needed[layer.output] {
          compute(layer, y)
          finish(layer.output, y)
          tap?(layer.output, y, UnsafePointer(rings[layer.output].row(y)))
        }
        if let profile { profile[i] += sc_thread_clock_ns() - start }
      }
      for y in produced[program.output]...needed[program.output] {
        sink(y, UnsafePointer(rings[program.output].row(y)))
      }
    }
  }

  /// Margins of a row that just came to be. Zero margins are zero from the start, unless both kinds are read.
  private func finish(_ tensor: Int, _ y: Int) {
    let info = program.tensors[tensor]
    if info.readsReplicated, !info.readsZeros { replicateMargins(tensor, y) }
  }

  private func replicateMargins(_ tensor: Int, _ y: Int) {
    let ring = rings[tensor]
    let info = program.tensors[tensor]
    let row = ring.row(y)
    let channels = ring.channels
    for x in 1..<(info.left + 1) { (row - x * channels).update(from: row, count: channels) }
    let last = row + (ring.width - 1) * channels
    for x in 1..<(info.right + 1) { (last + x * channels).update(from: last, count: channels) }
  }

  private func clearMargins(_ tensor: Int, _ y: Int) {
    let ring = rings[tensor]
    let info = program.tensors[tensor]
    let row = ring.row(y)
    (row - info.left * ring.channels).update(repeating: 0, count: info.left * ring.channels)
    (row + ring.width * ring.channels).update(repeating: 0, count: info.right * ring.channels)
  }

  /// Points at the rows that an output row is made of, at the column where its first tap lies.
  private func gather(_ tensor: Int, _ rows: ClosedRange<Int>, column: Int, _ border: Border) {
    let ring = rings[tensor]
    let info = program.tensors[tensor]
    for (i, y) in rows.enumerated() {
      let inside = min(max(y, 0), ring.height - 1)
      if info.readsZeros && info.readsReplicated {
        if border == .zero { clearMargins(tensor, inside) } else { replicateMargins(tensor, inside) }
      }
      if y == inside || border == .replicate {
        rowPointers.base[i] = UnsafePointer(ring.row(inside) + column * ring.channels)
      } else {
        rowPointers.base[i] = UnsafePointer(zeros.base)
      }
    }
  }

  private func compute(_ layer: NetworkProgram.LayerProgram, _ y: Int) {
    let input = layer.inputs[0]
    let from = rings[input]
    let to = rings[layer.output]
    let tensor = program.tensors[layer.output]
    let out = to.row(y)
    let channels = to.channels
    let kernels = program.kernels.pointee
    switch layer.step {
    case .convolution(var phase, let stride, let border):
      gather(input, layer.inputRows(y), column: phase.firstColumn, border)
      kernels.conv(&phase.conv, rowPointers.base, stride * from.channels, out, channels, to.width)
    case .transposed(let phases, let border):
      for b in 0..<2 {
        var phase = phases[2 * (y & 1) + b]
        gather(input, layer.inputRows(y), column: phase.firstColumn, border)
        kernels.conv(
          &phase.conv, rowPointers.base, from.channels, out + b * channels, 2 * channels, from.width)
      }
    case .depthwise(var conv, _, let padLeft, let stride, let border):
      gather(input, layer.inputRows(y), column: -padLeft, border)
      kernels.depthwise(&conv, rowPointers.base, stride * from.channels, out, channels, to.width)
    case .gain(var gain):
      kernels.gain(&gain, from.row(y), out, to.width)
    case .add(let shiftA, let shiftB):
      kernels.add(
        from.row(y), rings[layer.inputs[1]].row(y), out, to.width * channels, shiftA, shiftB, tensor.lo, tensor.hi)
    case .concatenation(let shifts):
      var at = 0
      for (i, part) in layer.inputs.enumerated() {
        let ring = rings[part]
        sc_copy_channels(
          ring.row(y), ring.channels, out + at, channels, Int32(ring.channels), ring.width, shifts[i], tensor.lo,
          tensor.hi)
        at += ring.channels
      }
    case .pixelShuffle(let factor):
      sc_pixel_shuffle(
        from.row(y / factor), out, Int32(channels), Int32(factor), Int32(y % factor), from.width)
    case .pixelUnshuffle(let factor):
      for i in 0..<factor {
        sc_pixel_unshuffle(
          from.row(factor * y + i), out, Int32(from.channels), Int32(factor), Int32(i), to.width)
      }
    }
  }
}

extension NetworkProgram {
  /// Runs the network on a whole padded picture; every thread takes one band of the output.
  ///
  /// `source` and `sink` are called from all threads, for a row by one or, near a band's edge, two of them (`source`).
  /// A profile and a tap are for one thread.
  func run(
    width: Int, height: Int, _ execution: Execution, profile: UnsafeMutablePointer<UInt64>? = nil,
    source: NetworkRunner.Source, sink: NetworkRunner.Sink, tap: NetworkRunner.Tap? = nil
  ) {
    let outputHeight = height >> tensors[output].level
    let bands = max(1, min(execution.threads, outputHeight))
    parallel(threads: bands, count: bands) { i in
      let band = (i * outputHeight / bands)..<((i + 1) * outputHeight / bands)
      NetworkRunner(self, width: width, height: height, band: band, stripeRows: execution.stripeRows)
        .run(source: source, sink: sink, tap: tap, profile: profile)
    }
  }
}

// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The samples of a picture in memory of the caller, in any layout whose components are 8-bit samples at even distances:
/// interleaved with or without a fourth byte, planar, or NV12. Copies nothing; valid as long as the memory.
struct PictureView {
  let width: Int
  let height: Int
  let format: PixelFormat
  /// R, G, B; the grey samples; or Y, U, V.
  let components: [sc_component]

  /// Components that a network sees as one tensor: their range, and the tensor's size.
  struct Group {
    let components: Range<Int>
    let width: Int
    let height: Int
  }

  /// The whole picture at full resolution: R, G, B, or luma alone.
  var first: Group { Group(components: 0..<(format == .rgb ? 3 : 1), width: width, height: height) }

  /// U and V.
  var chroma: Group { Group(components: 1..<3, width: (width + 1) / 2, height: (height + 1) / 2) }

  /// Row `y` of a group, the last one again below it, as [paddedWidth][components] of a network's input.
  func load(_ group: Group, row y: Int, _ out: UnsafeMutablePointer<Int16>, paddedWidth: Int) {
    components.withUnsafeBufferPointer {
      sc_load_row(
        $0.baseAddress! + group.components.lowerBound, Int32(group.components.count), min(y, group.height - 1),
        group.width, out, paddedWidth)
    }
  }

  /// Takes row `y` of a group from [width][components] of a network's output with exponent q; rows above and below it are
  /// dropped.
  func store(_ group: Group, row y: Int, _ samples: UnsafePointer<Int16>, q: Int) {
    guard 0..<group.height ~= y else { return }
    components.withUnsafeBufferPointer {
      sc_store_row(
        samples, Int32(q), $0.baseAddress! + group.components.lowerBound, Int32(group.components.count), y,
        group.width)
    }
  }
}

extension PictureView {
  /// Rows of samples of a component.
  private func size(component: Int) -> (width: Int, height: Int) {
    format == .yuv420 && component > 0 ? (chroma.width, chroma.height) : (width, height)
  }

  /// Sum of squared differences to a picture of the same size and format, all samples counted once.
  func squaredError(to other: PictureView) -> UInt64 {
    components.indices.reduce(0) { $0 + squaredError(to: other, component: $1) }
  }

  /// Sum of squared differences of a component to that of a picture of the same size and format.
  func squaredError(to other: PictureView, component c: Int) -> UInt64 {
    precondition(width == other.width && height == other.height && format == other.format)
    var sum: UInt64 = 0
    let (width, height) = size(component: c)
    let (a, b) = (components[c], other.components[c])
    for y in 0..<height {
      let (a, b) = ((a.base + y * a.row_stride, a.step), (b.base + y * b.row_stride, b.step))
      for x in 0..<width {
        let d = Int32(a.0[x * a.1]) - Int32(b.0[x * b.1])
        sum &+= UInt64(truncatingIfNeeded: d &* d)
      }
    }
    return sum
  }

  /// Of all components together.
  var sampleCount: Int { format.sampleCount(width: width, height: height) }

  /// Writes all samples to a picture of the same size and format.
  func copy(to other: PictureView) {
    precondition(width == other.width && height == other.height && format == other.format)
    for (c, (from, to)) in zip(components, other.components).enumerated() {
      let (width, height) = size(component: c)
      for y in 0..<height {
        let (a, b) = (from.base + y * from.row_stride, to.base + y * to.row_stride)
        if from.step == 1, to.step == 1 {
          b.update(from: a, count: width)
        } else {
          for x in 0..<width { b[x * to.step] = a[x * from.step] }
        }
      }
    }
  }

  /// The samples of a `Picture` that start at `base`.
  init(_ base: UnsafeMutablePointer<UInt8>, width: Int, height: Int, format: PixelFormat) {
    self.width = width
    self.height = height
    self.format = format
    components = format.planes(width: width, height: height).flatMap { plane in
      (0..<plane.components).map {
        sc_component(base: base + plane.offset + $0, step: plane.components, row_stride: plane.rowSize)
      }
    }
  }
}

extension Picture {
  /// For reading alone.
  func withView<T, E: Error>(_ body: (PictureView) throws(E) -> T) throws(E) -> T {
    let (width, height, format) = (width, height, format)
    return try samples.withUnsafeBufferPointer { samples throws(E) in
      try body(
        PictureView(
          UnsafeMutablePointer(mutating: samples.baseAddress!), width: width, height: height, format: format))
    }
  }

  mutating func withMutableView<T, E: Error>(_ body: (PictureView) throws(E) -> T) throws(E) -> T {
    let (width, height, format) = (width, height, format)
    return try samples.withUnsafeMutableBufferPointer { samples throws(E) in
      try body(PictureView(samples.baseAddress!, width: width, height: height, format: format))
    }
  }
}

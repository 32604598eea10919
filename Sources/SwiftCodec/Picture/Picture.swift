// SPDX-License-Identifier: BSD-3-Clause

/// Why samples are not a picture.
public enum PictureError: Error, Equatable, CustomStringConvertible {
  /// Width and height are 1…65535.
  case size(width: Int, height: Int)
  /// There are as many samples as the format's planes have at that size.
  case samples(count: Int, expected: Int)

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .size(let width, let height): "a picture of \(width)×\(height): sides are 1 to 65535"
    case .samples(let count, let expected): "\(count) samples where size and format ask for \(expected)"
    }
  }
}

/// What the samples of a picture are. Raw values are those of bitstreams and model files.
public enum PixelFormat: UInt8, Sendable, CaseIterable {
  /// One plane of interleaved R, G, B.
  case rgb = 0
  /// One plane of grey (luma) samples.
  case grey = 1
  /// A plane of luma and, at half its width and height rounded up, one of U (Cb) and one of V (Cr).
  case yuv420 = 2

  /// As the command line spells it.
  public var name: StaticString {
    switch self {
    case .rgb: "rgb"
    case .grey: "grey"
    case .yuv420: "yuv420"
    }
  }

  /// 3 for 4:2:0, otherwise 1.
  public var planeCount: Int { self == .yuv420 ? 3 : 1 }

  /// The planes of a picture of `width` × `height` pixels, in the order in which their samples lie.
  public func planes(width: Int, height: Int) -> [PlaneLayout] {
    switch self {
    case .rgb: return [PlaneLayout(offset: 0, width: width, height: height, components: 3)]
    case .grey: return [PlaneLayout(offset: 0, width: width, height: height, components: 1)]
    case .yuv420:
      let (w, h) = ((width + 1) / 2, (height + 1) / 2)
      return [
        PlaneLayout(offset: 0, width: width, height: height, components: 1),
        PlaneLayout(offset: width * height, width: w, height: h, components: 1),
        PlaneLayout(offset: width * height + w * h, width: w, height: h, components: 1),
      ]
    }
  }

  /// Samples of a picture of `width` × `height` pixels, all planes together.
  public func sampleCount(width: Int, height: Int) -> Int {
    switch self {
    case .rgb: 3 * width * height
    case .grey: width * height
    case .yuv420: width * height + 2 * ((width + 1) / 2) * ((height + 1) / 2)
    }
  }
}

/// Where a plane of a picture lies among its samples: rows from the top without gaps.
public struct PlaneLayout: Sendable, Equatable {
  /// Index of its first sample.
  public let offset: Int
  /// In sampling positions, each of `components` interleaved samples.
  public let width: Int
  /// In rows.
  public let height: Int
  /// Interleaved samples at each position: 3 for RGB, otherwise 1.
  public let components: Int

  /// Samples of a row.
  public var rowSize: Int { width * components }
  /// Of all its samples among the picture's.
  public var range: Range<Int> { offset..<(offset + rowSize * height) }
}

/// An 8-bit picture: the samples of its planes one after the other, rows from the top, no padding.
public struct Picture: Sendable, Equatable {
  /// In pixels, 1…65535.
  public let width: Int
  /// In pixels, 1…65535.
  public let height: Int
  /// What the samples are.
  public let format: PixelFormat
  /// Plane by plane, as `planes` says.
  public var samples: [UInt8]

  /// Throws `size` for sides beyond 1…65535 and `samples` for another number than the format has at that size.
  public init(width: Int, height: Int, format: PixelFormat, samples: [UInt8]) throws(PictureError) {
    guard 1...65535 ~= width, 1...65535 ~= height else { throw .size(width: width, height: height) }
    let expected = format.sampleCount(width: width, height: height)
    guard samples.count == expected else { throw .samples(count: samples.count, expected: expected) }
    self.init(unchecked: width, height, format, samples)
  }

  /// Where the planes lie in `samples`.
  public var planes: [PlaneLayout] { format.planes(width: width, height: height) }

  /// Sum of squared differences to a picture of the same shape, all samples counted once.
  public func squaredError(to other: Picture) -> UInt64 { squaredError(to: other, in: samples.indices) }

  /// The same of one plane alone.
  public func squaredError(to other: Picture, plane: Int) -> UInt64 {
    squaredError(to: other, in: planes[plane].range)
  }

  private func squaredError(to other: Picture, in range: Range<Int>) -> UInt64 {
    precondition(width == other.width && height == other.height && format == other.format)
    var sum: UInt64 = 0
    samples.withUnsafeBufferPointer { a in
      other.samples.withUnsafeBufferPointer { b in
        for i in range {
          let d = Int32(a[i]) - Int32(b[i])
          sum &+= UInt64(truncatingIfNeeded: d &* d)
        }
      }
    }
    return sum
  }
}

extension Picture {
  /// For sizes that are already known to be right.
  init(unchecked width: Int, _ height: Int, _ format: PixelFormat, _ samples: [UInt8]) {
    self.width = width
    self.height = height
    self.format = format
    self.samples = samples
  }

  /// All samples 0.
  init(blank width: Int, _ height: Int, _ format: PixelFormat) {
    let count = format.sampleCount(width: width, height: height)
    self.init(unchecked: width, height, format, [UInt8](repeating: 0, count: count))
  }

  /// A copy of a picture in memory of the caller.
  init(copying view: PictureView) {
    self.init(blank: view.width, view.height, view.format)
    withMutableView { view.copy(to: $0) }
  }

  /// A grey or RGB picture.
  init(unchecked width: Int, _ height: Int, _ channels: Int, _ samples: [UInt8]) {
    self.init(unchecked: width, height, channels == 1 ? .grey : .rgb, samples)
  }
}

extension Picture {
  /// Interleaved samples of a pixel of the first plane: 1 or 3.
  public var channels: Int { format == .rgb ? 3 : 1 }

  /// A grey (1) or RGB (3) picture.
  public init(width: Int, height: Int, channels: Int, samples: [UInt8]) throws(PictureError) {
    try self.init(width: width, height: height, format: channels == 3 ? .rgb : .grey, samples: samples)
  }
}

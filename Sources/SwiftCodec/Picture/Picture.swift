// SPDX-License-Identifier: BSD-3-Clause

/// Why samples are not a picture.
public enum PictureError: Error, Equatable {
  /// Width and height are 1…65535.
  case size(width: Int, height: Int)
  /// Channels are 1 (grey) or 3 (RGB).
  case channels(Int)
  /// There are width · height · channels samples.
  case samples(count: Int, expected: Int)

  public var description: String {
    switch self {
    case .size(let width, let height): "a picture of \(width)×\(height): sides are 1 to 65535"
    case .channels(let count): "\(count) channels: a picture has 1 or 3"
    case .samples(let count, let expected): "\(count) samples where the size asks for \(expected)"
    }
  }
}

/// An 8-bit picture: grey or RGB, rows from the top, samples interleaved, no padding.
public struct Picture: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// 1: grey, 3: R, G, B.
  public let channels: Int
  /// [height][width][channels]
  public var samples: [UInt8]

  public init(width: Int, height: Int, channels: Int, samples: [UInt8]) throws(PictureError) {
    guard 1...65535 ~= width, 1...65535 ~= height else { throw .size(width: width, height: height) }
    guard channels == 1 || channels == 3 else { throw .channels(channels) }
    guard samples.count == width * height * channels else {
      throw .samples(count: samples.count, expected: width * height * channels)
    }
    self.width = width
    self.height = height
    self.channels = channels
    self.samples = samples
  }

  /// Sum of squared differences to a picture of the same shape.
  public func squaredError(to other: Picture) -> UInt64 {
    precondition(width == other.width && height == other.height && channels == other.channels)
    var sum: UInt64 = 0
    samples.withUnsafeBufferPointer { a in
      other.samples.withUnsafeBufferPointer { b in
        for i in 0..<a.count {
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
  init(unchecked width: Int, _ height: Int, _ channels: Int, _ samples: [UInt8]) {
    self.width = width
    self.height = height
    self.channels = channels
    self.samples = samples
  }
}

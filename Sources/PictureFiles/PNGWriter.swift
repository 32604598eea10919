// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

extension PNG {
  /// A PNG file of 8-bit grey or RGB; each row has the filter with the smallest sum of absolute differences.
  public static func write(_ picture: Picture) -> [UInt8] {
    var file = signature
    var header: [UInt8] = []
    appendBigEndian32(UInt32(picture.width), to: &header)
    appendBigEndian32(UInt32(picture.height), to: &header)
    header += [8, picture.channels == 1 ? 0 : 2, 0, 0, 0]
    appendChunk("IHDR", header[...], to: &file)
    var rest = deflate(zlib: filtered(picture))[...]
    while !rest.isEmpty {
      appendChunk("IDAT", rest.prefix(1 << 30), to: &file)
      rest = rest.dropFirst(1 << 30)
    }
    appendChunk("IEND", [], to: &file)
    return file
  }

  private static func filtered(_ picture: Picture) -> [UInt8] {
    let size = picture.width * picture.channels
    let pixel = picture.channels
    // A row with the pixel left of it, which is 0, and the same of the row above.
    var row = [UInt8](repeating: 0, count: pixel + size)
    var above = row
    var candidates = [[UInt8]](repeating: [UInt8](repeating: 0, count: size + 1), count: 5)
    for type in 0..<5 { candidates[type][0] = UInt8(type) }
    var result: [UInt8] = []
    result.reserveCapacity(picture.height * (size + 1))
    for y in 0..<picture.height {
      swap(&row, &above)
      for i in 0..<size { row[pixel + i] = picture.samples[y * size + i] }
      var best = 0
      var least = Int.max
      for type in 0..<5 {
        let cost = filter(type, row.span, above.span, pixel, into: &candidates[type])
        if cost < least { (best, least) = (type, cost) }
      }
      result += candidates[best]
    }
    return result
  }

  /// Filters a row and returns the sum of the magnitudes of its differences.
  @inline(__always)
  private static func filter(
    _ type: Int, _ row: borrowing Span<UInt8>, _ above: borrowing Span<UInt8>, _ pixel: Int, into out: inout [UInt8]
  ) -> Int {
    var cost = 0
    var out = out.mutableSpan
    for i in pixel..<row.count {
      let prediction: UInt8
      switch type {
      case 0: prediction = 0
      case 1: prediction = row[i - pixel]
      case 2: prediction = above[i]
      case 3: prediction = UInt8((UInt16(row[i - pixel]) + UInt16(above[i])) >> 1)
      default: prediction = paeth(row[i - pixel], above[i], above[i - pixel])
      }
      let difference = row[i] &- prediction
      out[i - pixel + 1] = difference
      cost += Int(Int8(bitPattern: difference).magnitude)
    }
    return cost
  }

  private static func appendChunk(_ type: String, _ data: ArraySlice<UInt8>, to file: inout [UInt8]) {
    appendBigEndian32(UInt32(data.count), to: &file)
    let start = file.count
    file += type.utf8
    file += data
    appendBigEndian32(crc32(file[start...]), to: &file)
  }

  private static func appendBigEndian32(_ value: UInt32, to bytes: inout [UInt8]) {
    for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
  }
}

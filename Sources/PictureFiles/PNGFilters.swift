// SPDX-License-Identifier: BSD-3-Clause

extension PNG {
  /// Rows of `rowSize` bytes, each with its filter type in front: of the five filters the one with the smallest sum of
  /// absolute differences, measured on a quarter of the row at level 1. Level 0 takes none.
  static func filterRows(_ samples: [UInt8], rowSize: Int, height: Int, pixel: Int, level: Int) -> [UInt8] {
    let outSize = (rowSize + 1) * height
    return [UInt8](unsafeUninitializedCapacity: outSize) { out, count in
      samples.withUnsafeBufferPointer { samples in
        // The row above the first is zero.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: rowSize) { zeros in
          zeros.initialize(repeating: 0)
          var above = UnsafePointer(zeros.baseAddress!)
          for y in 0..<height {
            let row = samples.baseAddress! + y * rowSize
            let target = out.baseAddress! + y * (rowSize + 1)
            let type = level <= 0 ? 0 : bestFilter(row, above, rowSize, pixel, step: level == 1 ? 4 : 1)
            target[0] = UInt8(type)
            applyFilter(type, row, above, rowSize, pixel, target + 1)
            above = row
          }
        }
      }
      count = outSize
    }
  }

  /// Looks at every `step`-th segment of 64 bytes.
  private static func bestFilter(
    _ row: UnsafePointer<UInt8>, _ above: UnsafePointer<UInt8>, _ size: Int, _ pixel: Int, step: Int
  ) -> Int {
    var costs = InlineArray<5, Int>(repeating: 0)
    for i in 0..<min(pixel, size) {
      // Nothing is to the left.
      let (x, b) = (Int16(row[i]), Int16(above[i]))
      costs[0] += Int(magnitude(x))
      costs[1] += Int(magnitude(x))
      costs[2] += Int(magnitude(x &- b))
      costs[3] += Int(magnitude(x &- b &>> 1))
      costs[4] += Int(magnitude(x &- b))
    }
    var start = pixel
    while start < size {
      let end = min(start + 64, size)
      // At most 64 · 128 each.
      var (none, left, up, average, toPaeth): (UInt16, UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0, 0)
      for i in start..<end {
        let x = Int16(row[i])
        let (a, b, c) = (Int16(row[i &- pixel]), Int16(above[i]), Int16(above[i &- pixel]))
        none &+= magnitude(x)
        left &+= magnitude(x &- a)
        up &+= magnitude(x &- b)
        average &+= magnitude(x &- (a &+ b) &>> 1)
        toPaeth &+= magnitude(x &- paethPrediction(a, b, c))
      }
      costs[0] += Int(none)
      costs[1] += Int(left)
      costs[2] += Int(up)
      costs[3] += Int(average)
      costs[4] += Int(toPaeth)
      start += 64 * step
    }
    var best = 0
    for type in 1..<5 where costs[type] < costs[best] { best = type }
    return best
  }

  /// Of a difference modulo 256 as a signed byte.
  @inline(__always)
  private static func magnitude(_ difference: Int16) -> UInt16 {
    let byte = difference & 255
    return UInt16(bitPattern: min(byte, 256 &- byte))
  }

  @inline(__always)
  private static func paethPrediction(_ a: Int16, _ b: Int16, _ c: Int16) -> Int16 {
    let (p, q) = (b &- c, a &- c)
    let r = p &+ q
    let toLeft = max(p, 0 &- p)
    let toAbove = max(q, 0 &- q)
    let toCorner = max(r, 0 &- r)
    let other = toAbove <= toCorner ? b : c
    return toLeft <= min(toAbove, toCorner) ? a : other
  }

  private static func applyFilter(
    _ type: Int, _ row: UnsafePointer<UInt8>, _ above: UnsafePointer<UInt8>, _ size: Int, _ pixel: Int,
    _ out: UnsafeMutablePointer<UInt8>
  ) {
    let left = min(pixel, size)
    switch type {
    case 0: out.update(from: row, count: size)
    case 1:
      for i in 0..<left { out[i] = row[i] }
      for i in left..<size { out[i] = row[i] &- row[i &- pixel] }
    case 2:
      for i in 0..<size { out[i] = row[i] &- above[i] }
    case 3:
      for i in 0..<left { out[i] = row[i] &- above[i] >> 1 }
      for i in left..<size {
        out[i] = row[i] &- UInt8(truncatingIfNeeded: (UInt16(row[i &- pixel]) &+ UInt16(above[i])) >> 1)
      }
    default:
      for i in 0..<left { out[i] = row[i] &- above[i] }
      for i in left..<size {
        let prediction = paethPrediction(Int16(row[i &- pixel]), Int16(above[i]), Int16(above[i &- pixel]))
        out[i] = row[i] &- UInt8(truncatingIfNeeded: prediction)
      }
    }
  }

  /// Undoes the filter of a row in place. `above` is the row before, already undone; nil for the first one.
  ///
  /// - Parameter bytes: `above`, the filter type and `size` bytes of the row; `row` is the index of the first of these.
  static func undoFilter(
    _ type: UInt8, _ bytes: inout MutableSpan<UInt8>, row: Int, above: Int?, size: Int, pixel: Int
  ) throws(PNGError) {
    let left = min(pixel, size)
    switch (type, above) {
    case (0, _), (2, nil): break
    case (1, _), (4, nil):
      bytes.withUnsafeMutableBufferPointer { bytes in
        let row = bytes.baseAddress! + row
        for i in left..<size { row[i] &+= row[i &- pixel] }
      }
    case (2, let above?):
      bytes.withUnsafeMutableBufferPointer { bytes in
        let (row, above) = (bytes.baseAddress! + row, bytes.baseAddress! + above)
        for i in 0..<size { row[i] &+= above[i] }
      }
    case (3, nil):
      for i in left..<size { bytes[row + i] &+= bytes[row + i - pixel] >> 1 }
    case (3, let above?):
      bytes.withUnsafeMutableBufferPointer { bytes in
        let (row, above) = (bytes.baseAddress! + row, bytes.baseAddress! + above)
        for i in 0..<left { row[i] &+= above[i] >> 1 }
        for i in left..<size {
          row[i] &+= UInt8(truncatingIfNeeded: (UInt16(row[i &- pixel]) &+ UInt16(above[i])) >> 1)
        }
      }
    case (4, let above?):
      bytes.withUnsafeMutableBufferPointer { bytes in
        let (row, above) = (bytes.baseAddress! + row, bytes.baseAddress! + above)
        for i in 0..<left { row[i] &+= above[i] }
        switch pixel {
        case 3: undoPaeth3(row, above, size)
        default:
          for i in left..<size {
            let prediction = paethPrediction(Int16(row[i &- pixel]), Int16(above[i]), Int16(above[i &- pixel]))
            row[i] &+= UInt8(truncatingIfNeeded: prediction)
          }
        }
      }
    default: throw .filter(type)
    }
  }

  /// Three chains at a time, left and corner kept in registers. `size` is a multiple of 3.
  private static func undoPaeth3(_ row: UnsafeMutablePointer<UInt8>, _ above: UnsafeMutablePointer<UInt8>, _ size: Int)
  {
    guard size >= 3 else { return }
    var (a0, a1, a2) = (Int16(row[0]), Int16(row[1]), Int16(row[2]))
    var (c0, c1, c2) = (Int16(above[0]), Int16(above[1]), Int16(above[2]))
    var i = 3
    while i &+ 3 <= size {
      let (b0, b1, b2) = (Int16(above[i]), Int16(above[i &+ 1]), Int16(above[i &+ 2]))
      a0 = (Int16(row[i]) &+ paethPrediction(a0, b0, c0)) & 255
      a1 = (Int16(row[i &+ 1]) &+ paethPrediction(a1, b1, c1)) & 255
      a2 = (Int16(row[i &+ 2]) &+ paethPrediction(a2, b2, c2)) & 255
      row[i] = UInt8(truncatingIfNeeded: a0)
      row[i &+ 1] = UInt8(truncatingIfNeeded: a1)
      row[i &+ 2] = UInt8(truncatingIfNeeded: a2)
      (c0, c1, c2) = (b0, b1, b2)
      i &+= 3
    }
  }
}

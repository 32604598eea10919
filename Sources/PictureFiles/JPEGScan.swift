// SPDX-License-Identifier: BSD-3-Clause

/// A Huffman table (T.81, annex C).
struct JPEGHuffmanTable {
  private static let fastBits = 9
  /// By the next nine bits: symbol · 16 + length, or 0 for a longer or unassigned code.
  private var fast = [UInt16](repeating: 0, count: 1 << fastBits)
  /// By length: the first code above those of the length, left-aligned to 16 bits; and what to add to a code of the
  /// length for the index of its symbol.
  private var limits = [Int](repeating: 0, count: 18)
  private var offsets = [Int](repeating: 0, count: 17)
  private let symbols: [UInt8]

  /// - Parameter counts: codes of length 1…16. Nil if they are no prefix code.
  init?(counts: [Int], symbols: [UInt8]) {
    self.symbols = symbols
    var (code, index) = (0, 0)
    for length in 1...16 {
      offsets[length] = index - code
      for _ in 0..<counts[length - 1] {
        // The code of ones alone is not given out (T.81, C.2), which many encoders forget.
        guard code < 1 << length else { return nil }
        if length <= Self.fastBits {
          let first = code << (Self.fastBits - length)
          for i in 0..<1 << (Self.fastBits - length) { fast[first + i] = UInt16(symbols[index]) << 4 | UInt16(length) }
        }
        code += 1
        index += 1
      }
      limits[length] = code << (16 - length)
      code <<= 1
    }
  }

  /// Symbol and length of the code at the front of `bits`, 16 of them.
  @inline(__always)
  func decode(_ bits: Int) throws(JPEGError) -> (symbol: Int, length: Int) {
    let entry = fast[bits >> (16 - Self.fastBits)]
    if entry != 0 { return (Int(entry >> 4), Int(entry & 15)) }
    return try decodeLong(bits)
  }

  private func decodeLong(_ bits: Int) throws(JPEGError) -> (symbol: Int, length: Int) {
    for length in 1...16 where bits < limits[length] {
      let index = bits >> (16 - length) + offsets[length]
      guard symbols.indices.contains(index) else { throw .code }
      return (Int(symbols[index]), length)
    }
    throw .code
  }
}

/// Bits of entropy-coded data, from the high end of each byte. Stops at a marker.
struct JPEGBitReader {
  private let bytes: [UInt8]
  /// Behind the bytes taken into `bits`.
  private(set) var position: Int
  /// Left-aligned; zero behind `count`.
  private var bits: UInt64 = 0
  private var count = 0

  init(_ bytes: [UInt8], _ position: Int) {
    self.bytes = bytes
    self.position = position
  }

  /// Makes at least 48 bits available, or all up to the next marker.
  @inline(__always)
  private mutating func fill() {
    while count <= 56, position < bytes.count {
      let byte = bytes[position]
      if byte == 0xFF {
        // 0xFF 0 is a byte of ones; anything else belongs to a marker.
        guard position + 1 < bytes.count, bytes[position + 1] == 0 else { return }
        position += 1
      }
      position += 1
      bits |= UInt64(byte) << UInt64(56 - count)
      count += 8
    }
  }

  @inline(__always)
  private mutating func drop(_ number: Int) throws(JPEGError) {
    guard number <= count else { throw .truncated }
    bits <<= UInt64(number)
    count -= number
  }

  @inline(__always)
  mutating func symbol(_ table: borrowing JPEGHuffmanTable) throws(JPEGError) -> Int {
    if count < 32 { fill() }
    // An invalid code of the zeros behind the end is one that has been cut.
    let decoded: (symbol: Int, length: Int)
    do { decoded = try table.decode(Int(bits >> 48)) } catch { throw count < 16 ? .truncated : error }
    try drop(decoded.length)
    return decoded.symbol
  }

  /// The next `number` ≤ 16 bits.
  @inline(__always)
  mutating func take(_ number: Int) throws(JPEGError) -> Int {
    if count < number { fill() }
    // Two shifts, for `number` may be 0.
    let value = Int((bits >> 1) >> UInt64(63 - number))
    try drop(number)
    return value
  }

  /// A difference or coefficient of `size` ≤ 16 bits (T.81, EXTEND).
  @inline(__always)
  mutating func signed(_ size: Int) throws(JPEGError) -> Int {
    let value = try take(size)
    return value < (1 << size) >> 1 ? value - (1 << size) + 1 : value
  }

  /// Goes behind a restart marker of this number.
  mutating func restart(_ number: Int) throws(JPEGError) {
    guard count < 8 else { throw .restart(expected: number) }
    (bits, count) = (0, 0)
    while position + 1 < bytes.count, bytes[position] == 0xFF, bytes[position + 1] == 0xFF { position += 1 }
    guard position + 1 < bytes.count else { throw .truncated }
    guard bytes[position] == 0xFF, bytes[position + 1] == 0xD0 + UInt8(number) else {
      throw .restart(expected: number)
    }
    position += 2
  }

  /// Ends at the next byte and returns how many whole bytes had been taken too many.
  mutating func finish() -> Int {
    defer { (bits, count) = (0, 0) }
    return count / 8
  }
}

/// The entropy-coded data of a scan (T.81, annexes F and G).
struct JPEGScan {
  struct Part {
    let component: Int
    let dcTable: Int
    let acTable: Int
  }

  let parts: [Part]
  /// Places in the file of the first and last coefficient sent.
  let first: Int
  let last: Int
  /// The lowest bit sent before (0: none was), and the lowest sent now.
  let high: Int
  let low: Int
  var reader: JPEGBitReader

  private var predictions = [Int](repeating: 0, count: 4)
  /// Blocks, after this one, in which nothing of the band is new.
  private var endRun = 0

  init(parts: [Part], first: Int, last: Int, high: Int, low: Int, reader: JPEGBitReader) {
    (self.parts, self.first, self.last, self.high, self.low, self.reader) = (parts, first, last, high, low, reader)
  }

  /// Checks the parameters and notes what the scan brings.
  func check(_ file: inout JPEGFile) throws(JPEGError) {
    if file.isProgressive {
      guard first <= last, last <= 63, low <= 13, high == 0 || high == low + 1 else { throw .scan }
      guard first == 0 ? last == 0 : parts.count == 1 else { throw .scan }
    } else {
      guard first == 0, last == 63, high == 0, low == 0 else { throw .scan }
    }
    for part in parts {
      let isFirstOfAC = first > 0
      // The constant part comes before all others.
      guard !isFirstOfAC || file.components[part.component].lowestBits[0] >= 0 else { throw .scan }
      for place in first...last {
        guard file.components[part.component].lowestBits[place] == (high == 0 ? -1 : high) else { throw .scan }
        file.components[part.component].lowestBits[place] = low
      }
      guard first > 0 || high > 0 || file.dcTables[part.dcTable] != nil else { throw .noTable("Huffman") }
      guard last == 0 || file.acTables[part.acTable] != nil else { throw .noTable("Huffman") }
    }
    if parts.count > 1 {
      let blocks = parts.reduce(0) { $0 + file.components[$1.component].h * file.components[$1.component].v }
      guard blocks <= 10 else { throw .sampling }
    }
  }

  mutating func run(_ file: inout JPEGFile) throws(JPEGError) {
    let empty = JPEGHuffmanTable(counts: [Int](repeating: 0, count: 16), symbols: [])
    let dcTables = parts.map { file.dcTables[$0.dcTable] ?? empty! }
    let acTables = parts.map { file.acTables[$0.acTable] ?? empty! }
    let components = parts.map { file.components[$0.component] }
    let isSingle = parts.count == 1
    let across = isSingle ? components[0].blocksWide : file.unitsWide
    let down = isSingle ? components[0].blocksHigh : file.unitsHigh
    let (interval, isProgressive) = (file.restartInterval, file.isProgressive)
    var (untilRestart, number) = (interval, 0)
    var coefficients = file.coefficients.mutableSpan
    for y in 0..<down {
      for x in 0..<across {
        if interval > 0 {
          if untilRestart == 0 {
            try reader.restart(number)
            number = (number + 1) & 7
            untilRestart = interval
            endRun = 0
            for i in predictions.indices { predictions[i] = 0 }
          }
          untilRestart -= 1
        }
        for i in components.indices {
          let (h, v) = isSingle ? (1, 1) : (components[i].h, components[i].v)
          for row in 0..<v {
            for column in 0..<h {
              let block = components[i].start + (y * v + row) * components[i].stride + x * h + column
              if !isProgressive {
                try sequential(i, dcTables[i], acTables[i], 64 * block, &coefficients)
              } else if first == 0 {
                try constant(i, dcTables[i], 64 * block, &coefficients)
              } else if high == 0 {
                try band(acTables[i], 64 * block, &coefficients)
              } else {
                try refinement(acTables[i], 64 * block, &coefficients)
              }
            }
          }
        }
      }
    }
    guard endRun == 0 else { throw .code }
  }

  /// The next constant part: what was before and a difference of at most 11 bits.
  @inline(__always)
  private mutating func prediction(_ part: Int, _ table: borrowing JPEGHuffmanTable) throws(JPEGError) -> Int {
    let size = try reader.symbol(table)
    guard size <= 11 else { throw .code }
    let value = predictions[part] + (size == 0 ? 0 : try reader.signed(size))
    // Of 8-bit samples, 11 bits and a sign.
    guard -8192...8191 ~= value else { throw .code }
    predictions[part] = value
    return value
  }

  private mutating func sequential(
    _ part: Int, _ dc: borrowing JPEGHuffmanTable, _ ac: borrowing JPEGHuffmanTable, _ at: Int,
    _ out: inout MutableSpan<Int16>
  ) throws(JPEGError) {
    out[at] = Int16(try prediction(part, dc))
    var k = 1
    while k < 64 {
      let symbol = try reader.symbol(ac)
      let (run, size) = (symbol >> 4, symbol & 15)
      if size == 0 {
        guard run == 15 else { return }
        k += 16
        // Zeros to the end and beyond are said by an end of block.
        guard k < 64 else { throw .code }
        continue
      }
      k += run
      guard k < 64 else { throw .code }
      out[at + Int(JPEG.zigzag[k])] = Int16(truncatingIfNeeded: try reader.signed(size))
      k += 1
    }
  }

  private mutating func constant(
    _ part: Int, _ table: borrowing JPEGHuffmanTable, _ at: Int, _ out: inout MutableSpan<Int16>
  ) throws(JPEGError) {
    if high > 0 {
      if try reader.take(1) == 1 { out[at] |= 1 << Int16(low) }
    } else {
      out[at] = Int16(truncatingIfNeeded: try prediction(part, table) << low)
    }
  }

  private mutating func band(
    _ table: borrowing JPEGHuffmanTable, _ at: Int, _ out: inout MutableSpan<Int16>
  ) throws(JPEGError) {
    if endRun > 0 {
      endRun -= 1
      return
    }
    var k = first
    while k <= last {
      let symbol = try reader.symbol(table)
      let (run, size) = (symbol >> 4, symbol & 15)
      if size == 0 {
        if run < 15 {
          endRun = 1 << run - 1 + (try reader.take(run))
          return
        }
        k += 16
        guard k <= last else { throw .code }
        continue
      }
      k += run
      guard k <= last else { throw .code }
      out[at + Int(JPEG.zigzag[k])] = Int16(truncatingIfNeeded: try reader.signed(size) << low)
      k += 1
    }
  }

  /// G.1.2.3: zeros are counted among coefficients that are still zero; all others that are passed get a bit.
  private mutating func refinement(
    _ table: borrowing JPEGHuffmanTable, _ at: Int, _ out: inout MutableSpan<Int16>
  ) throws(JPEGError) {
    let bit = Int16(1) << Int16(low)
    var k = first
    if endRun == 0 {
      while k <= last {
        let symbol = try reader.symbol(table)
        var run = symbol >> 4
        var value: Int16 = 0
        if symbol & 15 == 0 {
          if run < 15 {
            endRun = 1 << run + (try reader.take(run))
            break
          }
        } else {
          guard symbol & 15 == 1 else { throw .code }
          value = try reader.take(1) == 1 ? bit : -bit
        }
        var isPlaced = false
        while k <= last {
          let index = at + Int(JPEG.zigzag[k])
          k += 1
          if out[index] != 0 {
            try refine(&out[index], bit)
          } else if run == 0 {
            out[index] = value
            isPlaced = true
            break
          } else {
            run -= 1
          }
        }
        guard isPlaced else { throw .code }
      }
    }
    if endRun > 0 {
      while k <= last {
        let index = at + Int(JPEG.zigzag[k])
        if out[index] != 0 { try refine(&out[index], bit) }
        k += 1
      }
      endRun -= 1
    }
  }

  @inline(__always)
  private mutating func refine(_ coefficient: inout Int16, _ bit: Int16) throws(JPEGError) {
    guard try reader.take(1) == 1 else { return }
    // A bit that is there already is that of a damaged file.
    if coefficient & bit == 0 || coefficient < 0 {
      coefficient = coefficient < 0 ? coefficient &- bit : coefficient &+ bit
    }
  }
}

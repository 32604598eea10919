// SPDX-License-Identifier: BSD-3-Clause

/// What can be wrong with a zlib stream (RFC 1950, RFC 1951).
public enum InflateError: Error, Equatable, CustomStringConvertible {
  /// The stream ends before its last block or its checksum does.
  case truncated
  /// The two bytes in front: method 8, a window of at most 32 KiB, no dictionary, a multiple of 31.
  case header(UInt8, UInt8)
  /// Block type 3.
  case blockType
  /// The two copies of a stored block's length contradict each other.
  case storedLength(UInt16, UInt16)
  /// A set of code lengths that is no prefix code, or that leaves codes unused.
  case codeLengths
  /// A block without a code for its end.
  case noEndOfBlock
  /// A code that stands for nothing: unassigned, or a length above 285 or a distance above 29.
  case symbol
  /// A match that starts before the output does.
  case distance(Int)
  /// More output than the expected number of bytes.
  case tooLong(Int)
  /// Less output than the expected number of bytes.
  case tooShort(Int)
  /// Adler-32 of the output differs from the stored one.
  case checksum

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .truncated: "the compressed data end too early"
    case .header: "the compressed data have a bad zlib header"
    case .blockType: "the compressed data have a block of unknown type"
    case .storedLength: "the compressed data have a stored block of contradictory length"
    case .codeLengths: "the compressed data have an invalid set of Huffman codes"
    case .noEndOfBlock: "the compressed data have a block without an end code"
    case .symbol: "the compressed data have an invalid code"
    case .distance(let distance): "the compressed data refer back \(distance) bytes, before their start"
    case .tooLong(let size): "the compressed data give more than the expected \(size) bytes"
    case .tooShort(let size): "the compressed data give fewer than the expected \(size) bytes"
    case .checksum: "the Adler-32 checksum of the compressed data is wrong"
    }
  }
}

/// No deflate stream expands by more than this: 258 bytes from two bits.
let maximumInflation = 1032

/// Decompresses a zlib stream whose output is known to have `size` bytes. Bytes behind the stream are ignored.
/// The output is allocated only if `input` could possibly expand to it.
func inflate(zlib input: [UInt8], size: Int) throws(InflateError) -> [UInt8] {
  let (output, isWhole) = try inflate(zlib: input, first: size)
  guard isWhole else { throw .tooLong(size) }
  return output
}

/// The first `size` bytes of the output, and whether they are all of it. If not, Adler-32 is not checked.
func inflate(zlib input: [UInt8], first size: Int) throws(InflateError) -> (output: [UInt8], isWhole: Bool) {
  var output: [UInt8] = []
  let (produced, isWhole) = try inflate(zlib: input, upTo: size, into: &output)
  guard produced == size else { throw .tooShort(size) }
  return (output, isWhole)
}

/// Output of unknown size, at most `limit` bytes.
func inflate(zlib input: [UInt8], limit: Int) throws(InflateError) -> [UInt8] {
  // An allocation that follows what the data give: each try at most doubles it.
  var size = min(limit, 4 * input.count + 1024)
  while true {
    var output: [UInt8] = []
    let possible = min(size, (input.count + 1) * maximumInflation)
    let (produced, isWhole) = try inflate(zlib: input, upTo: possible, into: &output)
    if isWhole {
      output.removeLast(output.count - produced)
      return output
    }
    guard size < limit else { throw .tooLong(limit) }
    size = min(limit, 2 * size)
  }
}

private func inflate(
  zlib input: [UInt8], upTo size: Int, into output: inout [UInt8]
) throws(InflateError) -> (produced: Int, isWhole: Bool) {
  guard input.count >= 2 else { throw .truncated }
  let (method, flags) = (input[0], input[1])
  guard method & 15 == 8, method >> 4 <= 7, flags & 0x20 == 0, (Int(method) << 8 | Int(flags)) % 31 == 0 else {
    throw .header(method, flags)
  }
  guard size / maximumInflation <= input.count else { throw .tooShort(size) }
  output = [UInt8](repeating: 0, count: size)
  var inflater = Inflater(position: 2)
  var span = output.mutableSpan
  let produced: Int
  do {
    produced = try inflater.run(input.span, &span)
  } catch .tooLong {
    return (size, false)
  } catch {
    throw error
  }
  inflater.skipToByte()
  var stored: UInt32 = 0
  for _ in 0..<4 { stored = try stored << 8 | UInt32(inflater.take(8, input.span)) }
  guard produced < size || stored == adler32(output) else { throw .checksum }
  return (produced, true)
}

/// Bit position and decoding of DEFLATE blocks. Bits come from the low end of each byte.
private struct Inflater {
  private var position: Int
  private var bits: UInt64 = 0
  private var bitCount = 0

  init(position: Int) {
    self.position = position
  }

  /// Makes at least 56 bits available, or all that are left; behind the end bits are zero.
  @inline(__always)
  private mutating func refill(_ input: borrowing Span<UInt8>) {
    while bitCount < 56, position < input.count {
      bits |= UInt64(input[position]) << UInt64(bitCount)
      position += 1
      bitCount += 8
    }
  }

  @inline(__always)
  private mutating func drop(_ count: Int) throws(InflateError) {
    guard count <= bitCount else { throw .truncated }
    bits >>= UInt64(count)
    bitCount -= count
  }

  /// The next `count` ≤ 16 bits as a number.
  @inline(__always)
  mutating func take(_ count: Int, _ input: borrowing Span<UInt8>) throws(InflateError) -> Int {
    refill(input)
    let value = Int(bits & (1 << UInt64(count) - 1))
    try drop(count)
    return value
  }

  mutating func skipToByte() {
    bits >>= UInt64(bitCount & 7)
    bitCount &= ~7
  }

  /// The next symbol of `code`; at least 15 bits are available or the input is exhausted.
  @inline(__always)
  private mutating func symbol(_ code: borrowing PrefixCode) throws(InflateError) -> Int {
    let entry = code.fast[Int(bits & UInt64(PrefixCode.fastSize - 1))]
    if entry != 0 {
      try drop(Int(entry & 15))
      return Int(entry >> 4)
    }
    let (symbol, length) = try code.slow(bits)
    try drop(length)
    return symbol
  }

  /// Decodes all blocks and returns the number of bytes they gave.
  mutating func run(_ input: borrowing Span<UInt8>, _ output: inout MutableSpan<UInt8>) throws(InflateError) -> Int {
    var count = 0
    while true {
      let isLast = try take(1, input) == 1
      switch try take(2, input) {
      case 0: try stored(input, &output, &count)
      case 1: try compressed(PrefixCode.fixed.literals, PrefixCode.fixed.distances, input, &output, &count)
      case 2:
        let (literals, distances) = try dynamicCodes(input)
        try compressed(literals, distances, input, &output, &count)
      default: throw .blockType
      }
      if isLast { return count }
    }
  }

  private mutating func stored(
    _ input: borrowing Span<UInt8>, _ output: inout MutableSpan<UInt8>, _ count: inout Int
  ) throws(InflateError) {
    skipToByte()
    let length = try take(16, input)
    let complement = try take(16, input)
    guard length ^ complement == 0xFFFF else { throw .storedLength(UInt16(length), UInt16(complement)) }
    position -= bitCount / 8
    (bits, bitCount) = (0, 0)
    guard length <= input.count - position else { throw .truncated }
    // What fits is written before too much is an error.
    let fitting = min(length, output.count - count)
    for i in 0..<fitting { output[count + i] = input[position + i] }
    guard fitting == length else { throw .tooLong(output.count) }
    position += length
    count += length
  }

  private mutating func dynamicCodes(
    _ input: borrowing Span<UInt8>
  ) throws(InflateError) -> (literals: PrefixCode, distances: PrefixCode) {
    let literalCount = try take(5, input) + 257
    let distanceCount = try take(5, input) + 1
    guard literalCount <= 286, distanceCount <= 30 else { throw .codeLengths }
    var lengths = [UInt8](repeating: 0, count: 19)
    for i in 0..<(try take(4, input) + 4) { lengths[Deflate.codeLengthOrder[i]] = UInt8(try take(3, input)) }
    let code = try PrefixCode(lengths)
    lengths = []
    while lengths.count < literalCount + distanceCount {
      refill(input)
      let symbol = try symbol(code)
      switch symbol {
      case 0...15: lengths.append(UInt8(symbol))
      case 16:
        guard let last = lengths.last else { throw .codeLengths }
        lengths += repeatElement(last, count: try take(2, input) + 3)
      case 17: lengths += repeatElement(0, count: try take(3, input) + 3)
      default: lengths += repeatElement(0, count: try take(7, input) + 11)
      }
    }
    guard lengths.count == literalCount + distanceCount else { throw .codeLengths }
    guard lengths[256] != 0 else { throw .noEndOfBlock }
    return (try PrefixCode(Array(lengths[..<literalCount])), try PrefixCode(Array(lengths[literalCount...])))
  }

  private mutating func compressed(
    _ literals: borrowing PrefixCode, _ distances: borrowing PrefixCode, _ input: borrowing Span<UInt8>,
    _ output: inout MutableSpan<UInt8>, _ count: inout Int
  ) throws(InflateError) {
    while true {
      if try inTheOpen(literals, distances, input, &output, &count) { return }
      // A length, a distance and their extra bits are at most 15 + 5 + 15 + 13 = 48 bits.
      refill(input)
      let first = try symbol(literals)
      if first < 256 {
        guard count < output.count else { throw .tooLong(output.count) }
        output[count] = UInt8(first)
        count += 1
        continue
      }
      if first == 256 { return }
      guard first <= 285 else { throw .symbol }
      let (lengthBase, lengthBits) = Deflate.lengths[first - 257]
      let length = lengthBase + Int(bits & (1 << UInt64(lengthBits) - 1))
      try drop(lengthBits)
      let second = try symbol(distances)
      guard second <= 29 else { throw .symbol }
      let (distanceBase, distanceBits) = Deflate.distances[second]
      let distance = distanceBase + Int(bits & (1 << UInt64(distanceBits) - 1))
      try drop(distanceBits)
      guard distance <= count else { throw .distance(distance) }
      let fitting = min(length, output.count - count)
      for i in count..<count + fitting { output[i] = output[i - distance] }
      guard fitting == length else { throw .tooLong(output.count) }
      count += length
    }
  }

  /// Decodes far from the ends of input and output, where neither can run out within a match: at least 16 bytes of
  /// input and 272 of output remain. Returns whether the block ended; leaves rare codes to the careful loop.
  private mutating func inTheOpen(
    _ literals: borrowing PrefixCode, _ distances: borrowing PrefixCode, _ input: borrowing Span<UInt8>,
    _ output: inout MutableSpan<UInt8>, _ count: inout Int
  ) throws(InflateError) -> Bool {
    let inputEnd = input.count - 16
    let outputEnd = output.count - 272
    guard position < inputEnd, count < outputEnd else { return false }
    var (at, bits, bitCount, out) = (position, bits, bitCount, count)
    defer { (position, self.bits, self.bitCount, count) = (at, bits, bitCount, out) }
    var failure: InflateError?
    let ended = input.withUnsafeBytes { source in
      output.withUnsafeMutableBytes { target in
        literals.fast.withUnsafeBufferPointer { literalTable in
          distances.fast.withUnsafeBufferPointer { distanceTable in
            deflateLengthTable.withUnsafeBufferPointer { lengthInfo in
              deflateDistanceTable.withUnsafeBufferPointer { distanceInfo -> Bool in
                // In range: the tables have all 2^11 entries, of which symbols are below 288 and 32.
                let mask = UInt64(PrefixCode.fastSize - 1)
                while at < inputEnd, out < outputEnd {
                  // Bits above `bitCount` are either zero or those that the next refill sets again.
                  let next = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                  bits |= next << UInt64(bitCount)
                  at += (63 - bitCount) >> 3
                  bitCount |= 56
                  var entry = literalTable[Int(bits & mask)]
                  // Up to three literals of at most 11 bits, then at least 56 − 33 bits remain.
                  if entry != 0, entry < 256 << 4 {
                    target[out] = UInt8(truncatingIfNeeded: entry >> 4)
                    out &+= 1
                    bits >>= UInt64(entry & 15)
                    bitCount &-= Int(entry & 15)
                    entry = literalTable[Int(bits & mask)]
                    if entry != 0, entry < 256 << 4 {
                      target[out] = UInt8(truncatingIfNeeded: entry >> 4)
                      out &+= 1
                      bits >>= UInt64(entry & 15)
                      bitCount &-= Int(entry & 15)
                      entry = literalTable[Int(bits & mask)]
                      if entry != 0, entry < 256 << 4 {
                        target[out] = UInt8(truncatingIfNeeded: entry >> 4)
                        out &+= 1
                        bits >>= UInt64(entry & 15)
                        bitCount &-= Int(entry & 15)
                      }
                    }
                    // What is not a literal comes next time, with all its bits.
                    continue
                  }
                  if entry == 0 {
                    bits &= 1 << UInt64(bitCount) - 1
                    return false
                  }
                  let symbol = Int(entry >> 4)
                  if symbol == 256 {
                    bits >>= UInt64(entry & 15)
                    bitCount &-= Int(entry & 15)
                    bits &= 1 << UInt64(bitCount) - 1
                    return true
                  }
                  // A distance with a long code starts over in the careful loop.
                  let (bitsBefore, countBefore) = (bits, bitCount)
                  bits >>= UInt64(entry & 15)
                  bitCount &-= Int(entry & 15)
                  guard symbol <= 285 else {
                    failure = .symbol
                    return false
                  }
                  let lengthEntry = lengthInfo[symbol - 257]
                  let lengthBits = UInt64(lengthEntry & 15)
                  let length = Int(lengthEntry >> 4) &+ Int(bits & (1 << lengthBits - 1))
                  bits >>= lengthBits
                  bitCount &-= Int(lengthBits)
                  let second = distanceTable[Int(bits & mask)]
                  if second == 0 {
                    (bits, bitCount) = (bitsBefore & (1 << UInt64(countBefore) - 1), countBefore)
                    return false
                  }
                  bits >>= UInt64(second & 15)
                  bitCount &-= Int(second & 15)
                  guard second >> 4 <= 29 else {
                    failure = .symbol
                    return false
                  }
                  let distanceEntry = distanceInfo[Int(second >> 4)]
                  let distanceBits = UInt64(distanceEntry & 15)
                  let distance = Int(distanceEntry >> 4) &+ Int(bits & (1 << distanceBits - 1))
                  bits >>= distanceBits
                  bitCount &-= Int(distanceBits)
                  guard distance <= out else {
                    failure = .distance(distance)
                    return false
                  }
                  if distance >= 8 {
                    // Writes up to 7 bytes too many, which are written again or lie before the end.
                    var copied = 0
                    while copied < length {
                      let word = target.loadUnaligned(fromByteOffset: out &+ copied &- distance, as: UInt64.self)
                      target.storeBytes(of: word, toByteOffset: out &+ copied, as: UInt64.self)
                      copied &+= 8
                    }
                  } else if distance == 1 {
                    let byte = target[out - 1]
                    for i in out..<out + length { target[i] = byte }
                  } else {
                    for i in out..<out + length { target[i] = target[i - distance] }
                  }
                  out &+= length
                }
                bits &= 1 << UInt64(bitCount) - 1
                return false
              }
            }
          }
        }
      }
    }
    if let failure { throw failure }
    return ended
  }
}

/// Base · 16 + extra bits, by symbol.
private let deflateLengthTable = Deflate.lengths.map { UInt32($0.base << 4 | $0.bits) }
private let deflateDistanceTable = Deflate.distances.map { UInt32($0.base << 4 | $0.bits) }

/// Decoding tables of a canonical Huffman code of at most 15 bits.
private struct PrefixCode {
  static let fastSize = 1 << 11

  /// Indexed by the next eleven bits: symbol · 16 + length, or 0 for a longer or unassigned code.
  private(set) var fast = [UInt16](repeating: 0, count: fastSize)
  private var counts = [Int](repeating: 0, count: 16)
  /// The symbols in the order of their codes.
  private var symbols: [UInt16] = []

  static let fixed: (literals: PrefixCode, distances: PrefixCode) = {
    let literals = (0..<288).map { i in UInt8(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8) }
    guard let literals = try? PrefixCode(literals), let distances = try? PrefixCode([UInt8](repeating: 5, count: 32))
    else { preconditionFailure("the fixed codes are valid") }
    return (literals, distances)
  }()

  /// A code without symbols and one of a single one-bit symbol are allowed; any other must use up all codes.
  init(_ lengths: [UInt8]) throws(InflateError) {
    for length in lengths { counts[Int(length)] += 1 }
    counts[0] = 0
    var left = 1
    for length in 1...15 {
      left = left * 2 - counts[length]
      guard left >= 0 else { throw .codeLengths }
    }
    let used = counts.reduce(0, +)
    guard left == 0 || used == 0 || used == 1 && counts[1] == 1 else { throw .codeLengths }

    var next = [Int](repeating: 0, count: 16)
    var code = [Int](repeating: 0, count: 16)
    for length in 1..<15 {
      next[length + 1] = next[length] + counts[length]
      code[length + 1] = (code[length] + counts[length]) << 1
    }
    symbols = [UInt16](repeating: 0, count: used)
    for (symbol, length) in lengths.enumerated() where length != 0 {
      let length = Int(length)
      symbols[next[length]] = UInt16(symbol)
      next[length] += 1
      if 1 << length <= PrefixCode.fastSize {
        let reversed = Deflate.reversed(code[length], length)
        for i in stride(from: reversed, to: PrefixCode.fastSize, by: 1 << length) {
          fast[i] = UInt16(symbol << 4 | length)
        }
      }
      code[length] += 1
    }
  }

  /// Decodes bit by bit.
  func slow(_ bits: UInt64) throws(InflateError) -> (symbol: Int, length: Int) {
    var code = 0
    var first = 0
    var index = 0
    for length in 1...15 {
      code |= Int(bits >> UInt64(length - 1) & 1)
      let count = counts[length]
      if code - first < count { return (Int(symbols[index + code - first]), length) }
      index += count
      first = (first + count) << 1
      code <<= 1
    }
    throw .symbol
  }
}

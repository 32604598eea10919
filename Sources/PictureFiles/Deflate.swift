// SPDX-License-Identifier: BSD-3-Clause

/// Constants of RFC 1951 that both directions need.
public enum Deflate {
  /// The order in which the code lengths of the code length code are stored.
  public static let codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

  /// Shortest length and extra bits of symbols 257…285.
  public static let lengths: [(base: Int, bits: Int)] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2),
    (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5),
    (163, 5), (195, 5), (227, 5), (258, 0),
  ]

  /// Shortest distance and extra bits of distance symbols 0…29.
  public static let distances: [(base: Int, bits: Int)] = (0..<30).map { symbol in
    let bits = max(0, symbol / 2 - 1)
    let base = symbol < 2 ? symbol : (2 + symbol % 2) << bits
    return (base + 1, bits)
  }

  /// The lowest `count` bits of `code` in reverse order: Huffman codes are stored from their highest bit.
  public static func reversed(_ code: Int, _ count: Int) -> Int {
    var result = 0
    for bit in 0..<count { result |= (code >> bit & 1) << (count - 1 - bit) }
    return result
  }
}

/// Compresses into a zlib stream: LZ77 with hash chains and lazy matching, blocks with their own Huffman codes.
/// The matches that it does not take (`worthwhile`) are chosen for filtered picture rows.
func deflate(zlib input: [UInt8]) -> [UInt8] {
  var deflater = Deflater(capacity: input.count)
  deflater.run(input.span)
  return deflater.finish(adler32(input))
}

private struct Deflater {
  private static let window = 32768
  private static let shortest = 4
  private static let longest = 258
  /// Candidates tried for a match, and for one that should beat a match of at least `good`.
  private static let chain = 32
  private static let good = 8
  private static let shortChain = 8
  /// A match this long is taken without looking at the next position.
  private static let lazy = 16
  /// A match this long ends the search.
  private static let nice = 128
  private static let blockTokens = 1 << 15

  private static let hashBits = 15
  // Positions modulo 2^32. An entry may be stale or never written: `search` trusts a candidate only as far as it has
  // compared the bytes.
  private var head = [UInt32](repeating: 0, count: 1 << hashBits)
  private var previous = [UInt32](repeating: 0, count: window)

  /// Literals as they are; matches as 1 << 31 | (length − 3) << 16 | distance.
  private var tokens: [UInt32] = []
  private var literalCounts = [Int](repeating: 0, count: 286)
  private var distanceCounts = [Int](repeating: 0, count: 30)
  private var writer: BitWriter

  init(capacity: Int) {
    tokens.reserveCapacity(Deflater.blockTokens)
    writer = BitWriter(capacity: capacity / 2 + 64)
    writer.put(0x78, 8)
    writer.put(0x9C, 8)
  }

  mutating func finish(_ checksum: UInt32) -> [UInt8] {
    writer.alignToByte()
    for shift in stride(from: UInt32(24), through: 0, by: -8) { writer.put(UInt64(checksum >> shift & 255), 8) }
    return writer.bytes
  }

  /// Enters a position into its chain and returns the distance to the one that was first there.
  @inline(__always)
  private mutating func insert(_ input: borrowing Span<UInt8>, _ at: Int) -> Int {
    guard at + Deflater.shortest <= input.count else { return 0 }
    let value = UInt32(
      truncatingIfNeeded: Int(input[at]) | Int(input[at + 1]) << 8 | Int(input[at + 2]) << 16 | Int(input[at + 3]) << 24
    )
    let slot = Int((value &* 0x9E37_79B1) >> UInt32(32 - Deflater.hashBits))
    let first = head[slot]
    previous[at & (Deflater.window - 1)] = first
    head[slot] = UInt32(truncatingIfNeeded: at)
    return Int(UInt32(truncatingIfNeeded: at) &- first)
  }

  /// The longest match at `at` that is longer than `length`, among those at `distance` and further back in the chain.
  @inline(__always)
  private func search(
    _ input: borrowing Span<UInt8>, _ at: Int, from distance: Int, longerThan length: Int
  ) -> (length: Int, distance: Int) {
    var best = (length: length, distance: 0)
    let limit = min(Deflater.longest, input.count - at)
    guard length < limit else { return best }
    var distance = distance
    var tries = length >= Deflater.good ? Deflater.shortChain : Deflater.chain
    while distance > 0, distance <= Deflater.window, distance <= at, tries > 0 {
      tries -= 1
      let candidate = at - distance
      if input[candidate + best.length] == input[at + best.length], input[candidate] == input[at] {
        var count = 0
        while count < limit, input[candidate + count] == input[at + count] { count += 1 }
        if count > best.length {
          best = (count, distance)
          if count >= min(Deflater.nice, limit) { break }
        }
      }
      let next = Int(UInt32(truncatingIfNeeded: at) &- previous[candidate & (Deflater.window - 1)])
      if next <= distance { break }
      distance = next
    }
    return best
  }

  /// Short matches far away cost more than their literals.
  @inline(__always)
  private func worthwhile(_ match: (length: Int, distance: Int)) -> Bool {
    match.length > 5 || match.distance <= 64
  }

  mutating func run(_ input: borrowing Span<UInt8>) {
    var start = 0
    var at = 0
    // The match found one position before, not yet taken: the next position may have a longer one.
    var pending = (length: 0, distance: 0)
    var isPending = false
    while at < input.count {
      let nearest = insert(input, at)
      var match = (length: 0, distance: 0)
      if pending.length < Deflater.lazy {
        match = search(input, at, from: nearest, longerThan: max(pending.length, Deflater.shortest - 1))
        if match.distance == 0 || !worthwhile(match) { match = (0, 0) }
      }
      if isPending, pending.length > 0, match.length <= pending.length {
        add(match: pending)
        let end = at - 1 + pending.length
        at += 1
        while at < end {
          _ = insert(input, at)
          at += 1
        }
        (pending, isPending) = ((0, 0), false)
      } else {
        if isPending { add(literal: input[at - 1]) }
        (pending, isPending) = (match, true)
        at += 1
      }
      if tokens.count >= Deflater.blockTokens - 1 {
        let end = isPending ? at - 1 : at
        writeBlock(input, start..<end, isLast: false)
        start = end
      }
    }
    if isPending { add(literal: input[at - 1]) }
    writeBlock(input, start..<input.count, isLast: true)
  }

  @inline(__always)
  private mutating func add(literal: UInt8) {
    tokens.append(UInt32(literal))
    literalCounts[Int(literal)] += 1
  }

  @inline(__always)
  private mutating func add(match: (length: Int, distance: Int)) {
    tokens.append(1 << 31 | UInt32(match.length - 3) << 16 | UInt32(match.distance))
    literalCounts[257 + Int(lengthSymbols[match.length - 3])] += 1
    distanceCounts[distanceSymbol(match.distance)] += 1
  }

  /// Writes the tokens collected so far, which stand for `range` of the input, in the smallest of the three ways.
  private mutating func writeBlock(_ input: borrowing Span<UInt8>, _ range: Range<Int>, isLast: Bool) {
    literalCounts[256] = 1
    let literals = codeLengths(literalCounts, limit: 15)
    let distances = codeLengths(distanceCounts, limit: 15)
    let header = DynamicHeader(literals, distances)

    var extra = 0
    for (i, length) in Deflate.lengths.enumerated() { extra += literalCounts[257 + i] * length.bits }
    for (i, distance) in Deflate.distances.enumerated() { extra += distanceCounts[i] * distance.bits }
    func cost(_ literals: [UInt8], _ distances: [UInt8]) -> Int {
      var sum = extra
      for (count, length) in zip(literalCounts, literals) { sum += count * Int(length) }
      for (count, length) in zip(distanceCounts, distances) { sum += count * Int(length) }
      return sum
    }
    let dynamicCost = cost(literals, distances) + header.cost
    let fixedCost = cost(fixedLiteralLengths, fixedDistanceLengths)
    let storedCost = range.count * 8 + (range.count / 65535 + 1) * 40

    if storedCost < min(dynamicCost, fixedCost) {
      writeStored(input, range, isLast: isLast)
    } else if fixedCost <= dynamicCost {
      writer.put(isLast ? 1 : 0, 1)
      writer.put(1, 2)
      writeTokens(fixedLiteralLengths, fixedDistanceLengths)
    } else {
      writer.put(isLast ? 1 : 0, 1)
      writer.put(2, 2)
      header.write(to: &writer)
      writeTokens(literals, distances)
    }
    tokens.removeAll(keepingCapacity: true)
    for i in literalCounts.indices { literalCounts[i] = 0 }
    for i in distanceCounts.indices { distanceCounts[i] = 0 }
  }

  private mutating func writeStored(_ input: borrowing Span<UInt8>, _ range: Range<Int>, isLast: Bool) {
    var start = range.lowerBound
    repeat {
      let end = min(start + 65535, range.upperBound)
      writer.put(isLast && end == range.upperBound ? 1 : 0, 1)
      writer.put(0, 2)
      writer.alignToByte()
      writer.put(UInt64(end - start), 16)
      writer.put(UInt64(end - start) ^ 0xFFFF, 16)
      for i in start..<end { writer.put(UInt64(input[i]), 8) }
      start = end
    } while start < range.upperBound
  }

  private mutating func writeTokens(_ literalLengths: [UInt8], _ distanceLengths: [UInt8]) {
    let literals = canonicalCodes(literalLengths)
    let distances = canonicalCodes(distanceLengths)
    for token in tokens {
      if token < 256 {
        let code = literals[Int(token)]
        writer.put(UInt64(code.bits), code.count)
        continue
      }
      let length = Int(token >> 16 & 255)
      let distance = Int(token & 0xFFFF)
      let lengthIndex = Int(lengthSymbols[length])
      let lengthCode = literals[257 + lengthIndex]
      writer.put(UInt64(lengthCode.bits), lengthCode.count)
      let lengthRange = Deflate.lengths[lengthIndex]
      writer.put(UInt64(length + 3 - lengthRange.base), lengthRange.bits)
      let distanceIndex = distanceSymbol(distance)
      let distanceCode = distances[distanceIndex]
      writer.put(UInt64(distanceCode.bits), distanceCode.count)
      let distanceRange = Deflate.distances[distanceIndex]
      writer.put(UInt64(distance - distanceRange.base), distanceRange.bits)
    }
    let end = literals[256]
    writer.put(UInt64(end.bits), end.count)
  }
}

/// The code lengths of a dynamic block, run-length coded.
private struct DynamicHeader {
  private var symbols: [(symbol: Int, extra: Int)] = []
  private let literalCount: Int
  private let distanceCount: Int
  private let lengths: [UInt8]
  private let lengthCount: Int
  /// Size in bits.
  let cost: Int

  private static let extraBits = [16: 2, 17: 3, 18: 7]

  init(_ literals: [UInt8], _ distances: [UInt8]) {
    literalCount = max(257, (literals.lastIndex { $0 != 0 } ?? 0) + 1)
    distanceCount = max(1, (distances.lastIndex { $0 != 0 } ?? 0) + 1)
    let all = Array(literals[..<literalCount]) + Array(distances[..<distanceCount])
    var at = 0
    while at < all.count {
      let value = all[at]
      var run = 1
      while at + run < all.count, all[at + run] == value { run += 1 }
      at += run
      if value != 0 {
        symbols.append((Int(value), 0))
        run -= 1
      }
      while run >= 3 {
        let part = min(run, value != 0 ? 6 : run >= 11 ? 138 : 10)
        symbols.append(value != 0 ? (16, part - 3) : part >= 11 ? (18, part - 11) : (17, part - 3))
        run -= part
      }
      for _ in 0..<run { symbols.append((Int(value), 0)) }
    }
    var counts = [Int](repeating: 0, count: 19)
    for (symbol, _) in symbols { counts[symbol] += 1 }
    let lengths = codeLengths(counts, limit: 7)
    let lengthCount = max(4, (Deflate.codeLengthOrder.lastIndex { lengths[$0] != 0 } ?? 0) + 1)
    cost = 14 + 3 * lengthCount + symbols.reduce(0) { $0 + Int(lengths[$1.symbol]) + (Self.extraBits[$1.symbol] ?? 0) }
    self.lengths = lengths
    self.lengthCount = lengthCount
  }

  func write(to writer: inout BitWriter) {
    writer.put(UInt64(literalCount - 257), 5)
    writer.put(UInt64(distanceCount - 1), 5)
    writer.put(UInt64(lengthCount - 4), 4)
    for symbol in Deflate.codeLengthOrder[..<lengthCount] { writer.put(UInt64(lengths[symbol]), 3) }
    let codes = canonicalCodes(lengths)
    for (symbol, extra) in symbols {
      writer.put(UInt64(codes[symbol].bits), codes[symbol].count)
      writer.put(UInt64(extra), Self.extraBits[symbol] ?? 0)
    }
  }
}

private struct BitWriter {
  private(set) var bytes: [UInt8] = []
  private var bits: UInt64 = 0
  private var count = 0

  init(capacity: Int) {
    bytes.reserveCapacity(capacity)
  }

  /// Appends the lowest `count` ≤ 32 bits of `value`, which has no others.
  @inline(__always)
  mutating func put(_ value: UInt64, _ count: Int) {
    bits |= value << UInt64(self.count)
    self.count += count
    while self.count >= 8 {
      bytes.append(UInt8(truncatingIfNeeded: bits))
      bits >>= 8
      self.count -= 8
    }
  }

  mutating func alignToByte() {
    if count > 0 { put(0, 8 - count) }
  }
}

/// Lengths of an optimal prefix code for these counts; when one would be longer than `limit`, counts are flattened
/// until none is. At least two codes are given out, which every decoder accepts.
private func codeLengths(_ counts: [Int], limit: Int) -> [UInt8] {
  var used = counts.indices.filter { counts[$0] > 0 }
  for symbol in [0, 1] where used.count < 2 && !used.contains(symbol) { used.append(symbol) }
  var weights = used.map { max(1, counts[$0]) }
  var lengths = [UInt8](repeating: 0, count: counts.count)
  while true {
    let depths = huffmanDepths(weights)
    if depths.allSatisfy({ $0 <= limit }) {
      for (symbol, depth) in zip(used, depths) { lengths[symbol] = UInt8(depth) }
      return lengths
    }
    weights = weights.map { $0 / 2 + 1 }
  }
}

/// Depths of the leaves of a Huffman tree, by the method of two queues; at least two weights.
private func huffmanDepths(_ weights: [Int]) -> [Int] {
  let order = weights.indices.sorted { (weights[$0], $0) < (weights[$1], $1) }
  var sums = order.map { weights[$0] }
  var parents = [Int](repeating: 0, count: 2 * order.count - 1)
  var leaf = 0
  var inner = order.count
  while sums.count < 2 * order.count - 1 {
    var sum = 0
    for _ in 0..<2 {
      let takesLeaf = leaf < order.count && (inner >= sums.count || sums[leaf] <= sums[inner])
      let node = takesLeaf ? leaf : inner
      if takesLeaf { leaf += 1 } else { inner += 1 }
      sum += sums[node]
      parents[node] = sums.count
    }
    sums.append(sum)
  }
  var depths = [Int](repeating: 0, count: sums.count)
  for node in (0..<sums.count - 1).reversed() { depths[node] = depths[parents[node]] + 1 }
  var result = [Int](repeating: 0, count: weights.count)
  for (node, symbol) in order.enumerated() { result[symbol] = depths[node] }
  return result
}

private struct Code {
  var bits: UInt32
  var count: Int
}

private func canonicalCodes(_ lengths: [UInt8]) -> [Code] {
  var counts = [Int](repeating: 0, count: 17)
  for length in lengths { counts[Int(length)] += 1 }
  counts[0] = 0
  var next = [Int](repeating: 0, count: 17)
  for length in 1..<16 { next[length + 1] = (next[length] + counts[length]) << 1 }
  return lengths.map { length in
    guard length > 0 else { return Code(bits: 0, count: 0) }
    defer { next[Int(length)] += 1 }
    return Code(bits: UInt32(Deflate.reversed(next[Int(length)], Int(length))), count: Int(length))
  }
}

private let fixedLiteralLengths = (0..<288).map { i in UInt8(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8) }
private let fixedDistanceLengths = [UInt8](repeating: 5, count: 30)

/// Index into `Deflate.lengths` by length − 3.
private let lengthSymbols: [UInt8] = (3...258).map { length in
  UInt8(Deflate.lengths.lastIndex { $0.base <= length }!)
}

@inline(__always)
private func distanceSymbol(_ distance: Int) -> Int {
  let value = distance - 1
  guard value >= 2 else { return value }
  let bit = Int.bitWidth - 1 - value.leadingZeroBitCount
  return 2 * bit + (value >> (bit - 1) & 1)
}

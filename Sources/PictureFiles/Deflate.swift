// SPDX-License-Identifier: BSD-3-Clause

/// Constants of RFC 1951 that both directions need.
public enum Deflate {
  /// The level of `PNG.write` when nothing else is said.
  public static let defaultLevel = 1

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

/// Compresses into a zlib stream.
///
/// - Parameter level: 0 stores; 1 takes the nearest match of a small hash table, looking less often where it finds none
///   (as LZ4 does); 2…9 search hash chains, longer from level to level, and from 3 on put off a match to look for a
///   better one at the next byte (as zlib does). Each block gets codes of its own.
func deflate(zlib input: [UInt8], level: Int = Deflate.defaultLevel) -> [UInt8] {
  // Any block may be stored instead, so this is the most that is written, and 8 bytes to spare for whole words.
  let blocks = input.count / Deflater.leastBlock + 1
  let capacity = input.count + (input.count / 65535 + blocks) * 16 + 64
  return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
    input.withUnsafeBytes { source in
      var deflater = Deflater(UnsafeRawBufferPointer(source), UnsafeMutableRawBufferPointer(buffer), level: level)
      deflater.run()
      count = deflater.finish(adler32(input))
    }
  }
}

/// How long to search for matches.
private struct Effort {
  /// Candidates tried for a match, and for one that should beat a match of at least `good` bytes.
  var chain: Int
  var good: Int
  /// A match this long is taken without looking at the next position; 0: always.
  var lazy: Int
  /// A match this long ends the search.
  var nice: Int

  static let levels = [
    Effort(chain: 4, good: 8, lazy: 0, nice: 32), Effort(chain: 8, good: 8, lazy: 8, nice: 32),
    Effort(chain: 12, good: 8, lazy: 12, nice: 64), Effort(chain: 20, good: 8, lazy: 16, nice: 96),
    Effort(chain: 32, good: 8, lazy: 16, nice: 128), Effort(chain: 64, good: 8, lazy: 32, nice: 258),
    Effort(chain: 256, good: 32, lazy: 128, nice: 258), Effort(chain: 2048, good: 258, lazy: 258, nice: 258),
  ]
}

/// Input and output are held by the caller while it runs.
private struct Deflater {
  private static let window = 32768
  private static let longest = 258
  /// Sequences of a block at most, and input at which a block of level 1 ends.
  private static let blockSequences = 1 << 14
  private static let blockInput = 1 << 18
  /// No block but the last is of fewer bytes.
  static let leastBlock = blockSequences

  private let input: UnsafeRawBufferPointer
  private let level: Int
  private var writer: BitWriter

  /// Literals and the match behind them: literals << 32 | length << 16 | distance; the last of a block may have length 0.
  private var sequences: [UInt64] = []
  private var literalCounts = [Int](repeating: 0, count: 286)
  private var distanceCounts = [Int](repeating: 0, count: 30)

  init(_ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, level: Int) {
    self.input = input
    self.level = level
    sequences.reserveCapacity(Deflater.blockSequences)
    writer = BitWriter(output)
    writer.put(0x78, 8)
    writer.put(level < 2 ? 0x01 : level < 6 ? 0x5E : level == 6 ? 0x9C : 0xDA, 8)
  }

  mutating func finish(_ checksum: UInt32) -> Int {
    writer.alignToByte()
    for shift in stride(from: UInt32(24), through: 0, by: -8) { writer.put(UInt64(checksum >> shift & 255), 8) }
    writer.flush()
    return writer.size
  }

  mutating func run() {
    switch level {
    case ...0: writeStored(0..<input.count, isLast: true)
    case 1: runFast()
    default: runChains(Effort.levels[min(level, 9) - 2])
    }
  }

  @inline(__always)
  private func word(_ at: Int) -> UInt64 {
    UInt64(littleEndian: input.loadUnaligned(fromByteOffset: at, as: UInt64.self))
  }

  /// Equal bytes from `at` and `candidate` < `at` on, at most 258.
  @inline(__always)
  private func matchLength(_ at: Int, _ candidate: Int) -> Int {
    let limit = min(Deflater.longest, input.count &- at)
    var count = 0
    while count &+ 8 <= limit {
      let difference = word(at &+ count) ^ word(candidate &+ count)
      if difference != 0 { return count &+ difference.trailingZeroBitCount >> 3 }
      count &+= 8
    }
    while count < limit, input[candidate &+ count] == input[at &+ count] { count &+= 1 }
    return count
  }

  /// Enters literals from `start` on and a match at `at`.
  @inline(__always)
  private mutating func add(_ start: Int, _ at: Int, length: Int, distance: Int) {
    sequences.append(UInt64(at &- start) << 32 | UInt64(length) << 16 | UInt64(distance))
  }

  // MARK: Level 1

  private mutating func runFast() {
    // The table fits the first cache beside input and output.
    let hashBits = 12
    // Matches are of at least 6 bytes: shorter ones hardly beat the literals of filtered rows.
    let lastStart = input.count - 8
    var table = [UInt32](repeating: 0, count: 1 << hashBits)
    var (at, literals, block) = (0, 0, 0)
    /// Of the lowest six bytes.
    @inline(__always)
    func slot(_ value: UInt64) -> Int {
      Int(truncatingIfNeeded: ((value << 16) &* 0x9E37_79B1_85EB_CA87) >> UInt64(64 - hashBits))
    }
    table.withUnsafeMutableBufferPointer { table in
      // Steps grow by one for every 8 positions without a match, and shrink with a match by its worth.
      var misses = 8
      while at <= lastStart {
        var (length, distance) = (0, 0)
        let end = min(lastStart, block + Deflater.blockInput)
        while at <= end {
          let value = word(at)
          let slot = slot(value)
          // An entry is a position before `at`, or 0 if never written, which the comparison below tells apart.
          let candidate = Int(table[slot])
          table[slot] = UInt32(truncatingIfNeeded: at)
          distance = at &- candidate
          if distance <= Deflater.window, distance > 0, (word(candidate) ^ value) << 16 == 0 {
            length = matchLength(at, candidate)
            break
          }
          at &+= min(misses &>> 3, 64)
          misses &+= 1
        }
        if length > 0 {
          // Backwards over what was stepped over.
          while at > literals, distance < at, length < Deflater.longest, input[at &- 1] == input[at &- 1 &- distance] {
            at &-= 1
            length &+= 1
          }
          add(literals, at, length: length, distance: distance)
          misses = length >= 16 ? 8 : max(8, misses &- misses >> 2)
          at &+= length
          literals = at
          // The end of the match stands for all that was not entered: a run goes on at a short distance.
          if at &- 1 <= lastStart { table[slot(word(at &- 1))] = UInt32(truncatingIfNeeded: at &- 1) }
        } else {
          at = min(at, lastStart + 1)
        }
        if at <= lastStart, sequences.count >= Deflater.blockSequences - 1 || at &- block >= Deflater.blockInput {
          if at > literals { add(literals, at, length: 0, distance: 0) }
          writeBlock(block..<at, isLast: false)
          (block, literals) = (at, at)
        }
      }
    }
    add(literals, input.count, length: 0, distance: 0)
    writeBlock(block..<input.count, isLast: true)
  }

  // MARK: Levels 2 to 9

  private mutating func runChains(_ effort: Effort) {
    let hashBits = 15
    // Positions modulo 2^32. An entry may be stale or never written: the search trusts a candidate only as far as it
    // has compared the bytes.
    var head = [UInt32](repeating: 0, count: 1 << hashBits)
    var previous = [UInt32](repeating: 0, count: Deflater.window)
    head.withUnsafeMutableBufferPointer { head in
      previous.withUnsafeMutableBufferPointer { previous in
        var (at, literals, block) = (0, 0, 0)
        // The match found one position before, not yet taken: the next position may have a longer one.
        var pending = (length: 0, distance: 0)

        /// Enters a position into its chain and returns the distance to the one that was first there.
        @inline(__always)
        func insert(_ at: Int) -> Int {
          guard at &+ 4 <= input.count else { return 0 }
          let value = input.loadUnaligned(fromByteOffset: at, as: UInt32.self)
          let slot = Int((value &* 0x9E37_79B1) >> UInt32(32 - hashBits))
          let first = head[slot]
          previous[at & (Deflater.window - 1)] = first
          head[slot] = UInt32(truncatingIfNeeded: at)
          return Int(UInt32(truncatingIfNeeded: at) &- first)
        }

        while at < input.count {
          let nearest = insert(at)
          var match = (length: 0, distance: 0)
          if pending.length == 0 || pending.length < effort.lazy {
            // The longest of the chain; matches of fewer than 4 bytes are not taken, nor short ones from far away,
            // which cost more than their literals.
            var best = (length: max(pending.length, 3), distance: 0)
            let limit = min(Deflater.longest, input.count &- at)
            var distance = nearest
            var tries = pending.length >= effort.good ? effort.chain >> 2 : effort.chain
            while distance > 0, distance <= Deflater.window, distance <= at, tries > 0, best.length < limit {
              tries &-= 1
              let candidate = at &- distance
              if input[candidate &+ best.length] == input[at &+ best.length], input[candidate] == input[at] {
                let count = matchLength(at, candidate)
                if count > best.length {
                  best = (count, distance)
                  if count >= effort.nice { break }
                }
              }
              let next = Int(UInt32(truncatingIfNeeded: at) &- previous[candidate & (Deflater.window - 1)])
              if next <= distance { break }
              distance = next
            }
            if best.distance != 0, best.length > 5 || best.distance <= 64 { match = best }
          }
          if pending.length > 0, match.length <= pending.length {
            // The match of the position before begins there.
            add(literals, at &- 1, length: pending.length, distance: pending.distance)
            let end = at &- 1 &+ pending.length
            at &+= 1
            while at < end {
              _ = insert(at)
              at &+= 1
            }
            pending = (0, 0)
            literals = at
          } else if match.length > 0, effort.lazy == 0 {
            add(literals, at, length: match.length, distance: match.distance)
            let end = at &+ match.length
            at &+= 1
            while at < end {
              _ = insert(at)
              at &+= 1
            }
            literals = at
          } else {
            pending = match
            at &+= 1
          }
          let end = pending.length > 0 ? at &- 1 : at
          if sequences.count >= Deflater.blockSequences - 1 || end &- block >= Deflater.blockInput {
            if end > literals { add(literals, end, length: 0, distance: 0) }
            writeBlock(block..<end, isLast: false)
            (block, literals) = (end, end)
          }
        }
        // A match that is pending at the last byte would be of one byte, so there is none.
        add(literals, input.count, length: 0, distance: 0)
        writeBlock(block..<input.count, isLast: true)
      }
    }
  }

  // MARK: Blocks

  /// Counts of the symbols of `sequences`, which begin at `start`.
  private mutating func count(from start: Int) {
    // Four tables, so that equal neighbours do not wait for each other.
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 1024) { table in
      table.initialize(repeating: 0)
      var at = start
      for sequence in sequences {
        let end = at &+ Int(sequence >> 32)
        while at &+ 8 <= end {
          let bytes = word(at)
          table[Int(bytes & 255)] &+= 1
          table[256 &+ Int(bytes >> 8 & 255)] &+= 1
          table[512 &+ Int(bytes >> 16 & 255)] &+= 1
          table[768 &+ Int(bytes >> 24 & 255)] &+= 1
          table[Int(bytes >> 32 & 255)] &+= 1
          table[256 &+ Int(bytes >> 40 & 255)] &+= 1
          table[512 &+ Int(bytes >> 48 & 255)] &+= 1
          table[768 &+ Int(bytes >> 56)] &+= 1
          at &+= 8
        }
        while at < end {
          table[Int(input[at])] &+= 1
          at &+= 1
        }
        let length = Int(sequence >> 16 & 0xFFFF)
        if length > 0 {
          literalCounts[257 + Int(lengthSymbols[length - 3])] += 1
          distanceCounts[distanceSymbol(Int(sequence & 0xFFFF))] += 1
        }
        at &+= length
      }
      for i in 0..<256 { literalCounts[i] = Int(table[i] + table[256 + i] + table[512 + i] + table[768 + i]) }
    }
    literalCounts[256] = 1
  }

  /// Writes the sequences collected so far, which stand for `range` of the input, in the smallest of the three ways.
  private mutating func writeBlock(_ range: Range<Int>, isLast: Bool) {
    count(from: range.lowerBound)
    // Four literals of at most 14 bits and 7 bits before them fit a word.
    let literals = codeLengths(literalCounts, limit: 14)
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
      writeStored(range, isLast: isLast)
    } else if fixedCost <= dynamicCost {
      writer.put(isLast ? 1 : 0, 1)
      writer.put(1, 2)
      writeSequences(range.lowerBound, fixedLiteralLengths, fixedDistanceLengths)
    } else {
      writer.put(isLast ? 1 : 0, 1)
      writer.put(2, 2)
      header.write(to: &writer)
      writeSequences(range.lowerBound, literals, distances)
    }
    sequences.removeAll(keepingCapacity: true)
    for i in literalCounts.indices { literalCounts[i] = 0 }
    for i in distanceCounts.indices { distanceCounts[i] = 0 }
  }

  private mutating func writeStored(_ range: Range<Int>, isLast: Bool) {
    var start = range.lowerBound
    repeat {
      let end = min(start + 65535, range.upperBound)
      writer.put(isLast && end == range.upperBound ? 1 : 0, 1)
      writer.put(0, 2)
      writer.alignToByte()
      writer.put(UInt64(end - start), 16)
      writer.put(UInt64(end - start) ^ 0xFFFF, 16)
      writer.copy(UnsafeRawBufferPointer(rebasing: input[start..<end]))
      start = end
    } while start < range.upperBound
  }

  private mutating func writeSequences(_ start: Int, _ literalLengths: [UInt8], _ distanceLengths: [UInt8]) {
    let literals = canonicalCodes(literalLengths)
    let distances = canonicalCodes(distanceLengths)
    // Local variables: a loop that reads globals and properties looks each time whether they are there.
    var writer = writer
    let input = input
    let (lengthSymbols, lengthRanges, distanceRanges) = (lengthSymbols, Deflate.lengths, Deflate.distances)
    literals.withUnsafeBufferPointer { codes in
      var at = start
      for sequence in sequences {
        let end = at &+ Int(sequence >> 32)
        while at &+ 4 <= end {
          let bytes = input.loadUnaligned(fromByteOffset: at, as: UInt32.self)
          writer.putFour(
            codes[Int(bytes & 255)], codes[Int(bytes >> 8 & 255)], codes[Int(bytes >> 16 & 255)],
            codes[Int(bytes >> 24)])
          at &+= 4
        }
        while at < end {
          writer.put(codes[Int(input[at])])
          at &+= 1
        }
        let length = Int(sequence >> 16 & 0xFFFF)
        guard length > 0 else { continue }
        at &+= length
        let distance = Int(sequence & 0xFFFF)
        let lengthIndex = Int(lengthSymbols[length - 3])
        writer.put(codes[257 + lengthIndex])
        let lengthRange = lengthRanges[lengthIndex]
        writer.put(UInt64(length - lengthRange.base), lengthRange.bits)
        let distanceIndex = distanceSymbol(distance)
        writer.put(distances[distanceIndex])
        let distanceRange = distanceRanges[distanceIndex]
        writer.put(UInt64(distance - distanceRange.base), distanceRange.bits)
      }
    }
    writer.put(literals[256])
    self.writer = writer
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
      writer.put(codes[symbol])
      writer.put(UInt64(extra), Self.extraBits[symbol] ?? 0)
    }
  }
}

/// Bits from the low end of each byte on. The caller's buffer has room for all that is put, and 8 bytes more.
private struct BitWriter {
  private let bytes: UnsafeMutableRawBufferPointer
  private(set) var size = 0
  private var bits: UInt64 = 0
  /// Below 8 between calls.
  private var count = 0

  init(_ bytes: UnsafeMutableRawBufferPointer) {
    self.bytes = bytes
  }

  /// Appends the lowest `count` ≤ 32 bits of `value`, which has no others.
  @inline(__always)
  mutating func put(_ value: UInt64, _ count: Int) {
    bits |= value &<< UInt64(self.count)
    self.count &+= count
    flush()
  }

  @inline(__always)
  mutating func put(_ code: Code) { put(code.bits, code.count) }

  /// Appends four codes of at most 14 bits.
  @inline(__always)
  mutating func putFour(_ a: Code, _ b: Code, _ c: Code, _ d: Code) {
    let low = a.bits | b.bits &<< UInt64(a.count)
    let high = c.bits | d.bits &<< UInt64(c.count)
    let lowCount = a.count &+ b.count
    bits |= (low | high &<< UInt64(lowCount)) &<< UInt64(count)
    count &+= lowCount &+ c.count &+ d.count
    flush()
  }

  /// Writes whole bytes.
  @inline(__always)
  mutating func flush() {
    bytes.storeBytes(of: bits.littleEndian, toByteOffset: size, as: UInt64.self)
    size &+= count >> 3
    bits &>>= UInt64(count & 56)
    count &= 7
  }

  mutating func alignToByte() {
    if count > 0 { put(0, 8 - count) }
  }

  /// Appends whole bytes at a byte's border.
  mutating func copy(_ source: UnsafeRawBufferPointer) {
    UnsafeMutableRawBufferPointer(rebasing: bytes[size...]).copyMemory(from: source)
    size += source.count
  }
}

/// Lengths of a prefix code for these counts, optimal unless one would be longer than `limit`. At least two codes are
/// given out, which every decoder accepts.
private func codeLengths(_ counts: [Int], limit: Int) -> [UInt8] {
  var used = counts.indices.filter { counts[$0] > 0 }
  for symbol in [0, 1] where used.count < 2 && !used.contains(symbol) { used.append(symbol) }
  var depths = huffmanDepths(used.map { max(1, counts[$0]) })
  if depths.contains(where: { $0 > limit }) { shorten(&depths, limit, used.map { counts[$0] }) }
  var lengths = [UInt8](repeating: 0, count: counts.count)
  for (symbol, depth) in zip(used, depths) { lengths[symbol] = UInt8(depth) }
  return lengths
}

/// Cuts lengths to `limit`, then makes the code complete again: rare symbols get longer, and what is left over goes to
/// the frequent ones.
private func shorten(_ depths: inout [Int], _ limit: Int, _ counts: [Int]) {
  let order = counts.indices.sorted { (counts[$0], $0) < (counts[$1], $1) }
  for i in depths.indices { depths[i] = min(depths[i], limit) }
  // In units of the longest codes.
  var excess = depths.reduce(-(1 << limit)) { $0 + 1 << (limit - $1) }
  while excess > 0 {
    // Of the longest that can grow, the rarest.
    var chosen: Int?
    for i in order where depths[i] < limit {
      if chosen.map({ depths[i] > depths[$0] }) ?? true { chosen = i }
    }
    guard let i = chosen else { preconditionFailure("there are fewer symbols than codes") }
    depths[i] += 1
    excess -= 1 << (limit - depths[i])
  }
  for i in order.reversed() {
    while excess + 1 << (limit - depths[i]) <= 0 {
      excess += 1 << (limit - depths[i])
      depths[i] -= 1
    }
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
  private let entry: UInt32
  var bits: UInt64 { UInt64(entry >> 8) }
  var count: Int { Int(entry & 255) }

  init(bits: Int, count: Int) { entry = UInt32(bits << 8 | count) }
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
    return Code(bits: Deflate.reversed(next[Int(length)], Int(length)), count: Int(length))
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

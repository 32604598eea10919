// SPDX-License-Identifier: BSD-3-Clause

/// Walks the sections of a model file (model.md §1).
struct ModelFileParser {
  static let magic: [UInt8] = [0x53, 0x43, 0x4d, 0x4f, 0x44, 0x45, 0x4c, 0x02]

  private let file: FileBytes
  private var bytes: UnsafeBufferPointer<UInt8> { file.bytes }
  var name = ""
  var summary = ""
  var weights = Weights()
  private var widthClasses = 0
  /// Set by the first graph.
  private var proofs: RangeProofs?
  private var graphs: [Graph] = []
  /// Set when all graphs are there and fit each other.
  var networks: Networks?
  var entropyModels: [EntropyModel] = []
  /// nil for a model without section MOTN.
  var motion: MotionTables?
  var sections: [SectionInfo] = []

  init(_ file: FileBytes) { self.file = file }

  /// A reader of a range of the file whose error names a place.
  private func reader(_ range: Range<Int>, _ place: ModelLocation) -> ByteReader<ModelError> {
    ByteReader(bytes, in: range) { .truncated(place, offset: $0) }
  }

  /// Parses the file: why it is refused, or nil.
  mutating func failure() -> ModelError? {
    do throws(ModelError) {
      try parse()
      return nil
    } catch {
      return error
    }
  }

  mutating func parse() throws(ModelError) {
    guard bytes.count >= 8, bytes[0..<8].elementsEqual(Self.magic) else { throw .notAModel }
    var file = reader(8..<bytes.count, ModelLocation(section: "", item: ""))
    var sawNames = false
    var sawRates = false
    var sawWeights = false
    while true {
      let start = file.offset
      let tagRange = try file.range(count: 4)
      var printable = true
      for byte in bytes[tagRange] where !(0x20...0x7e ~= byte) { printable = false }
      let tag = printable ? String(decoding: bytes[tagRange], as: UTF8.self) : "????"
      let place = ModelLocation(section: tag, item: "")
      let size = Int(clamping: try file.u32())
      file = reader(file.offset..<bytes.count, place)
      let payload = try file.range(count: size)
      let crc = try file.u32()
      guard self.file.isPermanent || crc == crc32c(bytes, in: start..<payload.upperBound) else {
        throw .checksum(place)
      }
      sections.append(SectionInfo(tag: tag, size: size))
      var section = reader(payload, place)
      switch FourCharacters(bytes, tagRange) {
      case "META":
        guard !sawNames else { throw .section(place, "stands twice") }
        sawNames = true
        try parseNames(&section, place)
      case "RATE":
        guard !sawRates else { throw .section(place, "stands twice") }
        sawRates = true
        try parseRatePoints(&section, place)
      case "GROW":
        guard sawRates, weights.growths.isEmpty, graphs.isEmpty else {
          throw .section(place, "stands twice or out of order")
        }
        try parseGrowths(&section, place)
      case "WGHT":
        guard !sawWeights else { throw .section(place, "stands twice") }
        sawWeights = true
        let count = try section.u32()
        for i in 0..<count {
          let place = ModelLocation(section: tag, item: "array \(i)")
          weights.arrays.append(try WeightArray.parse(&section, of: self.file, place))
        }
      case "GRPH":
        guard sawRates, sawWeights, entropyModels.isEmpty else { throw .section(place, "stands out of order") }
        var parser = GraphParser(
          LayerReader(
            weights: weights, widthClasses: widthClasses, bytes: section,
            proofs: proofs ?? RangeProofs(fileSize: bytes.count, ratePoints: weights.ratePoints.count)))
        let graph = try parser.parse()
        guard !graphs.contains(where: { $0.role == graph.role && $0.format == graph.format }) else {
          throw .section(place, "two graphs of one role")
        }
        graphs.append(graph)
        section = parser.reader.bytes
        proofs = parser.reader.proofs
      case "ENTR":
        let networks = try connectedGraphs()
        let model = try EntropyModel.parse(
          &section, of: self.file, weights.ratePoints.indices.map { weights.width(networks.latent, $0) },
          hyperWidths: networks.hyperprior.map { prior in
            weights.ratePoints.indices.map { weights.width(prior.analysis.outputInfo, $0) }
          }
        ) { [weights] kind, k, order throws(ModelError) in
          guard let hyperprior = networks.hyperprior else { return }
          try Self.checkOrder(order, kind, k, hyperprior.sliceChannels(weights, k))
        }
        guard !entropyModels.contains(where: { $0.kind == model.kind }) else {
          throw .section(place, "two entropy models of one kind")
        }
        entropyModels.append(model)
      case "MOTN":
        let networks = try connectedGraphs()
        guard networks.isInter, motion == nil else {
          throw .section(place, "stands twice, or in a model that has no networks for inter frames")
        }
        guard let tables = MotionTables(section: bytes, in: payload) else {
          throw .entropy(place, "tables of vectors that are not valid")
        }
        motion = tables
        _ = try section.range(count: section.remaining)
      case "END ":
        guard size == 0, file.isAtEnd else { throw .section(place, "bytes behind the end") }
        _ = try connectedGraphs()
        return
      default: throw .section(place, "unknown section")
      }
      guard section.isAtEnd else { throw .section(place, "bytes behind its content") }
    }
  }

  private mutating func parseNames(
    _ reader: inout ByteReader<ModelError>, _ place: ModelLocation
  ) throws(ModelError) {
    let nameLength = Int(try reader.u8())
    let nameBytes = bytes[try reader.range(count: nameLength)]
    guard isUTF8(nameBytes) else { throw .text(place, field: "name", length: nameLength, limit: 255) }
    name = String(decoding: nameBytes, as: UTF8.self)
    let length = Int(try reader.u16())
    guard length <= 4096 else { throw .text(place, field: "description", length: length, limit: 4096) }
    let textBytes = bytes[try reader.range(count: length)]
    guard isUTF8(textBytes) else { throw .text(place, field: "description", length: length, limit: 4096) }
    summary = String(decoding: textBytes, as: UTF8.self)
  }

  private mutating func parseRatePoints(
    _ reader: inout ByteReader<ModelError>, _ place: ModelLocation
  ) throws(ModelError) {
    let count = Int(try reader.u8())
    guard 1...64 ~= count else { throw .value(place, field: "rate points", value: count, valid: 1...64) }
    widthClasses = Int(try reader.u8())
    guard widthClasses <= 16 else { throw .value(place, field: "width classes", value: widthClasses, valid: 0...16) }
    for k in 0..<count {
      let place = ModelLocation(section: "RATE", item: "rate point \(k)")
      let lambda = try reader.f32()
      guard RatePoint.lambdas ~= Double(lambda) else { throw .section(place, "lambda is not within 1e-9 and 1e9") }
      var widths: [Int] = []
      for _ in 0..<widthClasses {
        let width = Int(try reader.u16())
        guard 1...4096 ~= width else { throw .value(place, field: "width", value: width, valid: 1...4096) }
        widths.append(width)
      }
      weights.ratePoints.append(RatePoint(lambda: lambda, widths: widths))
    }
  }

  private mutating func parseGrowths(
    _ reader: inout ByteReader<ModelError>, _ place: ModelLocation
  ) throws(ModelError) {
    let count = Int(try reader.u8())
    guard 1...7 ~= count else { throw .value(place, field: "growths", value: count, valid: 1...7) }
    for _ in 0..<count {
      let first = Int(try reader.u8())
      let least = (weights.growths.last?.firstPoint ?? 0) + 1
      guard first >= least, first < weights.ratePoints.count else {
        throw .value(
          place, field: "first rate point", value: first, valid: least...max(least, weights.ratePoints.count - 1))
      }
      weights.growths.append(Growth(firstPoint: first, ancestor: try reader.u32()))
    }
  }

  /// The graphs, checked when the first section behind them asks.
  private mutating func connectedGraphs() throws(ModelError) -> Networks {
    if let networks { return networks }
    let connected = try Networks(graphs, weights)
    networks = connected
    return connected
  }

  /// Channels are coded slice by slice.
  private static func checkOrder(
    _ order: [Int], _ kind: EntropyKind, _ ratePoint: Int, _ sliceChannels: [Int]
  ) throws(ModelError) {
    var first = 0
    for count in sliceChannels {
      for position in first..<(first + count) where !(first..<(first + count)).contains(order[position]) {
        throw .entropy(
          ModelLocation(section: "ENTR", item: "\(kind.name), rate point \(ratePoint)"),
          "the order of channels mixes slices")
      }
      first += count
    }
  }
}

/// A tag, comparable with a literal.
private struct FourCharacters {
  let code: UInt32
  init(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) {
    var code: UInt32 = 0
    for byte in bytes[range] { code = code << 8 | UInt32(byte) }
    self.code = code
  }
  static func ~= (pattern: StaticString, value: FourCharacters) -> Bool {
    var code: UInt32 = 0
    for i in 0..<pattern.utf8CodeUnitCount { code = code << 8 | UInt32(pattern.utf8Start[i]) }
    return code == value.code
  }
}

// SPDX-License-Identifier: BSD-3-Clause

/// Walks the sections of a model file (FORMAT.md §1).
struct ModelFileParser {
  static let magic: [UInt8] = [0x53, 0x43, 0x4d, 0x4f, 0x44, 0x45, 0x4c, 0x01]

  let bytes: [UInt8]
  var name = ""
  var summary = ""
  var ratePoints: [RatePoint] = []
  var widthClasses = 0
  var arrays: [WeightArray] = []
  var analysis: Graph?
  var synthesis: Graph?
  var entropyModels: [EntropyModel] = []
  var sections: [SectionInfo] = []

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// A reader of a range of the file whose error names a place.
  private func reader(_ range: Range<Int>, _ place: ModelLocation) -> ByteReader<ModelError> {
    ByteReader(bytes, in: range) { .truncated(place, offset: $0) }
  }

  mutating func parse() throws(ModelError) {
    guard bytes.count >= 8, bytes[0..<8].elementsEqual(Self.magic) else { throw .notAModel }
    var file = reader(8..<bytes.count, ModelLocation(section: "", item: ""))
    var sawRates = false
    var sawWeights = false
    while true {
      let start = file.offset
      let tagRange = try file.range(count: 4)
      var printable = true
      for byte in bytes[tagRange] where !(0x20...0x7e ~= byte) { printable = false }
      let tag = printable ? String(decoding: bytes[tagRange], as: UTF8.self) : "????"
      let place = ModelLocation(section: tag, item: "")
      let size = Int(try file.u32())
      file = reader(file.offset..<bytes.count, place)
      let payload = try file.range(count: size)
      let crc = try file.u32()
      guard crc == crc32c(bytes, in: start..<payload.upperBound) else { throw .checksum(place) }
      sections.append(SectionInfo(tag: tag, size: size))
      var section = reader(payload, place)
      switch FourCharacters(bytes, tagRange) {
      case "META": try parseNames(&section, place)
      case "RATE":
        guard !sawRates else { throw .section(place, "stands twice") }
        sawRates = true
        try parseRatePoints(&section, place)
      case "WGHT":
        guard !sawWeights else { throw .section(place, "stands twice") }
        sawWeights = true
        let count = Int(try section.u32())
        for i in 0..<count {
          arrays.append(try WeightArray.parse(&section, ModelLocation(section: tag, item: "array \(i)")))
        }
      case "GRPH":
        guard sawRates, sawWeights, entropyModels.isEmpty else { throw .section(place, "stands out of order") }
        var graphs = GraphParser(
          ratePoints: ratePoints, widthClasses: widthClasses, arrays: arrays, reader: section)
        let graph = try graphs.parse()
        section = graphs.reader
        switch graph.role {
        case .analysis:
          guard analysis == nil else { throw .section(place, "two analysis graphs") }
          analysis = graph
        case .synthesis:
          guard synthesis == nil else { throw .section(place, "two synthesis graphs") }
          synthesis = graph
        }
      case "ENTR":
        guard let analysis, synthesis != nil else { throw .section(place, "stands before the graphs") }
        let latent = analysis.tensors[analysis.output]
        let model = try EntropyModel.parse(
          &section, ratePoints.map { point in latent.widthClass.map { point.widths[$0] } ?? latent.channels },
          hyperWidth: nil)
        guard !entropyModels.contains(where: { $0.kind == model.kind }) else {
          throw .section(place, "two entropy models of one kind")
        }
        entropyModels.append(model)
      case "END ":
        guard size == 0, file.isAtEnd else { throw .section(place, "bytes behind the end") }
        try checkRoles()
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
      guard lambda.isFinite, lambda > 0 else { throw .section(place, "lambda is not a positive number") }
      var widths: [Int] = []
      for _ in 0..<widthClasses {
        let width = Int(try reader.u16())
        guard 1...4096 ~= width else { throw .value(place, field: "width", value: width, valid: 1...4096) }
        widths.append(width)
      }
      ratePoints.append(RatePoint(lambda: lambda, widths: widths))
    }
  }

  /// The inputs and outputs that the roles ask for (FORMAT.md §1.5).
  private func checkRoles() throws(ModelError) {
    let place = ModelLocation(section: "GRPH", item: "")
    guard let analysis, let synthesis else { throw .section(place, "an analysis and a synthesis graph are needed") }
    let picture = analysis.tensors[0]
    guard analysis.inputCount == 1, picture.channels == 3, picture.widthClass == nil, picture.level == 0,
      picture.bits == 8, picture.q == 0
    else { throw .shape(place, "analysis takes one picture: 3 channels, level 0, bits 8, q 0") }
    let latent = analysis.tensors[analysis.output]
    guard latent.q == 0 else { throw .shape(place, "the latent's q is 0") }
    let input = synthesis.tensors[0]
    guard synthesis.inputCount == 1, input.channels == latent.channels, input.widthClass == latent.widthClass,
      input.level == latent.level, input.bits == 15, input.q == 0
    else { throw .shape(place, "synthesis takes the latent that analysis gives, with bits 15 and q 0") }
    let output = synthesis.tensors[synthesis.output]
    guard output.channels == 3, output.widthClass == nil, output.level == 0, 0...7 ~= output.q else {
      throw .shape(place, "synthesis gives 3 channels at level 0 with q 0…7")
    }
    for graph in [analysis, synthesis] {
      let coarsest = latent.level
      guard graph.tensors.allSatisfy({ $0.level <= coarsest }) else {
        throw .shape(place, "a tensor is coarser than the latent")
      }
    }
  }
}

/// A tag, comparable with a literal.
private struct FourCharacters {
  let code: UInt32
  init(_ bytes: [UInt8], _ range: Range<Int>) {
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

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
  private var graphs: [Graph] = []
  /// Set when all graphs are there and fit each other.
  var networks: (analysis: Graph, synthesis: Graph, hyperprior: Hyperprior?)?
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
      let size = Int(try file.u32())
      file = reader(file.offset..<bytes.count, place)
      let payload = try file.range(count: size)
      let crc = try file.u32()
      guard crc == crc32c(bytes, in: start..<payload.upperBound) else { throw .checksum(place) }
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
      case "WGHT":
        guard !sawWeights else { throw .section(place, "stands twice") }
        sawWeights = true
        let count = Int(try section.u32())
        for i in 0..<count {
          arrays.append(try WeightArray.parse(&section, ModelLocation(section: tag, item: "array \(i)")))
        }
      case "GRPH":
        guard sawRates, sawWeights, entropyModels.isEmpty else { throw .section(place, "stands out of order") }
        var parser = GraphParser(
          ratePoints: ratePoints, widthClasses: widthClasses, arrays: arrays, reader: section)
        let graph = try parser.parse()
        section = parser.reader
        guard !graphs.contains(where: { $0.role == graph.role }) else {
          throw .section(place, "two graphs of one role")
        }
        graphs.append(graph)
      case "ENTR":
        if networks == nil { try connectGraphs() }
        guard let networks else { throw .section(place, "stands before the graphs") }
        let latent = networks.analysis.tensors[networks.analysis.output]
        let model = try EntropyModel.parse(
          &section, ratePoints.map { point in latent.widthClass.map { point.widths[$0] } ?? latent.channels },
          hyperWidth: networks.hyperprior.map { $0.analysis.tensors[$0.analysis.output].channels })
        guard !entropyModels.contains(where: { $0.kind == model.kind }) else {
          throw .section(place, "two entropy models of one kind")
        }
        if let hyperprior = networks.hyperprior { try checkOrder(model, hyperprior) }
        entropyModels.append(model)
      case "END ":
        guard size == 0, file.isAtEnd else { throw .section(place, "bytes behind the end") }
        if networks == nil { try connectGraphs() }
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

  private func graph(_ role: GraphRole) -> Graph? { graphs.first { $0.role == role } }

  /// The graphs by role, after checking the inputs and outputs that the roles ask for (FORMAT.md §1.5).
  private mutating func connectGraphs() throws(ModelError) {
    let place = ModelLocation(section: "GRPH", item: "")
    guard let analysis = graph(.analysis), let synthesis = graph(.synthesis) else {
      throw .section(place, "an analysis and a synthesis graph are needed")
    }
    let picture = analysis.tensors[0]
    guard analysis.inputCount == 1, picture.channels == 3, picture.widthClass == nil, picture.level == 0,
      picture.bits == 8, picture.q == 0
    else { throw .shape(place, "analysis takes one picture: 3 channels, level 0, bits 8, q 0") }
    let latent = analysis.tensors[analysis.output]
    let input = synthesis.tensors[0]
    guard synthesis.inputCount == 1, input.channels == latent.channels, input.widthClass == latent.widthClass,
      input.level == latent.level, input.bits == 15, input.q == latent.q
    else { throw .shape(place, "synthesis takes the latent that analysis gives, with bits 15") }
    let output = synthesis.tensors[synthesis.output]
    guard output.channels == 3, output.widthClass == nil, output.level == 0, 0...7 ~= output.q else {
      throw .shape(place, "synthesis gives 3 channels at level 0 with q 0…7")
    }
    let hyperprior = try connectHyperprior(latent)
    if hyperprior == nil, latent.q != 0 { throw .shape(place, "without a hyperprior the latent's q is 0") }
    let coarsest = hyperprior.map { $0.analysis.tensors[$0.analysis.output].level } ?? latent.level
    for graph in graphs where !graph.tensors.allSatisfy({ $0.level <= coarsest }) {
      throw .shape(place, "a tensor is coarser than the latent")
    }
    networks = (analysis, synthesis, hyperprior)
  }

  private func connectHyperprior(_ latent: TensorInfo) throws(ModelError) -> Hyperprior? {
    let place = ModelLocation(section: "GRPH", item: "")
    var slices: [Graph] = []
    while let slice = graph(.slice(slices.count)) { slices.append(slice) }
    guard graphs.count > 2 else { return nil }
    guard let analysis = graph(.hyperAnalysis), let synthesis = graph(.hyperSynthesis), !slices.isEmpty,
      graphs.count == 4 + slices.count
    else { throw .section(place, "a hyperprior has hyper-analysis, hyper-synthesis and slices from 0 up") }
    guard latent.widthClass == nil, 0...8 ~= latent.q else {
      throw .shape(place, "with a hyperprior the latent has width class 255 and q 0…8")
    }
    let y = analysis.tensors[0]
    let z = analysis.tensors[analysis.output]
    guard analysis.inputCount == 1, y.channels == latent.channels, y.widthClass == nil, y.level == latent.level,
      y.bits == latent.bits, y.q == latent.q
    else { throw .shape(place, "hyper-analysis takes the latent that analysis gives") }
    guard z.q == 0, z.widthClass == nil, (latent.level...min(8, latent.level + 3)).contains(z.level) else {
      throw .shape(place, "the hyper-latent has q 0, width class 255 and up to 3 levels more than the latent")
    }
    let input = synthesis.tensors[0]
    guard synthesis.inputCount == 1, input.channels == z.channels, input.widthClass == nil, input.level == z.level,
      input.bits == 15, input.q == 0
    else { throw .shape(place, "hyper-synthesis takes the hyper-latent, with bits 15 and q 0") }
    let h = synthesis.tensors[synthesis.output]
    guard h.widthClass == nil, h.level == latent.level else {
      throw .shape(place, "hyper-synthesis gives features at the latent's level, width class 255")
    }
    var channels: [Int] = []
    for (i, slice) in slices.enumerated() {
      let place = ModelLocation(section: "GRPH", item: "slice \(i)")
      guard slice.inputCount == min(i, 1) + 1 else {
        throw .shape(place, "the inputs are h and, but for slice 0, the slices before")
      }
      let features = slice.tensors[0]
      guard features.channels == h.channels, features.widthClass == nil, features.level == h.level,
        features.bits == h.bits, features.q == h.q
      else { throw .shape(place, "the first input is what hyper-synthesis gives") }
      if i > 0 {
        let before = slice.tensors[1]
        guard before.channels == channels.reduce(0, +), before.widthClass == nil, before.level == latent.level,
          before.bits == 15, before.q == latent.q
        else { throw .shape(place, "the second input are the slices before, with bits 15") }
      }
      let output = slice.tensors[slice.output]
      guard output.widthClass == nil, output.level == latent.level, output.q == latent.q, output.channels % 2 == 0
      else { throw .shape(place, "the output has two channels for each of the slice, at the latent's level and q") }
      channels.append(output.channels / 2)
    }
    guard channels.reduce(0, +) == latent.channels else {
      throw .shape(place, "the slices' channels are not those of the latent")
    }
    return Hyperprior(analysis: analysis, synthesis: synthesis, slices: slices, sliceChannels: channels)
  }

  /// Channels are coded slice by slice.
  private func checkOrder(_ model: EntropyModel, _ hyperprior: Hyperprior) throws(ModelError) {
    for (k, table) in model.tables.enumerated() {
      var first = 0
      for count in hyperprior.sliceChannels {
        for position in first..<(first + count) where !(first..<(first + count)).contains(table.order[position]) {
          throw .entropy(
            ModelLocation(section: "ENTR", item: "\(model.kind.name), rate point \(k)"),
            "the order of channels mixes slices")
        }
        first += count
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

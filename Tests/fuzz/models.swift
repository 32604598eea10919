// SPDX-License-Identifier: BSD-3-Clause
//
// Model files: bytes as they are, or a right file that an input names and edits. An edited file keeps its weights, so a few
// bytes reach far.

/// A model file in sections.
private struct SectionedFile {
  var sections: [(tag: [UInt8], payload: [UInt8])] = []

  init(_ bytes: [UInt8]) {
    var at = 8
    while at + 12 <= bytes.count {
      let size = (0..<4).reduce(0) { $0 | Int(bytes[at + 4 + $1]) << (8 * $1) }
      sections.append((Array(bytes[at..<(at + 4)]), Array(bytes[(at + 8)..<(at + 8 + size)])))
      at += 12 + size
    }
  }

  /// Without checksums.
  var bytes: [UInt8] {
    var out = ByteWriter()
    out.append(ModelFileParser.magic)
    for (tag, payload) in sections {
      out.append(tag)
      out.u32(UInt32(payload.count))
      out.append(payload)
      out.u32(0)
    }
    return out.bytes
  }

  /// Edits of five bytes: what and where, an offset, a value.
  mutating func edit(_ numbers: inout Numbers) {
    while !numbers.isAtEnd, !sections.isEmpty {
      let what = numbers.u8()
      let section = what >> 3 % sections.count
      let (offset, value) = (numbers.u16(), numbers.u16())
      let byte = UInt8(truncatingIfNeeded: value)
      let count = sections[section].payload.count
      let at = count == 0 ? 0 : offset % count
      switch what & 7 {
      case 0: if count > 0 { sections[section].payload[at] = byte }
      case 1: if count > 0 { sections[section].payload[at] &+= byte }
      case 2: sections[section].payload.insert(byte, at: at)
      case 3: if count > 0 { sections[section].payload.remove(at: at) }
      case 4: sections[section].payload.removeSubrange(at..<min(count, at + 1 + value & 0xff))
      case 5: sections.swapAt(section, offset % sections.count)
      case 6:
        if value & 1 == 0 { sections.insert(sections[section], at: section) } else { sections.remove(at: section) }
      default:
        if at + 1 < count {
          sections[section].payload[at] = byte
          sections[section].payload[at + 1] = UInt8(value >> 8)
        }
      }
    }
  }
}

private let grownFile = readFile(fixtures + "/models/tiny-grown.scm")

private func modelFile(_ input: [UInt8]) -> [UInt8] {
  var bytes = input
  if !bytes.starts(with: ModelFileParser.magic.prefix(3)) {
    var numbers = Numbers(bytes: input)
    let kind = numbers.u8() % 9
    let seed = UInt64(numbers.u16())
    let right =
      switch kind {
      case 0...3: modelFiles[kind]
      case 4, 5: RandomGraph(seed: seed).file.file()
      case 6: RandomGraph(hyperpriorSeed: seed).file.file()
      case 8: grownFile
      default: RandomGraph(interSeed: seed).file.file()
      }
    if numbers.isAtEnd { return right }
    var file = SectionedFile(right)
    file.edit(&numbers)
    bytes = file.bytes
  }
  Mending.model(&bytes)
  return bytes
}

func modelSeeds() -> [[UInt8]] {
  (0..<96).map { i in
    let start = [UInt8(i % 9), UInt8(i / 9), 0]
    if i < 36 { return start }
    // A number of a graph or an entropy model changed.
    return start + [UInt8(8 * (3 + i % 4) + i % 3), UInt8(i * 7 & 0x7f), 0, UInt8(i & 3), 0]
  }
}

func fuzzModel(_ input: [UInt8]) {
  let bytes = modelFile(input)
  let model: Model
  do { model = try Model(bytes) } catch {
    precondition(!error.description.isEmpty && (error.location?.description.isEmpty ?? true) == (error.location == nil))
    return
  }
  writeAgain(bytes, model)
  guard let kind = model.preferredEntropyKind else { return }
  for role in model.roles() { _ = model.layers(role, ratePoint: model.ratePoints.count - 1).count }
  if model.isInter { return fuzzFrames(model, kind) }
  let hash = Int(truncatingIfNeeded: model.id >> 24) & 0x7fff_ffff
  var settings = EncoderSettings(position: model.position(quality: Double(hash % 101)))
  settings.rdoq = hash >> 8 & 7 == 0 ? .quick : .off
  settings.rdoqShare = 0.05
  // One variant of the kernels encodes, the strongest decodes.
  let cpus = CPU.available
  settings.execution.cpu = cpus[hash >> 4 % cpus.count]
  let encoder = Encoder(model: model)
  encoder.limits = fuzzLimits
  encoder.limits.macPerPixel = 20000
  encoder.segmentRows = 8 * (1 + hash >> 12 & 3)
  for format in model.formats {
    let (width, height) = (1 + hash >> 16 & 15, 1 + hash >> 20 & 31)
    guard let cost = model.cost(model.encoderRoles, format, kind, at: settings.position) else { return }
    let layout = LatentLayout(model, width: width, height: height, format: format, segmentRows: encoder.segmentRows)
    if cost.preparation + cost.work(model, width: layout.paddedWidth, height: layout.paddedHeight) > 2e8 { return }
    guard let encoded = try? encoder.encode(drawn(width, height, format, hash), settings) else { return }
    let decoder = limited(model, encoder.limits)
    let decoded = try? decoder.decode(encoded.bytes)
    precondition(decoded == nil || decoded == encoded.reconstruction, "another picture")
  }
}

/// The file with its entropy models as `fit` writes them, which are the same ones.
private func writeAgain(_ bytes: [UInt8], _ model: Model) {
  guard !model.entropyModels.isEmpty else { return }
  guard let file = try? Model.file(bytes, replacing: model.entropyModels), let again = try? Model(file) else {
    fatalError("a model file of its own is refused")
  }
  precondition(again.entropyModels.count == model.entropyModels.count)
  for one in model.entropyModels {
    let other = again.entropyModels.first { $0.kind == one.kind }
    precondition(other?.serialised() == one.serialised(), "another entropy model")
  }
}

/// A stream of two frames with a model of inter frames.
private func fuzzFrames(_ model: Model, _ kind: EntropyKind) {
  let intra = models[2]
  guard model.formats.contains(.yuv420) else { return }
  guard let cost = model.cost(model.encoderRoles, .yuv420, kind, at: RatePosition(ratePoint: 0)) else { return }
  let layout = LatentLayout(model, width: 18, height: 20, format: .yuv420, segmentRows: 24)
  if cost.preparation + cost.work(model, width: layout.paddedWidth, height: layout.paddedHeight) > 2e8 { return }
  var settings = VideoSettings()
  settings.intraRDOQ = .off
  settings.detectsScenes = false
  settings.rate = .quality(0)
  guard let encoder = try? VideoEncoder(intra: intra, inter: model, width: 18, height: 20, settings) else { return }
  guard let decoder = try? VideoDecoder(header: encoder.header, intra: intra, inter: model) else {
    fatalError("a header of its own is refused")
  }
  for t in 0..<2 {
    guard let packet = try? encoder.encode(drawn(18, 20, .yuv420, t)) else { return }
    let frame = try? decoder.decode(packet.bytes)
    precondition(frame == nil || frame!.picture == encoder.reconstruction, "another frame")
  }
}

// SPDX-License-Identifier: BSD-3-Clause

extension Model {
  /// A model file with other ENTR sections: those of the kinds given are replaced or added, the others stay.
  ///
  /// `bytes` is a model file, whose errors are thrown; that the new sections fit it is not checked.
  package static func file(_ bytes: [UInt8], replacing models: [EntropyModel]) throws(ModelError) -> [UInt8] {
    var parser = ModelFileParser(bytes.withUnsafeBufferPointer { FileBytes(copying: $0) })
    try parser.parse()
    var all = models
    for model in parser.entropyModels where !models.contains(where: { $0.kind == model.kind }) { all.append(model) }
    all.sort { $0.kind.rawValue < $1.kind.rawValue }
    var out = ByteWriter()
    out.append(Array(bytes[0..<8]))
    var offset = 8
    for section in parser.sections {
      let end = offset + 12 + section.size
      if section.tag == "END " {
        for model in all {
          let payload = model.serialised()
          let start = out.bytes.count
          out.append(Array("ENTR".utf8))
          out.u32(UInt32(payload.count))
          out.append(payload)
          out.u32(crc32c(out.bytes, in: start..<out.bytes.count))
        }
      }
      if section.tag != "ENTR" { out.append(Array(bytes[offset..<end])) }
      offset = end
    }
    return out.bytes
  }
}

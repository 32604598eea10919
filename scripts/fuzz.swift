// SPDX-License-Identifier: BSD-3-Clause
//
// libFuzzer's target: the first byte says what the rest is. Built by fuzz.sh together with the library's sources.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Whatever comes in, models and bitstreams give a value or an error.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  guard let data, size > 0 else { return 0 }
  var bytes = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
  switch data[0] & 3 {
  case 0: _ = try? decoder.decode(bytes)
  case 1:
    mendBitstream(&bytes)
    _ = try? decoder.decode(bytes)
  case 2: _ = try? Model(bytes)
  default:
    mendModel(&bytes)
    if let model = try? Model(bytes), model.preferredEntropyKind != nil {
      let picture = Picture(unchecked: 9, 7, 1, [UInt8](repeating: data[0], count: 63))
      let settings = EncoderSettings(position: model.position(quality: 100 * Double(data[0] >> 2) / 63))
      guard let encoded = try? encode(picture, model: model, settings: settings) else { return 0 }
      precondition(try! decode(encoded.bytes, model: model) == encoded.reconstruction)
    }
  }
  return 0
}

/// The model whose bitstreams are in Fixtures/golden: SC_FUZZ_MODEL, set by fuzz.sh.
private let decoder: Decoder = {
  guard let path = getenv("SC_FUZZ_MODEL"), let file = fopen(path, "rb") else { fatalError("SC_FUZZ_MODEL") }
  var bytes: [UInt8] = []
  while true {
    let byte = getc(file)
    if byte < 0 { break }
    bytes.append(UInt8(byte))
  }
  fclose(file)
  let decoder = Decoder(model: try! Model(bytes))
  decoder.maximumPixels = 1 << 14
  return decoder
}()

private func store(_ value: UInt32, _ bytes: inout [UInt8], _ at: Int) {
  for i in 0..<4 { bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
}

/// Makes the checksums of a bitstream right, so that the coder behind them is reached.
private func mendBitstream(_ bytes: inout [UInt8]) {
  var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
  guard let header = try? BitstreamHeader(&reader) else { return }
  var covered: [UInt8] = []
  var at = 0
  for segment in 1...header.segmentCount {
    let size = segment == header.segmentCount ? reader.remaining - 4 : (try? reader.varint()) ?? -1
    guard let payload = try? reader.range(count: size), reader.remaining >= 4 else { return }
    covered += bytes[at..<payload.upperBound]
    store(crc32c(covered, in: 0..<covered.count), &bytes, payload.upperBound)
    _ = try? reader.u32()
    at = payload.upperBound + 4
  }
}

/// The same for a model file.
private func mendModel(_ bytes: inout [UInt8]) {
  var at = 8
  while at + 12 <= bytes.count {
    let size = (0..<4).reduce(0) { $0 | Int(bytes[at + 4 + $1]) << (8 * $1) }
    guard at + 12 + size <= bytes.count else { return }
    store(crc32c(bytes, in: at..<(at + 8 + size)), &bytes, at + 8 + size)
    at += 12 + size
  }
}

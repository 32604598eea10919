// SPDX-License-Identifier: BSD-3-Clause
//
// libFuzzer's targets, one for each border of the library: SC_FUZZ_TARGET names the one that a process runs. Built by
// fuzz.sh as one module with the sources of the library and of PictureFiles.
//
// Whatever comes in gives a value or an error, and what was encoded decodes to what the encoder said. Checksums and ids are
// mended where a target would see nothing behind them otherwise.
internal import CCodecKernels
internal import CSwiftCodec

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One input of the target that SC_FUZZ_TARGET names.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  guard let data, size > 0 else { return 0 }
  let bytes = Array(UnsafeBufferPointer(start: data, count: size))
  switch target {
  case "models": fuzzModel(bytes)
  case "bitstreams": fuzzBitstream(bytes)
  case "video": fuzzVideo(bytes)
  case "search": fuzzSearch(bytes)
  case "interface": fuzzInterface(bytes)
  case "pictures": fuzzPicture(bytes)
  case "layers": fuzzLayer(bytes)
  default: fatalError("SC_FUZZ_TARGET: models, bitstreams, video, search, interface, pictures or layers")
  }
  return 0
}

private func environment(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

nonisolated(unsafe) private let target = environment("SC_FUZZ_TARGET")

private func readFile(_ path: String) -> [UInt8] {
  guard let file = fopen(path, "rb") else { fatalError(path) }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    if count == 0 { return bytes }
    bytes += buffer[..<count]
  }
}

private let fixtures = environment("SC_FUZZ_FIXTURES")

private func load(_ path: String) -> Model { try! Model(readFile(fixtures + "/" + path)) }

nonisolated(unsafe) private let models = ["tiny", "tiny-hyper", "tiny-formats"].map { load("models/\($0).scm") }
nonisolated(unsafe) private let decoders = models.map { limited($0) }
private let interModel = load("models/tiny-inter.scm")

/// Those that take long to load, by their short ids.
nonisolated(unsafe) private var largeDecoders: [UInt32: Decoder] = [:]
private let largeFiles: [UInt32: String] = [
  0xde61_89d1: "models/base.scm", 0xaf15_3f44: "../Sources/CDefaultModel/models/flagship.scm",
]

private func limited(_ model: Model) -> Decoder {
  let decoder = Decoder(model: model)
  decoder.limits = fuzzLimits
  return decoder
}

/// The decoder of the model that an id names, or of one that it chooses.
private func decoder(of id: UInt32) -> Decoder {
  if let known = largeDecoders[id] { return known }
  if let file = largeFiles[id] {
    let decoder = limited(load(file))
    largeDecoders[id] = decoder
    return decoder
  }
  return decoders[models.firstIndex { $0.shortID == id } ?? Int(id % UInt32(models.count))]
}

/// So that no run takes long.
private let fuzzLimits: Limits = {
  var limits = Limits()
  limits.pixels = 1 << 13
  limits.memory = 1 << 26
  limits.work = 1e9
  return limits
}()

// MARK: Mending

private func store(_ value: UInt32, _ bytes: inout [UInt8], _ at: Int) {
  for i in 0..<4 { bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
}

/// Makes the model's id and all checksums of a bitstream right, as far as its parts can be walked.
private func mendBitstream(_ bytes: inout [UInt8], _ model: Model) {
  guard bytes.count > 8 else { return }
  store(model.shortID, &bytes, 4)
  let file = bytes.withUnsafeBufferPointer { FileBytes(copying: $0) }
  var reader = ByteReader<DecodeError>(file.bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
  guard let header = try? BitstreamHeader(&reader) else { return }
  var crc: UInt32 = 0
  var at = 0
  while true {
    var size = reader.remaining - 4
    if header.segments != nil {
      guard (try? reader.range(count: 4)) != nil else { return }
      size = (try? reader.varint()) ?? -1
    }
    guard let payload = try? reader.range(count: size), reader.remaining >= 4 else { return }
    crc = crc32c(bytes, in: at..<payload.upperBound, continuing: crc)
    store(crc, &bytes, payload.upperBound)
    _ = try? reader.u32()
    at = payload.upperBound + 4
    if header.segments == nil { return }
  }
}

private func mendModel(_ bytes: inout [UInt8]) {
  var at = 8
  while at + 12 <= bytes.count {
    let size = (0..<4).reduce(0) { $0 | Int(bytes[at + 4 + $1]) << (8 * $1) }
    guard at + 12 + size <= bytes.count else { return }
    store(crc32c(bytes, in: at..<(at + 8 + size)), &bytes, at + 8 + size)
    at += 12 + size
  }
}

// MARK: Models

private func fuzzModel(_ input: [UInt8]) {
  var bytes = input
  mendModel(&bytes)
  guard let model = try? Model(bytes), model.preferredEntropyKind != nil else { return }
  for role in model.roles() { _ = model.layers(role, ratePoint: model.ratePoints.count - 1).count }
  if model.isInter { return fuzzFrames(model, input) }
  let hash = Int(crc32c(bytes, in: 0..<bytes.count))
  var settings = EncoderSettings(position: model.position(quality: Double(hash % 101)))
  settings.rdoq = hash >> 8 & 7 == 0 ? .quick : .off
  let encoder = Encoder(model: model)
  encoder.limits = fuzzLimits
  encoder.limits.macPerPixel = 20000
  encoder.segmentRows = 8 * (1 + hash >> 12 & 3)
  for format in model.formats {
    let (width, height) = (1 + hash >> 16 & 15, 1 + hash >> 20 & 31)
    let picture = drawn(width, height, format, hash)
    guard let cost = model.cost(model.encoderRoles, format, model.preferredEntropyKind!, at: settings.position)
    else { return }
    let layout = LatentLayout(model, width: width, height: height, format: format, segmentRows: encoder.segmentRows)
    if cost.preparation + cost.work(model, width: layout.paddedWidth, height: layout.paddedHeight) > 1e9 { return }
    guard let encoded = try? encoder.encode(picture, settings) else { return }
    let decoder = Decoder(model: model)
    decoder.limits = encoder.limits
    let decoded = try? decoder.decode(encoded.bytes)
    precondition(decoded == nil || decoded == encoded.reconstruction, "another picture")
  }
}

/// A stream of two frames with a model of inter frames.
private func fuzzFrames(_ model: Model, _ input: [UInt8]) {
  let intra = models[2]
  guard model.formats.contains(.yuv420) else { return }
  guard let cost = model.cost(model.encoderRoles, .yuv420, model.preferredEntropyKind!, at: RatePosition(ratePoint: 0)),
    cost.preparation + cost.work(model, width: 1024, height: 1024) < 1e9
  else { return }
  guard let encoder = try? VideoEncoder(intra: intra, inter: model, width: 18, height: 20, VideoSettings()) else {
    return
  }
  for t in 0..<2 { guard (try? encoder.encode(drawn(18, 20, .yuv420, t))) != nil else { return } }
}

private func drawn(_ width: Int, _ height: Int, _ format: PixelFormat, _ seed: Int) -> Picture {
  let count = format.sampleCount(width: width, height: height)
  return Picture(
    unchecked: width, height, format, (0..<count).map { UInt8(truncatingIfNeeded: $0 &* (5 + seed & 3) ^ $0 >> 3) })
}

// MARK: Bitstreams

private func fuzzBitstream(_ input: [UInt8]) {
  var bytes = input
  guard bytes.count > 8 else { return }
  let id = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[4 + $1]) << UInt32(8 * $1) }
  let decoder = decoder(of: id)
  mendBitstream(&bytes, decoder.model)
  if let decoded = try? decoder.decodeAll(bytes) {
    // A part of it is that part of it.
    let (width, height) = (decoded.picture.width, decoded.picture.height)
    let region = PictureRegion(x: 0, y: height / 4 * 2, width: width, height: height - height / 4 * 2)
    if let part = try? decoder.decode(bytes, region: region) {
      precondition(part == decoded.picture.cropped(to: region), "another picture in a region")
    }
  }
}

// MARK: Video

private func fuzzVideo(_ input: [UInt8]) {
  guard input.count > 40 else { return }
  var bytes = input
  var headerSize = 0
  store(models[2].shortID, &bytes, 4)
  if bytes[3] & 0x80 != 0 { store(interModel.shortID, &bytes, 8) }
  for end in 20...min(44, bytes.count - 4) {
    var candidate = Array(bytes[..<(end + 4)])
    store(crc32c(candidate, in: 0..<end), &candidate, end)
    if (try? VideoHeader(parsing: candidate, size: &headerSize)) != nil, headerSize == end + 4 {
      bytes.replaceSubrange(0..<headerSize, with: candidate)
      break
    }
  }
  guard headerSize > 0, let header = try? VideoHeader(parsing: bytes, size: &headerSize),
    header.width * header.height <= 1 << 13,
    let decoder = try? VideoDecoder(
      header: Array(bytes[..<headerSize]), intra: models[2], inter: interModel)
  else { return }
  decoder.limits = fuzzLimits
  let seed = VideoPacketWriter.seed(Array(bytes[..<headerSize]))
  var at = headerSize
  var frames = 0
  while frames < 8, let prefix = try? VideoPacketPrefix(parsing: bytes, at: at), prefix.size <= bytes.count - at {
    var packet = Array(bytes[at..<(at + prefix.size)])
    store(crc32c(packet, in: 0..<(packet.count - 4), continuing: seed), &packet, packet.count - 4)
    if let frame = try? decoder.decode(packet) {
      precondition(frame.picture.width == header.width)
    }
    frames += 1
    at += prefix.size
  }
}

// MARK: Search

private func fuzzSearch(_ input: [UInt8]) {
  guard input.count > 16 else { return }
  let model = models[Int(input[0]) % 3]
  let (width, height) = (1 + Int(input[1]) % 24, 1 + Int(input[2]) % 24)
  let format = PixelFormat(rawValue: input[3] % 3) ?? .rgb
  guard model.codes(format) else { return }
  var settings = EncoderSettings(position: model.position(quality: Double(input[4]) / 2.55))
  settings.rdoq = [RDOQ.quick, .fast, .full, .quick][Int(input[5] & 3)]
  settings.rdoqShare = Double(1 + input[6]) / 1024
  let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(input[8 + $1]) << UInt32(8 * $1) }
  if input[7] & 1 == 1 { settings.lambda = Double(Float(bitPattern: bits)) }
  settings.entropy = input[7] & 2 == 0 ? nil : model.entropyKinds[Int(input[7] >> 2) % model.entropyKinds.count]
  let encoder = Encoder(model: model)
  encoder.segmentRows = input[7] & 0x40 == 0 ? 8 : Int(Int8(bitPattern: input[12]))
  let count = format.sampleCount(width: width, height: height)
  let samples = (0..<count).map { input[16 + $0 % (input.count - 16)] &+ UInt8(truncatingIfNeeded: $0 / 97) }
  let picture = Picture(unchecked: width, height, format, samples)
  guard let encoded = try? encoder.encode(picture, settings) else { return }
  if let report = encoded.rdoq {
    precondition(report.finalCost <= report.initialCost && report.finalCost.isFinite, "the cost rose")
  }
  let decoder = Decoder(model: model)
  guard let decoded = try? decoder.decode(encoded.bytes) else { fatalError("does not decode") }
  precondition(decoded == encoded.reconstruction, "another picture")
}

// MARK: The C interface

/// Numbers from an input; 0 behind its end.
private struct Numbers {
  let bytes: [UInt8]
  var at = 0

  mutating func u8() -> Int {
    defer { at += 1 }
    return at < bytes.count ? Int(bytes[at]) : 0
  }

  mutating func u64() -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(u8()) << UInt64(8 * $1) } }
  /// Mostly that of a struct, or a smaller one: behind a larger one there would have to be memory.
  mutating func structSize(_ size: Int) -> Int { u8() & 15 == 0 ? u8() % size : size }
  mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: u64()) }
  /// Mostly small.
  mutating func number() -> UInt64 { u8() & 3 == 0 ? u64() : UInt64(u8() & 63) }
}

/// A picture of the caller's memory, of a size that its fields say, and a call with it.
private func withPicture(_ numbers: inout Numbers, _ width: Int, _ height: Int, _ body: (inout sc_picture) -> Void) {
  var picture = sc_picture()
  picture.struct_size =
    numbers.structSize(MemoryLayout<sc_picture>.size)
  let format = numbers.u8() % 8
  picture.format = sc_pixel_format(rawValue: .init(format))
  picture.width = UInt32(width)
  picture.height = UInt32(height)
  picture.reserved = numbers.u8() & 63 == 0 ? 1 : 0
  let pixel = format == 1 ? 3 : format == 2 || format == 3 ? 4 : 1
  let gap = numbers.u8() & 3
  let stride = width * pixel + gap
  // More than any struct smaller or larger than this one makes of it.
  let size = (width * 4 + 8) * (height + 2)
  let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 3 * size)
  memory.initialize(repeating: 7, count: 3 * size)
  defer { memory.deallocate() }
  let missing = numbers.u8()
  picture.planes = (
    missing == 1 ? nil : memory, missing == 2 ? nil : memory + size, missing == 3 ? nil : memory + 2 * size
  )
  picture.strides = (missing == 4 ? 1 : stride, missing == 5 ? Int.max : width + gap, missing == 6 ? -1 : width + gap)
  body(&picture)
}

private func fuzzInterface(_ input: [UInt8]) {
  var numbers = Numbers(bytes: input)
  let handle = retainedHandle(models[numbers.u8() % 3])
  defer { sc_model_destroy(handle) }
  var (point, fraction) = (UInt32(0), UInt32(0))
  _ = sc_model_quality(handle, Double(bitPattern: numbers.u64()), &point, &fraction)
  var settings = sc_encoder_settings()
  settings.struct_size = numbers.structSize(MemoryLayout<sc_encoder_settings>.size)
  settings.rate_point = numbers.u8() & 7 == 0 ? numbers.u32() : 0
  settings.entropy = sc_entropy_kind(rawValue: .init(numbers.u8() & 7))
  settings.threads = UInt32(1 + numbers.u8() & 3)
  settings.segment_rows = numbers.u8() & 3 == 0 ? numbers.u32() : 8
  settings.rate_fraction = UInt32(numbers.u8() & 3 == 0 ? numbers.u8() : 0)
  settings.target = sc_target(rawValue: .init(numbers.u8() & 7 == 0 ? numbers.u8() & 7 : 0))
  settings.target_value = numbers.u8() & 1 == 0 ? Double(numbers.u8()) : Double(bitPattern: numbers.u64())
  settings.rdoq = sc_rdoq(rawValue: .init(numbers.u8() & 15 == 0 ? numbers.u8() & 7 : 0))
  settings.reserved = numbers.u8() & 63 == 0 ? 1 : 0
  settings.lambda = numbers.u8() & 3 == 0 ? Double(bitPattern: numbers.u64()) : 0
  settings.max_pixels = numbers.u8() & 15 == 0 ? numbers.u64() : 0
  var encoder: OpaquePointer?
  guard sc_encoder_create(handle, &settings, &encoder) == SC_OK, let encoder else { return }
  defer { sc_encoder_destroy(encoder) }
  _ = sc_encoder_set_metadata(
    encoder, sc_metadata(rawValue: .init(numbers.u8() & 15)), input, min(input.count, numbers.u8()))
  let (width, height) = (numbers.u8() & 31, numbers.u8() & 31)
  var out: UnsafeMutablePointer<UInt8>?
  var size = 0
  withPicture(&numbers, width, height) { _ = sc_encode(encoder, &$0, &out, &size) }
  _ = sc_encoder_message(encoder)
  defer { sc_free(out) }
  var bytes = Array(UnsafeBufferPointer(start: out, count: size))
  for _ in 0..<(numbers.u8() & 3) where !bytes.isEmpty {
    bytes[Int(numbers.u32()) % bytes.count] ^= UInt8(numbers.u8())
  }
  var limits = sc_decoder_settings()
  limits.struct_size = numbers.structSize(MemoryLayout<sc_decoder_settings>.size)
  limits.threads = UInt32(1 + numbers.u8() & 3)
  limits.reserved = numbers.u8() & 63 == 0 ? 1 : 0
  if numbers.u8() & 3 == 0 {
    limits.max_pixels = numbers.number()
    limits.max_memory = numbers.number()
    limits.max_mac_per_pixel = numbers.number()
    limits.max_work = numbers.number()
  }
  var decoder: OpaquePointer?
  guard sc_decoder_create(handle, &limits, &decoder) == SC_OK, let decoder else { return }
  defer { sc_decoder_destroy(decoder) }
  var header = sc_header()
  header.struct_size = MemoryLayout<sc_header>.size
  _ = sc_read_header(bytes, bytes.count, &header)
  var data: UnsafePointer<UInt8>?
  var dataSize = 0
  _ = sc_read_metadata(bytes, bytes.count, sc_metadata(rawValue: .init(numbers.u8() & 15)), &data, &dataSize)
  _ = sc_has_alpha(bytes, bytes.count)
  withPicture(&numbers, width, height) { _ = sc_decode(decoder, bytes, bytes.count, &$0) }
  var region = sc_region(
    x: numbers.u32() & 63, y: numbers.u32() & 63, width: numbers.u32() & 31, height: numbers.u32() & 31)
  withPicture(&numbers, Int(region.width), Int(region.height)) {
    _ = sc_decode_region(decoder, bytes, bytes.count, &region, &$0)
  }
  _ = sc_decoder_message(decoder)
}

// MARK: Picture files

private func fuzzPicture(_ input: [UInt8]) {
  var bytes = input
  if bytes.starts(with: PNG.signature), input[input.count - 1] & 1 == 0 { mendPNG(&bytes) }
  if let loaded = try? PictureFile.read(bytes, maximumPixels: 1 << 14) {
    let white = loaded.onWhite()
    let written = PNG.write(
      loaded.picture.format == .yuv420 ? white : loaded.picture, alpha: loaded.alpha, metadata: loaded.metadata)
    let again = try? PNG.load(written)
    precondition(again != nil && again!.picture.width == loaded.picture.width, "a PNG file of its own is not read")
  }
  var position = 0
  if var reader = try? Y4MReader(
    maximumPixels: 1 << 14,
    pull: { count in
      defer { position = min(position + count, bytes.count) }
      return Array(bytes[position..<min(position + count, bytes.count)])
    })
  {
    for _ in 0..<4 { guard let frame = try? reader.next(), frame.width > 0 else { break } }
  }
}

/// Makes the checksums of a PNG file's chunks right.
private func mendPNG(_ bytes: inout [UInt8]) {
  var at = 8
  while at + 12 <= bytes.count {
    let size = (0..<4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) }
    guard at + 12 + size <= bytes.count else { return }
    let crc = crc32(bytes[(at + 4)..<(at + 8 + size)])
    for i in 0..<4 { bytes[at + 8 + size + i] = UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * i)) }
    at += 12 + size
  }
}

// MARK: Residual layers

private func fuzzLayer(_ input: [UInt8]) {
  guard input.count > 6 else { return }
  let (width, height) = (1 + Int(input[0]) % 40, 1 + Int(input[1]) % 40)
  let format = PixelFormat(rawValue: input[2] % 3) ?? .rgb
  let payload = Array(input[5...])
  let base = input[3] & 1 == 0 ? nil : drawn(width, height, format, Int(input[3]))
  if let picture = try? ResidualCodec.decode(payload, base: base, width: width, height: height, format: format) {
    precondition(picture.samples.count == format.sampleCount(width: width, height: height))
  }
  if input[3] & 2 != 0 {
    // The samples of an input, coded and decoded.
    let count = format.sampleCount(width: width, height: height)
    let picture = Picture(unchecked: width, height, format, (0..<count).map { payload[$0 % payload.count] })
    var settings = ResidualCodec.Settings()
    settings.maximumError = Int(input[4] & 15)
    settings.effort = Int(input[4] >> 4) % 3
    let coded = ResidualCodec.encode(picture, base: base, settings: settings)
    guard let decoded = try? ResidualCodec.decode(coded, base: base, width: width, height: height, format: format)
    else { fatalError("a layer of its own does not decode") }
    for (a, b) in zip(picture.samples, decoded.samples) {
      precondition(abs(Int(a) - Int(b)) <= settings.maximumError, "beyond the largest error")
    }
  }
  // In a bitstream, with metadata and transparency.
  let header = BitstreamHeader(
    modelID: 0, position: RatePosition(index: 0), entropy: .static, format: format, width: width, height: height,
    segments: .init(rows: 0, count: 0))
  var writer = BitstreamWriter(header)
  writer.box(BoxTag("exif"), Array(payload.prefix(9)))
  writer.box(BoxTag("RESD"), payload)
  if input[3] & 4 != 0 { writer.box(BoxTag("ALPH"), payload) }
  let bytes = writer.finish()
  _ = try? decoders[0].decodeAll(bytes)
  _ = try? decoders[0].decodeAll(bytes, as: .grey)
}

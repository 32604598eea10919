// SPDX-License-Identifier: BSD-3-Clause
//
// What decoders read: bitstreams, streams of frames, residual layers.
internal import CSwiftCodec

// MARK: Bitstreams

/// Those of large models take small pictures. All are loaded before the first input, which would else be charged with it.
nonisolated(unsafe) private let allDecoders: [Decoder] = {
  var limits = fuzzLimits
  limits.pixels = 1 << 9
  let large = ["models/base.scm", "../Sources/CDefaultModel/models/flagship.scm"].map { limited(load($0), limits) }
  return decoders + large
}()

func prepareBitstreams() { _ = allDecoders.count }

/// The decoder of the model that an id names, or one of a small model that it chooses.
private func decoder(of id: UInt32) -> Decoder {
  allDecoders.first { $0.model.shortID == id } ?? decoders[Int(id % UInt32(models.count))]
}

func fuzzBitstream(_ input: [UInt8]) {
  var bytes = input
  guard bytes.count > 8 else { return }
  let id = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[4 + $1]) << UInt32(8 * $1) }
  let decoder = decoder(of: id)
  Mending.store(decoder.model.shortID, &bytes, at: 4)
  Mending.bitstream(&bytes)
  do {
    let decoded = try decoder.decodeAll(bytes)
    // A part of it is that part of it.
    let (width, height) = (decoded.picture.width, decoded.picture.height)
    let region = PictureRegion(x: 0, y: height / 4 * 2, width: width, height: height - height / 4 * 2)
    if let part = try? decoder.decode(bytes, region: region) {
      precondition(part == decoded.picture.cropped(to: region), "another picture in a region")
    }
  } catch { precondition(!error.description.isEmpty) }
}

func bitstreamSeeds() -> [[UInt8]] {
  var seeds: [[UInt8]] = []
  for (m, model) in models.enumerated() {
    for format in model.formats {
      for (i, kind) in model.entropyKinds.enumerated() {
        let encoder = Encoder(model: model)
        encoder.segmentRows = 8
        let (width, height) = (3 + 9 * i, 5 + 40 * (i & 1))
        let picture = drawn(width, height, format, 3 * i + m)
        var settings = EncoderSettings(position: model.position(quality: Double(17 * i + 11 * m)))
        settings.entropy = kind
        seeds.append(try! encoder.encode(picture, settings).bytes)
        settings.metadata = [Metadata(.exif, [1, 2, 3]), Metadata(.cicp, [1, 13, 0, 1])]
        settings.alpha = drawn(width, height, .grey, i)
        settings.alphaError = i
        seeds.append(try! encoder.encode(picture, settings).bytes)
        settings.maximumError = i
        settings.base = [.smallest, .position, .none][i % 3]
        seeds.append(try! encoder.encode(picture, settings).bytes)
      }
    }
  }
  return seeds + boxSeeds()
}

/// Boxes that are doubled, unknown, missing or where they may not be, around a segment and a residual layer.
private func boxSeeds() -> [[UInt8]] {
  let model = models[0]
  let picture = drawn(9, 7, .rgb, 1)
  let segment = Array(
    try! Encoder(model: model).encode(picture, EncoderSettings(ratePoint: 0)).bytes[11...].dropLast(4))
  let layer = ResidualCodec.encode(picture)
  let alpha = ResidualCodec.encode(drawn(9, 7, .grey, 2))
  let boxes: [(tag: BoxTag, payload: [UInt8])] = [
    (.segment, segment), (.residual, layer), (.alpha, alpha), (BoxTag("exif"), [1]), (BoxTag("more"), []),
    (BoxTag("MORE"), [2]), (BoxTag("END "), []), (BoxTag("END "), [3]),
  ]
  let orders = [
    [0, 6], [0, 0, 6], [1, 6], [1, 1, 6], [0, 2, 6], [0, 2, 2, 6], [0, 3, 3, 6], [0, 4, 4, 6], [0, 5, 6], [0, 7], [6],
    [0, 6, 3],
    [0], [1, 2, 3, 4, 6], [3, 1, 6], [0, 1, 6],
  ]
  return orders.flatMap { order in
    [0, 1].map { count in
      var writer = BitstreamWriter(
        BitstreamHeader(
          modelID: model.shortID, position: RatePosition(index: 0), entropy: model.preferredEntropyKind!, format: .rgb,
          width: 9, height: 7, segments: .init(rows: 0, count: count)))
      for i in order { writer.box(boxes[i].tag, boxes[i].payload) }
      // What was written so far; `finish` would append an end.
      return Array(writer.finish().dropLast(9))
    }
  }
}

// MARK: Headers

/// What a program asks of a file before it decodes it: quick, so that this target runs more inputs than all others.
func fuzzHeaders(_ input: [UInt8]) {
  var bytes = input
  if input[input.count - 1] & 1 == 0 { Mending.bitstream(&bytes) }
  bytes.withUnsafeBufferPointer { file in
    let (start, count) = (file.baseAddress!, file.count)
    var header = sc_header()
    header.struct_size = MemoryLayout<sc_header>.size
    if sc_read_header(start, count, &header) == SC_OK {
      precondition(1...65535 ~= header.width && 1...65535 ~= header.height, "a size that is none")
    }
    var hasMetadata = false
    let kind = sc_metadata(rawValue: .init(1 + count % 8))
    var data: UnsafePointer<UInt8>?
    var size = 0
    if sc_read_metadata(start, count, kind, &data, &size) == SC_OK, let data {
      hasMetadata = true
      precondition(data >= start && data + size <= start + count, "metadata outside of the file")
    }
    if sc_has_alpha(start, count) == 1 || hasMetadata {
      precondition(sc_read_header(start, count, &header) == SC_OK, "boxes behind a header that is none")
    }
    var stream = sc_video_header()
    stream.struct_size = MemoryLayout<sc_video_header>.size
    var at = 0
    if sc_read_video_header(start, count, &stream) == SC_OK {
      precondition(stream.size <= count && stream.width > 0 && stream.height > 0, "a stream's header that is none")
      at = stream.size
    }
    var kindOfPacket = SC_PACKET_OTHER
    while sc_video_packet_size(start + at, count - at, &size, &kindOfPacket) == SC_OK, size <= count - at {
      precondition(size > 0, "a packet of no bytes")
      at += size
    }
  }
}

func headerSeeds() -> [[UInt8]] { (bitstreamSeeds() + videoSeeds()).filter { $0.count <= 256 } }

// MARK: Video

func fuzzVideo(_ input: [UInt8]) {
  guard input.count > 40 else { return }
  var bytes = input
  var headerSize = 0
  Mending.store(models[2].shortID, &bytes, at: 4)
  if bytes[3] & 0x80 != 0 { Mending.store(interModel.shortID, &bytes, at: 8) }
  for end in 20...min(44, bytes.count - 4) {
    var candidate = Array(bytes[..<(end + 4)])
    Mending.store(crc32c(candidate, in: 0..<end), &candidate, at: end)
    if (try? VideoHeader(parsing: candidate, size: &headerSize)) != nil, headerSize == end + 4 {
      bytes.replaceSubrange(0..<headerSize, with: candidate)
      break
    }
  }
  guard headerSize > 0, let header = try? VideoHeader(parsing: bytes, size: &headerSize),
    header.width * header.height <= 1 << 11,
    let decoder = try? VideoDecoder(header: Array(bytes[..<headerSize]), intra: models[2], inter: interModel)
  else { return }
  decoder.limits = fuzzLimits
  let seed = VideoPacketWriter.seed(Array(bytes[..<headerSize]))
  var at = headerSize
  var frames = 0
  while frames < 4, let prefix = try? VideoPacketPrefix(parsing: bytes, at: at), prefix.size <= bytes.count - at {
    var packet = Array(bytes[at..<(at + prefix.size)])
    prefix.seal(&packet, seed: seed)
    if let frame = try? decoder.decode(packet) {
      precondition(frame.picture.width == header.width)
    }
    frames += 1
    at += prefix.size
  }
}

func videoSeeds() -> [[UInt8]] {
  (0..<20).map { i in
    var settings = VideoSettings()
    settings.rate = i < 12 ? .quality(Double(i * 9)) : .maximumError(i & 3)
    settings.intraRDOQ = .off
    settings.segmentRows = [0, 8, 24][i % 3]
    settings.intraPeriod = i & 1 == 0 ? 0 : 2
    settings.detectsScenes = false
    settings.entropy = i & 4 == 0 ? nil : .static
    let (width, height) = (2 + 5 * (i % 12), i & 1 == 0 ? 18 : 70 - 4 * (i % 12))
    let encoder = try! VideoEncoder(
      intra: models[2], inter: i == 11 ? nil : interModel, width: width, height: height, settings)
    var bytes = encoder.header
    for t in 0..<3 { bytes += try! encoder.encode(drawn(width, height, .yuv420, i < 6 || i > 15 ? t : 0)).bytes }
    return bytes + encoder.finish()
  }
}

// MARK: Residual layers

func fuzzLayer(_ input: [UInt8]) {
  guard input.count > 6 else { return }
  let (width, height) = (1 + Int(input[0]) % 24, 1 + Int(input[1]) % 24)
  let format = PixelFormat(rawValue: input[2] % 3) ?? .rgb
  let payload = Array(input[5...])
  let base = input[3] & 1 == 0 ? nil : drawn(width, height, format, Int(input[3]))
  do {
    let picture = try ResidualCodec.decode(payload, base: base, width: width, height: height, format: format)
    precondition(picture.samples.count == format.sampleCount(width: width, height: height))
  } catch { precondition(error == error && !error.description.isEmpty) }
  if input[3] & 2 != 0 {
    // The samples of an input, coded and decoded.
    let count = format.sampleCount(width: width, height: height)
    let picture = Picture(unchecked: width, height, format, (0..<count).map { payload[$0 % payload.count] })
    var settings = ResidualCodec.Settings()
    settings.maximumError = Int(input[4] & 15)
    settings.effort = Int(input[4] >> 4) % 3
    settings.segmentPixels = input[3] & 8 == 0 ? 0 : 1 + Int(input[4])
    let coded = ResidualCodec.encode(picture, base: base, settings: settings)
    guard let decoded = try? ResidualCodec.decode(coded, base: base, width: width, height: height, format: format)
    else { fatalError("a layer of its own does not decode") }
    for (a, b) in zip(picture.samples, decoded.samples) {
      precondition(abs(Int(a) - Int(b)) <= settings.maximumError, "beyond the largest error")
    }
  }
  if input[3] & 16 != 0, format != .yuv420, let base {
    var mask = BlockMask(width: width, height: height)
    for i in mask.isCoded.indices { mask.isCoded[i] = payload[i % payload.count] & 1 }
    let picture = drawn(width, height, format, Int(input[4]))
    guard let coded = ResidualCodec.encode(picture, base: base, coded: mask, execution: Execution()),
      let decoded = try? ResidualCodec.decode(coded, base: base, width: width, height: height, format: format)
    else { fatalError("a masked layer of its own does not decode") }
    let components = format == .rgb ? 3 : 1
    for (i, sample) in decoded.samples.enumerated() {
      let block = i / components / width / BlockMask.side * mask.across + i / components % width / BlockMask.side
      precondition(sample == (mask.isCoded[block] == 1 ? picture : base).samples[i], "another sample under a mask")
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

func layerSeeds() -> [[UInt8]] {
  (0..<36).map { i in
    let format = PixelFormat(rawValue: UInt8(i % 3)) ?? .rgb
    let (width, height) = (1 + i % 24, 24 - i / 2)
    let flags = i / 3 % 8
    let base = flags & 1 == 0 ? nil : drawn(width, height, format, flags)
    var picture = drawn(width, height, format, i)
    // Smooth ones, ones of two colours, ones with an edge.
    if i % 4 == 1 { picture.samples = picture.samples.map { 100 + $0 & 3 } }
    if i % 4 == 2 { picture.samples = picture.samples.indices.map { $0 / 7 % 3 == 0 ? 255 : 0 } }
    if i % 4 == 3 { picture.samples = picture.samples.indices.map { UInt8(60 + $0 * 90 / picture.samples.count) } }
    var settings = ResidualCodec.Settings()
    settings.maximumError = i / 12 * 2
    settings.effort = i % 3
    settings.segmentPixels = i % 5 == 0 ? 100 : 0
    var layer = ResidualCodec.encode(picture, base: base, settings: settings)
    if let base, format != .yuv420, i % 2 == 0 {
      var mask = BlockMask(width: width, height: height)
      for b in mask.isCoded.indices { mask.isCoded[b] = UInt8((b + i / 2) % 2) }
      layer = ResidualCodec.encode(picture, base: base, coded: mask, execution: Execution()) ?? layer
    }
    return [UInt8(width - 1), UInt8(height - 1), UInt8(i % 3), UInt8(flags), UInt8(settings.maximumError)] + layer
  }
}

// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A decoded picture and all that its bitstream says beside it.
public struct Decoded: Sendable {
  /// In the format that was asked for.
  public let picture: Picture
  /// The transparency, a grey picture: 255 is opaque. nil for an opaque picture.
  public let alpha: Picture?
  /// What the bitstream carries, in its order.
  public let metadata: [Metadata]
}

/// What a bitstream's segments hold.
struct DecodedLatent {
  let latent: Latent
  let filter: PictureFilter
}

/// Decodes bitstreams of one model. Keeps what it prepares for the next picture.
///
/// Not Sendable: one thread at a time may use it, because each call may prepare networks that the next one finds, without a
/// lock. Threads of one's own each have a decoder; a `Model` is shared by all. Within a call `execution.threads` work.
public final class Decoder {
  /// Threads and kernels of the next call; no result depends on it.
  public var execution: Execution
  /// Bitstreams that would take more are refused before it is spent.
  public var limits = Limits()
  /// Called between parts of the work, on the thread that decodes, with the share that is done: 0…1, growing. Decoding ends
  /// with `DecodeError.cancelled` when it says false. Parts are smaller and decoding a little slower with it.
  public var monitor: ((Double) -> Bool)?
  var prepared: PreparedModel

  /// A decoder of the bitstreams of one model.
  public init(model: Model, execution: Execution = Execution()) {
    prepared = PreparedModel(model)
    self.execution = execution
  }

  /// The model whose bitstreams it decodes.
  public var model: Model { prepared.model }

  /// Decodes a bitstream to the format that was coded. On error nothing is returned: never a part of a picture.
  public func decode(_ bytes: [UInt8]) throws(DecodeError) -> Picture { try decode(bytes, as: nil) }

  /// Decodes a bitstream to a format that the model has networks for; nil for that which was coded.
  public func decode(_ bytes: [UInt8], as format: PixelFormat?) throws(DecodeError) -> Picture {
    try decode(bytes, BitstreamParts(parsing: bytes), as: format)
  }

  /// Decodes a bitstream with its transparency and metadata.
  public func decodeAll(_ bytes: [UInt8], as format: PixelFormat? = nil) throws(DecodeError) -> Decoded {
    let parts = try BitstreamParts(parsing: bytes)
    let alpha = try decodeAlpha(bytes, parts)
    let picture = try decode(bytes, parts, as: format)
    return Decoded(
      picture: picture, alpha: alpha, metadata: parts.metadata.map { Metadata($0.kind, Array(bytes[$0.range])) })
  }

  private func decode(
    _ bytes: [UInt8], _ parts: BitstreamParts, as format: PixelFormat?
  ) throws(DecodeError) -> Picture {
    let header = parts.header
    guard let residual = parts.residual else {
      return try decodeNetworks(bytes, parts, as: format ?? header.format)
    }
    try checkLayers(parts, size: bytes.count)
    let base = header.segmentCount == 0 ? nil : try decodeNetworks(bytes, parts, as: header.format)
    let picture = try layer(bytes, residual, base, header, header.format)
    return try picture.converted(to: format ?? header.format)
  }

  /// The picture that the networks give, without a residual layer.
  private func decodeNetworks(
    _ bytes: [UInt8], _ parts: BitstreamParts, as format: PixelFormat
  ) throws(DecodeError) -> Picture {
    let samples = format.sampleCount(width: parts.header.width, height: parts.header.height)
    let decoded = try decodeLatent(bytes, parts, as: format, beside: Int64(samples))
    var picture = Picture(blank: parts.header.width, parts.header.height, format)
    try picture.withMutableView { view throws(DecodeError) in try synthesise(decoded, parts.header, into: view) }
    return picture
  }

  /// Decodes a bitstream whose parts are known into memory of the caller, of the header's size and any format that the
  /// model has networks for. Untouched on error, unless it is `cancelled`.
  func decode(
    _ bytes: [UInt8], _ parts: BitstreamParts, into picture: PictureView, alpha: sc_component?
  ) throws(DecodeError) {
    precondition(picture.width == parts.header.width && picture.height == parts.header.height)
    let opacity = alpha == nil ? nil : try decodeAlpha(bytes, parts)
    if parts.residual == nil {
      try synthesise(try decodeLatent(bytes, parts, as: picture.format), parts.header, into: picture)
    } else {
      let decoded = try decode(bytes, parts, as: picture.format)
      decoded.withView { $0.copy(to: picture) }
    }
    if let alpha { opacity.fill(alpha, picture.width, picture.height) }
  }

  /// The transparency: nil if the picture is opaque.
  private func decodeAlpha(_ bytes: [UInt8], _ parts: BitstreamParts) throws(DecodeError) -> Picture? {
    guard let range = parts.alpha else { return nil }
    try checkLayers(parts, size: bytes.count)
    var alpha = try layer(bytes, range, nil, parts.header, .grey)
    // Bits 0…3 of the layer are its largest error, by which 0 and 255 may be off.
    let error = bytes[range.lowerBound] & 15
    if error > 0 {
      for i in alpha.samples.indices {
        let a = alpha.samples[i]
        if a <= error { alpha.samples[i] = 0 } else if a >= 255 - error { alpha.samples[i] = 255 }
      }
    }
    return alpha
  }

  private func layer(
    _ bytes: [UInt8], _ range: Range<Int>, _ base: Picture?, _ header: BitstreamHeader, _ format: PixelFormat
  ) throws(DecodeError) -> Picture {
    // And a conversion of the result.
    try require(
      ResidualCodec.decodingBytes(
        width: header.width, height: header.height, format: format, threads: execution.threads)
        + 3 * Int64(header.width) * Int64(header.height))
    do throws(ResidualError) {
      return try ResidualCodec.decode(
        bytes, in: range, base: base, width: header.width, height: header.height, format: format, execution: execution)
    } catch { throw .residual(error) }
  }

  private func checkSize(_ header: BitstreamHeader, size: Int) throws(DecodeError) {
    let limit = limits.pixels(size: size)
    guard Int64(header.width) * Int64(header.height) <= Int64(limit) else {
      throw .tooLarge(width: header.width, height: header.height, limit: limit)
    }
  }

  /// What a sample of a residual layer takes, as multiply-adds.
  static let layerWork = 2048.0

  /// Work of the layers that have samples without networks.
  private func layerWork(_ parts: BitstreamParts) -> Double {
    let header = parts.header
    let pixels = Double(header.width) * Double(header.height)
    let samples: Double =
      switch header.format {
      case .grey: 1
      case .yuv420: 1.5
      case .rgb: 3
      }
    return Self.layerWork * pixels * ((parts.residual == nil ? 0 : samples) + (parts.alpha == nil ? 0 : 1))
  }

  private func checkLayers(_ parts: BitstreamParts, size: Int) throws(DecodeError) {
    try checkSize(parts.header, size: size)
    let (work, limit) = (layerWork(parts), limits.work(size: size))
    guard work <= limit else { throw .work(needed: work, limit: limit) }
  }

  /// Everything that can go wrong goes wrong here: what the model lacks, what the caller does not allow. `payloads` are
  /// those of all segments and `size` is that of the whole bitstream; without payloads nothing is said of work.
  func check(
    _ header: BitstreamHeader, as format: PixelFormat, _ region: PictureRegion?, payloads: [Range<Int>]? = nil,
    size: Int, layerWork: Double = 0
  ) throws(DecodeError) -> (layout: LatentLayout, codec: SegmentCodec, segments: Range<Int>, memory: Int64) {
    guard let ratePoints = model.ratePoints(ofModel: header.modelID) else {
      throw .model(wanted: header.modelID, loaded: model.shortID)
    }
    guard model.decodes(model: header.modelID, at: header.position) else {
      throw .position(header.position, count: ratePoints)
    }
    guard model.entropyKinds.contains(where: { $0.rawValue == header.entropy.rawValue }) else {
      throw .entropyModel(header.entropy)
    }
    guard model.codes(header.format), !model.isInter else { throw .format(header.format) }
    guard model.codes(format) else { throw .format(format) }
    try checkSize(header, size: size)
    let layout = LatentLayout(
      model, width: header.width, height: header.height, format: header.format, segmentRows: header.segmentRows)
    // A format of coarser networks has no whole number of their units in the padded picture.
    let unit = model.paddingUnit(model.networkFormat(format))
    guard layout.paddedWidth % unit == 0, layout.paddedHeight % unit == 0 else { throw .format(format) }
    if let region, !region.isValid(width: header.width, height: header.height, format: format) {
      throw .region(region, width: header.width, height: header.height)
    }
    guard layout.segmentCount == header.segmentCount else {
      throw .segmentCount(header.segmentCount, expected: layout.segmentCount)
    }
    if let payloads { try checkPayloads(payloads, header, layout, format) }
    guard let cost = prepared.cost(format, header.entropy, at: header.position) else {
      throw .entropyModel(header.entropy)
    }
    let (mostMemory, mostWork) = (limits.memory(size: size), limits.work(size: size))
    do throws(BrokenLimit) { try limits.check(cost, memory: mostMemory, work: mostWork) } catch {
      throw DecodeError(error)
    }
    func checkWork(rows: Int) throws(DecodeError) {
      guard payloads != nil else { return }
      let work = cost.preparation + layerWork + cost.work(model, width: layout.paddedWidth, height: rows)
      guard work <= mostWork else { throw .work(needed: work, limit: mostWork) }
    }
    if region == nil { try checkWork(rows: layout.paddedHeight) }
    try require(model.preparationBytes)
    guard let codec = prepared.segmentCodec(header.entropy, at: header.position, cpu: execution.cpu) else {
      throw .entropyModel(header.entropy)
    }
    let segments = segments(of: region, header, as: format, layout)
    if region != nil {
      // All rows that the region is made of lie in its segments.
      let rows =
        layout.rows(segment: segments.lowerBound).lowerBound..<layout.rows(segment: segments.upperBound - 1).upperBound
      try checkWork(rows: rows.count * model.latentDivisor)
    }
    let needed = workingMemory(layout, codec, segments, header, as: format, region) + Int64(cost.preparedBytes)
    guard needed <= mostMemory else { throw .memory(needed: needed, limit: mostMemory) }
    return (layout, codec, segments, needed)
  }

  /// Payloads that no encoder can have made, because they are too short.
  private func checkPayloads(
    _ payloads: [Range<Int>], _ header: BitstreamHeader, _ layout: LatentLayout, _ format: PixelFormat
  ) throws(DecodeError) {
    guard let least = prepared.leastPayload(format, header.entropy, at: header.position) else { return }
    var bytes = 0
    for (i, payload) in payloads.enumerated() {
      // All but the last have the same height.
      if i == 0 || i == payloads.count - 1 { bytes = least.bytes(layout, segment: i) }
      guard payload.count >= bytes else {
        throw .payloadSize(segment: i, size: payload.count, least: bytes)
      }
    }
  }

  /// Decodes the segments that a region needs, or all; there must be memory for it, and `beside` bytes more. After it
  /// nothing can go wrong any more.
  func decodeLatent(
    _ bytes: [UInt8], _ parts: BitstreamParts, as format: PixelFormat, region: PictureRegion? = nil, beside: Int64 = 0
  ) throws(DecodeError) -> DecodedLatent {
    let (layout, codec, segments, memory) = try check(
      parts.header, as: format, region, payloads: parts.payloads, size: bytes.count, layerWork: layerWork(parts))
    // The estimate is within a few percent; payloads are copied.
    try require(memory + memory / 8 + Int64(bytes.count) + beside)
    let payloads = parts.payloads
    let latent = Latent(
      layout: layout, channels: model.latentChannels(at: parts.header.position), present: segments)
    guard var begun = PayloadDecoder(bytes, in: payloads[0], execution.pool),
      let filter = PictureFilter.decode(&begun, parts.header.format, previous: nil)
    else { throw .payload(segment: 0) }
    let first = begun
    let good = AlignedBuffer<UInt8>(count: payloads.count, zero: 0)
    let step = monitor == nil ? segments.count : min(segments.count, execution.threads)
    for start in stride(from: segments.lowerBound, to: segments.upperBound, by: step) {
      try report(0.5 * Double(start - segments.lowerBound) / Double(segments.count))
      let part = start..<min(start + step, segments.upperBound)
      let inner = execution.inside(parallel: part.count)
      parallel(threads: execution.threads, count: part.count) { k in
        let i = start + k
        guard var decoder = i == 0 ? first : PayloadDecoder(bytes, in: payloads[i], inner.pool) else { return }
        let isGood =
          codec.decode(&decoder, segment: i, latent, reference: nil, inner) && decoder.isFinished
        good.base[i] = isGood ? 1 : 0
      }
      for i in part where good.base[i] == 0 { throw .payload(segment: i) }
    }
    return DecodedLatent(latent: latent, filter: filter)
  }

  private func report(_ share: Double) throws(DecodeError) {
    if let monitor, !monitor(share) { throw .cancelled }
  }

  /// `picture` is the whole one, or the region.
  func synthesise(
    _ decoded: DecodedLatent, _ header: BitstreamHeader, into picture: PictureView, region: PictureRegion? = nil
  ) throws(DecodeError) {
    let isFiltered = !decoded.filter.isEmpty
    if let region, isFiltered {
      // Filters see samples around the region.
      let seen = PictureFilter.region(seenBy: region, width: header.width, height: header.height)
      var larger = Picture(blank: seen.width, seen.height, picture.format)
      try larger.withMutableView { view throws(DecodeError) in
        try synthesise(decoded.latent, header, into: view, region: seen)
        decoded.filter.apply(to: view, filtersChroma: picture.format == header.format, execution)
      }
      let inside = PictureRegion(
        x: region.x - seen.x, y: region.y - seen.y, width: region.width, height: region.height)
      larger.cropped(to: inside).withView { $0.copy(to: picture) }
    } else {
      try synthesise(decoded.latent, header, into: picture, region: region)
      decoded.filter.apply(to: picture, filtersChroma: picture.format == header.format, execution)
    }
    try report(1)
  }

  private func synthesise(
    _ latent: Latent, _ header: BitstreamHeader, into picture: PictureView, region: PictureRegion?
  ) throws(DecodeError) {
    let program = prepared.program(.synthesis, picture.format, at: header.position, cpu: execution.cpu)
    let band = Self.band(program, latent.layout, region)
    // Enough rows for every thread that what neighbouring parts both compute is little.
    var step = monitor == nil ? band.count : min(band.count, max(1, 256 * execution.threads / program.unit))
    func seen(_ units: Int) -> Int {
      let middle = band.lowerBound + (band.count - units) / 2
      return program.tensors[0].divisor
        * NetworkRunner.rows(
          ofInput: 0, program, height: latent.layout.paddedHeight, band: middle..<(middle + units)
        ).count
    }
    while step < band.count, seen(step) > 2 * step * program.unit { step = min(band.count, 2 * step) }
    for first in stride(from: band.lowerBound, to: band.upperBound, by: step) {
      try report(0.5 + 0.5 * Double(first - band.lowerBound) / Double(band.count))
      program.synthesise(
        latent, into: picture, origin: region.map { ($0.x, $0.y) } ?? (0, 0),
        band: first..<min(first + step, band.upperBound), execution)
    }
  }
}

extension Picture {
  /// The samples of a residual layer are exact in their own format; grey and RGB become each other as where a model lacks
  /// networks for grey.
  func converted(to wanted: PixelFormat) throws(DecodeError) -> Picture {
    switch (format, wanted) {
    case (.rgb, .rgb), (.grey, .grey), (.yuv420, .yuv420): return self
    case (.grey, .rgb):
      var result = Picture(blank: width, height, .rgb)
      for (i, sample) in samples.enumerated() { for k in 0..<3 { result.samples[3 * i + k] = sample } }
      return result
    case (.rgb, .grey):
      var result = Picture(blank: width, height, .grey)
      for i in result.samples.indices {
        let (r, g, b) = (Int(samples[3 * i]), Int(samples[3 * i + 1]), Int(samples[3 * i + 2]))
        result.samples[i] = UInt8((77 * r + 150 * g + 29 * b + 128) >> 8)
      }
      return result
    default: throw .conversion(from: format, to: wanted)
    }
  }
}

/// Decodes one bitstream; to decode several, keep a `Decoder`.
public func decode(
  _ bytes: [UInt8], model: Model, execution: Execution = Execution()
) throws(DecodeError) -> Picture {
  try Decoder(model: model, execution: execution).decode(bytes)
}

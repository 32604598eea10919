// SPDX-License-Identifier: BSD-3-Clause

/// Why a picture is not encoded.
public enum EncodeError: Error, Equatable {
  /// Rate points of this model are 0 ..< count, and positions lie between them.
  case position(RatePosition, count: Int)
  /// The model has no such entropy model, or none at all.
  case entropyModel(EntropyKind?)
  /// The trade-off is a finite number > 0.
  case lambda(Double)
  /// No position reaches the target: the nearest that the model comes to it, in the target's unit.
  case target(EncoderTarget, nearest: Double)

  public var description: String {
    switch self {
    case .position(let position, let count):
      "rate position \(position.description) where the model has 0 to \(count - 1)"
    case .entropyModel(let kind?): "the model has no entropy model \"\(kind.name)\""
    case .entropyModel(nil): "the model has no entropy model"
    case .lambda(let lambda): "lambda \(lambda) where a finite number > 0 is needed"
    case .target(.bytes(let bytes), let nearest): "no file of at most \(bytes) bytes: the smallest has \(Int(nearest))"
    case .target(.bitsPerPixel(let bits), let nearest):
      "no file of at most \(bits) bits per pixel: the smallest has \(nearest)"
    case .target(.psnr(let psnr), let nearest): "no PSNR of \(psnr) dB: the highest is \(nearest)"
    }
  }
}

/// How to encode.
public struct EncoderSettings: Sendable {
  public var position: RatePosition
  /// nil for the best one of the model.
  public var entropy: EntropyKind?
  /// Whether to decode the result, which gives the distortion.
  public var measuresDistortion = true
  public var execution = Execution()
  /// The search for a cheaper latent; it does not change how the bitstream is decoded.
  public var rdoq = RDOQ.off
  /// The trade-off of that search, as RatePoint.lambda; nil for the position's.
  public var lambda: Double?
  /// Called after every pass of that search, on the thread that encodes.
  public var progress: (@Sendable (RDOQPass) -> Void)?

  public init(position: RatePosition) { self.position = position }

  /// 0 is the lowest rate.
  public init(ratePoint: Int) { position = RatePosition(ratePoint: ratePoint) }
}

/// A picture's bitstream, and what the encoder knows of it.
public struct Encoded: Sendable {
  public let bytes: [UInt8]
  public let position: RatePosition
  /// The sum of −log2 of the probabilities of all symbols.
  public let idealBits: Double
  /// The picture that a decoder gives, if it was asked for.
  public let reconstruction: Picture?
  /// Sum of squared differences of the reconstruction's samples to the picture's.
  public let squaredError: UInt64?
  /// PSNR of the reconstruction over all samples.
  public let psnr: Double?
  /// What rate-distortion optimised quantisation did, if it was asked for.
  public let rdoq: RDOQReport?
}

/// Encodes pictures with one model. Keeps what it prepares for the next picture; one thread at a time may use it.
public final class Encoder {
  private var prepared: PreparedModel
  /// The last one used.
  private var search: (program: LatentSearch, kind: EntropyKind, position: RatePosition, cpu: CPU)?
  /// Height of a segment in rows of the latent: a multiple of 8, at most 2040.
  public var segmentRows = 64

  public init(model: Model) { prepared = PreparedModel(model) }

  public var model: Model { prepared.model }

  public func encode(_ picture: Picture, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    let position = settings.position
    guard model.positions.contains(position) else { throw .position(position, count: model.ratePoints.count) }
    guard let kind = settings.entropy ?? model.preferredEntropyKind,
      let codec = prepared.segmentCodec(kind, at: position, cpu: settings.execution.cpu)
    else { throw .entropyModel(settings.entropy) }
    if let lambda = settings.lambda, !(lambda > 0 && lambda.isFinite) { throw .lambda(lambda) }
    let execution = settings.execution
    let (latent, hyperLatent) = analyse(picture, at: position, execution)
    let layout = latent.layout
    let (segments, report) = search(latent, hyperLatent, codec, kind, of: picture, settings)

    let header = BitstreamHeader(
      modelID: model.shortID, position: position, entropy: kind, isGrey: picture.channels == 1, width: picture.width,
      height: picture.height,
      segments: layout.segmentCount == 1 ? nil : .init(rows: segmentRows, count: layout.segmentCount))
    let (bytes, bits) = serialise(latent, hyperLatent, segments, header, codec, execution)
    guard settings.measuresDistortion else {
      return Encoded(
        bytes: bytes, position: position, idealBits: bits, reconstruction: nil, squaredError: nil, psnr: nil,
        rdoq: report)
    }
    var decoded = picture
    decoded.samples.withUnsafeMutableBufferPointer { out in
      prepared.program(.synthesis, at: position, cpu: execution.cpu)
        .synthesise(
          latent, width: picture.width, height: picture.height, channels: picture.channels, execution,
          into: out.baseAddress!, rowStride: picture.width * picture.channels)
    }
    let error = decoded.squaredError(to: picture)
    return Encoded(
      bytes: bytes, position: position, idealBits: bits, reconstruction: decoded, squaredError: error,
      psnr: peakSignalToNoiseRatio(squaredError: error, samples: picture.samples.count), rdoq: report)
  }

  /// The latent that the analysis network gives, and the quantised hyper-latent.
  private func analyse(
    _ picture: Picture, at position: RatePosition, _ execution: Execution
  ) -> (Latent, hyperLatent: Latent?) {
    let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: segmentRows)
    let latent = prepared.program(.analysis, at: position, cpu: execution.cpu)
      .analyse(picture, layout, channels: model.latentChannels(at: position), execution)
    return (latent, prepared.hyperLatent(of: latent, at: position, execution))
  }

  /// Quantises all segments and searches for cheaper symbols, if that is asked for: what is to be coded, and what was done.
  private func search(
    _ latent: Latent, _ hyperLatent: Latent?, _ codec: SegmentCodec, _ kind: EntropyKind, of picture: Picture,
    _ settings: EncoderSettings
  ) -> ([QuantisedSegment]?, RDOQReport?) {
    if settings.rdoq == .off { return (nil, nil) }
    let (position, execution) = (settings.position, settings.execution)
    if search?.kind != kind || search?.position != position || search?.cpu != execution.cpu {
      let synthesis = prepared.program(.synthesis, at: position, cpu: execution.cpu)
      search = (LatentSearch(model, synthesis, codec, at: position), kind, position, execution.cpu)
    }
    let segments = quantise(latent, hyperLatent, codec, execution)
    let report = search?.program.optimise(
      latent, segments, of: picture, settings.rdoq, lambda: settings.lambda, execution, progress: settings.progress)
    return (segments, report)
  }

  private func quantise(
    _ latent: Latent, _ hyperLatent: Latent?, _ codec: SegmentCodec, _ execution: Execution
  ) -> [QuantisedSegment] {
    latent.segments.indices.map {
      codec.quantise(segment: $0, latent, hyperLatent: hyperLatent?.segments[$0].base, execution)
    }
  }

  /// What `encode` would code of a picture: the symbols of each segment with their hyper-latents and scales, for fitting of
  /// entropy models.
  ///
  /// Without a hyperprior and a search no entropy model is needed.
  package func quantise(_ picture: Picture, _ settings: EncoderSettings) throws(EncodeError) -> [QuantisedSegment] {
    let (latent, hyperLatent) = analyse(picture, at: settings.position, settings.execution)
    guard let kind = settings.entropy ?? model.preferredEntropyKind,
      let codec = prepared.segmentCodec(kind, at: settings.position, cpu: settings.execution.cpu)
    else {
      guard hyperLatent == nil, settings.rdoq == .off else { throw .entropyModel(settings.entropy) }
      return latent.segments.indices.map { QuantisedSegment(latent, segment: $0) }
    }
    let segments = search(latent, hyperLatent, codec, kind, of: picture, settings).0
    return segments ?? quantise(latent, hyperLatent, codec, settings.execution)
  }

  /// Codes all segments: those given, or else the nearest symbols, where with a hyperprior the latent becomes what the
  /// decoder gets.
  private func serialise(
    _ latent: Latent, _ hyperLatent: Latent?, _ segments: [QuantisedSegment]?, _ header: BitstreamHeader,
    _ codec: SegmentCodec, _ execution: Execution
  ) -> ([UInt8], Double) {
    let count = latent.segments.count
    var coded = [(payload: [UInt8], bits: Double)](repeating: ([], 0), count: count)
    let inner = execution.inside(parallel: count)
    coded.withUnsafeMutableBufferPointer { coded in
      // Each thread writes its own segments' elements.
      nonisolated(unsafe) let out = coded.baseAddress!
      parallel(threads: execution.threads, count: count) { i in
        out[i] = codec.encode(
          segments?[i]
            ?? codec.quantise(segment: i, latent, hyperLatent: hyperLatent?.segments[i].base, inner))
      }
    }
    var out = ByteWriter()
    out.append(header.serialised())
    var bits = 0.0
    var checked = 0
    var crc: UInt32 = 0
    for (i, segment) in coded.enumerated() {
      if i + 1 < count { out.varint(segment.payload.count) }
      out.append(segment.payload)
      crc = crc32c(out.bytes, in: checked..<out.bytes.count, continuing: crc)
      out.u32(crc)
      checked = out.bytes.count
      bits += segment.bits
    }
    return (out.bytes, bits)
  }
}

/// Encodes one picture; to encode several, keep an `Encoder`.
public func encode(
  _ picture: Picture, model: Model, settings: EncoderSettings
) throws(EncodeError) -> Encoded {
  try Encoder(model: model).encode(picture, settings)
}

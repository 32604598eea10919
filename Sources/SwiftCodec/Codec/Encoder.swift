// SPDX-License-Identifier: BSD-3-Clause

/// Why a picture is not encoded.
public enum EncodeError: Error, Equatable {
  /// Rate points of this model are 0 ..< count, and positions lie between them.
  case position(RatePosition, count: Int)
  /// The model has no networks for pictures of this format.
  case format(PixelFormat)
  /// Sides are 1…65535; frames of a stream all have its size, and at most 2^26 pixels.
  case size(width: Int, height: Int)
  /// Segments have a multiple of 8 rows of the latent, 8…2040.
  case segmentRows(Int)
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
    case .format(let format): "the model has no networks for \(format.name) pictures"
    case .size(let width, let height):
      "a frame of \(width)×\(height) pixels, which is not that of the stream or too large"
    case .segmentRows(let rows): "segments of \(rows) rows: valid are multiples of 8 up to 2040"
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
  /// What the bitstream is to carry beside the picture.
  public var metadata: [Metadata] = []
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

/// What a search is prepared for.
private struct SearchKey: Equatable {
  let kind: EntropyKind
  let position: RatePosition
  let format: PixelFormat
  let cpu: CPU
}

/// Encodes pictures with one model. Keeps what it prepares for the next picture; one thread at a time may use it.
public final class Encoder {
  private var prepared: PreparedModel
  /// The last one used.
  private var search: (program: LatentSearch, key: SearchKey)?
  /// Height of a segment in rows of the latent: a multiple of 8, at most 2040.
  public var segmentRows = 64

  public init(model: Model) { prepared = PreparedModel(model) }

  public var model: Model { prepared.model }

  /// Encodes a picture in the format that it has.
  public func encode(_ picture: Picture, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    try picture.withView { view throws(EncodeError) in try encode(view, settings) }
  }

  /// The same of a picture in memory of the caller.
  func encode(_ picture: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    let position = settings.position
    guard model.positions.contains(position) else { throw .position(position, count: model.ratePoints.count) }
    guard model.codes(picture.format), !model.isInter else { throw .format(picture.format) }
    guard segmentRows > 0, segmentRows % 8 == 0, segmentRows <= 2040 else { throw .segmentRows(segmentRows) }
    guard let kind = settings.entropy ?? model.preferredEntropyKind,
      let codec = prepared.segmentCodec(kind, at: position, cpu: settings.execution.cpu)
    else { throw .entropyModel(settings.entropy) }
    if let lambda = settings.lambda, !(lambda > 0 && lambda.isFinite) { throw .lambda(lambda) }
    let execution = settings.execution
    let (latent, hyperLatent) = analyse(picture, at: position, execution)
    let layout = latent.layout
    let (segments, report) = search(latent, hyperLatent, codec, kind, of: picture, settings)

    let isSmall = layout.segmentCount == 1 && settings.metadata.isEmpty
    let header = BitstreamHeader(
      modelID: model.shortID, position: position, entropy: kind, format: picture.format, width: picture.width,
      height: picture.height,
      segments: isSmall
        ? nil : .init(rows: layout.segmentCount == 1 ? 0 : segmentRows, count: layout.segmentCount))
    let (bytes, bits) = serialise(latent, hyperLatent, segments, header, settings.metadata, codec, execution)
    guard settings.measuresDistortion else {
      return Encoded(
        bytes: bytes, position: position, idealBits: bits, reconstruction: nil, squaredError: nil, psnr: nil,
        rdoq: report)
    }
    let (width, height, format) = (picture.width, picture.height, picture.format)
    var decoded = Picture(
      unchecked: width, height, format,
      [UInt8](repeating: 0, count: format.sampleCount(width: width, height: height)))
    prepared.program(.synthesis, format, at: position, cpu: execution.cpu)
      .synthesise(latent, into: &decoded, execution)
    let error = decoded.withView { $0.squaredError(to: picture) }
    return Encoded(
      bytes: bytes, position: position, idealBits: bits, reconstruction: decoded, squaredError: error,
      psnr: peakSignalToNoiseRatio(squaredError: error, samples: decoded.samples.count), rdoq: report)
  }

  /// The latent that the analysis network gives, and the quantised hyper-latent.
  private func analyse(
    _ picture: PictureView, at position: RatePosition, _ execution: Execution
  ) -> (Latent, hyperLatent: Latent?) {
    let layout = LatentLayout(
      model, width: picture.width, height: picture.height, format: picture.format, segmentRows: segmentRows)
    let latent = prepared.program(.analysis, picture.format, at: position, cpu: execution.cpu)
      .analyse(picture, layout, channels: model.latentChannels(at: position), execution)
    return (latent, prepared.hyperLatent(of: latent, at: position, execution))
  }

  /// Quantises all segments and searches for cheaper symbols, if that is asked for: what is to be coded, and what was done.
  private func search(
    _ latent: Latent, _ hyperLatent: Latent?, _ codec: SegmentCodec, _ kind: EntropyKind, of picture: PictureView,
    _ settings: EncoderSettings
  ) -> ([QuantisedSegment]?, RDOQReport?) {
    if settings.rdoq == .off { return (nil, nil) }
    let (position, execution) = (settings.position, settings.execution)
    let key = SearchKey(kind: kind, position: position, format: picture.format, cpu: execution.cpu)
    if search?.key != key {
      let synthesis = prepared.program(.synthesis, picture.format, at: position, cpu: execution.cpu)
      search = (LatentSearch(model, picture.format, synthesis, codec, at: position), key)
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
    try picture.withView { view throws(EncodeError) in try quantise(view, settings) }
  }

  private func quantise(
    _ picture: PictureView, _ settings: EncoderSettings
  ) throws(EncodeError) -> [QuantisedSegment] {
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
    _ metadata: [Metadata], _ codec: SegmentCodec, _ execution: Execution
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
    let bits = coded.reduce(0) { $0 + $1.bits }
    var writer = BitstreamWriter(header)
    if header.segments == nil { return (writer.finish(segment: coded[0].payload), bits) }
    for item in metadata { writer.box(item.kind.tag, item.bytes) }
    for segment in coded { writer.box(.segment, segment.payload) }
    return (writer.finish(), bits)
  }
}

/// Encodes one picture; to encode several, keep an `Encoder`.
public func encode(
  _ picture: Picture, model: Model, settings: EncoderSettings
) throws(EncodeError) -> Encoded {
  try Encoder(model: model).encode(picture, settings)
}

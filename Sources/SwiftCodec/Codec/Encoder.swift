// SPDX-License-Identifier: BSD-3-Clause

/// Why a picture is not encoded.
public enum EncodeError: Error, Equatable, CustomStringConvertible {
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
  /// The trade-off of a search, with the weight of its errors, is 10⁻⁹…10⁹.
  case lambda(Double)
  /// A bitrate is 1…10¹² bits a second.
  case bitrate(Double)
  /// Frames a second are a fraction of parts below 2³², its denominator not 0.
  case frameRate(numerator: Int, denominator: Int)
  /// The effort of a search for vectors is 0…2.
  case motionEffort(Int)
  /// `EncoderSettings.monitor` said so.
  case cancelled
  /// No position reaches the target: the nearest that the model comes to it, in the target's unit.
  case target(EncoderTarget, nearest: Double)
  /// The largest error of a sample, of the picture or of its transparency, is 0…15.
  case maximumError(Int)
  /// The transparency is a grey picture of the picture's size.
  case alpha(width: Int, height: Int, PixelFormat)
  /// Encoding would take more multiply-adds a pixel than the caller allows.
  case macPerPixel(Double, limit: Double)
  /// Encoding would take more memory, in bytes, than the caller allows.
  case memory(needed: Int64, limit: Int64)
  /// Encoding takes so many bytes, and they are not there.
  case outOfMemory(needed: Int64)

  /// The fault in words, for people; without a full stop.
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
    case .lambda(let lambda): "lambda \(lambda) where 1e-9 to 1e9 is valid"
    case .bitrate(let bits): "\(bits) bits a second where 1 to 1e12 are valid"
    case .frameRate(let numerator, let denominator): "a frame rate of \(numerator)/\(denominator)"
    case .motionEffort(let effort): "an effort of \(effort) for vectors where 0 to 2 are valid"
    case .cancelled: "cancelled"
    case .target(.bytes(let bytes), let nearest): "no file of at most \(bytes) bytes: the smallest has \(Int(nearest))"
    case .target(.bitsPerPixel(let bits), let nearest):
      "no file of at most \(bits) bits per pixel: the smallest has \(nearest)"
    case .target(.psnr(let psnr), let nearest): "no PSNR of \(psnr) dB: the highest is \(nearest)"
    case .maximumError(let error): "a largest error of \(error) where 0 to 15 are valid"
    case .alpha(let width, let height, let format):
      "a transparency of \(width)×\(height) \(format.name) samples: it must be grey and of the picture's size"
    case .macPerPixel(let work, let limit):
      "encoding takes \(wholeNumber(work)) multiply-adds a pixel, the limit is \(wholeNumber(limit))"
    case .memory(let needed, let limit): "encoding takes \(needed) bytes of memory, the limit is \(limit)"
    case .outOfMemory(let needed): "out of memory: encoding takes \(needed) bytes"
    }
  }
}

/// How to encode.
public struct EncoderSettings: Sendable {
  /// The place on the model's rate scale.
  public var position: RatePosition
  /// Whether the encoder takes the position of that quality in another domain of the model, if the picture costs less there:
  /// it codes it without a search in each. Without effect on a model of one domain.
  public var choosesDomain = false
  /// nil for the best one of the model.
  public var entropy: EntropyKind?
  /// Whether to decode the result, which gives the distortion.
  public var measuresDistortion = true
  /// Whether to tell about how many bits each place of the latent takes.
  var countsPlaces = false
  /// Threads and kernels; no result depends on it.
  public var execution = Execution()
  /// The search for a cheaper latent; it does not change how the bitstream is decoded.
  public var rdoq = RDOQ.off
  /// Whether the search, or the coder without one, starts from symbols that a dead zone chose, not from the nearest ones.
  package var hasDeadZone = true
  /// The part of that search's passes that are done, above 0, at most 1.
  public var rdoqShare = 1.0
  /// The trade-off of that search, as RatePoint.lambda; nil for the position's.
  public var lambda: Double?
  /// What the bitstream is to carry beside the picture.
  public var metadata: [Metadata] = []
  /// The transparency, a grey picture of the picture's size: 255 is opaque.
  public var alpha: Picture?
  /// What `alpha` becomes, if it is known already.
  var alphaLayer: [UInt8]?
  /// No sample of the transparency changes by more, 0…15; but those up to twice as far from 0 or 255 may become 0 or 255,
  /// and 0 and 255 always stay what they are.
  public var alphaError = 0
  /// No sample of the picture changes by more, 0 (lossless) … 15: by a residual layer. nil for what the networks give.
  public var maximumError: Int?
  /// What that layer stands on.
  public var base = ResidualBase.smallest
  /// Whether residual layers help where networks fall short of what the position's quality promises
  /// (`Model.minimumPSNR(quality:)`), and have what is drawn in pictures beside photographs. Pictures unlike photographs are
  /// then coded at whole rate points, the position's or the next one, with a layer alone where that has a higher PSNR in
  /// fewer bytes, and never with a lower PSNR than at a lower position; that takes as many times longer as there are rate
  /// points up to it.
  public var holdsQuality = false
  /// Whether a masked layer may have parts of the picture, as it may where residual layers help anyway.
  var mixes = false
  /// Effort of the residual layers of picture and transparency, 0…2.
  public var residualEffort = 1
  /// Whether the decoded picture is filtered, where that is worth the filters' bits.
  public var filters = true
  /// Called after every pass of that search, on the thread that encodes.
  public var progress: (@Sendable (RDOQPass) -> Void)?
  /// Called between parts of the work, on the thread that encodes, with an estimate of the share that is done, 0…1; where a
  /// residual layer takes several attempts it starts again with each. Encoding ends with `EncodeError.cancelled` when it says false.
  public var monitor: (@Sendable (Double) -> Bool)?

  /// Everything else as it is by default.
  public init(position: RatePosition) { self.position = position }

  /// 0 is the lowest rate.
  public init(ratePoint: Int) { position = RatePosition(ratePoint: ratePoint) }
}

extension EncoderSettings {
  /// The part of the work that the search takes, about.
  fileprivate var searchShare: ClosedRange<Double> { rdoq == .off ? 0.5...0.5 : 0.03...0.93 }

  fileprivate func report(_ share: Double) throws(EncodeError) {
    if let monitor, !monitor(share) { throw .cancelled }
  }
}

/// The picture that a residual layer adds to.
public enum ResidualBase: Sendable {
  /// None, or at effort 2 a coarse one by the networks if that takes fewer bytes.
  case smallest
  /// The networks' at the position of the settings.
  case position
  /// None: the layer has the whole picture, and needs no model.
  case none
}

/// A picture's bitstream, and what the encoder knows of it.
public struct Encoded: Sendable {
  /// The file.
  public let bytes: [UInt8]
  /// The place on the rate scale that it was coded at.
  public let position: RatePosition
  /// The sum of −log2 of the probabilities of all symbols of the latent, and the bits of residual layers.
  public let idealBits: Double
  /// The picture that a decoder gives, if it was asked for.
  public let reconstruction: Picture?
  /// Sum of squared differences of the reconstruction's samples to the picture's.
  public let squaredError: UInt64?
  /// PSNR of the reconstruction over all samples.
  public let psnr: Double?
  /// What rate-distortion optimised quantisation did, if it was asked for.
  public let rdoq: RDOQReport?
  /// The largest error of a sample, if a residual layer bounds it.
  public let maximumError: Int?
  /// Whether the networks coded something: false if a residual layer has it all.
  public let hasLatent: Bool
}

/// What the networks make of a picture.
struct CodedLatent {
  let position: RatePosition
  let entropy: EntropyKind
  let segments: BitstreamHeader.Segments
  let payloads: [[UInt8]]
  let idealBits: Double
  /// What a decoder makes of it, if it was asked for.
  let reconstruction: Picture?
  let rdoq: RDOQReport?
  /// About the bits of each place of the latent, row by row, if that was asked for.
  let placeBits: [Float]

  /// Bytes of all segments.
  var size: Int { payloads.reduce(0) { $0 + $1.count } }
}

/// What a search is prepared for.
private struct SearchKey: Equatable {
  let kind: EntropyKind
  let position: RatePosition
  let format: PixelFormat
  let cpu: CPU
}

/// Encodes pictures with one model. Keeps what it prepares for the next picture.
///
/// Not Sendable: one thread at a time may use it, because each call may prepare networks that the next one finds, without a
/// lock. Threads of one's own each have an encoder; a `Model` is shared by all. Within a call `execution.threads` work.
public final class Encoder {
  var prepared: PreparedModel
  /// The last ones used.
  private var search: (program: LatentSearch, key: SearchKey)?
  private var zone: (rule: DeadZone, key: SearchKey)?
  /// Height of the tallest segment in rows of the latent, 8…2040 in multiples of 8: all have about the same.
  public var segmentRows = 64
  /// Pictures for which the model would take more are refused before it is spent. Only memory and multiply-adds a pixel:
  /// how many pixels, and how long to search, the caller says.
  public var limits = Limits()

  /// An encoder for one model.
  public init(model: Model) { prepared = PreparedModel(model) }

  /// The model that it codes with.
  public var model: Model { prepared.model }

  /// Encodes a picture in the format that it has.
  public func encode(_ picture: Picture, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    try picture.withView { view throws(EncodeError) in try encode(view, settings) }
  }

  /// The same of a picture in memory of the caller.
  func encode(_ picture: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    try checkLayers(picture, settings)
    try require(layerMemory(picture, settings))
    var settings = settings
    var known: CodedLatent?
    let climbs = settings.maximumError == nil && settings.holdsQuality && picture.isUnusual
    // A layer without networks has no domain.
    if settings.choosesDomain, model.domains.count > 1, settings.maximumError == nil || settings.base == .position {
      if climbs {
        settings.position = try positionInOneDomain(picture, settings)
      } else {
        let cheapest = try cheapestDomain(picture, settings)
        settings.position = cheapest.position
        if settings.rdoq == .off { known = cheapest }
      }
    }
    if let maximumError = settings.maximumError { return try encode(picture, settings, within: maximumError) }
    if climbs { return try climb(picture, settings) }
    if settings.holdsQuality || settings.mixes, let mixer = try Mixer(picture, self, settings) {
      let trial = try cheaper(picture, settings, mixer)
      if let promised = promise(settings, brokenBy: trial.squaredError, of: picture) {
        return try encode(picture, settings, reaching: promised)
      }
      return encoded(picture, settings, trial)
    }
    var measures = settings
    if settings.holdsQuality { measures.measuresDistortion = true }
    let coded = if let known { known } else { try codeLatent(picture, measures) }
    let error = coded.reconstruction.map { $0.withView { $0.squaredError(to: picture) } }
    if let error, let promised = promise(settings, brokenBy: error, of: picture) {
      return try encode(picture, settings, reaching: promised)
    }
    return encoded(picture, settings, coded, layer: nil, reconstruction: coded.reconstruction, squaredError: error)
  }

  /// The PSNR, in dB, that the settings' quality promises, if they hold to it and a squared error does not.
  private func promise(_ settings: EncoderSettings, brokenBy error: UInt64, of picture: PictureView) -> Double? {
    let promised = Model.minimumPSNR(quality: model.quality(of: settings.position))
    let isKept = peakSignalToNoiseRatio(squaredError: error, samples: picture.sampleCount) >= promised
    return settings.holdsQuality && !isKept ? promised : nil
  }

  /// Codes a picture by the networks alone, at the position of the settings.
  func codeLatent(_ picture: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> CodedLatent {
    let position = settings.position
    guard model.domain(of: position) != nil else { throw .position(position, count: model.ratePoints.count) }
    guard model.codes(picture.format), !model.isInter else { throw .format(picture.format) }
    guard segmentRows > 0, segmentRows % 8 == 0, segmentRows <= 2040 else { throw .segmentRows(segmentRows) }
    try require(model.preparationBytes)
    guard let kind = settings.entropy ?? model.preferredEntropyKind,
      model.entropyKinds.contains(where: { $0.rawValue == kind.rawValue })
    else {
      throw .entropyModel(settings.entropy)
    }
    if let lambda = settings.lambda, !(RatePoint.lambdas ~= lambda) { throw .lambda(lambda) }
    try checkLimits(picture, settings, kind)
    guard let codec = prepared.segmentCodec(kind, at: position, cpu: settings.execution.cpu) else {
      throw .entropyModel(settings.entropy)
    }
    try require(networkMemory(picture, settings, codec))
    let execution = settings.execution
    try settings.report(0)
    let (latent, hyperLatent) = analyse(picture, at: position, execution)
    let count = latent.layout.segmentCount
    try settings.report(settings.searchShare.lowerBound)
    let quantise = quantiser(latent, hyperLatent, codec, kind, settings, picture.format)
    let decodes = settings.measuresDistortion || settings.filters
    var decoded = Picture(blank: picture.width, picture.height, picture.format)
    let (segments, report) = decoded.withMutableView {
      search(latent, quantise, codec, kind, of: picture, decoded: $0, settings)
    }
    if segments != nil, report == nil { throw .cancelled }
    try settings.report(settings.searchShare.upperBound)
    var (payloads, first, bits, placeBits) = code(count, segments, quantise, codec, settings)
    try settings.report(decodes ? 0.9 : 1)
    var filter = PictureFilter()
    decoded.withMutableView { view in
      // Without a search the latent is only now what is coded.
      if segments == nil, decodes {
        prepared.program(.synthesis, picture.format, at: position, cpu: execution.cpu)
          .synthesise(latent, into: view, execution)
      }
      guard settings.filters else { return }
      let lambda = settings.lambda ?? model.lambda(at: position)
      filter = FilterDesign(view, original: picture, lambda: lambda, execution).best()
      if settings.measuresDistortion { filter.apply(to: view, execution) }
    }
    // The filters precede the first segment, though they depend on it.
    let head = PayloadEncoder()
    filter.encode(head, picture.format, previous: nil)
    head.append(first)
    payloads[0] = head.finish()
    bits += head.codeLength
    return CodedLatent(
      position: position, entropy: kind,
      segments: .init(rows: count == 1 ? 0 : latent.layout.segmentRows, count: count),
      payloads: payloads, idealBits: bits, reconstruction: settings.measuresDistortion ? decoded : nil, rdoq: report,
      placeBits: placeBits)
  }

  /// The latent's size and segments.
  func layout(_ picture: PictureView) -> LatentLayout {
    LatentLayout(
      model, width: picture.width, height: picture.height, format: picture.format, segmentRows: segmentRows
    ).balanced
  }

  private func checkLimits(
    _ picture: PictureView, _ settings: EncoderSettings, _ kind: EntropyKind
  ) throws(EncodeError) {
    guard let cost = prepared.cost(isEncoder: true, picture.format, kind, at: settings.position),
      let decoding = prepared.cost(picture.format, kind, at: settings.position)
    else { return }
    let layout = layout(picture)
    do throws(BrokenLimit) {
      try limits.checkEncoding(
        cost, searching: settings.rdoq == .off ? nil : decoding,
        channels: model.latentChannels(at: settings.position), layout, pixels: picture.width * picture.height)
    } catch {
      throw EncodeError(error)
    }
  }

  /// The latent that the analysis network gives, and the quantised hyper-latent.
  private func analyse(
    _ picture: PictureView, at position: RatePosition, _ execution: Execution
  ) -> (Latent, hyperLatent: Latent?) {
    let layout = layout(picture)
    let latent = prepared.program(.analysis, picture.format, at: position, cpu: execution.cpu)
      .analyse(picture, layout, channels: model.latentChannels(at: position), execution)
    return (latent, prepared.hyperLatent(of: latent, at: position, execution))
  }

  /// Quantises all segments and searches for cheaper symbols, if that is asked for: what is to be coded, and what was done.
  /// `decoded` gets the picture that they decode to then.
  private func search(
    _ latent: Latent, _ quantise: (Int, Execution) -> QuantisedSegment, _ codec: SegmentCodec, _ kind: EntropyKind,
    of picture: PictureView, decoded: PictureView, _ settings: EncoderSettings
  ) -> ([QuantisedSegment]?, RDOQReport?) {
    if settings.rdoq == .off { return (nil, nil) }
    let (position, execution) = (settings.position, settings.execution)
    let key = SearchKey(kind: kind, position: position, format: picture.format, cpu: execution.cpu)
    if search?.key != key {
      let synthesis = prepared.program(.synthesis, picture.format, at: position, cpu: execution.cpu)
      search = (LatentSearch(model, picture.format, synthesis, codec, at: position), key)
    }
    let segments = latent.segments.indices.map { quantise($0, execution) }
    let (program, range) = (search?.program, settings.searchShare)
    let length = range.upperBound - range.lowerBound
    let report = program?.optimise(
      latent, segments, of: picture, settings.rdoq, share: settings.rdoqShare, lambda: settings.lambda,
      filters: settings.filters, decoded: decoded, execution, progress: settings.progress,
      monitor: settings.monitor.map { monitor in { monitor(range.lowerBound + length * $0) } })
    return (segments, report)
  }

  /// How the symbols of a latent are chosen without a search: with a hyperprior the latent becomes what they decode to.
  private func quantiser(
    _ latent: Latent, _ hyperLatent: Latent?, _ codec: SegmentCodec, _ kind: EntropyKind, _ settings: EncoderSettings,
    _ format: PixelFormat
  ) -> (_ segment: Int, Execution) -> QuantisedSegment {
    guard let hyperLatent, settings.hasDeadZone else {
      return { codec.quantise(segment: $0, latent, hyperLatent: hyperLatent?.segments[$0].base, $1) }
    }
    let key = SearchKey(kind: kind, position: settings.position, format: format, cpu: settings.execution.cpu)
    let rule: DeadZone
    if let zone, zone.key == key { rule = zone.rule } else { rule = DeadZone(codec) }
    zone = (rule, key)
    return {
      codec.quantise(
        segment: $0, latent, hyperLatent: hyperLatent.segments[$0].base, reference: nil, $1, choice: rule.choice)
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
    let quantise = quantiser(latent, hyperLatent, codec, kind, settings, picture.format)
    var decoded = Picture(blank: picture.width, picture.height, picture.format)
    let segments = decoded.withMutableView {
      search(latent, quantise, codec, kind, of: picture, decoded: $0, settings).0
    }
    return segments ?? latent.segments.indices.map { quantise($0, settings.execution) }
  }

  /// Codes all segments: those given, or else as `quantise` chooses them, one after the other. Gives payloads, of the first
  /// segment what it is to be made of, the ideal code length of the others in bits, and that of each place if it is asked for.
  private func code(
    _ count: Int, _ segments: [QuantisedSegment]?, _ quantise: (Int, Execution) -> QuantisedSegment,
    _ codec: SegmentCodec, _ settings: EncoderSettings
  ) -> (payloads: [[UInt8]], first: PayloadEncoder, bits: Double, placeBits: [Float]) {
    let execution = settings.execution
    let first = PayloadEncoder()
    var coded = [(payload: [UInt8], bits: Double, placeBits: [Float])](repeating: ([], 0, []), count: count)
    let inner = execution.inside(parallel: count)
    coded.withUnsafeMutableBufferPointer { coded in
      // Each thread writes its own segments' elements.
      nonisolated(unsafe) let out = coded.baseAddress!
      parallel(threads: execution.threads, count: count) { i in
        let segment = segments?[i] ?? quantise(i, inner)
        let encoder = i == 0 ? first : PayloadEncoder()
        codec.encode(encoder, segment)
        let bits = i > 0 || settings.countsPlaces ? encoder.codeLength : 0
        out[i] = (
          i == 0 ? [] : encoder.finish(), i == 0 ? 0 : bits, settings.countsPlaces ? segment.placeBits(of: bits) : []
        )
      }
    }
    return (coded.map { $0.payload }, first, coded.reduce(0) { $0 + $1.bits }, coded.flatMap { $0.placeBits })
  }
}

/// Encodes one picture; to encode several, keep an `Encoder`.
public func encode(
  _ picture: Picture, model: Model, settings: EncoderSettings
) throws(EncodeError) -> Encoded {
  try Encoder(model: model).encode(picture, settings)
}

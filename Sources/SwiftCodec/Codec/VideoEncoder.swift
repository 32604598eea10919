// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// How a stream is encoded. None of it changes how it is decoded.
public struct VideoSettings: Sendable {
  /// What is held.
  public enum Rate: Sendable, Equatable {
    /// 0…100, evenly over the models' rates.
    case quality(Double)
    /// Bits a second on average, one pass.
    case bitrate(Double)
    /// No sample of a frame is off by more, 0 (lossless) to 15: residual layers have the frames, without networks.
    case maximumError(Int)
  }

  /// What is held over the stream.
  public var rate = Rate.quality(50)
  /// Added to the quality of intra frames: every later frame is predicted from them.
  public var intraOffset = 24.0
  /// Added to the quality of the inter frames after an intra frame, over and over in this order.
  public var pattern: [Double] = [8, -4, 0, -4]
  /// What a bit of vectors is worth, over what the models' λ says.
  public var motionWeight = 1.1
  /// Frames from one intra frame to the next at most; 0 for no limit.
  public var intraPeriod = 0
  /// Whether a frame that the one before does not predict becomes an intra frame.
  public var detectsScenes = true
  /// The search for a cheaper latent in inter frames.
  public var rdoq = RDOQ.off
  /// The search for a cheaper latent in intra frames, which are few and take a large part of the bits.
  public var intraRDOQ = RDOQ.fast
  /// As `EncoderSettings.hasDeadZone`.
  package var hasDeadZone = true
  /// As `EncoderSettings.filters`.
  public var filters = true
  /// Of residual layers, as `EncoderSettings.residualEffort`.
  public var residualEffort = 1
  /// What errors of inter frames count in that search, over what the models' λ says.
  public var searchWeight = 0.8
  /// The same of intra frames: what they lose is missing in all that follow.
  public var intraSearchWeight = 2.0
  /// Of the search for vectors: 0…2.
  public var motionEffort = 2
  /// nil for the best one that both models have.
  public var entropy: EntropyKind?
  /// Height of a segment in rows of the latent: a multiple of 8 up to 2040; 0 for one segment.
  public var segmentRows = 24
  /// Carried in the header.
  public var colour = ColourDescription.unspecified
  /// Frames a second as a fraction; 0/1 if it is not known.
  public var frameRate = (numerator: 0, denominator: 1)
  /// Threads and kernels; no result depends on it.
  public var execution = Execution()

  /// Constant quality, one intra frame and more at scene cuts.
  public init() {}

  var maximumError: Int? {
    guard case .maximumError(let error) = rate else { return nil }
    return error
  }
}

/// Encodes a video stream frame by frame, one packet out for each frame in. One thread at a time may use it.
public final class VideoEncoder {
  /// Frames for which the models would take more are refused before it is spent, as pictures are by `Encoder`: only memory
  /// and multiply-adds a pixel. How many pixels, and how long to search, the caller says.
  public var limits = Limits()
  private let settings: VideoSettings
  private let execution: Execution
  let state: VideoState
  private var writer: VideoPacketWriter
  private let search: MotionSearch
  private var control: RateControl
  /// The last ones used: qualities alternate between few positions.
  private var zones: [(rule: DeadZone, isIntra: Bool, position: RatePosition)] = []
  private var searches: [Bool: (program: LatentSearch, position: RatePosition)] = [:]
  private var frames = 0
  private var sinceIntra = 0
  /// Whether `segments` are kept, for fitting of entropy models.
  package var keepsSegments = false
  /// What was coded of the last frame.
  package private(set) var segments: [QuantisedSegment] = []

  /// The stream's first bytes.
  public var header: [UInt8] { writer.header }

  /// A frame's packet, and what the encoder knows of it.
  public struct Packet: Sendable {
    /// A whole packet, as `VideoDecoder.decode` takes it.
    public let bytes: [UInt8]
    /// Whether it needs no other frame.
    public let isIntra: Bool
    /// Of the frame's model; nil for a frame that a residual layer has.
    public let position: RatePosition?
  }

  /// The header of a stream that these make; an error if they make none.
  static func header(
    intra: Model, inter: Model?, width: Int, height: Int, _ settings: VideoSettings
  ) throws(EncodeError) -> VideoHeader {
    let kinds = intra.entropyKinds.filter { kind in
      inter.map { $0.entropyKinds.contains { $0.rawValue == kind.rawValue } } ?? true
    }
    guard let entropy = settings.entropy ?? kinds.max(by: { $0.rawValue < $1.rawValue }),
      kinds.contains(where: { $0.rawValue == entropy.rawValue })
    else { throw .entropyModel(settings.entropy) }
    guard settings.segmentRows % 8 == 0, 0...2040 ~= settings.segmentRows else {
      throw .segmentRows(settings.segmentRows)
    }
    if case .bitrate(let bits) = settings.rate, !(1...1e12 ~= bits) { throw .bitrate(bits) }
    if let error = settings.maximumError, !(ResidualCodec.maximumErrors ~= error) { throw .maximumError(error) }
    let rate = settings.frameRate
    guard UInt32(exactly: rate.numerator) != nil, (UInt32(exactly: rate.denominator) ?? 0) > 0 else {
      throw .frameRate(numerator: rate.numerator, denominator: rate.denominator)
    }
    guard 0...2 ~= settings.motionEffort else { throw .motionEffort(settings.motionEffort) }
    guard 1...65535 ~= width, 1...65535 ~= height,
      Int64(width) * Int64(height) <= Int64(VideoDecoder.maximumPixels)
    else { throw .size(width: width, height: height) }
    let header = VideoHeader(
      intraModelID: intra.bitstreamID(at: intra.positions.lowerBound),
      interModelID: inter.map { $0.bitstreamID(at: $0.positions.lowerBound) }, entropy: entropy, format: .yuv420,
      width: width,
      height: height, rate: settings.frameRate, colour: settings.colour, segmentRows: settings.segmentRows)
    do throws(DecodeError) { try VideoState.check(header, intra: intra, inter: inter) } catch { throw .format(.yuv420) }
    let memory = memory(intra: intra, inter: inter, header, settings)
    guard Memory.has(memory) else { throw .outOfMemory(needed: memory) }
    return header
  }

  /// What it takes at most, in bytes.
  static func memory(intra: Model, inter: Model?, _ header: VideoHeader, _ settings: VideoSettings) -> Int64 {
    let isLayer = settings.maximumError != nil
    let networks = videoMemory(
      intra, inter, header.entropy, width: header.width, height: header.height, settings.execution, isEncoding: true,
      searches: !isLayer && (settings.rdoq != .off || settings.intraRDOQ != .off))
    guard isLayer else { return networks }
    let threads = settings.execution.threads
    return networks + layerDecodingBytes(header, threads: threads)
      + ResidualCodec.encodingBytes(
        width: header.width, height: header.height, format: header.format, threads: threads)
  }

  /// `inter` is nil for a stream of intra frames alone. Frames are 4:2:0, `width` × `height`.
  public init(intra: Model, inter: Model?, width: Int, height: Int, _ settings: VideoSettings) throws(EncodeError) {
    let header = try Self.header(intra: intra, inter: inter, width: width, height: height, settings)
    do throws(DecodeError) { state = try VideoState(header, intra: intra, inter: inter) } catch {
      throw .format(.yuv420)
    }
    self.settings = settings
    var execution = settings.execution
    execution.pool = state.pool
    self.execution = execution
    writer = VideoPacketWriter(header)
    search = MotionSearch(width: width, height: height)
    control = RateControl(settings, pixels: width * height)
  }

  /// Encodes the next frame, a 4:2:0 picture of the stream's size.
  public func encode(_ frame: Picture) throws(EncodeError) -> Packet {
    try frame.withView { view throws(EncodeError) in try encode(view) }
  }

  /// The decoded last frame, as decoders have it.
  public var reconstruction: Picture { state.reference.picture }

  /// The stream's last bytes.
  public func finish() -> [UInt8] { writer.finish() }

  func encode(_ frame: PictureView) throws(EncodeError) -> Packet {
    guard frame.format == .yuv420 else { throw .format(frame.format) }
    guard frame.width == state.header.width, frame.height == state.header.height else {
      throw .size(width: frame.width, height: frame.height)
    }
    if let error = settings.maximumError { return encode(frame, within: error) }
    let base = control.quality()
    let turn = settings.pattern.isEmpty ? 0 : settings.pattern[max(0, sinceIntra - 1) % settings.pattern.count]
    let quality = base + turn
    var isIntra = beginsAnew
    if !isIntra {
      let model = state.model(isIntra: false)
      let position = model.position(quality: quality)
      try check(isIntra: false, at: position)
      if let tables = model.motion {
        isIntra = !predict(
          frame, tables, lambda: settings.motionWeight * Self.motionLambda(model.lambda(at: position)))
      }
    }
    let position = state.model(isIntra: isIntra).position(quality: isIntra ? base + settings.intraOffset : quality)
    if isIntra { try check(isIntra: true, at: position) }
    let coded = encode(frame, isIntra: isIntra, at: position)
    let bytes = writer.frame(isIntra: isIntra, position, coded)
    control.spent(8 * bytes.count, isIntra: isIntra)
    count(isIntra: isIntra)
    return Packet(bytes: bytes, isIntra: isIntra, position: position)
  }

  /// Whether the next frame is an intra frame whatever it shows.
  private var beginsAnew: Bool {
    frames == 0 || state.interModel == nil || settings.intraPeriod > 0 && sinceIntra >= settings.intraPeriod
  }

  /// Finds vectors and predicts the frame from the one before; false for a new scene.
  private func predict(_ frame: PictureView, _ tables: MotionTables, lambda: Double) -> Bool {
    search.run(
      frame, state.reference, state.field, tables, lambda: lambda, effort: settings.motionEffort, execution)
    state.field.compensate(state.reference, into: state.predicted, execution)
    if state.hasSecond {
      state.second.begin(after: state.field)
      search.run(
        frame, state.older, single: state.predicted, state.second, tables, lambda: lambda,
        effort: settings.motionEffort, execution)
      state.compensateSecond(execution)
    }
    return !settings.detectsScenes || !isNewScene(frame)
  }

  private func count(isIntra: Bool) {
    frames += 1
    sinceIntra = isIntra ? 1 : sinceIntra + 1
  }

  /// Encodes a frame as a residual layer, of the motion-compensated frame or alone.
  private func encode(_ frame: PictureView, within maximumError: Int) -> Packet {
    let picture = Picture(copying: frame)
    var residual = ResidualCodec.Settings()
    residual.maximumError = maximumError
    residual.effort = min(max(0, settings.residualEffort), 2)
    var (vectors, base): ([UInt8]?, Picture?)
    let layer: [UInt8]
    // Errors within the bound cost next to nothing (docs/experiments/trials.csv has what was tried).
    if !beginsAnew, let tables = state.interModel?.motion,
      predict(frame, tables, lambda: 24 * Double((1 + maximumError) * (1 + maximumError)))
    {
      let payload = PayloadEncoder(state.pool)
      state.encodeVectors(payload, tables)
      vectors = payload.finish()
      let predicted = state.predicted.picture
      base = predicted
      layer = ResidualCodec.encode(picture, predicted: predicted, settings: residual, execution: execution)
    } else {
      layer = ResidualCodec.encode(picture, settings: residual, execution: execution)
    }
    var decoded = picture
    if maximumError > 0 {
      guard
        let coarse = try? ResidualCodec.decode(
          layer, base: base, width: picture.width, height: picture.height, format: picture.format, execution: execution)
      else { preconditionFailure("a layer of its own decodes") }
      decoded = coarse
    }
    let isIntra = vectors == nil
    state.finish(decoded, isIntra: isIntra)
    segments = []
    count(isIntra: isIntra)
    return Packet(bytes: writer.frame(layer: layer, vectors: vectors), isIntra: isIntra, position: nil)
  }

  /// Whether a frame may be coded at a position, before anything is made ready for it.
  private func check(isIntra: Bool, at position: RatePosition) throws(EncodeError) {
    let model = state.model(isIntra: isIntra)
    let searches = (isIntra ? settings.intraRDOQ : settings.rdoq) != .off
    if searches {
      let lambda = searchLambda(isIntra: isIntra, at: position)
      guard RatePoint.lambdas ~= lambda else { throw .lambda(lambda) }
    }
    guard let cost = state.cost(isEncoder: true, isIntra: isIntra, at: position) else {
      throw .entropyModel(state.entropy)
    }
    let layout = state.layout(isIntra: isIntra)
    let (width, height) = (layout.paddedWidth, layout.paddedHeight)
    do throws(BrokenLimit) {
      try limits.checkEncoding(
        cost, searching: searches ? state.cost(isIntra: isIntra, at: position) : nil,
        kept: model.keptElements(state.header.format, width: width, height: height),
        channels: model.latentChannels(at: position), layout, pixels: state.header.width * state.header.height)
    } catch {
      throw EncodeError(error)
    }
  }

  private func searchLambda(isIntra: Bool, at position: RatePosition) -> Double {
    (isIntra ? settings.intraSearchWeight : settings.searchWeight) * state.model(isIntra: isIntra).lambda(at: position)
  }

  /// What a bit is worth in squared errors of luma, which is 6 of the 8 parts of the distortion.
  static func motionLambda(_ lambda: Double) -> Double { 8 / (6 * lambda) }

  /// Whether most of the frame resembles itself more than its prediction. Every second sample of every second row tells
  /// enough.
  private func isNewScene(_ frame: PictureView) -> Bool {
    let parts = parts(of: frame.height, execution)
    let sums = AlignedBuffer<UInt64>(count: 2 * parts, zero: 0, state.pool)
    let (luma, predicted) = (frame.components[0], state.predicted.frame.plane.0)
    parallel(threads: execution.threads, count: parts) { i in
      var (luma, predicted) = (luma, predicted)
      let (first, end) = (i * frame.height / parts, (i + 1) * frame.height / parts)
      sc_motion_scene(&luma, &predicted, Int32(first), Int32(end), sums.base + 2 * i)
    }
    var (inter, intra): (UInt64, UInt64) = (0, 0)
    for i in 0..<parts {
      inter += sums.base[2 * i]
      intra += sums.base[2 * i + 1]
    }
    let samples = UInt64(max(1, (frame.width + 1) / 2 * ((frame.height - 1) / 2)))
    return inter > 6 * samples && 10 * inter > 9 * intra
  }

  private func encode(_ frame: PictureView, isIntra: Bool, at position: RatePosition) -> CodedSegments {
    let model = state.model(isIntra: isIntra)
    let layout = state.layout(isIntra: isIntra)
    let inputs = isIntra ? nil : state.inputs(at: position, execution)
    let latent = state.program(.analysis, isIntra: isIntra, at: position, cpu: execution.cpu)
      .analyse(frame, layout, channels: model.latentChannels(at: position), reference: inputs, execution)
    let hyperLatent = state.hyperLatent(of: latent, isIntra: isIntra, at: position, reference: inputs, execution)
    let codec = state.codec(isIntra: isIntra, at: position, cpu: execution.cpu)
    let count = layout.segmentCount
    let rdoq = isIntra ? settings.intraRDOQ : settings.rdoq
    let choosesZeros = hyperLatent != nil && settings.hasDeadZone
    let choice = choosesZeros ? deadZone(isIntra: isIntra, codec, at: position).choice : nil
    var segments = [QuantisedSegment?](repeating: nil, count: count)
    segments.withUnsafeMutableBufferPointer { segments in
      // Each thread writes its own segments' elements.
      nonisolated(unsafe) let out = segments.baseAddress!
      forEachJob(count, execution) { i, inner in
        out[i] = codec.quantise(
          segment: i, latent, hyperLatent: hyperLatent?.segments[i].base, reference: inputs, inner, choice: choice)
      }
    }
    let quantised = segments.compactMap { $0 }
    if rdoq != .off {
      let lambda = searchLambda(isIntra: isIntra, at: position)
      var decoded = Picture(blank: frame.width, frame.height, frame.format)
      decoded.withMutableView { decoded in
        _ = latentSearch(isIntra: isIntra, codec, at: position).optimise(
          latent, quantised, of: frame, reference: inputs, rdoq, lambda: lambda, filters: settings.filters,
          decoded: decoded, execution, progress: nil)
      }
    }
    // With the quantised latent decoded, blocks that the prediction shows better are found before their flags are coded.
    let fieldPayload = PayloadEncoder(state.pool)
    let hasMotion = !isIntra && model.motion != nil
    if hasMotion, let tables = model.motion { state.encodeVectors(fieldPayload, tables) }
    let previous = state.previousFilter(isIntra: isIntra)
    var filter = PictureFilter()
    state.finish(latent, inputs, isIntra: isIntra, at: position, execution) {
      if hasMotion, model.networks.readsMotion {
        state.skips.choose(
          frame, state.predicted, state.reference, bias: VideoEncoder.skipBias(model.lambda(at: position)), execution)
      }
      guard settings.filters else { return filter }
      let (decoded, lambda) = (state.reference.view, searchLambda(isIntra: isIntra, at: position))
      let skipsBlocks = hasMotion && model.networks.readsMotion && state.skips.isUsed
      filter = FilterDesign(
        decoded, original: frame, lambda: lambda,
        skip: skipsBlocks ? UnsafePointer(state.skips.flags.base) : nil, execution
      ).best(
        previous: previous,
        margin: isIntra ? 0 : Self.filterMargin * FilterDesign.distortion(decoded, of: frame, lambda: lambda))
      return filter
    }
    if hasMotion { state.skips.flags.encode(fieldPayload) }
    filter.encode(fieldPayload, .yuv420, previous: previous)
    self.segments = keepsSegments ? quantised : []
    let encoders = (0..<count).map { $0 == 0 ? fieldPayload : PayloadEncoder(state.pool) }
    var coded = [[UInt8]](repeating: [], count: count)
    let histories = isIntra ? nil : state.activity
    coded.withUnsafeMutableBufferPointer { coded in
      // Each thread writes its own segments' elements.
      nonisolated(unsafe) let out = coded.baseAddress!
      parallel(threads: execution.threads, count: count) { i in
        codec.encode(encoders[i], quantised[i], history: histories?[i])
        out[i] = encoders[i].finish()
      }
    }
    let isSmall =
      !isIntra && coded.reduce(0, { $0 + $1.count }) < VideoPacketPrefix.smallPayload
      && frame.width * frame.height <= VideoPacketPrefix.mostSmallPixels
    return CodedSegments(payloads: isSmall ? encoders.map { $0.finish(lanes: 1) } : coded, isSmall: isSmall)
  }

  /// The part of an inter frame's distortion that a filter is to take away at least. Filters that take away less make the
  /// frame better and those after it worse: what they smooth is missing there.
  private static let filterMargin = 0.03

  /// The distortion (`DistortionMeter`) that two bits are worth.
  private static func skipBias(_ lambda: Double) -> Int { Int(min(1e6, 4 * 2 / lambda)) }

  private func deadZone(isIntra: Bool, _ codec: SegmentCodec, at position: RatePosition) -> DeadZone {
    if let known = zones.first(where: { $0.isIntra == isIntra && $0.position == position }) { return known.rule }
    let rule = DeadZone(codec)
    zones.insert((rule, isIntra, position), at: 0)
    if zones.count > 4 { zones.removeLast() }
    return rule
  }

  private func latentSearch(isIntra: Bool, _ codec: SegmentCodec, at position: RatePosition) -> LatentSearch {
    if let known = searches[isIntra], known.position == position { return known.program }
    let synthesis = state.program(.synthesis, isIntra: isIntra, at: position, cpu: execution.cpu)
    let program = LatentSearch(state.model(isIntra: isIntra), .yuv420, synthesis, codec, at: position)
    searches[isIntra] = (program, position)
    return program
  }
}

/// Chooses each frame's quality.
private struct RateControl {
  private let rate: VideoSettings.Rate
  /// Bits that a frame may have on average.
  private let bitsPerFrame: Double
  private var current: Double
  /// Bits spent beyond those that were due.
  private var excess = 0.0
  /// Frames coded.
  private var frames = 0.0

  init(_ settings: VideoSettings, pixels: Int) {
    rate = settings.rate
    switch rate {
    case .quality(let quality):
      bitsPerFrame = 0
      current = quality
    case .bitrate(let bits):
      let numerator = settings.frameRate.numerator
      let fps = numerator > 0 ? Double(numerator) / Double(settings.frameRate.denominator) : 25
      bitsPerFrame = bits / fps
      // A start: quality grows with the logarithm of bits a pixel.
      let perPixel = max(1e-4, bitsPerFrame / Double(pixels))
      current = min(100, max(0, 62 + 14 * binaryLogarithm(perPixel * 10)))
    case .maximumError:
      bitsPerFrame = 0
      current = 0
    }
  }

  mutating func quality() -> Double {
    if case .bitrate = rate { return min(100, max(0, current)) }
    return current
  }

  /// Takes note of a frame's size. The excess is to be worked off within about half a second.
  mutating func spent(_ bits: Int, isIntra: Bool) {
    guard case .bitrate = rate else { return }
    frames += 1
    excess += Double(bits) - bitsPerFrame
    // An intra frame is paid back over a longer time.
    let horizon = isIntra ? 60.0 : 24.0
    let wanted = max(0.2 * bitsPerFrame, bitsPerFrame - excess / horizon)
    if !isIntra {
      let step = 10 * binaryLogarithm(wanted / max(1, Double(bits)))
      current += min(4, max(-4, 0.5 * step))
    } else if excess > 12 * bitsPerFrame {
      current -= 4
    }
    current = min(100, max(0, current))
  }
}

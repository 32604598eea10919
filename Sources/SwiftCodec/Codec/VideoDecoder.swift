// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Decodes a video stream packet by packet, one frame out for each frame in. One thread at a time may use it.
///
/// After an error the frames up to the next intra frame are refused; with that one decoding goes on.
public final class VideoDecoder {
  /// Threads and kernels of the next call; no result depends on it.
  public var execution: Execution
  /// Of each frame: packets that would take more are refused before it is spent.
  public var limits = Limits()
  /// Streams of larger frames are refused.
  public static let maximumPixels = 1 << 26
  let state: VideoState
  private let seed: UInt32
  private let segmentCount: (intra: Int, inter: Int)
  /// The number of the next frame, if none is missing.
  private var next = 0
  /// Whether there is a frame that an inter frame would follow on.
  private var hasReference = false
  /// Frames that were handed out, in turn: one that the caller has dropped is filled again.
  private var pictures: [Picture] = []
  private static let picturesKept = 3

  /// The stream's header.
  public var header: VideoHeader { state.header }

  /// `header` are the bytes of the stream's header, `intra` and `inter` the models that it names; `inter` is nil for a
  /// stream of intra frames alone. Frames are 4:2:0.
  public init(
    header bytes: [UInt8], intra: Model, inter: Model?, execution: Execution = Execution()
  ) throws(DecodeError) {
    var size = 0
    let header = try VideoHeader(parsing: bytes, size: &size)
    state = try VideoState(header, intra: intra, inter: inter)
    seed = VideoPacketWriter.seed(Array(bytes[..<size]))
    segmentCount = (state.layout(isIntra: true).segmentCount, state.layout(isIntra: false).segmentCount)
    self.execution = execution
  }

  /// A decoded frame.
  public struct Frame: Sendable {
    /// 4:2:0, of the stream's size.
    public let picture: Picture
    /// Counts from 0.
    public let number: Int
    /// Whether it needs no other frame.
    public let isIntra: Bool
    /// The place on the rate scale of the frame's model; nil for a frame that a residual layer has.
    public let position: RatePosition?
  }

  /// Decodes a packet; nil for one without a frame: the index, the end, and what an older decoder need not know.
  public func decode(_ packet: [UInt8]) throws(DecodeError) -> Frame? {
    guard let frame = try decodeFrame(packet) else { return nil }
    if pictures.count < Self.picturesKept {
      pictures.append(
        Picture(
          unchecked: header.width, header.height, header.format,
          [UInt8](repeating: 0, count: header.format.sampleCount(width: header.width, height: header.height))))
    } else {
      pictures.append(pictures.removeFirst())
    }
    let i = pictures.count - 1
    pictures[i].withMutableView { copyFrame(to: $0) }
    return Frame(picture: pictures[i], number: frame.number, isIntra: frame.isIntra, position: frame.position)
  }

  /// Copies the last decoded frame into memory of the caller, of its size and format.
  func copyFrame(to picture: PictureView) { state.reference.copy(to: picture) }

  /// Decodes a packet to the reference frame.
  func decodeFrame(_ packet: [UInt8]) throws(DecodeError) -> VideoFrame? {
    let prefix = try VideoPacketPrefix(parsing: packet)
    do throws(DecodeError) {
      guard prefix.size == packet.count else { throw .truncated(offset: packet.count) }
      try VideoFrame.verify(packet, prefix, at: 0, seed: seed)
      guard let isIntra = prefix.isIntra else {
        guard prefix.tag.isOptional || prefix.tag == .end else { throw .unknownBox(prefix.tag) }
        return nil
      }
      let frame = try VideoFrame(
        parsing: packet, prefix, at: 0, segmentCount: isIntra ? segmentCount.intra : segmentCount.inter, next: next)
      let expected = next
      next = frame.number + 1
      if !isIntra {
        guard hasReference, state.interModel != nil else { throw .missingReference(frame: frame.number) }
        guard frame.number == expected else { throw .frameNumber(frame.number, expected: expected) }
      }
      switch frame.content {
      case .networks(let position, let segments):
        if prefix.isSmall, header.width * header.height > VideoPacketPrefix.mostSmallPixels {
          throw .tooLarge(width: header.width, height: header.height, limit: VideoPacketPrefix.mostSmallPixels)
        }
        let lanes = prefix.isSmall ? 1 : SC_RANS_LANES
        try decode(packet, isIntra: isIntra, at: position, segments, lanes: lanes)
      case .layer(let layer, let vectors): try decode(packet, layer: layer, vectors: vectors)
      }
      hasReference = true
      return frame
    } catch {
      hasReference = false
      throw error
    }
  }

  private func checkSize(_ size: Int) throws(DecodeError) {
    let pixels = limits.pixels(size: size)
    guard Int64(header.width) * Int64(header.height) <= Int64(pixels) else {
      throw .tooLarge(width: header.width, height: header.height, limit: pixels)
    }
  }

  private func checkLimits(
    _ model: Model, _ position: RatePosition, lanes: Int32, size: Int
  ) throws(DecodeError) {
    guard let cost = state.cost(isIntra: !model.isInter, at: position) else {
      throw .entropyModel(header.entropy)
    }
    try checkSize(size)
    let (most, mostWork) = (limits.memory(size: size), limits.work(size: size))
    do throws(BrokenLimit) { try limits.check(cost, memory: most, work: mostWork) } catch { throw DecodeError(error) }
    let layout = state.layout(isIntra: !model.isInter)
    let work = cost.preparation + cost.work(model, width: layout.paddedWidth, height: layout.paddedHeight, lanes: lanes)
    guard work <= mostWork else { throw .work(needed: work, limit: mostWork) }
    // Tensors that stay whole from frame to frame, and those that later networks read.
    let kept = model.keptElements(header.format, width: layout.paddedWidth, height: layout.paddedHeight)
    let places = Double(layout.width) * Double(layout.height)
    let needed = cost.preparedBytes + 4 * kept + 16 * places * Double(model.latentChannels(at: position))
    guard needed <= Double(most) else { throw .memory(needed: Int64(min(needed, 0x1p62)), limit: most) }
  }

  /// Decodes a frame that a layer has.
  private func decode(_ packet: [UInt8], layer: Range<Int>, vectors: Range<Int>?) throws(DecodeError) {
    try checkSize(packet.count)
    let (most, work) = (limits.memory(size: packet.count), limits.work(size: packet.count))
    let needed = layerDecodingBytes(header, threads: execution.threads)
    guard needed <= most else { throw .memory(needed: needed, limit: most) }
    guard Memory.has(needed) else { throw .outOfMemory(needed: needed) }
    let samples = Double(header.format.sampleCount(width: header.width, height: header.height))
    guard Decoder.layerWork * samples <= work else { throw .work(needed: Decoder.layerWork * samples, limit: work) }
    var base: Picture?
    if let vectors {
      guard let tables = state.interModel?.motion else { throw .modelKind }
      guard var decoder = PayloadDecoder(packet, in: vectors, state.pool), state.decodeVectors(&decoder, tables),
        decoder.isFinished
      else { throw .payload(segment: 0) }
      var execution = execution
      execution.pool = state.pool
      state.compensate(execution)
      base = state.predicted.picture
    }
    do throws(ResidualError) {
      let picture = try ResidualCodec.decode(
        packet, in: layer, base: base, width: header.width, height: header.height, format: header.format,
        execution: execution)
      state.finish(picture, isIntra: vectors == nil)
    } catch { throw .residual(error) }
  }

  private func decode(
    _ packet: [UInt8], isIntra: Bool, at position: RatePosition, _ segments: [Range<Int>], lanes: Int32
  ) throws(DecodeError) {
    var execution = execution
    execution.pool = state.pool
    let model = state.model(isIntra: isIntra)
    let id = isIntra ? state.header.intraModelID : state.header.interModelID ?? 0
    guard model.decodes(model: id, at: position) else {
      throw .position(position, count: model.ratePoints(ofModel: id) ?? 0)
    }
    try checkLimits(model, position, lanes: lanes, size: packet.count)
    let codec = state.codec(isIntra: isIntra, at: position, cpu: execution.cpu)
    let layout = state.layout(isIntra: isIntra)
    let latent = Latent(uninitialised: layout, channels: model.latentChannels(at: position), state.pool)

    // The first segment's payload begins with the vectors.
    guard var first = PayloadDecoder(packet, in: segments[0], lanes: lanes, state.pool) else {
      throw .payload(segment: 0)
    }
    var inputs: ReferenceInputs?
    if !isIntra {
      if let tables = model.motion {
        guard state.decodeVectors(&first, tables), state.skips.flags.decode(&first) else { throw .payload(segment: 0) }
        state.compensate(execution)
      }
      inputs = state.inputs(at: position, execution)
    }
    guard
      let filter = PictureFilter.decode(&first, header.format, previous: state.previousFilter(isIntra: isIntra))
    else { throw .payload(segment: 0) }
    let count = segments.count
    let good = AlignedBuffer<UInt8>(count: count, zero: 0, state.pool)
    let begun = first
    let reference = inputs
    let histories = isIntra ? nil : state.activity
    forEachJob(count, execution) { i, inner in
      let own = i == 0 ? begun : PayloadDecoder(packet, in: segments[i], lanes: lanes, inner.pool)
      guard var decoder = own else { return }
      let isGood =
        codec.decode(&decoder, segment: i, latent, reference: reference, history: histories?[i], inner)
        && decoder.isFinished
      good.base[i] = isGood ? 1 : 0
    }
    for i in 0..<count where good.base[i] == 0 { throw .payload(segment: i) }
    state.finish(latent, inputs, isIntra: isIntra, at: position, execution) { filter }
  }
}

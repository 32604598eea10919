// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// What encoder and decoder of a stream share: the frame before, and what an inter frame is predicted from. Both take the
/// same steps with the same integers, so that they never drift apart.
final class VideoState {
  let header: VideoHeader
  let entropy: EntropyKind
  /// Of intra frames and of inter frames.
  private var intra: PreparedModel
  private var inter: PreparedModel?
  /// The decoded frame before, with its margins.
  private(set) var reference: MotionFrame
  /// The one before it, which second predictions come from if the reference is an inter frame.
  private(set) var older: MotionFrame
  /// The motion-compensated frame.
  let predicted: MotionFrame
  let field: MotionField
  /// Second vectors, of blocks with two predictions.
  let second: MotionField
  let skips: SkipMask
  /// What one frame leaves to the next.
  let pool = MemoryPool()
  /// Of the frame before, and its exponent.
  private var latent: Latent?
  private var latentExponent = 0
  private var states: [TensorPlane] = []
  /// That of the last frame with one, since the last intra frame.
  private(set) var filter = PictureFilter()
  /// Of the segments of inter frames.
  private(set) var activity: [ActivityHistory] = []
  private var contexts: [TensorPlane] = []

  var intraModel: Model { intra.model }
  var interModel: Model? { inter?.model }

  /// Whether a stream with this header can be coded with these models. Nothing but this throws in the initialisers of
  /// classes that code streams; where it comes first, none throws at all: an object that is not initialised does not get
  /// its memory freed in the Embedded library.
  static func check(_ header: VideoHeader, intra: Model, inter: Model?) throws(DecodeError) {
    guard Int64(header.width) * Int64(header.height) <= Int64(VideoDecoder.maximumPixels) else {
      throw .tooLarge(width: header.width, height: header.height, limit: VideoDecoder.maximumPixels)
    }
    guard intra.ratePoints(ofModel: header.intraModelID) != nil else {
      throw .model(wanted: header.intraModelID, loaded: intra.shortID)
    }
    if let wanted = header.interModelID {
      guard let inter, inter.ratePoints(ofModel: wanted) != nil else {
        throw .model(wanted: wanted, loaded: inter?.shortID ?? 0)
      }
      guard inter.isInter, inter.formats.contains(header.format) else { throw .modelKind }
      guard inter.entropyKinds.contains(where: { $0.rawValue == header.entropy.rawValue }) else {
        throw .entropyModel(header.entropy)
      }
    }
    guard !intra.isInter else { throw .modelKind }
    guard intra.formats.contains(header.format), header.format == .yuv420 else { throw .format(header.format) }
    guard intra.entropyKinds.contains(where: { $0.rawValue == header.entropy.rawValue }) else {
      throw .entropyModel(header.entropy)
    }
  }

  init(_ header: VideoHeader, intra: Model, inter: Model?) throws(DecodeError) {
    try Self.check(header, intra: intra, inter: inter)
    self.header = header
    entropy = header.entropy
    self.intra = PreparedModel(intra)
    self.inter = header.interModelID == nil ? nil : inter.map { PreparedModel($0) }
    reference = MotionFrame(width: header.width, height: header.height)
    older = MotionFrame(width: header.width, height: header.height)
    predicted = MotionFrame(width: header.width, height: header.height)
    field = MotionField(width: header.width, height: header.height)
    second = MotionField(width: header.width, height: header.height, isSecond: true)
    skips = SkipMask(width: header.width, height: header.height)
  }

  func model(isIntra: Bool) -> Model { isIntra ? intra.model : inter?.model ?? intra.model }

  func layout(isIntra: Bool) -> LatentLayout {
    LatentLayout(
      model(isIntra: isIntra), width: header.width, height: header.height, format: header.format,
      segmentRows: header.segmentRows == 0 ? nil : header.segmentRows)
  }

  func program(_ role: GraphRole, isIntra: Bool, at position: RatePosition, cpu: CPU) -> NetworkProgram {
    if !isIntra, inter != nil { return inter!.program(role, header.format, at: position, cpu: cpu) }
    return intra.program(role, header.format, at: position, cpu: cpu)
  }

  /// Its entropy model has been found in `init`.
  func codec(isIntra: Bool, at position: RatePosition, cpu: CPU) -> SegmentCodec {
    let codec =
      !isIntra && inter != nil
      ? inter!.segmentCodec(entropy, at: position, cpu: cpu) : intra.segmentCodec(entropy, at: position, cpu: cpu)
    guard let codec else { preconditionFailure("the entropy model was found before") }
    return codec
  }

  func cost(isEncoder: Bool = false, isIntra: Bool, at position: RatePosition) -> ModelCost? {
    if !isIntra, inter != nil { return inter!.cost(isEncoder: isEncoder, header.format, entropy, at: position) }
    return intra.cost(isEncoder: isEncoder, header.format, entropy, at: position)
  }

  func hyperLatent(
    of latent: Latent, isIntra: Bool, at position: RatePosition, reference: ReferenceInputs?, _ execution: Execution
  ) -> Latent? {
    if !isIntra, inter != nil { return inter!.hyperLatent(of: latent, at: position, reference: reference, execution) }
    return intra.hyperLatent(of: latent, at: position, execution)
  }

  /// Whether blocks may have two predictions: the frame before has vectors, so that there is one before it.
  var hasSecond: Bool { field.hasPrevious }

  /// Motion compensation with the field's vectors, and with the second ones where blocks have them.
  func compensate(_ execution: Execution) {
    field.compensate(reference, into: predicted, execution)
    compensateSecond(execution)
  }

  /// Adds the second predictions to a frame that has the first ones.
  func compensateSecond(_ execution: Execution) {
    if hasSecond, second.flags?.isUsed == true { second.compensate(older, into: predicted, execution) }
  }

  /// Reads all vectors of a frame. False for a damaged payload.
  func decodeVectors(_ decoder: inout PayloadDecoder, _ tables: MotionTables) -> Bool {
    guard field.decode(&decoder, tables) else { return false }
    guard hasSecond else { return true }
    second.begin(after: field)
    return second.decode(&decoder, tables)
  }

  func encodeVectors(_ encoder: PayloadEncoder, _ tables: MotionTables) {
    field.encode(encoder, tables)
    if hasSecond { second.encode(encoder, tables) }
  }

  /// What an inter frame's networks read, that of the context network included. A model that reads predicted planes needs
  /// `compensate` before.
  func inputs(at position: RatePosition, _ execution: Execution) -> ReferenceInputs {
    guard let model = interModel else { preconditionFailure("an inter frame in a stream without their model") }
    let layout = layout(isIntra: false)
    var inputs = ReferenceInputs()
    if model.networks.readsMotion { inputs.predicted = predicted.view }
    inputs.latent = matching(latent, layout, channels: model.latentChannels(at: position), model.latentExponent)
    if states.isEmpty { states = planes(of: stateTensors(model), layout) }
    inputs.states = states
    guard model.graph(.context, header.format) != nil else { return inputs }
    let program = program(.context, isIntra: false, at: position, cpu: execution.cpu)
    let channels = program.outputs.map { program.tensors[$0.tensor].channels }
    if contexts.map({ $0.channels }) != channels {
      contexts = program.outputs.map {
        let tensor = program.tensors[$0.tensor]
        return TensorPlane(
          width: layout.paddedWidth / tensor.divisor, height: layout.paddedHeight / tensor.divisor,
          channels: tensor.channels)
      }
    }
    let known = inputs
    program.run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution,
      source: { input, y, row in
        known.load(program.inputs[input], row: y, row, width: layout.paddedWidth / program.tensors[input].divisor)
      },
      sink: { [contexts] output, y, row in contexts[program.outputs[output].index].write(row: y, row) })
    inputs.contexts = contexts
    return inputs
  }

  /// A latent of another shape or exponent, such as that of another model's intra frame, is taken for zero.
  private func matching(_ latent: Latent?, _ layout: LatentLayout, channels: Int, _ exponent: Int) -> Latent {
    if let latent, latentExponent == exponent, latent.channels == channels, latent.layout.width == layout.width,
      latent.layout.height == layout.height
    {
      return latent
    }
    return Latent(layout: layout, channels: channels, pool)
  }

  /// The states that a frame of a model leaves behind.
  private func stateTensors(_ model: Model?) -> [TensorInfo] {
    guard let synthesis = model?.graph(.synthesis, header.format) else { return [] }
    return synthesis.outputs.filter { $0.name == .state }.map { synthesis.tensors[$0.tensor] }
  }

  /// Zeros.
  private func planes(of tensors: [TensorInfo], _ layout: LatentLayout) -> [TensorPlane] {
    tensors.map {
      TensorPlane(
        width: layout.paddedWidth / $0.divisor, height: layout.paddedHeight / $0.divisor, channels: $0.channels, pool)
    }
  }

  /// Where a frame's states go: none if it is an intra frame whose model does not make those of inter frames, which are
  /// zero then. Both padded sizes must be the same.
  private func nextStates(isIntra: Bool) -> [TensorPlane] {
    let wanted = stateTensors(interModel)
    let (own, layout) = (layout(isIntra: isIntra), layout(isIntra: false))
    guard stateTensors(model(isIntra: isIntra)) == wanted, own.paddedWidth == layout.paddedWidth,
      own.paddedHeight == layout.paddedHeight
    else { return [] }
    return planes(of: wanted, layout)
  }

  /// After a frame.
  private func advance(isIntra: Bool) {
    guard isIntra else { return field.advance() }
    field.reset()
    second.reset()
    skips.flags.reset()
  }

  private func forgetActivity() {
    activity = (0..<layout(isIntra: false).segmentCount).map { _ in ActivityHistory() }
  }

  /// Makes a frame that a layer has the one that the next is predicted from. No network has left anything for that one.
  func finish(_ picture: Picture, isIntra: Bool) {
    swap(&reference, &older)
    reference.take(picture)
    (latent, states) = (nil, [])
    if isIntra { filter = PictureFilter() }
    forgetActivity()
    advance(isIntra: isIntra)
  }

  /// What may stand for a frame's filters.
  func previousFilter(isIntra: Bool) -> PictureFilter? { isIntra ? nil : filter }

  /// Decodes the latent to the frame that the next one is predicted from. Nothing can fail here. `filter` is called when the
  /// networks' frame is there: the encoder chooses then which blocks are skipped and how the others are filtered.
  func finish(
    _ latent: Latent, _ inputs: ReferenceInputs?, isIntra: Bool, at position: RatePosition, _ execution: Execution,
    filter choice: () -> PictureFilter
  ) {
    let program = program(.synthesis, isIntra: isIntra, at: position, cpu: execution.cpu)
    // New states are written where no network reads the old ones any more: synthesis reads rows before it writes them only
    // if it has none, so it writes to others.
    let next = nextStates(isIntra: isIntra)
    swap(&reference, &older)
    program.synthesise(latent, into: reference.view, reference: inputs, states: next, execution)
    let skipsBlocks = !isIntra && interModel?.networks.readsMotion == true
    let chosen = choice()
    chosen.apply(to: reference.view, execution)
    if isIntra || !chosen.isEmpty { filter = chosen }
    skips.complete(reference, from: predicted, isUsed: skipsBlocks && skips.isUsed, execution)
    states = next
    self.latent = latent
    latentExponent = model(isIntra: isIntra).latentExponent
    if isIntra { forgetActivity() }
    advance(isIntra: isIntra)
  }
}

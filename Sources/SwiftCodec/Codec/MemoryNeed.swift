// SPDX-License-Identifier: BSD-3-Clause

// What decoding and encoding take beside the model, the bitstream and the caller's samples: estimates from above, which
// Tests/embedded/memory.c compares with what an allocator of its own counts.

extension Model {
  /// Networks with packed weights and tables of entropy models for one position, at most.
  var preparationBytes: Int64 { 2 * sections.reduce(0) { $0 + Int64($1.size) } + 4 << 20 }
}

extension ResidualCodec {
  /// Pixels of the largest segment that an encoder or a decoder holds at a time.
  private static func segmentPixels(_ width: Int, _ height: Int) -> Int64 {
    min(Int64(width) * Int64(height), max(ResidualLayout.segmentPixels, Int64(ResidualLayout.rowUnit) * Int64(width)))
  }

  /// The decoded picture, and the contexts of the segments that threads decode together.
  static func decodingBytes(width: Int, height: Int, format: PixelFormat, threads: Int) -> Int64 {
    Int64(format.sampleCount(width: width, height: height))
      + Int64(max(1, threads)) * (8 * segmentPixels(width, height) + 4 << 20)
  }

  /// A copy of the picture, symbols and payloads of the segments that threads encode together, and all payloads.
  static func encodingBytes(width: Int, height: Int, format: PixelFormat, threads: Int) -> Int64 {
    let samples = Int64(format.sampleCount(width: width, height: height))
    let together = min(Int64(max(1, threads)) * segmentPixels(width, height), 2 * Int64(width) * Int64(height))
    return 4 * samples + 40 * together + Int64(max(1, threads)) * (4 << 20)
  }
}

extension Decoder {
  /// Throws if so many bytes are not there now.
  func require(_ bytes: Int64) throws(DecodeError) {
    guard Memory.has(bytes) else { throw .outOfMemory(needed: bytes) }
  }
}

extension Encoder {
  func require(_ bytes: Int64) throws(EncodeError) {
    guard Memory.has(bytes) else { throw .outOfMemory(needed: bytes) }
  }

  /// Of layers without and over networks.
  func layerMemory(_ picture: PictureView, _ settings: EncoderSettings) -> Int64 {
    var bytes: Int64 = 0
    let threads = settings.execution.threads
    if settings.maximumError != nil || settings.holdsQuality {
      // The picture, a base, and what a decoder makes of a trial.
      bytes +=
        3 * Int64(picture.sampleCount)
        + ResidualCodec.encodingBytes(
          width: picture.width, height: picture.height, format: picture.format, threads: threads)
    }
    if settings.alpha != nil {
      bytes += ResidualCodec.encodingBytes(
        width: picture.width, height: picture.height, format: .grey, threads: threads)
    }
    return bytes
  }

  /// Of the networks, entropy coding and the search at the position of the settings, whose networks are made for that.
  func networkMemory(_ picture: PictureView, _ settings: EncoderSettings, _ codec: SegmentCodec) -> Int64 {
    let execution = settings.execution
    let layout = layout(picture)
    let values = Int64(model.latentChannels(at: settings.position)) * Int64(layout.width) * Int64(layout.height)
    func running(_ role: GraphRole) -> Int64 {
      let program = prepared.program(role, picture.format, at: settings.position, cpu: execution.cpu)
      let bands = max(1, min(execution.threads, layout.paddedHeight / program.unit))
      return Int64(bands)
        * NetworkRunner.byteCount(
          program, width: layout.paddedWidth, height: layout.paddedHeight, stripeRows: execution.stripeRows)
    }
    let together = Int64(min(layout.segmentCount, max(1, execution.threads)))
    let segmentValues = values / Int64(max(1, layout.height)) * Int64(layout.rows(segment: 0).count)
    // Symbols of 32 bits, some more than values, in a buffer that doubles, and the payload; contexts of those that are chosen.
    let coding = together * (codec.decodingBytes(layout, segment: 0) + 30 * segmentValues)
    // The latent, payloads and the bitstream, and what is decoded.
    var bytes = 4 * values + Int64(picture.sampleCount)
    var most = max(running(.analysis), coding)
    if settings.measuresDistortion || settings.holdsQuality || settings.filters {
      most = max(most, running(.synthesis))
    }
    if settings.filters {
      most = max(most, PictureFilter.bytes(width: picture.width, threads: execution.threads, measures: true))
    }
    if settings.rdoq != .off {
      let program = prepared.program(.synthesis, picture.format, at: settings.position, cpu: execution.cpu)
      let pixels = min(
        Int64(layout.paddedWidth) * Int64(layout.paddedHeight),
        max(
          Int64(DistortionMeter.bandSamples),
          Int64(DistortionMeter.minimumBandRows * model.latentDivisor) * Int64(layout.paddedWidth)))
      // Gradients, masks and values of all tensors of a band with the rows around it.
      var planes: Int64 = 0
      for tensor in program.tensors {
        let divisor = Int64(tensor.divisor)
        let beside = 128 * Int64(layout.paddedWidth) / divisor
        planes += 5 * Int64(tensor.channels) * (pixels / (divisor * divisor) + beside)
      }
      bytes += 2 * model.preparationBytes + 110 * values
      most = max(most, planes + running(.synthesis))
    }
    return bytes + most
  }
}

/// Of a frame that a residual layer has: the layer, the picture that it stands on, and what it makes of that.
func layerDecodingBytes(_ header: VideoHeader, threads: Int) -> Int64 {
  let samples = Int64(header.format.sampleCount(width: header.width, height: header.height))
  return 2 * samples
    + ResidualCodec.decodingBytes(
      width: header.width, height: header.height, format: header.format, threads: threads)
}

/// What a stream's encoder or decoder takes at most, from the description of its models; 0 for frames that are refused.
/// Tests/embedded/memory.c holds it against what an allocator of its own counts: between all and half of it.
func videoMemory(
  _ intra: Model, _ inter: Model?, _ entropy: EntropyKind, width: Int, height: Int, _ execution: Execution,
  isEncoding: Bool = false, searches: Bool = false
) -> Int64 {
  guard 1...65535 ~= width, 1...65535 ~= height, Int64(width) * Int64(height) <= Int64(VideoDecoder.maximumPixels)
  else {
    return 0
  }
  let threads = Double(max(1, execution.threads))
  let (paddedWidth, paddedHeight) = ((width + 63) & ~63, (height + 63) & ~63)
  // Frames have margins.
  let pixels = Double(paddedWidth + 64) * Double(paddedHeight + 64)
  // Three frames with what is known of their blocks, and of every network a stripe of rows for each thread.
  var bytes = 6 * pixels + threads * (isEncoding ? 16384 : 6144) * Double(paddedWidth + 64) + 0x1p22
  bytes += Double(PictureFilter.bytes(width: width, threads: execution.threads, measures: isEncoding))
  for model in [intra, inter ?? intra] {
    let position = RatePosition(ratePoint: model.ratePoints.count - 1)
    let roles = isEncoding ? model.encoderRoles : model.decoderRoles
    guard let cost = model.cost(roles, .yuv420, entropy, at: position) else { continue }
    let places = Double(paddedWidth / model.latentDivisor) * Double(paddedHeight / model.latentDivisor)
    // Of a value: the latent, that of the frame before, and for the segments that are coded at a time symbol, mean and scale.
    let share = min(1, threads * 24 * Double(model.latentDivisor) / Double(paddedHeight))
    bytes += cost.preparedBytes + (4 + 5 * share) * places * Double(model.latentChannels(at: position))
    bytes += 2 * model.keptElements(.yuv420, width: paddedWidth, height: paddedHeight)
    guard searches, let synthesis = model.graph(.synthesis, .yuv420) else { continue }
    // Values, masks and gradients of all tensors of a band, whose rows a search keeps for the next pass.
    let graph = GraphCost(synthesis, model.weights, at: position)
    let rows = min(paddedHeight, DistortionMeter.bandSamples / paddedWidth + 256)
    bytes += 2 * graph.elements(width: paddedWidth, height: rows) + 2 * graph.preparedBytes
  }
  if isEncoding { bytes += 32 * pixels + 0x1p23 }
  return Int64(bytes)
}

// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Codes segments of the latent at one rate point with one entropy model: with a hyperprior, if the model has one.
final class SegmentCodec {
  /// The networks of a hyperprior, ready to run.
  struct HyperPrograms {
    let coder: EntropyCoder
    let synthesis: NetworkProgram
    let slices: [NetworkProgram]
    let sliceChannels: [Int]
    let latentDivisor: Int
    let hyperDivisor: Int
    /// Exponent of the latent.
    let q: Int
  }

  let coder: EntropyCoder
  let hyper: HyperPrograms?

  init(coder: EntropyCoder, hyper: HyperPrograms?) {
    self.coder = coder
    self.hyper = hyper
  }

  /// Decodes a segment into its place in the latent. False for a damaged payload.
  func decode(_ bytes: [UInt8], in payload: Range<Int>, segment: Int, _ latent: Latent, _ execution: Execution) -> Bool
  {
    let width = latent.layout.width
    let height = latent.layout.rows(segment: segment).count
    let values = latent.segments[segment].base
    guard let hyper else {
      return coder.decode(payload: bytes, in: payload, width: width, height: height, values: values)
    }
    guard var decoder = PayloadDecoder(bytes, in: payload) else { return false }
    let prior = SegmentPrior(hyper, width: width, height: height)
    guard prior.decodeHyperLatent(&decoder) else { return false }
    let symbols = AlignedBuffer<Int16>(count: latent.channels * width * height, zero: 0)
    let contexts = coder.contexts(width: width, height: height, values: symbols.base)
    guard let active = coder.decodeActivity(&decoder, contexts) else { return false }
    prior.synthesiseFeatures(execution)
    for (slice, channels) in prior.sliceRanges.enumerated() {
      prior.predict(slice, from: values, execution)
      guard coder.decode(&decoder, channels, contexts, active: active, scales: prior.scales.base) else { return false }
      let range = channels.lowerBound * width * height
      sc_dequantise(
        symbols.base + range, prior.means.base + range, values + range, channels.count * width * height,
        Int32(hyper.q))
    }
    return decoder.isFinished
  }

  /// Codes a segment of the latent, and replaces it by what the decoder gets: the payload and its ideal code length.
  ///
  /// `hyperLatent` is [channels][height][width] of this segment.
  func encode(
    segment: Int, _ latent: Latent, hyperLatent: UnsafePointer<Int16>?, _ execution: Execution
  ) -> (payload: [UInt8], bits: Double) {
    let width = latent.layout.width
    let height = latent.layout.rows(segment: segment).count
    let values = latent.segments[segment].base
    guard let hyperLatent else { return coder.encode(width: width, height: height, values: values) }
    let (prior, symbols) = quantise(segment: segment, latent, hyperLatent: hyperLatent, execution)
    let encoder = PayloadEncoder()
    prior.encodeHyperLatent(encoder)
    let contexts = coder.contexts(width: width, height: height, values: symbols.base)
    let active = coder.encodeActivity(encoder, contexts)
    coder.encode(
      encoder, 0..<coder.table.channelCount, contexts, active: active, scales: UnsafePointer(prior.scales.base))
    return (encoder.finish(), encoder.codeLength)
  }

  /// With a hyperprior: the decoder's means and scales of a segment, and the nearest symbols, [channels][height][width].
  /// The segment is replaced by what they decode to; of that, the same symbols are the nearest again.
  func quantise(
    segment: Int, _ latent: Latent, hyperLatent: UnsafePointer<Int16>, _ execution: Execution
  ) -> (prior: SegmentPrior, symbols: AlignedBuffer<Int16>) {
    guard let hyper else { preconditionFailure("the model has no hyperprior") }
    let width = latent.layout.width
    let height = latent.layout.rows(segment: segment).count
    let values = latent.segments[segment].base
    let prior = SegmentPrior(hyper, width: width, height: height)
    prior.setHyperLatent(hyperLatent)
    prior.synthesiseFeatures(execution)
    let symbols = AlignedBuffer<Int16>(count: latent.channels * width * height, zero: 0)
    for (slice, channels) in prior.sliceRanges.enumerated() {
      prior.predict(slice, from: values, execution)
      let range = channels.lowerBound * width * height
      let count = channels.count * width * height
      sc_quantise(values + range, prior.means.base + range, symbols.base + range, count, Int32(hyper.q))
      sc_dequantise(symbols.base + range, prior.means.base + range, values + range, count, Int32(hyper.q))
    }
    return (prior, symbols)
  }
}

/// Means and scales of one segment's latent, slice by slice.
final class SegmentPrior {
  private let hyper: SegmentCodec.HyperPrograms
  private let width: Int
  private let height: Int
  private let hyperWidth: Int
  private let hyperHeight: Int
  private let hyperLatent: AlignedBuffer<Int16>
  private let features: AlignedBuffer<Int16>
  /// Channels of each slice.
  let sliceRanges: [Range<Int>]
  /// Of the latent and of means.
  var latentExponent: Int { hyper.q }
  /// [channels][height][width]
  let means: AlignedBuffer<Int16>
  let scales: AlignedBuffer<UInt8>

  init(_ hyper: SegmentCodec.HyperPrograms, width: Int, height: Int) {
    self.hyper = hyper
    self.width = width
    self.height = height
    hyperWidth = width / (hyper.hyperDivisor / hyper.latentDivisor)
    hyperHeight = height / (hyper.hyperDivisor / hyper.latentDivisor)
    hyperLatent = AlignedBuffer(count: hyper.coder.table.channelCount * hyperWidth * hyperHeight, zero: 0)
    features = AlignedBuffer(count: width * height * hyper.synthesis.tensors[hyper.synthesis.output].channels, zero: 0)
    var ranges: [Range<Int>] = []
    for count in hyper.sliceChannels {
      let first = ranges.last?.upperBound ?? 0
      ranges.append(first..<(first + count))
    }
    sliceRanges = ranges
    let channels = ranges.last?.upperBound ?? 0
    means = AlignedBuffer(count: channels * width * height, zero: 0)
    scales = AlignedBuffer(count: channels * width * height, zero: 0)
  }

  func decodeHyperLatent(_ decoder: inout PayloadDecoder) -> Bool {
    let contexts = hyper.coder.contexts(width: hyperWidth, height: hyperHeight, values: hyperLatent.base)
    guard let active = hyper.coder.decodeActivity(&decoder, contexts) else { return false }
    return hyper.coder.decode(&decoder, 0..<hyper.coder.table.channelCount, contexts, active: active)
  }

  /// [channels][height][width] of the hyper-latent.
  func setHyperLatent(_ values: UnsafePointer<Int16>) {
    hyperLatent.base.update(from: values, count: hyperLatent.count)
  }

  func encodeHyperLatent(_ encoder: PayloadEncoder) {
    let contexts = hyper.coder.contexts(width: hyperWidth, height: hyperHeight, values: hyperLatent.base)
    let active = hyper.coder.encodeActivity(encoder, contexts)
    hyper.coder.encode(encoder, 0..<hyper.coder.table.channelCount, contexts, active: active)
  }

  /// Runs a network with the segment as its whole picture: segments stay independent of each other.
  private func run(
    _ program: NetworkProgram, _ execution: Execution, source: NetworkRunner.Source, sink: NetworkRunner.Sink,
    tap: NetworkRunner.Tap? = nil
  ) {
    program.run(
      width: width * hyper.latentDivisor, height: height * hyper.latentDivisor, execution, source: source, sink: sink,
      tap: tap)
  }

  func synthesiseFeatures(_ execution: Execution) {
    let channels = hyper.synthesis.tensors[hyper.synthesis.output].channels
    let size = width * channels
    run(
      hyper.synthesis, execution,
      source: { [self] _, y, row in
        sc_planes_to_row(
          hyperLatent.base + y * hyperWidth, hyperWidth * hyperHeight, row,
          Int32(hyper.coder.table.channelCount), hyperWidth)
      },
      sink: { [self] _, y, row in (features.base + y * size).update(from: row, count: size) })
  }

  /// Means and scales of a slice, from the features and the decoded slices before it: `latent` is
  /// [channels][height][width]. `tap` sees the network's tensors; it asks for one thread.
  func predict(
    _ slice: Int, from latent: UnsafePointer<Int16>, _ execution: Execution, tap: NetworkRunner.Tap? = nil
  ) {
    let featureChannels = hyper.synthesis.tensors[hyper.synthesis.output].channels
    let plane = width * height
    let range = sliceRanges[slice]
    run(
      hyper.slices[slice], execution,
      source: { [self] input, y, row in
        if input == 0 {
          row.update(from: features.base + y * width * featureChannels, count: width * featureChannels)
        } else {
          sc_planes_to_row(latent + y * width, plane, row, Int32(range.lowerBound), width)
        }
      },
      sink: { [self] _, y, row in
        let at = range.lowerBound * plane + y * width
        sc_row_to_parameters(row, means.base + at, scales.base + at, plane, Int32(range.count), width)
      }, tap: tap)
  }
}

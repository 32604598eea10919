// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Codes segments of the latent at one rate point with one entropy model: with a hyperprior, if the model has one.
package final class SegmentCodec {
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
  /// nil without a hyperprior.
  let hyper: HyperPrograms?
  var sliceNetworks: [NetworkProgram] { hyper?.slices ?? [] }

  init(coder: EntropyCoder, hyper: HyperPrograms?) {
    self.coder = coder
    self.hyper = hyper
  }

  /// Decodes a segment into its place in the latent. False for a damaged payload.
  package func decode(
    _ bytes: [UInt8], in payload: Range<Int>, segment: Int, _ latent: Latent, _ execution: Execution
  ) -> Bool {
    decode(bytes, in: payload, segment: segment, latent, reference: nil, execution)
  }

  /// The same of an inter frame, with what its networks read of the frame before.
  func decode(
    _ bytes: [UInt8], in payload: Range<Int>, segment: Int, _ latent: Latent, reference: ReferenceInputs?,
    _ execution: Execution
  ) -> Bool {
    guard var decoder = PayloadDecoder(bytes, in: payload, execution.pool) else { return false }
    return decode(&decoder, segment: segment, latent, reference: reference, execution) && decoder.isFinished
  }

  /// The same from a payload that has been begun, and without a look at its end; `history` is that of a frame that follows
  /// others.
  func decode(
    _ decoder: inout PayloadDecoder, segment: Int, _ latent: Latent, reference: ReferenceInputs?,
    history: ActivityHistory? = nil, _ execution: Execution
  ) -> Bool {
    let width = latent.layout.width
    let height = latent.layout.rows(segment: segment).count
    let values = latent.segments[segment].base
    guard let hyper else {
      return coder.decode(&decoder, width: width, height: height, values: values, history: history, execution.pool)
    }
    let prior = SegmentPrior(hyper, latent.layout, segment: segment, reference, execution.pool)
    guard prior.decodeHyperLatent(&decoder) else { return false }
    let symbols = AlignedBuffer<Int16>(uninitialised: latent.channels * width * height, execution.pool)
    let contexts = coder.contexts(width: width, height: height, values: symbols.base, execution.pool)
    guard let active = coder.decodeActivity(&decoder, contexts, history) else { return false }
    prior.synthesiseFeatures(execution)
    for (slice, channels) in prior.sliceRanges.enumerated() {
      prior.predict(slice, from: values, execution)
      guard coder.decode(&decoder, channels, contexts, active: active, scales: prior.scales.base) else { return false }
      prior.dequantise(slice, symbols.base, into: values)
    }
    return true
  }

  /// Bytes that decoding a segment takes beside the latent and the payload, on one thread.
  func decodingBytes(_ layout: LatentLayout, segment: Int) -> Int64 {
    let (width, height) = (layout.width, layout.rows(segment: segment).count)
    var bytes = coder.contextBytes(width: width, height: height)
    guard let hyper else { return bytes }
    let factor = hyper.hyperDivisor / hyper.latentDivisor
    let (hyperWidth, hyperHeight) = (width / factor, height / factor)
    let places = Int64(width) * Int64(height)
    let channels = Int64(hyper.sliceChannels.reduce(0) { $0 + $1 })
    // Symbols and means of 16 bits, scales of 8.
    bytes += 5 * channels * places
    bytes += 2 * places * Int64(hyper.synthesis.tensors[hyper.synthesis.output].channels)
    bytes += 2 * Int64(hyper.coder.table.channelCount) * Int64(hyperWidth * hyperHeight)
    bytes += hyper.coder.contextBytes(width: hyperWidth, height: hyperHeight)
    let networks = ([hyper.synthesis] + hyper.slices).map {
      NetworkRunner.byteCount(
        $0, width: width * hyper.latentDivisor, height: height * hyper.latentDivisor, stripeRows: 0)
    }
    return bytes + (networks.max() ?? 0)
  }

  /// Codes a segment: the payload and its ideal code length.
  package func encode(_ segment: QuantisedSegment) -> (payload: [UInt8], bits: Double) {
    let encoder = PayloadEncoder()
    encode(encoder, segment)
    return (encoder.finish(), encoder.codeLength)
  }

  /// Appends a segment to a payload.
  func encode(_ encoder: PayloadEncoder, _ segment: QuantisedSegment, history: ActivityHistory? = nil) {
    let (width, height) = (segment.width, segment.height)
    guard let prior = segment.prior else {
      coder.encode(encoder, width: width, height: height, values: segment.symbols.base, history: history)
      return
    }
    prior.encodeHyperLatent(encoder)
    let contexts = coder.contexts(width: width, height: height, values: segment.symbols.base, encoder.pool)
    let active = coder.encodeActivity(encoder, contexts, history)
    coder.encode(
      encoder, 0..<coder.table.channelCount, contexts, active: active, scales: UnsafePointer(prior.scales.base))
  }

  /// The symbols of a segment of the latent; with a hyperprior those nearest to it under the decoder's means, while the
  /// segment is replaced by what they decode to, of which the same symbols are the nearest again.
  ///
  /// `hyperLatent` is quantised, [channels][height][width] of this segment; nil without a hyperprior.
  package func quantise(
    segment: Int, _ latent: Latent, hyperLatent: UnsafePointer<Int16>?, _ execution: Execution
  ) -> QuantisedSegment {
    quantise(segment: segment, latent, hyperLatent: hyperLatent, reference: nil, execution)
  }

  /// Chooses the symbols of a slice's channels, once its means and scales are known.
  typealias SymbolChoice = (_ channels: Range<Int>) -> Void

  /// The same of an inter frame, with what its networks read of the frame before; and by `choice`, if it is given, which
  /// gets the prior and the segment's symbols, all 0, instead of by rounding.
  func quantise(
    segment: Int, _ latent: Latent, hyperLatent: UnsafePointer<Int16>?, reference: ReferenceInputs?,
    _ execution: Execution,
    choice: ((SegmentPrior, _ values: UnsafePointer<Int16>, _ symbols: UnsafeMutablePointer<Int16>) -> SymbolChoice)? =
      nil
  ) -> QuantisedSegment {
    let width = latent.layout.width
    let height = latent.layout.rows(segment: segment).count
    guard let hyper, let hyperLatent else { return QuantisedSegment(latent, segment: segment) }
    let values = latent.segments[segment].base
    let prior = SegmentPrior(hyper, latent.layout, segment: segment, reference, execution.pool)
    prior.setHyperLatent(hyperLatent)
    prior.synthesiseFeatures(execution)
    let count = latent.channels * width * height
    let symbols =
      choice == nil
      ? AlignedBuffer<Int16>(uninitialised: count, execution.pool)
      : AlignedBuffer<Int16>(count: count, zero: 0, execution.pool)
    let choose = choice?(prior, values, symbols.base)
    for (slice, channels) in prior.sliceRanges.enumerated() {
      prior.predict(slice, from: values, execution)
      let range = channels.lowerBound * width * height
      if let choose {
        choose(channels)
      } else {
        sc_quantise(
          values + range, prior.means.base + range, symbols.base + range, channels.count * width * height,
          Int32(hyper.q))
      }
      prior.dequantise(slice, symbols.base, into: values)
    }
    return QuantisedSegment(width: width, height: height, symbols: symbols, prior: prior)
  }
}

/// What is coded of one segment: symbols, and with a hyperprior its means and scales.
package struct QuantisedSegment {
  /// Of the latent.
  package let width: Int
  package let height: Int
  /// [channels][height][width]. Without a hyperprior they are the latent's own values, in its memory.
  package let symbols: AlignedBuffer<Int16>
  /// nil without a hyperprior; its means and scales are those of these symbols.
  package let prior: SegmentPrior?
}

extension QuantisedSegment {
  /// `bits` shared out among the places of the segment, row by row, by the size of their symbols: about what each takes.
  func placeBits(of bits: Double) -> [Float] {
    let places = width * height
    var weights = [Float](repeating: 1, count: places)
    let channels = symbols.count / max(1, places)
    for c in 0..<channels {
      let values = symbols.base + c * places
      // A sign, and about two bits a doubling.
      for i in 0..<places where values[i] != 0 {
        weights[i] += Float(2 * (Int16.bitWidth - values[i].magnitude.leadingZeroBitCount))
      }
    }
    let scale = Float(bits) / weights.reduce(0, +)
    return weights.map { $0 * scale }
  }
  /// Of a latent without a hyperprior.
  init(_ latent: Latent, segment: Int) {
    self.init(
      width: latent.layout.width, height: latent.layout.rows(segment: segment).count,
      symbols: latent.segments[segment], prior: nil)
  }
}

/// Means and scales of one segment's latent, slice by slice: each from the hyper-latent's features and the decoded slices
/// before it.
package final class SegmentPrior {
  private let hyper: SegmentCodec.HyperPrograms
  private let reference: ReferenceInputs?
  private let pool: MemoryPool?
  /// Of the segment, in the latent.
  private let firstRow: Int
  /// Of the latent.
  let width: Int
  let height: Int
  /// Of the hyper-latent.
  package let hyperWidth: Int
  package let hyperHeight: Int
  /// [channels][hyperHeight][hyperWidth], quantised.
  package let hyperLatent: AlignedBuffer<Int16>
  private let features: AlignedBuffer<Int16>
  /// Channels of each slice.
  let sliceRanges: [Range<Int>]
  /// Of the latent and of means: integers are in units of 2^−latentExponent.
  var latentExponent: Int { hyper.q }
  /// The picture's rows to one of the latent.
  var divisor: Int { hyper.latentDivisor }
  /// [channels][height][width]
  let means: AlignedBuffer<Int16>
  package let scales: AlignedBuffer<UInt8>

  init(
    _ hyper: SegmentCodec.HyperPrograms, _ layout: LatentLayout, segment: Int, _ reference: ReferenceInputs? = nil,
    _ pool: MemoryPool? = nil
  ) {
    self.hyper = hyper
    self.reference = reference
    self.pool = pool
    let rows = layout.rows(segment: segment)
    firstRow = rows.lowerBound
    width = layout.width
    height = rows.count
    hyperWidth = width / (hyper.hyperDivisor / hyper.latentDivisor)
    hyperHeight = height / (hyper.hyperDivisor / hyper.latentDivisor)
    hyperLatent = AlignedBuffer(uninitialised: hyper.coder.table.channelCount * hyperWidth * hyperHeight, pool)
    let featureChannels = hyper.synthesis.tensors[hyper.synthesis.output].channels
    features = AlignedBuffer(uninitialised: width * height * featureChannels, pool)
    var ranges: [Range<Int>] = []
    for count in hyper.sliceChannels {
      let first = ranges.last?.upperBound ?? 0
      ranges.append(first..<(first + count))
    }
    sliceRanges = ranges
    let channels = ranges.last?.upperBound ?? 0
    means = AlignedBuffer(uninitialised: channels * width * height, pool)
    scales = AlignedBuffer(uninitialised: channels * width * height, pool)
  }

  /// False for a damaged payload.
  func decodeHyperLatent(_ decoder: inout PayloadDecoder) -> Bool {
    let contexts = hyper.coder.contexts(width: hyperWidth, height: hyperHeight, values: hyperLatent.base, pool)
    guard let active = hyper.coder.decodeActivity(&decoder, contexts) else { return false }
    return hyper.coder.decode(&decoder, 0..<hyper.coder.table.channelCount, contexts, active: active)
  }

  /// [channels][height][width] of the hyper-latent.
  func setHyperLatent(_ values: UnsafePointer<Int16>) {
    hyperLatent.base.update(from: values, count: hyperLatent.count)
  }

  /// Appends the hyper-latent's symbols.
  func encodeHyperLatent(_ encoder: PayloadEncoder) {
    let contexts = hyper.coder.contexts(width: hyperWidth, height: hyperHeight, values: hyperLatent.base, pool)
    let active = hyper.coder.encodeActivity(encoder, contexts)
    hyper.coder.encode(encoder, 0..<hyper.coder.table.channelCount, contexts, active: active)
  }

  /// Runs a network with the segment as its whole picture: segments stay independent of each other.
  private func run(
    _ program: NetworkProgram, _ execution: Execution, source: NetworkRunner.Source, sink: NetworkRunner.Sink,
    tap: NetworkRunner.Tap? = nil
  ) {
    program.run(
      width: width * divisor, height: height * divisor, execution, source: source, sink: sink, tap: tap)
  }

  /// Row `y`, from the segment's first, of an input that comes from the frame before.
  private func loadReference(_ program: NetworkProgram, _ input: Int, _ y: Int, _ row: UnsafeMutablePointer<Int16>) {
    let tensorDivisor = program.tensors[input].divisor
    reference?.load(
      program.inputs[input], row: firstRow * divisor / tensorDivisor + y, row, width: width * divisor / tensorDivisor)
  }

  /// Runs hyper-synthesis; to be done once the hyper-latent is there, before `predict`.
  func synthesiseFeatures(_ execution: Execution) {
    let channels = hyper.synthesis.tensors[hyper.synthesis.output].channels
    let size = width * channels
    run(
      hyper.synthesis, execution,
      source: { [self] input, y, row in
        guard input == 0 else { return loadReference(hyper.synthesis, input, y, row) }
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
        } else if hyper.slices[slice].inputs[input].name == .earlierSlices {
          sc_planes_to_row(latent + y * width, plane, row, Int32(range.lowerBound), width)
        } else {
          loadReference(hyper.slices[slice], input, y, row)
        }
      },
      sink: { [self] _, y, row in
        let at = range.lowerBound * plane + y * width
        sc_row_to_parameters(row, means.base + at, scales.base + at, plane, Int32(range.count), width)
      }, tap: tap)
  }

  /// What the symbols of a slice decode to under its means, which `predict` has given: both [channels][height][width].
  func dequantise(_ slice: Int, _ symbols: UnsafePointer<Int16>, into latent: UnsafeMutablePointer<Int16>) {
    let first = sliceRanges[slice].lowerBound * width * height
    sc_dequantise(
      symbols + first, means.base + first, latent + first, sliceRanges[slice].count * width * height, Int32(hyper.q))
  }
}

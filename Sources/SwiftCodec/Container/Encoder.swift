// SPDX-License-Identifier: BSD-3-Clause

/// Why a picture is not encoded.
public enum EncodeError: Error, Equatable {
  /// Rate points of this model are 0 ..< count.
  case ratePoint(Int, count: Int)
  /// The model has no such entropy model, or none at all.
  case entropyModel(EntropyKind?)
  /// The trade-off is a finite number > 0.
  case lambda(Double)

  public var description: String {
    switch self {
    case .ratePoint(let k, let count): "rate point \(k) where the model has 0…\(count - 1)"
    case .entropyModel(let kind?): "the model has no entropy model \"\(kind.name)\""
    case .entropyModel(nil): "the model has no entropy model"
    case .lambda(let lambda): "lambda \(lambda) where a finite number > 0 is needed"
    }
  }
}

/// How to encode.
public struct EncoderSettings: Sendable {
  /// 0 is the lowest rate.
  public var ratePoint: Int
  /// nil for the best one of the model.
  public var entropy: EntropyKind?
  /// Whether to decode the result, which gives the distortion.
  public var measuresDistortion = true
  public var execution = Execution()
  /// The search for a cheaper latent; it does not change how the bitstream is decoded.
  public var rdoq = RDOQ.off
  /// The trade-off of that search, as RatePoint.lambda; nil for the rate point's.
  public var lambda: Double?
  /// Called after every pass of that search, on the thread that encodes.
  public var progress: (@Sendable (RDOQPass) -> Void)?

  public init(ratePoint: Int) { self.ratePoint = ratePoint }
}

/// A picture's bitstream, and what the encoder knows of it.
public struct Encoded: Sendable {
  public let bytes: [UInt8]
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
  private var search: (program: RDOQProgram, kind: EntropyKind, ratePoint: Int, cpu: CPU)?
  /// Height of a segment in rows of the latent: a multiple of 8, at most 2040.
  public var segmentRows = 64

  public init(model: Model) { prepared = PreparedModel(model) }

  public var model: Model { prepared.model }

  public func encode(_ picture: Picture, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    let k = settings.ratePoint
    guard model.ratePoints.indices.contains(k) else { throw .ratePoint(k, count: model.ratePoints.count) }
    guard let kind = settings.entropy ?? model.preferredEntropyKind,
      let codec = prepared.segmentCodec(kind, ratePoint: k, cpu: settings.execution.cpu)
    else { throw .entropyModel(settings.entropy) }
    if let lambda = settings.lambda, !(lambda > 0 && lambda.isFinite) { throw .lambda(lambda) }
    let execution = settings.execution
    let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: segmentRows)
    let latent = prepared.program(.analysis, ratePoint: k, cpu: execution.cpu)
      .analyse(picture, layout, channels: model.latentChannels(ratePoint: k), execution)
    let hyperLatent = prepared.hyperLatent(of: latent, ratePoint: k, execution)
    let report = settings.rdoq == .off ? nil : optimise(latent, hyperLatent, codec, picture, kind, settings)

    let header = BitstreamHeader(
      modelID: model.id, ratePoint: k, entropy: kind, isGrey: picture.channels == 1, width: picture.width,
      height: picture.height, segmentRows: segmentRows)
    let (bytes, bits) = serialise(
      latent, hyperLatent, header, codec, execution)
    guard settings.measuresDistortion else {
      return Encoded(bytes: bytes, idealBits: bits, reconstruction: nil, squaredError: nil, psnr: nil, rdoq: report)
    }
    var decoded = picture
    decoded.samples.withUnsafeMutableBufferPointer { out in
      prepared.program(.synthesis, ratePoint: k, cpu: execution.cpu)
        .synthesise(
          latent, width: picture.width, height: picture.height, channels: picture.channels, execution,
          into: out.baseAddress!, rowStride: picture.width * picture.channels)
    }
    let error = decoded.squaredError(to: picture)
    return Encoded(
      bytes: bytes, idealBits: bits, reconstruction: decoded, squaredError: error,
      psnr: peakSignalToNoiseRatio(squaredError: error, samples: picture.samples.count), rdoq: report)
  }

  private func optimise(
    _ latent: Latent, _ hyperLatent: Latent?, _ codec: SegmentCodec, _ picture: Picture, _ kind: EntropyKind,
    _ settings: EncoderSettings
  ) -> RDOQReport? {
    let k = settings.ratePoint
    let cpu = settings.execution.cpu
    guard let entropy = model.entropyModels.first(where: { $0.kind == kind }) else { return nil }
    if search == nil || search!.kind != kind || search!.ratePoint != k || search!.cpu != cpu {
      let synthesis = prepared.program(.synthesis, ratePoint: k, cpu: cpu)
      let program = RDOQProgram(model, synthesis, ratePoint: k, entropy.tables[k], entropy.magnitude)
      search = (program, kind, k, cpu)
    }
    let lambda = settings.lambda ?? Double(model.ratePoints[k].lambda)
    if let hyperLatent {
      return search!.program.optimise(
        latent, hyperLatent: hyperLatent, codec, of: picture, lambda: lambda,
        settings.rdoq.priorEffort(macPerPixel: model.decoderMACPerPixel(ratePoint: k)), settings.execution,
        progress: settings.progress)
    }
    return search!.program.optimise(
      latent, of: picture, lambda: lambda,
      settings.rdoq.effort(
        macPerPixel: model.decoderMACPerPixel(ratePoint: k),
        hasContexts: entropy.tables[k].channels.contains { $0.cdf.count > 1 }), settings.execution,
      progress: settings.progress)
  }

  /// Codes all segments. With a hyperprior, the latent becomes what the decoder gets.
  private func serialise(
    _ latent: Latent, _ hyperLatent: Latent?, _ header: BitstreamHeader, _ codec: SegmentCodec,
    _ execution: Execution
  ) -> ([UInt8], Double) {
    let count = latent.segments.count
    var coded = [(payload: [UInt8], bits: Double)](repeating: ([], 0), count: count)
    let inner = execution.inside(parallel: count)
    coded.withUnsafeMutableBufferPointer { coded in
      // Each thread writes its own segments' elements.
      nonisolated(unsafe) let out = coded.baseAddress!
      parallel(threads: execution.threads, count: count) { i in
        out[i] = codec.encode(
          segment: i, latent, hyperLatent: hyperLatent.map { UnsafePointer($0.segments[i].base) }, inner)
      }
    }
    var out = ByteWriter()
    out.append(header.serialised())
    var bits = 0.0
    var checked = out.bytes.count
    var crc = crc32c(out.bytes, in: 0..<(checked - 4))
    for segment in coded {
      out.varint(segment.payload.count)
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

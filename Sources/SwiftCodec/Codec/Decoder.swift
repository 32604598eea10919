// SPDX-License-Identifier: BSD-3-Clause

/// Decodes bitstreams of one model. Keeps what it prepares for the next picture; one thread at a time may use it.
public final class Decoder {
  public var execution: Execution
  /// Pictures of more pixels are refused before anything is allocated for them.
  public var maximumPixels = 1 << 28
  private var prepared: PreparedModel

  public init(model: Model, execution: Execution = Execution()) {
    prepared = PreparedModel(model)
    self.execution = execution
  }

  public var model: Model { prepared.model }

  /// Decodes a bitstream. On error nothing is returned: never a part of a picture.
  public func decode(_ bytes: [UInt8]) throws(DecodeError) -> Picture {
    let parts = try BitstreamParts(parsing: bytes)
    let header = parts.header
    let latent = try decodeLatent(bytes, parts)
    let channels = header.isGrey ? 1 : 3
    var picture = Picture(
      unchecked: header.width, header.height, channels,
      [UInt8](repeating: 0, count: header.width * header.height * channels))
    picture.samples.withUnsafeMutableBufferPointer { out in
      synthesise(latent, header, into: out.baseAddress!, rowStride: header.width * channels)
    }
    return picture
  }

  /// Decodes into memory of the caller: height rows, `rowStride` ≥ width · channels bytes apart. Untouched on error.
  public func decode(_ bytes: [UInt8], into out: UnsafeMutablePointer<UInt8>, rowStride: Int) throws(DecodeError) {
    try decode(bytes, BitstreamParts(parsing: bytes), into: out, rowStride: rowStride)
  }

  /// The same for a bitstream whose parts are known.
  func decode(
    _ bytes: [UInt8], _ parts: BitstreamParts, into out: UnsafeMutablePointer<UInt8>, rowStride: Int
  ) throws(DecodeError) {
    precondition(rowStride >= parts.header.width * (parts.header.isGrey ? 1 : 3))
    synthesise(try decodeLatent(bytes, parts), parts.header, into: out, rowStride: rowStride)
  }

  /// Everything that can go wrong goes wrong here.
  private func decodeLatent(_ bytes: [UInt8], _ parts: BitstreamParts) throws(DecodeError) -> Latent {
    let header = parts.header
    guard header.modelID == model.shortID else { throw .model(wanted: header.modelID, loaded: model.shortID) }
    guard model.positions.contains(header.position) else {
      throw .position(header.position, count: model.ratePoints.count)
    }
    guard model.entropyKinds.contains(where: { $0.rawValue == header.entropy.rawValue }) else {
      throw .entropyModel(header.entropy)
    }
    guard header.width * header.height <= maximumPixels else {
      throw .tooLarge(width: header.width, height: header.height, limit: maximumPixels)
    }
    let layout = LatentLayout(
      model, width: header.width, height: header.height, segmentRows: header.segments.map { $0.rows })
    guard layout.segmentCount == header.segmentCount else {
      throw .segmentCount(header.segmentCount, expected: layout.segmentCount)
    }
    guard let codec = prepared.segmentCodec(header.entropy, at: header.position, cpu: execution.cpu) else {
      throw .entropyModel(header.entropy)
    }
    let payloads = parts.payloads
    let latent = Latent(layout: layout, channels: model.latentChannels(at: header.position))
    let good = AlignedBuffer<UInt8>(count: payloads.count, zero: 0)
    let inner = execution.inside(parallel: payloads.count)
    parallel(threads: execution.threads, count: payloads.count) { i in
      good.base[i] = codec.decode(bytes, in: payloads[i], segment: i, latent, inner) ? 1 : 0
    }
    for i in 0..<payloads.count where good.base[i] == 0 { throw .payload(segment: i) }
    return latent
  }

  private func synthesise(
    _ latent: Latent, _ header: BitstreamHeader, into out: UnsafeMutablePointer<UInt8>, rowStride: Int
  ) {
    prepared.program(.synthesis, at: header.position, cpu: execution.cpu)
      .synthesise(
        latent, width: header.width, height: header.height, channels: header.isGrey ? 1 : 3, execution, into: out,
        rowStride: rowStride)
  }
}

/// Decodes one bitstream; to decode several, keep a `Decoder`.
public func decode(
  _ bytes: [UInt8], model: Model, execution: Execution = Execution()
) throws(DecodeError) -> Picture {
  try Decoder(model: model, execution: execution).decode(bytes)
}

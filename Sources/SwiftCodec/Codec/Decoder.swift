// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A decoded picture and all that its bitstream says beside it.
public struct Decoded: Sendable {
  public let picture: Picture
  /// The transparency, a grey picture: 255 is opaque. nil for an opaque picture.
  public let alpha: Picture?
  public let metadata: [Metadata]
}

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

  /// Decodes a bitstream to the format that was coded. On error nothing is returned: never a part of a picture.
  public func decode(_ bytes: [UInt8]) throws(DecodeError) -> Picture { try decode(bytes, as: nil) }

  /// Decodes a bitstream to a format that the model has networks for; nil for that which was coded.
  public func decode(_ bytes: [UInt8], as format: PixelFormat?) throws(DecodeError) -> Picture {
    try decode(bytes, BitstreamParts(parsing: bytes), as: format)
  }

  /// Decodes a bitstream with its transparency and metadata.
  public func decodeAll(_ bytes: [UInt8], as format: PixelFormat? = nil) throws(DecodeError) -> Decoded {
    let parts = try BitstreamParts(parsing: bytes)
    let picture = try decode(bytes, parts, as: format)
    return Decoded(
      picture: picture, alpha: nil, metadata: parts.metadata.map { Metadata($0.kind, Array(bytes[$0.range])) })
  }

  private func decode(
    _ bytes: [UInt8], _ parts: BitstreamParts, as format: PixelFormat?
  ) throws(DecodeError) -> Picture {
    let (width, height) = (parts.header.width, parts.header.height)
    let format = format ?? parts.header.format
    let latent = try decodeLatent(bytes, parts, as: format)
    var picture = Picture(
      unchecked: width, height, format,
      [UInt8](repeating: 0, count: format.sampleCount(width: width, height: height)))
    picture.withMutableView { synthesise(latent, parts.header, into: $0) }
    return picture
  }

  /// Decodes a bitstream whose parts are known into memory of the caller, of the header's size and any format that the
  /// model has networks for. Untouched on error.
  func decode(
    _ bytes: [UInt8], _ parts: BitstreamParts, into picture: PictureView, alpha: sc_component?
  ) throws(DecodeError) {
    precondition(picture.width == parts.header.width && picture.height == parts.header.height)
    synthesise(try decodeLatent(bytes, parts, as: picture.format), parts.header, into: picture)
    if let alpha {
      for y in 0..<picture.height {
        let row = alpha.base + y * alpha.row_stride
        for x in 0..<picture.width { row[x * alpha.step] = 255 }
      }
    }
  }

  /// Everything that can go wrong goes wrong here.
  private func decodeLatent(
    _ bytes: [UInt8], _ parts: BitstreamParts, as format: PixelFormat
  ) throws(DecodeError) -> Latent {
    let header = parts.header
    guard header.modelID == model.shortID else { throw .model(wanted: header.modelID, loaded: model.shortID) }
    guard model.positions.contains(header.position) else {
      throw .position(header.position, count: model.ratePoints.count)
    }
    guard model.entropyKinds.contains(where: { $0.rawValue == header.entropy.rawValue }) else {
      throw .entropyModel(header.entropy)
    }
    guard model.codes(header.format), !model.isInter else { throw .format(header.format) }
    guard model.codes(format) else { throw .format(format) }
    guard Int64(header.width) * Int64(header.height) <= Int64(maximumPixels) else {
      throw .tooLarge(width: header.width, height: header.height, limit: maximumPixels)
    }
    let layout = LatentLayout(
      model, width: header.width, height: header.height, format: header.format, segmentRows: header.segmentRows)
    // A format of coarser networks has no whole number of their units in the padded picture.
    let unit = model.paddingUnit(model.networkFormat(format))
    guard layout.paddedWidth % unit == 0, layout.paddedHeight % unit == 0 else { throw .format(format) }
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

  private func synthesise(_ latent: Latent, _ header: BitstreamHeader, into picture: PictureView) {
    prepared.program(.synthesis, picture.format, at: header.position, cpu: execution.cpu)
      .synthesise(latent, into: picture, execution)
  }
}

/// Decodes one bitstream; to decode several, keep a `Decoder`.
public func decode(
  _ bytes: [UInt8], model: Model, execution: Execution = Execution()
) throws(DecodeError) -> Picture {
  try Decoder(model: model, execution: execution).decode(bytes)
}
